"""`nas latency calibrate`: fits the profile of a board to latencies that the user measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.display import say
from nas.commands.latency_options import device_option, open_device, precision_option
from nas.commands.options import echo_json, json_option

if TYPE_CHECKING:
    from nas.cost.profile import Profile
    from nas.cost.user_measurements import Calibration, OwnMeasurements


@click.command("calibrate")
@click.argument("measurements", metavar="CSV", type=click.Path(path_type=Path))
@device_option
@precision_option
@click.option(
    "--ops", type=click.Path(path_type=Path), metavar="OPS.csv[.gz]", help="Operators of networks that CSV names."
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.yaml", help="The profile; default: DEVICE.calibrated.yaml."
)
@click.option("--force", is_flag=True, help="Replace FILE.yaml.")
@click.option(
    "--keep-shipped/--only-mine",
    default=None,
    help="Fit on the shipped measurements too, or on yours about the shipped constants. Default: what is less off.",
)
@json_option
def command(
    measurements: Path,
    device: str,
    precision: str | None,
    ops: Path | None,
    out: Path | None,
    force: bool,
    keep_shipped: bool | None,
    as_json: bool,
) -> None:
    """Fit a board's profile to latencies that you measured, and tell the error before and after.

    CSV has the columns model and latency_ms (milliseconds of one image), and as wanted input_h, input_w, num_classes
    and family (what is held out together). A model is a design, the path of an architecture's YAML file, or a
    model_name of --ops, whose size and classes are those of its operators.

    \b
    Example:
      nas latency calibrate mine.csv --device pi5-ort-fp32
    """
    from nas.cost.user_measurements import calibrate, check_plausible, measured, read_rows

    rows, ignored = read_rows(measurements)
    model = open_device(device, precision)
    out = _target(out, model.profile, force)
    own = measured(measurements, rows, model, ops)
    check_plausible(measurements, own, model.predict(own.measurements.terms).latency_ms)
    _tell_notes(own, ignored, model.profile)
    ways = {
        name: calibrate(model, own, measurements.name, keep_shipped=keep)
        for name, keep in (("only_mine", False), ("keep_shipped", True))
    }
    errors = {name: _errors(way.after_ms, own)["mean_percent"] for name, way in ways.items()}
    chosen = "only_mine" if None in errors.values() else min(errors, key=lambda name: errors[name] or 0.0)
    if keep_shipped is not None:
        chosen = "keep_shipped" if keep_shipped else "only_mine"
    _write(ways[chosen], out)
    result = summary(ways[chosen], own, out)
    result |= {f"{name}_mean_percent": error for name, error in errors.items()}
    return echo_json(result) if as_json else _print(result)


def _target(out: Path | None, profile: Profile, force: bool) -> Path:
    """Returns where the profile goes, if it may."""
    from search_space.errors import ConfigError

    out = Path(f"{profile.name}.calibrated.yaml") if out is None else out
    if out.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out is {out}; a profile's file must end in .yaml")
    if not out.parent.is_dir():
        raise ConfigError(f"--out is {out}, but there is no folder {out.parent}; make it first")
    if out.exists() and (not force or not out.is_file()):
        raise ConfigError(f"{out} exists already; choose another --out, or --force to replace it")
    return out


def _tell_notes(own: OwnMeasurements, ignored: tuple[str, ...], profile: Profile) -> None:
    from nas.cost.user_measurements import DEFAULT_CLASSES, rests_on_own

    if ignored:
        say(f"note: columns that mean nothing here: {', '.join(map(repr, ignored))}", err=True)
    if own.guessed_classes:
        note = f"note: {DEFAULT_CLASSES} classes where a row gives none for a file; give the column num_classes"
        say(note, err=True)
    if rests_on_own(profile):
        note = (
            "note: this profile was calibrated before: its earlier rows are dropped, its error before is not held out"
        )
        say(note, err=True)


def _write(calibration: Calibration, out: Path) -> None:
    """Writes the profile and what it learned beyond its constants; nothing of an earlier one stays beside it."""
    from nas.cost.profile import write_profile
    from nas.cost.residual import write_residual

    residual_path = out.with_suffix(".residual.csv.gz")
    if calibration.residual is None:
        residual_path.unlink(missing_ok=True)
    else:
        write_residual(calibration.residual, calibration.names, residual_path)
    write_profile(calibration.profile, out)


def summary(calibration: Calibration, own: OwnMeasurements, out: Path) -> dict[str, Any]:
    """Returns what became of the profile and of every row, JSON-ready."""
    after = [None] * len(own.rows) if calibration.after_ms is None else calibration.after_ms.tolist()
    rows = []
    for row, label, before_ms, after_ms in zip(
        own.rows, own.labels, calibration.before_ms.tolist(), after, strict=True
    ):
        rows.append(
            {
                "row": row.line,
                "model": row.model,
                "network": label,
                "measured_ms": row.latency_ms,
                "before_ms": before_ms,
                "before_percent": 100 * (before_ms / row.latency_ms - 1),
                "after_ms": after_ms,
                "after_percent": None if after_ms is None else 100 * (after_ms / row.latency_ms - 1),
            }
        )
    return {
        "device": calibration.profile.name,
        "profile": str(out),
        "num_rows": len(own.rows),
        "num_networks": own.num_networks,
        "num_shipped": calibration.num_shipped,
        "before": _errors(calibration.before_ms, own),
        "after": {**_errors(calibration.after_ms, own), "held_out": calibration.held_out},
        "rows": rows,
    }


def _errors(predicted_ms: Any, own: OwnMeasurements) -> dict[str, float | None]:
    if predicted_ms is None:
        return {"mean_percent": None, "worst_percent": None}
    percent = 100 * abs(predicted_ms / own.measurements.latency_ms - 1)
    return {"mean_percent": float(percent.mean()), "worst_percent": float(percent.max())}


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    from nas.commands.display import console

    table = Table("row", "network")
    for title in ("measured ms", "before ms", "off %", "after ms, held out", "off %"):
        table.add_column(title, justify="right")
    for row in result["rows"]:
        after = ["-", "-"] if row["after_ms"] is None else [f"{row['after_ms']:.4g}", f"{row['after_percent']:+.1f}"]
        cells = [f"{row['measured_ms']:.4g}", f"{row['before_ms']:.4g}", f"{row['before_percent']:+.1f}"]
        table.add_row(str(row["row"]), row["network"], *cells, *after)
    console().print(table)
    before, after = result["before"], result["after"]
    say(f"before: {before['mean_percent']:.1f} % off on average, {before['worst_percent']:.1f} % at worst")
    if after["mean_percent"] is None:
        say("after: not known: one network alone cannot be held out; measure another one")
    else:
        say(
            f"after: {after['mean_percent']:.1f} % off on average, {after['worst_percent']:.1f} % at worst "
            f"({after['held_out']})"
        )
    shipped = f" and the {result['num_shipped']} that come with the profile" if result["num_shipped"] else ""
    rows = f"{result['num_rows']} measurement{'s' * (result['num_rows'] > 1)}"
    say(f"{result['profile']} is fitted on {rows} of yours{shipped}")
    alone, together = result["only_mine_mean_percent"], result["keep_shipped_mean_percent"]
    if alone is not None and together != alone:
        say(f"held out: {alone:.1f} % off with --only-mine, {together:.1f} % with --keep-shipped")
    say(f"next: nas latency yolov8n --device {result['profile']}")
