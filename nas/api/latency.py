"""The predicted latency of a detector, of the front of a run, or of networks of other frameworks, on a board."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.frame_request import FrameFigures, FrameRequest, with_tiles, without_tiles
from nas.api.named_architecture import ArchitectureLike, classes_to_count, find_architecture, shown_name
from nas.api.result import OnNotice, Result, notify, table_of
from search_space.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from nas.cost.breakdown import ClassShare, NodeShare, Speedup
    from nas.cost.latency import LatencyModel
    from search_space import Architecture

ENDS_AT = "it ends at the head's raw maps: decoding them to boxes is not in it"
"""What predictions of our graphs do not include, in addition to what the measurements of a profile leave out."""


@dataclass(frozen=True, kw_only=True)
class HeldOutError:
    """Error of the predictions of a profile on networks left out of the fit; None where nothing was measured."""

    held_out: str | None
    mean_error_percent: float | None
    median_error_percent: float | None
    within_10_percent: float | None


@dataclass(frozen=True, kw_only=True)
class OnDevice(Result):
    """What a latency is predicted for."""

    device: str
    board: str
    runtime: str
    precision: str
    batch: int = 1
    confidence: float
    """Probability that the interval contains the measured latency."""
    predicted: bool = True
    """Every latency here is predicted; none is measured."""
    includes: str
    notes: str
    num_measured: int
    """Networks that the profile is fitted on."""
    error: HeldOutError


@dataclass(frozen=True, kw_only=True)
class LatencyFigures:
    """The predicted latency of one detector in milliseconds, with its interval and its counts."""

    key: str
    num_classes: int
    input_hw: tuple[int, int]
    latency_ms: float
    low_ms: float
    high_ms: float
    unsupported_share: float
    """Share of the time in operators that were never measured on the device."""
    extrapolated: bool
    unlike_measured: bool
    """Whether no measured family of networks has a similar composition; the interval is wider then."""
    macs: int
    flops_2x: int
    params: int
    per_frame: FrameFigures | None = None
    """The time of a whole frame, or of a batch; None where neither was asked for."""


@dataclass(frozen=True, kw_only=True)
class LatencyPrediction(LatencyFigures, OnDevice):
    """The predicted latency of one architecture, by operator class and node, and predicted speedups."""

    architecture: str
    classes: tuple[ClassShare, ...]
    """The time in each class of operators, most expensive first."""
    nodes: tuple[NodeShare, ...]
    """The time in each node, in the order of execution."""
    faster: tuple[Speedup, ...]
    """Changes that are predicted to save time: smaller inputs first, then cheaper activations."""

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready data."""
        classes, changes = ([each.to_dict() for each in group] for group in (self.classes, self.faster))
        return {**super().to_dict(), "classes": classes, "faster": changes}

    @property
    def frame(self) -> pd.DataFrame:
        """The nodes as a table, a row each."""
        return table_of(self.nodes)


@dataclass(frozen=True, kw_only=True)
class MemberLatency(LatencyFigures):
    """The predicted latency of one member of a front, with its accuracies as fractions of 1."""

    rank: int
    architecture: Path
    accuracy: float | None
    ap: float | None
    ap50: float | None
    ap_small: float | None


