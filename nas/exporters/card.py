"""The model card of an exported detector, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.config import versions
from nas.exporters.entry import ExportEntry
from search_space.errors import counted
from search_space.head_kind import HEAD_KINDS
from search_space.heads.assignment import is_one_to_one
from trainers.data.pixel_range import range_words

FITTED = {
    "letterbox": "the picture scaled to fit and padded with grey (114)",
    "stretch": "the picture stretched to that size",
}
"""How a picture becomes the input, by the `fit` of an input format."""
SCORE_TITLES = {"ap": "AP", "ap50": "AP50", "ap_small": "AP of objects below 32x32 px"}
SPECIAL = str.maketrans({each: f"\\{each}" for each in "\\`*_[]<>|#"})


def card(entry: ExportEntry, report: Mapping[str, Any]) -> str:
    """Returns the card of an entry whose folder is described by `report`."""
    parts = [
        f"# {_plain(entry.name)}",
        f"{_introduction(report)}. {_plain(entry.origin)}.",
        "## Cost\n\n" + _table(_cost_rows(report)),
        "## Accuracy\n\n" + "\n\n".join(each for each in (_accuracy(entry, report), _measured(report)) if each),
        "## Classes\n\n" + "\n".join(f"{index}. {_plain(name)}" for index, name in enumerate(entry.classes)),
        "## Use\n\n" + _use(entry, report),
        "## Made with\n\n" + ", ".join(f"{name} {version}" for name, version in versions().items()),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(report: Mapping[str, Any]) -> str:
    height, width = report["input_hw"]
    head = HEAD_KINDS.get(report["head"]).description
    classes = counted(report["num_classes"], "class", "classes")
    what = f"A detector of {classes} with {head} for images of {height}x{width} pixels"
    tiles = report.get("tiles")
    if tiles is None:
        return what
    return (
        f"{what}, which are the {tiles['columns']}x{tiles['rows']} tiles (columns x rows) of a frame, with an overlap "
        f"of {tiles['overlap']:.0%} of a tile"
    )


def _cost_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    passes = "" if "passes" not in report else f", {report['passes']} passes for a frame"
    rows = [
        (f"GFLOPs, a multiply-add counted as one (fvcore){passes}", f"{report['macs'] / 1e9:.4g}"),
        (f"GFLOPs, a multiply-add counted as two (Ultralytics){passes}", f"{report['flops_2x'] / 1e9:.4g}"),
        ("parameters", f"{report['params']:,}" + _merged(report)),
        ("peak memory of activations as 32-bit floats", f"{report['memory_bytes_fp32'] / 1e6:.1f} MB"),
    ]
    latency = report["latency"]
    if latency is not None:
        band = f"{latency['low_ms']:.2f} to {latency['high_ms']:.2f} ms ({latency['confidence']:.0%})"
        rows.append(
            (f"predicted latency, {latency['device']}, batch 1, the network alone{passes}; not measured",
             f"{latency['predicted_ms']:.2f} ms, {band}")
        )  # fmt: skip
    return rows


def _merged(report: Mapping[str, Any]) -> str:
    """Returns how many parameters the deployed network has, where branches are merged in it."""
    params = report["params_deployed"]
    return "" if params == report["params"] else f" as trained, {params:,} deployed"


def _accuracy(entry: ExportEntry, report: Mapping[str, Any]) -> str:
    if entry.weights is None:
        return f"None: the weights are initial ones (seed {entry.seed}), not trained."
    if entry.trial is None:
        return "" if "accuracy" in report else "Unknown; `nas val` measures it."
    scores = entry.trial.scores
    rows = [(title, f"{100 * scores[name]:.2f} %") for name, title in SCORE_TITLES.items() if name in scores]
    if scores.keys() >= {"accuracy", "accuracy_low", "accuracy_high"}:
        low, high = 100 * scores["accuracy_low"], 100 * scores["accuracy_high"]
        value = f"{100 * scores['accuracy']:.2f} %, {low:.2f} to {high:.2f} %"
        rows.append(("accuracy (mean of AP_small and AP50), 95 % interval of a bootstrap over the images", value))
    epochs, seed = entry.trial.epochs, entry.trial.training_seed
    told = f"Measured on the validation images of the run, after {epochs:.3g} epochs, seed {seed}." if epochs else ""
    return f"{_table(rows)}\n\n{told}".strip()


def _measured(report: Mapping[str, Any]) -> str:
    """Returns the accuracy of the ONNX file beside that of PyTorch, where it was measured."""
    measured = report.get("accuracy")
    if measured is None:
        return ""
    precision = report["onnx"]["precision"]
    columns = {"PyTorch": "pytorch", "ONNX, fp32": "onnx_fp32", f"ONNX, {precision}": "onnx"}
    columns = {title: name for title, name in columns.items() if name in measured}
    lines = [f"| measured | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, title in SCORE_TITLES.items():
        values = [measured[each][name] for each in columns.values()]
        cells = ["-" if value is None else f"{100 * value:.2f} %" for value in values]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    images, every = measured["num_images"], measured["num_images_of_part"]
    chosen = f"all {every} validation images" if images == every else f"{images} evenly spaced ones of the {every}"
    lines += [
        "",
        f"On {chosen} validation images. Data: {_plain(measured['data'])}. The ONNX file was run by "
        f"{measured['runtime']}, its outputs read by `postprocess.py`.",
    ]
    return "\n".join(lines)


def _use(entry: ExportEntry, report: Mapping[str, Any]) -> str:
    data = entry.data or " --data DATA"
    lines = [
        f"nas train architecture.yaml{data} --out trained",
        f"nas explain architecture.yaml --num-classes {len(entry.classes)}",
    ]
    if entry.weights is not None:
        lines += [f"nas val weights.safetensors{data}", "nas predict weights.safetensors IMAGE... --out drawn"]
    text = "In this folder:\n\n```sh\n" + "\n".join(lines) + "\n```"
    if entry.pixel_range is not None:
        text += (
            f"\n\nTrained on images of more than 8 bits: {range_words(entry.pixel_range)}. `nas val` and `nas predict` "
            "scale such images in the same way, and `postprocess.py` does with the `pixel_range` of `detector.json`."
        )
    onnx = report.get("onnx")
    if onnx is None:
        return text
    sizes = ", ".join(f"`{name}` ({size / 1e6:.1f} MB)" for name, size in onnx["files"].items())
    suppression = ", without NMS" if is_one_to_one(entry.architecture.head) else ""
    fitted = FITTED[entry.architecture.input_format.fit]
    before = " before quantisation" if "int8" in onnx else ""
    return (
        f"{text}\n\n{sizes}: ONNX, opset {onnx['opset']}, {onnx['precision']}, {onnx['outputs']} outputs. The largest "
        f"difference from PyTorch{before} on {counted(onnx['compared_on_images'], 'image')} is "
        f"{onnx['largest_relative_difference']:.1g} of an output's scale. Input: `image`, `(1, 3, H, W)` 32-bit "
        "floats, RGB from 0 to 1, "
        f"{fitted}.{_cut(report)} `postprocess.py` prepares the input and decodes the outputs{suppression}; it needs "
        "numpy, and OpenCV for scaling."
    ) + _int8(onnx.get("int8"))


def _cut(report: Mapping[str, Any]) -> str:
    """Returns how a frame is cut; nothing where it is one input."""
    if "tiles" not in report:
        return ""
    return (
        " A frame larger than the input is cut into the `tiles` of `detector.json` first, each is an input, and the "
        "boxes of the tiles are joined; `nas predict` and `nas val` do that, `postprocess.py` reads one tile."
    )


def _int8(told: Mapping[str, Any] | None) -> str:
    """Returns how a network was quantised."""
    if told is None:
        return ""
    calibration, times, sizes = told["calibration"], told["onnxruntime_cpu_ms"], told["bytes"]
    kept = ", ".join(f"`{name}`" for name in told["kept_float"]) or "none"
    return (
        f"\n\n`model.onnx` is quantised to INT8 (QDQ): weights by channel, activations symmetric, ranges by "
        f"{calibration['method']} of {calibration['num_images']} of the {calibration['num_images_of_part']} training "
        f"images, {calibration['choice']}. Parts in floats ({told['keep_float']}): {kept}. "
        f"{sizes['int8'] / 1e6:.1f} MB after {sizes['fp32'] / 1e6:.1f} MB, because its weights are stored as floats; "
        f"ONNX Runtime on the CPU of the export, {counted(told['threads'], 'thread')}: {times['int8']:.1f} ms after "
        f"{times['fp32']:.1f} ms. `calibration.cache` has the scales of the maps of `model_fp32.onnx`: `trtexec "
        "--onnx=model_fp32.onnx --int8 --calib=calibration.cache`."
    )


def _table(rows: list[tuple[str, str]]) -> str:
    return "\n".join(["| what | value |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


def _plain(text: str) -> str:
    """Returns a user's text as one line with Markdown characters escaped."""
    return "".join(letter if letter.isprintable() else " " for letter in text).translate(SPECIAL)
