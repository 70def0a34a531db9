"""The profile of a board, fitted to latencies that the user measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.latency import open_device
from nas.api.result import OnNotice, Result, notify, table_of
from search_space.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from nas.cost.host import HostTimes, MeasuredPart
    from nas.cost.profile import Profile
    from nas.cost.user_measurements import Calibration, MeasuredRow, OwnMeasurements


@dataclass(frozen=True, kw_only=True)
class PredictionError:
    """How far predictions are off the measured latencies; None where it is not known."""

    mean_percent: float | None
    worst_percent: float | None


@dataclass(frozen=True, kw_only=True)
class ErrorAfter(PredictionError):
    """The error after the calibration, with each network left out of the fit that predicts it."""

    held_out: str


@dataclass(frozen=True, kw_only=True)
class CalibrationRow:
    """One measurement, with the predictions before and after the calibration."""

    row: int
    """Line of the file."""
    model: str
    network: str
    measured_ms: float
    before_ms: float
    before_percent: float
    after_ms: float | None
    """None where the network is the only one and cannot be left out."""
    after_percent: float | None


@dataclass(frozen=True, kw_only=True)
class HostRow:
    """One measured time around the network, with the predictions before and after the calibration."""

    part: str
    """`prepare`, scaling a picture to the input, or `read_outputs`, decoding and suppression."""
    model: str
    measured_ms: float
    before_ms: float
    after_ms: float
    """By the constants that are fitted to all of them: nothing is held out."""


@dataclass(frozen=True, kw_only=True)
class CalibrationResult(Result):
    """A calibrated profile, and its error before and after."""

    device: str
    profile: Path
    num_rows: int
    num_networks: int
    num_shipped: int
    """Measurements that come with the profile and were fitted too."""
    before: PredictionError
    after: ErrorAfter
    rows: tuple[CalibrationRow, ...]
    only_mine_mean_percent: float | None
    keep_shipped_mean_percent: float | None
    host: tuple[HostRow, ...] = ()
    """Times around the network, which only a measured.json has."""

    @property
    def frame(self) -> pd.DataFrame:
        """The measurements as a table, a row each."""
        return table_of(self.rows)


def calibrate(
    measurements: str | Path,
    *,
    device: str | Path,
    precision: str | None = None,
    ops: str | Path | None = None,
    out: str | Path | None = None,
    force: bool = False,
    keep_shipped: bool | None = None,
    on_notice: OnNotice | None = None,
) -> CalibrationResult:
    """Fits the profile of a board to measured latencies and writes it.

    Args:
        measurements: CSV file with the columns `model` and `latency_ms` in milliseconds, or the `measured.json` of
            `board/measure.py`; see docs/latency.md.
        device: a profile, the bare name of a board, or the YAML file of a profile.
        precision: such as `fp16`; None: the usual one of the board.
        ops: table of the operators of networks that `measurements` names.
        out: YAML file of the new profile; None: `DEVICE.calibrated.yaml`.
        force: whether to replace the file.
        keep_shipped: whether to fit on the shipped measurements too; None: whichever has the smaller error.
        on_notice: is called with notes on the measurements.

    Raises:
        UserError: the measurements cannot be read or are not plausible, or the profile may not be written.
    """
    from nas.cost import user_measurements

    measurements, ops = Path(measurements), None if ops is None else Path(ops)
    rows, ignored, parts = _read(measurements, on_notice)
    model = open_device(device, precision, on_notice=on_notice)
    target = _target(None if out is None else Path(out), model.profile, force)
    own = user_measurements.measured(measurements, rows, model, ops)
    user_measurements.check_plausible(measurements, own, model.predict(own.measurements.terms).latency_ms)
    _tell_notes(own, ignored, model.profile, on_notice)
    ways = {
        name: user_measurements.calibrate(model, own, measurements.name, keep_shipped=keep)
        for name, keep in (("only_mine", False), ("keep_shipped", True))
    }
    errors = {name: _error(way.after_ms, own).mean_percent for name, way in ways.items()}
    chosen = "only_mine" if None in errors.values() else min(errors, key=lambda name: errors[name] or 0.0)
    if keep_shipped is not None:
        chosen = "keep_shipped" if keep_shipped else "only_mine"
    way, host_rows = _with_host(ways[chosen], parts)
    _write(way, target)
    return replace(_result(way, own, target, errors), host=host_rows)


def _read(
    measurements: Path, on_notice: OnNotice | None
) -> tuple[tuple[MeasuredRow, ...], tuple[str, ...], tuple[MeasuredPart, ...]]:
    """Returns the rows of a CSV or a measured.json, the unused columns, and the times around the networks."""
    from nas.cost import user_measurements
    from nas.cost.board_report import is_board_report, read_board_report

    if not is_board_report(measurements):
        return (*user_measurements.read_rows(measurements), ())
    report = read_board_report(measurements)
    if not report.host:
        notify(on_notice, f"note: {measurements} has no times around the network: numpy was missing on the board")
    return report.rows, (), report.host


def _with_host(calibration: Calibration, parts: tuple[MeasuredPart, ...]) -> tuple[Calibration, tuple[HostRow, ...]]:
    """Returns a calibration whose profile has the measured times around the network, and what they were before."""
    from nas.cost.host import PRIOR, fit_host

    if not parts:
        return calibration, ()
    before, after = calibration.profile.host or PRIOR, fit_host(parts)
    rows = tuple(
        HostRow(
            part=each.part,
            model=each.detector,
            measured_ms=each.ms,
            before_ms=_host_ms(before, each),
            after_ms=_host_ms(after, each),
        )
        for each in parts
    )
    return replace(calibration, profile=replace(calibration.profile, host=after)), rows


def _host_ms(times: HostTimes, measured: MeasuredPart) -> float:
    return float(getattr(times, measured.part).predict(measured.quantities)[0])


def _target(out: Path | None, profile: Profile, force: bool) -> Path:
    """Returns where the profile is written, if it may."""

    out = Path(f"{profile.name}.calibrated.yaml") if out is None else out
    if out.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out is {out}; a profile's file must end in .yaml")
    if not out.parent.is_dir():
        raise ConfigError(f"--out is {out}, but there is no folder {out.parent}; make it first")
    if out.exists() and (not force or not out.is_file()):
        raise ConfigError(f"{out} exists already; choose another --out, or --force to replace it")
    return out


def _tell_notes(own: OwnMeasurements, ignored: tuple[str, ...], profile: Profile, on_notice: OnNotice | None) -> None:
    from nas.cost.user_measurements import DEFAULT_CLASSES, rests_on_own

    if ignored:
        notify(on_notice, f"note: unknown columns are ignored: {', '.join(map(repr, ignored))}")
    if own.guessed_classes:
        note = f"note: {DEFAULT_CLASSES} classes where no row and no file gives any; give the column num_classes"
        notify(on_notice, note)
    if rests_on_own(profile):
        notify(
            on_notice,
            "note: this profile was calibrated before: its earlier rows are dropped, its error before is not held out",
        )


def _write(calibration: Calibration, out: Path) -> None:
    """Writes the profile and its residual; the residual of an earlier one is removed."""
    from nas.cost.profile import write_profile
    from nas.cost.residual import write_residual

    residual_path = out.with_suffix(".residual.csv.gz")
    if calibration.residual is None:
        residual_path.unlink(missing_ok=True)
    else:
        write_residual(calibration.residual, calibration.names, residual_path)
    write_profile(calibration.profile, out)


def _result(
    calibration: Calibration, own: OwnMeasurements, out: Path, errors: dict[str, float | None]
) -> CalibrationResult:
    after = [None] * len(own.rows) if calibration.after_ms is None else calibration.after_ms.tolist()
    rows = [
        CalibrationRow(
            row=row.line,
            model=row.model,
            network=label,
            measured_ms=row.latency_ms,
            before_ms=before_ms,
            before_percent=100 * (before_ms / row.latency_ms - 1),
            after_ms=after_ms,
            after_percent=None if after_ms is None else 100 * (after_ms / row.latency_ms - 1),
        )
        for row, label, before_ms, after_ms in zip(
            own.rows, own.labels, calibration.before_ms.tolist(), after, strict=True
        )
    ]
    error = _error(calibration.after_ms, own)
    return CalibrationResult(
        device=calibration.profile.name,
        profile=out,
        num_rows=len(own.rows),
        num_networks=own.num_networks,
        num_shipped=calibration.num_shipped,
        before=_error(calibration.before_ms, own),
        after=ErrorAfter(**vars(error), held_out=calibration.held_out),
        rows=tuple(rows),
        only_mine_mean_percent=errors["only_mine"],
        keep_shipped_mean_percent=errors["keep_shipped"],
    )


def _error(predicted_ms: Any, own: OwnMeasurements) -> PredictionError:
    if predicted_ms is None:
        return PredictionError(mean_percent=None, worst_percent=None)
    percent = 100 * abs(predicted_ms / own.measurements.latency_ms - 1)
    return PredictionError(mean_percent=float(percent.mean()), worst_percent=float(percent.max()))