@dataclass(frozen=True, kw_only=True)
class FrontLatency(OnDevice):
    """The predicted latencies of the front of a run, most accurate member first."""

    run: Path
    num_classes: int
    front: tuple[MemberLatency, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The members as a table, a row each."""
        return table_of(self.front)


@dataclass(frozen=True, kw_only=True)
class NetworkLatency:
    """The predicted latency of a network of another framework in milliseconds."""

    model_name: str
    latency_ms: float
    low_ms: float
    high_ms: float
    unsupported_share: float
    extrapolated: bool
    unlike_measured: bool
    """Whether no measured family of networks has a similar composition; the interval is wider then."""


@dataclass(frozen=True, kw_only=True)
class OpsLatency(Result):
    """The predicted latencies of the networks in a table of operators, in the order of the table."""

    device: str
    confidence: float
    models: tuple[NetworkLatency, ...]
    includes: str = field(repr=False)
    """Board, runtime, precision, and what the latency includes."""

    @property
    def frame(self) -> pd.DataFrame:
        """The networks as a table, a row each."""
        return table_of(self.models)


def latency(
    architecture: ArchitectureLike,
    *,
    device: str | Path,
    precision: str | None = None,
    input_hw: tuple[int, int] | None = None,
    num_classes: int | None = None,
    confidence: float = 0.9,
    frame: tuple[int, int] | None = None,
    end_to_end: bool = False,
    batch_size: int = 1,
    tiles: str | None = None,
    on_notice: OnNotice | None = None,
) -> LatencyPrediction | FrontLatency:
    """Predicts the latency of an architecture, or of the front of a run, on a board in milliseconds, with an interval.

    Args:
        architecture: a YAML file, the name of a design, an `Architecture`, or the folder of a run.
        device: a profile, the bare name of a board, or the YAML file of a profile.
        precision: such as `fp16`; None: the usual one of the board.
        input_hw: input size `(H, W)` in pixels; None: that of the architecture.
        num_classes: number of classes; None: that of the design or of the run that found it,
            else 80. A run has its own.
        confidence: probability that the interval contains the measured latency.
        frame: size `(H, W)` in pixels of the pictures that the detector gets; None: that of the run, if it has one.
        end_to_end: also predict the whole time of a frame: scaling it, the network, decoding and suppression.
        batch_size: frames that go through the network together.
        tiles: columns x rows of the tiles of a frame, such as `3x2`; None: those of the architecture.
        on_notice: is called with a note where the device or the number of classes is a default.

    Raises:
        UserError: there is no such architecture, run or device, or a setting does not apply to a run.
    """
    asked = FrameRequest(frame_hw=frame, end_to_end=end_to_end, batch_size=batch_size)
    if isinstance(architecture, (str, Path)) and Path(architecture).is_dir():
        _refuse_for_run(input_hw, num_classes, tiles)
        return _of_run(Path(architecture), device, precision, confidence, asked, on_notice)
    arch = with_tiles(find_architecture(architecture, input_hw), tiles)
    model = open_device(device, precision, confidence, on_notice=on_notice)
    num_classes = classes_to_count(architecture, num_classes, "predicted", on_notice)
    return _of_architecture(shown_name(architecture), model, arch, num_classes, confidence, asked)


def predict_ops(
    ops: str | Path,
    *,
    device: str | Path,
    precision: str | None = None,
    confidence: float = 0.9,
    on_notice: OnNotice | None = None,
) -> OpsLatency:
    """Predicts the latency in milliseconds of every network in a table of operators, of any framework.

    Args:
        ops: CSV file, gzipped or not, with a row for each operator.
        device: a profile, the bare name of a board, or the YAML file of a profile.
        precision: such as `fp16`; None: the usual one of the board.
        confidence: probability that the interval contains the measured latency.
        on_notice: is called with a note on operators of unknown types.

    Raises:
        UserError: the table cannot be read, or there is no such device.
    """
    from nas.cost.operators import CLASS_OF, CONVOLUTIONS, read_operators, unknown_types
    from nas.cost.terms import network_terms

    ops = Path(ops)
    model = open_device(device, precision, confidence, on_notice=on_notice)
    names, operators = read_operators(ops)
    predicted = model.predict(network_terms(operators, model.profile.rules, len(names)))
    fields = ("latency_ms", "low_ms", "high_ms", "unsupported_share", "unlike_measured")
    columns = {name: getattr(predicted, name).tolist() for name in fields}
    models = tuple(
        NetworkLatency(
            model_name=name,
            extrapolated=predicted[index].extrapolated,
            **{column: values[index] for column, values in columns.items()},
        )
        for index, name in enumerate(names)
    )
    if unknown := unknown_types(ops):
        listed = ", ".join(f"{name} ({count} rows)" for name, count in unknown.items())
        known = ", ".join((*CONVOLUTIONS, *CLASS_OF))
        notify(on_notice, f"note: op_type {listed} count as operators that were never measured; known: {known}")
    profile = model.profile
    includes = f"{profile.board}, {profile.runtime}, {profile.precision}, batch 1: {profile.includes}"
    return OpsLatency(device=profile.name, confidence=confidence, models=models, includes=includes)


def open_device(
    device: str | Path, precision: str | None, confidence: float = 0.9, *, on_notice: OnNotice | None = None
) -> LatencyModel:
    """Returns the latency model of a device, with a notice of the profile that the bare name of a board means.

    Raises:
        UserError: there is no such device, or it has no such precision.
    """
    from nas.cost.latency import load_model

    model = load_model(str(device), precision, confidence=confidence)
    profile = model.profile
    if profile.name != str(device) and profile.path is not None and profile.path != Path(device):
        notify(on_notice, f"device: {device} means {profile.name} ({profile.board}, {profile.runtime})")
    return model


def _refuse_for_run(input_hw: tuple[int, int] | None, num_classes: int | None, tiles: str | None) -> None:

    for option, value in (("--input", input_hw), ("--num-classes", num_classes), ("--tiles", tiles)):
        if value is not None:
            raise ConfigError(
                f"{option} does not apply to the folder of a run, whose accuracies are of its own sizes and classes; "
                "next: omit it, or give one file of RUN/front"
            )


def _about(model: LatencyModel, confidence: float) -> dict[str, Any]:
    """Returns the fields of `OnDevice`."""
    from nas.api.devices import listed

    device = listed(model.profile)
    return {
        "device": device.name,
        "board": device.board,
        "runtime": device.runtime,
        "precision": device.precision,
        "confidence": confidence,
        "includes": f"{device.includes}; {ENDS_AT}",
        "notes": device.notes,
        "num_measured": device.num_measured,
        "error": HeldOutError(
            held_out=device.held_out,
            mean_error_percent=device.mean_error_percent,
            median_error_percent=device.median_error_percent,
            within_10_percent=device.within_10_percent,
        ),
    }


def _figures(model: LatencyModel, arch: Architecture, num_classes: int, asked: FrameRequest) -> dict[str, Any]:
    """Returns the fields of `LatencyFigures`: those of the network for one tile, and of a frame in all its tiles."""
    from nas.cost import cost_of
    from search_space import lower

    cost = cost_of(without_tiles(arch), num_classes=num_classes, device=model)
    predicted = cost.latency
    assert predicted is not None
    return {
        "key": arch.key(),
        "num_classes": num_classes,
        "input_hw": arch.input_hw,
        "latency_ms": predicted.latency_ms,
        "low_ms": predicted.low_ms,
        "high_ms": predicted.high_ms,
        "unsupported_share": predicted.unsupported_share,
        "extrapolated": predicted.extrapolated,
        "unlike_measured": predicted.unlike_measured,
        "macs": cost.macs,
        "flops_2x": 2 * cost.macs,
        "params": cost.params,
        "per_frame": asked.figures(model, lower(arch, num_classes=num_classes)),
    }


def _of_architecture(
    name: str, model: LatencyModel, arch: Architecture, num_classes: int, confidence: float, asked: FrameRequest
) -> LatencyPrediction:
    from nas.cost.breakdown import class_shares, node_shares, speedups
    from search_space import lower

    graph = lower(arch, num_classes=num_classes)
    terms = model.terms(graph)
    latency_ms = float(model.predict(terms[None]).latency_ms[0])
    return LatencyPrediction(
        architecture=name,
        **_figures(model, arch, num_classes, asked),
        **_about(model, confidence),
        classes=tuple(class_shares(model, terms, latency_ms)),
        nodes=tuple(node_shares(model, graph, latency_ms)),
        faster=tuple(speedups(model, without_tiles(arch), num_classes, terms, latency_ms)),
    )


def _of_run(
    run: Path,
    device: str | Path,
    precision: str | None,
    confidence: float,
    asked: FrameRequest,
    on_notice: OnNotice | None,
) -> FrontLatency:
    """Returns the predicted latency of every architecture of a run's front, most accurate first."""
    from nas.config import read_config
    from nas.run_folder import RunFolder, read_trials
    from results import records
    from results.export import member_file
    from search_space import Architecture

    folder = RunFolder(run)
    if not folder.config_yaml.is_file():
        raise ConfigError(f"{run} is not the folder of a run: it has no {folder.config_yaml.name}; give one of nas run")
    config = read_config(folder.config_yaml)
    num_classes = len(config.classes)
    if asked == FrameRequest():
        asked = FrameRequest(frame_hw=config.frame, end_to_end=config.end_to_end)
    members = records.front(read_trials(run))
    if members.empty:
        raise ConfigError(f"{run} has no complete trial yet, so there is no front; next: nas run --resume {run}")
    model = open_device(device, precision, confidence, on_notice=on_notice)
    front = []
    for rank, trial in enumerate(records.trials_of(members), start=1):
        path = run / "front" / member_file(rank, trial.key)
        if not path.is_file():
            raise ConfigError(f"{run} lacks {path.name} of its front; next: nas run --resume {run} writes it anew")
        scores: dict[str, Any] = {name: trial.scores.get(name) for name in ("accuracy", "ap", "ap50", "ap_small")}
        figures = _figures(model, Architecture.from_yaml(path), num_classes, asked)
        front.append(MemberLatency(rank=rank, architecture=path, **scores, **figures))
    return FrontLatency(run=run, num_classes=num_classes, **_about(model, confidence), front=tuple(front))
