"""`nas latency ARCH|DESIGN|RUN`: the predicted latency of a detector, or of the front of a run, on a board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.display import say
from nas.commands.latency_options import confidence_option, device_option, open_device, precision_option
from nas.commands.options import echo_json, json_option, plugin_option

if TYPE_CHECKING:
    from nas.cost.latency import LatencyModel
    from search_space import Architecture

ENDS_AT = "it ends at the head's raw maps: decoding them to boxes is not in it"
"""What the prediction of our own graphs leaves out on top of what a profile's measurements do."""


@click.command("latency")
@click.argument("architecture", type=click.Path(), metavar="ARCH.yaml|DESIGN|RUN")
@device_option
@precision_option
@click.option("--input", "input_hw", type=(int, int), default=None, metavar="H W", help="Input size in pixels.")
@click.option("--num-classes", type=int, default=None, help="Classes; default: the design's own, else 80; a RUN's own.")
@confidence_option
@plugin_option
@json_option
def command(
    architecture: str,
    device: str,
    precision: str | None,
    input_hw: tuple[int, int] | None,
    num_classes: int | None,
    confidence: float,
    as_json: bool,
) -> None:
    """Predict the latency of an architecture, a design or the front of a run on a board, with an interval.

    \b
    Examples:
      nas latency yolov8n-p2 --device jetson-nano
      nas latency runs/a --device orin-nano --precision int8
    """
    from nas.commands import latency_display

    if Path(architecture).is_dir():
        _refuse_for_run(input_hw, num_classes)
        result = of_run(Path(architecture), device, precision, confidence)
        return echo_json(result) if as_json else latency_display.print_run(result)
    arch = _load(architecture, input_hw)
    model = open_device(device, precision, confidence)
    num_classes = _num_classes(architecture, num_classes)
    result = {"architecture": architecture, **of_architecture(model, arch, num_classes, confidence)}
    return echo_json(result) if as_json else latency_display.print_architecture(result)


def _refuse_for_run(input_hw: tuple[int, int] | None, num_classes: int | None) -> None:
    from search_space.errors import ConfigError

    for option, value in (("--input", input_hw), ("--num-classes", num_classes)):
        if value is not None:
            raise ConfigError(
                f"{option} does not go with the folder of a run, whose accuracies are of its own sizes and classes; "
                "next: leave it out, or give one file of RUN/front"
            )


def _load(architecture: str, input_hw: tuple[int, int] | None) -> Architecture:
    """Returns an architecture; what is nearly a subcommand is told to be none."""
    from nas.architectures import load_architecture
    from nas.commands.latency import PREDICT, SUBCOMMANDS
    from search_space import DESIGNS
    from search_space.errors import ConfigError, nearest

    near = nearest(architecture, [name for name in SUBCOMMANDS if name != PREDICT])
    if near and not nearest(architecture, DESIGNS) and not Path(architecture).exists():
        raise ConfigError(f"unknown command or design {architecture!r}{near}; see nas latency --help")
    return load_architecture(architecture, input_hw)


def _num_classes(architecture: str, num_classes: int | None) -> int:
    """Returns the classes to predict for, telling on standard error where they are a guess."""
    from nas.commands.explain import DEFAULT_CLASSES
    from search_space import DESIGNS

    if num_classes is not None:
        return num_classes
    if architecture in DESIGNS:
        return DESIGNS.get(architecture).num_classes
    say(f"note: predicted for {DEFAULT_CLASSES} classes; give those of your data: --num-classes N", err=True)
    return DEFAULT_CLASSES


def about_device(model: LatencyModel, confidence: float) -> dict[str, Any]:
    """Returns what every prediction of a model says of its device, JSON-ready."""
    from nas.commands.devices import listed

    profile = model.profile
    device = listed(profile)
    names = ("board", "runtime", "precision")
    return {
        "device": profile.name,
        **{name: device[name] for name in names},
        "batch": 1,
        "confidence": confidence,
        "predicted": True,
        "includes": f"{profile.includes}; {ENDS_AT}",
        "notes": profile.notes,
        "num_measured": profile.num_measured,
        "error": {
            name: device[name]
            for name in ("held_out", "mean_error_percent", "median_error_percent", "within_10_percent")
        },
    }


def of_architecture(model: LatencyModel, arch: Architecture, num_classes: int, confidence: float) -> dict[str, Any]:
    """Returns the predicted latency of one architecture, where it goes and what saves some, JSON-ready."""
    from nas.cost.breakdown import class_rows, faster, node_rows
    from search_space import lower

    graph = lower(arch, num_classes=num_classes)
    terms = model.terms(graph)
    latency_ms = float(model.predict(terms[None]).latency_ms[0])
    return {
        **_figures(model, arch, num_classes),
        **about_device(model, confidence),
        "classes": class_rows(model, terms, latency_ms),
        "nodes": node_rows(model, graph, latency_ms),
        "faster": faster(model, arch, num_classes, terms, latency_ms),
    }


def _figures(model: LatencyModel, arch: Architecture, num_classes: int) -> dict[str, Any]:
    from nas.cost import cost_of

    cost = cost_of(arch, num_classes=num_classes, device=model)
    latency = cost.latency
    assert latency is not None
    return {
        "key": arch.key(),
        "num_classes": num_classes,
        "input_hw": list(arch.input_hw),
        "latency_ms": latency.latency_ms,
        "low_ms": latency.low_ms,
        "high_ms": latency.high_ms,
        "unsupported_share": latency.unsupported_share,
        "extrapolated": latency.extrapolated,
        "macs": cost.macs,
        "flops_2x": 2 * cost.macs,
        "params": cost.params,
    }


def of_run(run: Path, device: str, precision: str | None, confidence: float) -> dict[str, Any]:
    """Returns the predicted latency of every architecture of a run's front, most accurate first, JSON-ready.

    Raises:
        ConfigError: where the folder is not that of a run, or its front is empty.
    """
    from nas.config import read_config
    from nas.run_folder import RunFolder, read_trials
    from results import records
    from results.export import member_file
    from search_space import Architecture
    from search_space.errors import ConfigError

    folder = RunFolder(run)
    if not folder.config_yaml.is_file():
        raise ConfigError(f"{run} is not the folder of a run: it has no {folder.config_yaml.name}; give one of nas run")
    num_classes = len(read_config(folder.config_yaml).classes)
    members = records.front(read_trials(run))
    if members.empty:
        raise ConfigError(f"{run} has no complete trial yet, so there is no front; next: nas run --resume {run}")
    model = open_device(device, precision, confidence)
    rows = []
    for rank, member in enumerate(members.to_dict("records"), start=1):
        path = run / "front" / member_file(rank, str(member["key"]))
        if not path.is_file():
            raise ConfigError(f"{run} lacks {path.name} of its front; next: nas run --resume {run} writes it anew")
        figures = _figures(model, Architecture.from_yaml(path), num_classes)
        scores = {name: _number(member[name]) for name in ("accuracy", "ap", "ap50", "ap_small")}
        rows.append({"rank": rank, "architecture": str(path), **scores, **figures})
    return {"run": str(run), "num_classes": num_classes, **about_device(model, confidence), "front": rows}


def _number(value: Any) -> float | None:
    import pandas as pd

    return None if pd.isna(value) else float(value)
