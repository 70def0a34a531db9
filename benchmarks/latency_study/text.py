"""The figures of the latency study as text and as a plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.latency_study.study import architecture_folds, held_out_detectors, parts_of
from search_space.files import write_bytes

MAX_SHOWN_PERCENT = 1000.0
"""Errors above this are not printed: the baseline failed."""
SPLITS = ("leave_one_architecture_out", "leave_one_family_out")


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Yields the figures of the study as lines of text, for the terminal and the documentation."""
    yield from _boards(result)
    yield from _few_shots(result["few_shots"])
    yield from _intervals(result["intervals"])
    yield from _depthwise(result["depthwise"])
    yield from _published(result["orin"], result["nano_tensorrt"])
    yield from _steps(result["input_steps"])
    yield from _picking(result["picking"])
    yield from _ratios(result)


def _boards(result: Mapping[str, Any]) -> Iterator[str]:
    yield "Mean absolute percentage error | share within 10 % | Kendall's tau, on held-out networks"
    head = f"{'':<34}{'leave one architecture out':<28}{'leave one family out':<28}mean of families, worst"
    for name, title in (("jetson_nano", "Jetson Nano, ONNX Runtime FP32"), ("nvidia_a40", "NVIDIA A40, TensorRT")):
        board = result[name]
        yield f"\n{title}: {board['networks']} detectors of YOLOBench\n{head}"
        for row, splits in board.items():
            if isinstance(splits, Mapping):
                yield _splits(f"this {row}" if row.startswith("model") else row, splits)
    yield f"\nOther boards of YOLOBench\n{head}"
    for name, splits in result["other_boards"].items():
        yield _splits(name, splits)


def _splits(title: str, splits: Mapping[str, Any]) -> str:
    cells = [_cell(splits[split]) for split in SPLITS]
    family = splits["leave_one_family_out"]
    tail = f"{family['mean_of_families_percent']:.2f} %, {family['worst_family_percent']:.2f} %"
    tail = "" if family["mean_percent"] > MAX_SHOWN_PERCENT else tail
    return f"{title:<34}{cells[0]:<28}{cells[1]:<28}{tail}".rstrip()


def _cell(figures: Mapping[str, float]) -> str:
    if figures["mean_percent"] > MAX_SHOWN_PERCENT:
        return f"above {MAX_SHOWN_PERCENT:g} %"
    return f"{figures['mean_percent']:5.2f} % | {figures['within_10_percent']:5.1f} % | {figures['kendall_tau']:.3f}"


def _few_shots(few: Mapping[str, Any]) -> Iterator[str]:
    yield "\nFitted to few random networks, with the data sheet as prior; scored on all others"
    for device, shots in few.items():
        parts = [
            f"{n}: {row['mean_percent']:.2f} % (worst {row['worst_draw_percent']:.1f} %)" for n, row in shots.items()
        ]
        yield f"{device:<34}{'; '.join(parts)}"


def _intervals(intervals: Mapping[str, Any]) -> Iterator[str]:
    if not intervals:
        return
    yield "\n90 % intervals, computed without the scored networks"
    for device, splits in intervals.items():
        for split, row in splits.items():
            what = "new architectures of known families" if split == "architectures" else "unmeasured families"
            yield (
                f"{device:<24}{what:<38}cover {row['coverage_percent']:.1f} %, "
                f"median half-width {row['median_half_width_percent']:.1f} %"
            )


def _depthwise(kinds: Mapping[str, Any]) -> Iterator[str]:
    yield "\nClassifiers on the Nano: fitted to detectors alone, and with other classifiers in the fit"
    for kind, row in kinds.items():
        alone = row["from_detectors_alone"]
        known = ", ".join(
            f"{split.replace('_', ' ')} {figures['mean_percent']:.1f} % (median {figures['median_percent']:.1f} %)"
            for split, figures in row["with_classifiers"].items()
        )
        yield (
            f"{kind:<10}{row['networks']:>4}  alone {alone['mean_percent']:.1f} %, flagged "
            f"{alone['flagged_percent']:.0f} %, covered {alone['coverage_percent']:.0f} %; known: {known}"
        )


