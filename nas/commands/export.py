"""`nas export`: writes the front of a run, an architecture or a design as self-contained folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas import data_words
from nas.commands.display import counted, notify, say
from nas.commands.options import (
    complete_device,
    echo_json,
    images_option,
    json_option,
    plugin_option,
    split_option,
)

if TYPE_CHECKING:
    from nas.api.export import ExportResult


@click.command(name="export")
@click.argument("what", type=click.Path(), metavar="RUN|TRAINING|ARCH.yaml|DESIGN")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder to write to.")
@click.option("--force", is_flag=True, help="Replace an earlier export in DIR.")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="K",
    help="Export only the K most accurate members of the front of a run (after the limits).",
)
@click.option(
    "--max-gflops", type=float, metavar="G", help="Export only members of at most G GFLOPs (fvcore's convention)."
)
@click.option(
    "--max-latency-ms",
    type=float,
    metavar="MS",
    help="Export only members whose predicted latency interval ends at or below MS.",
)
@click.option(
    "--format",
    "formats",
    default="yaml,onnx",
    metavar="LIST",
    show_default=True,
    help="Files to write; yaml alone writes no ONNX.",
)
@click.option("--opset", type=int, help="ONNX opset; TensorRT 8.2 reads up to 15.  [default: 13]")
@click.option("--precision", metavar="P", help="Precision of the ONNX model: fp32, fp16 or int8.  [default: fp32]")
@click.option(
    "--outputs",
    metavar="FORM",
    help="Outputs of the ONNX model: raw (maps), decoded (boxes and scores) or boxes (after suppression).  "
    "[default: raw]",
)
@click.option(
    "--nms",
    metavar="HOW",
    help="Suppression inside --outputs boxes: onnx (NonMaxSuppression, TensorRT 8.5 or newer) or efficient "
    "(TensorRT's plug-in EfficientNMS_TRT).  [default: onnx]",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Weights of the architecture or design, of nas or published by others.",
)
@click.option(
    "--num-classes",
    type=click.IntRange(min=1),
    help="Number of classes, without weights. Default: that of the design or run, else 80.",
)
@click.option(
    "--input",
    "input_hw",
    type=(int, int),
    metavar="H W",
    help="Input height and width in pixels, for an architecture or a design.",
)
@click.option(
    "--device",
    metavar="NAME",
    shell_complete=complete_device,
    help="Board to predict latency for. Default: that of the run.",
)
@click.option("--seed", type=int, default=0, help="Seed of the initial weights of architectures that were not trained.")
@click.option(
    "--data",
    type=click.Path(),
    metavar="PATH",
    help="Data set whose validation images the AP of the ONNX file is measured on, beside PyTorch's. Default: no "
    "measurement.",
)
@click.option("--data-format", metavar="NAME", help=f"{data_words.DATA_FORMAT} Default: detected.")
@images_option
@split_option
@click.option(
    "--val-images",
    type=click.IntRange(min=1),
    metavar="N",
    help="Measure on at most N validation images, evenly spaced. Default: all.",
)
@click.option(
    "--keep-float",
    metavar="auto|none|LIST",
    help="Parts that int8 leaves in floats; auto: those that change the detections most.  [default: auto]",
)
@click.option(
    "--calibration-images",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of training images that int8 is calibrated on.  [default: 128]",
)
@click.option("--calibration-method", metavar="M", help="minmax, percentile or entropy.  [default: minmax]")
@plugin_option
@json_option
def command(what: str, as_json: bool, **options: Any) -> None:
    """Write the front of a run, a training, an architecture or a design to DIR, with one folder for each architecture.

    A folder contains the architecture, its cost, its weights if it was trained, an ONNX model checked against PyTorch,
    a script that decodes the outputs without this package, and a model card. DIR/front.csv lists the folders.

    \b
    Examples:
      nas export runs/NAME --out front --top 3
      nas export runs/best --out best
      nas export runs/best --out best --data hit-uav --split block
      nas export runs/best --out int8 --precision int8
      nas export tinydet-s --out tinydet --format yaml
    """
    from nas.api.export import export

    result = export(what, on_notice=notify, **options)
    return echo_json(result.to_dict()) if as_json else print_export(result)


def print_export(result: ExportResult) -> None:
    """Prints where each member was written, and the next command."""
    from nas import plugins

    num_weights = sum(each.weights is not None for each in result.front)
    verb = "is" if len(result.front) == 1 else "are"
    say(f"{counted(len(result.front), 'architecture')} {verb} in {result.out}, {num_weights} with trained weights")
    for each in result.front:
        onnx = "" if each.onnx_difference is None else f", ONNX within {each.onnx_difference:.1g} of PyTorch"
        say(
            f"  {each.path.parent}: {each.macs / 1e9:.4g} GFLOPs ({each.flops_2x / 1e9:.4g} at 2x), "
            f"{each.params:,} parameters{onnx}"
        )
        if each.accuracy is not None:
            say(f"    {_accuracy(each.accuracy)}")
    notes = {note for each in result.front for note in (each.report.get("onnx") or {}).get("deepstream_notes", ())}
    for note in sorted(notes):
        say(f"note on DeepStream: {note}")
    for folder in sorted(Path(result.what, "finished").glob("*/finish.json")):
        say(f"note: {folder.parent} is trained in full; the members of the front have the weights of the search")
    first = result.front[0]
    say(f"next: nas train {first.path}{first.report['data']}{plugins.options()}")


def _accuracy(measured: Mapping[str, Any]) -> str:
    """Returns a line with the accuracy of the ONNX file beside that of PyTorch."""
    values = {
        name: "-"
        if measured["onnx"][key] is None
        else f"{100 * measured['onnx'][key]:.2f} %, PyTorch {100 * measured['pytorch'][key]:.2f} %"
        for key, name in (("ap", "AP"), ("ap_small", "AP_small"))
    }
    values |= {
        f"{name} before INT8": f"{100 * measured['onnx_fp32'][key]:.2f} %"
        for key, name in (("ap", "AP"), ("ap_small", "AP_small"))
        if measured.get("onnx_fp32", {}).get(key) is not None
    }
    told = "; ".join(f"{name} {value}" for name, value in values.items())
    return f"ONNX: {told}; {counted(measured['num_images'], 'validation image')}"