def _published(orin: Mapping[str, Any], nano: Mapping[str, Any]) -> Iterator[str]:
    yield "\nTensorRT on Orin boards, fitted to two of the five YOLO11 models, scored on the other three"
    for device, row in orin.items():
        yield (
            f"{device:<24}from n and l {row['from_n_and_l_percent']:.1f} %, mean of all pairs "
            f"{row['mean_of_all_pairs_percent']:.1f} %, worst pair {row['worst_pair_percent']:.1f} %"
        )
    yield (
        f"\nJetson Nano, TensorRT FP16, calibrated on {nano['calibrated_on_ms']} ms alone: predicted "
        f"{nano['predicted_ms']} ms, measured {nano['measured_ms']} ms ({nano['off_percent']:+.1f} %)"
    )
    yield "Figures of sources outside the fits of the profiles"
    for row in nano["independent"]:
        yield (
            f"{row['device']:<24}{row['model']:<18}measured {row['measured_ms']:.2f} ms, "
            f"predicted {row['predicted_ms']:.2f} ms ({row['low_ms']:.2f} to {row['high_ms']:.2f}), {row['source']}"
        )


def _steps(steps: Mapping[str, Any]) -> Iterator[str]:
    yield "\nCost of a larger input on the Nano (medians; architectures were held out)"
    for step, row in steps.items():
        yield (
            f"{step.replace('_to_', ' to ')} px: measured {row['measured_percent']:+.1f} %, predicted "
            f"{row['predicted_percent']:+.1f} %, MACs {row['macs_percent']:+.1f} %"
        )


def _picking(picking: Mapping[str, Any]) -> Iterator[str]:
    if not picking:
        return
    choice = f"{picking['picks']} of {picking['candidates']} candidates"
    yield f"\nThe {choice} nearest below {picking['limit_ms']:g} ms on the Nano, {picking['draws']} draws"
    for rule, row in picking.items():
        if isinstance(row, Mapping):
            yield (
                f"{rule:<16}{row['over_percent']:5.1f} % exceed it; "
                f"a pick uses on average {row['of_limit_used_percent']:.1f} % of it"
            )


def _ratios(result: Mapping[str, Any]) -> Iterator[str]:
    yield "\nMean error of the baselines as a multiple of the model's, fitted to the same networks"
    for board in ("jetson_nano", "nvidia_a40"):
        for split in SPLITS:
            model = result[board]["model"][split]["mean_percent"]
            errors = {peer: result[board][peer][split]["mean_percent"] for peer in result[board]["peers"]}
            parts = [
                f"{peer} {f'{off / model:.1f}x' if off <= MAX_SHOWN_PERCENT else 'fails'}"
                for peer, off in errors.items()
            ]
            yield f"{board.replace('_', ' ')}, {split.replace('_', ' ')}: {', '.join(parts)}"


def draw_plot(device: str, path: Path) -> None:
    """Draws predicted against measured latencies of a device, with each architecture held out.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("the plot needs matplotlib; install it with pip install 'pyramidnas[plots]'") from None
    profile, (detectors, *_) = parts_of(device)
    predicted = held_out_detectors(profile, [detectors], architecture_folds(detectors))
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    axes = figure.subplots()
    families = np.asarray(detectors.families)
    for family in np.unique(families):
        mask = families == family
        axes.scatter(detectors.latency_ms[mask], predicted[mask], s=7, alpha=0.7, label=family, linewidths=0)
    ends = np.array([detectors.latency_ms.min(), detectors.latency_ms.max()])
    axes.plot(ends, ends, color="black", linewidth=0.8)
    for factor in (0.9, 1.1):
        axes.plot(ends, factor * ends, color="black", linewidth=0.5, linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="measured, ms", ylabel="predicted, ms")
    axes.set_title(f"{profile.board}, {profile.runtime}, {profile.precision}: architectures held out, dotted: 10 %")
    axes.title.set_fontsize(9)
    axes.legend(frameon=False)
    drawn = BytesIO()
    figure.savefig(drawn, format=path.suffix.lower().lstrip("."), dpi=110)
    write_bytes(path, drawn.getvalue())
