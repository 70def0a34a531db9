"""`nas export`: the front of a run, an architecture or a design as folders that need nothing of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas.commands.display import counted, say
from nas.commands.options import complete_device, echo_json, json_option, plugin_option

FORMATS = ("yaml", "onnx")
OF_ONNX = ("opset", "precision", "outputs")


@click.command(name="export")
@click.argument("what", type=click.Path(), metavar="RUN|ARCH.yaml|DESIGN")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where the folders go.")
@click.option("--force", is_flag=True, help="Replace an earlier export in DIR.")
@click.option(
    "--top", type=click.IntRange(min=1), metavar="K", help="Of a run: the K most accurate members that are left."
)
@click.option("--max-gflops", type=float, metavar="G", help="Of a run: members up to G GFLOPs (fvcore's convention).")
@click.option(
    "--max-latency-ms", type=float, metavar="MS", help="Of a run: members whose predicted interval ends by MS ms."
)
@click.option(
    "--format",
    "formats",
    default="yaml,onnx",
    metavar="LIST",
    show_default=True,
    help="yaml alone leaves ONNX out.",
)
@click.option("--opset", type=int, default=13, show_default=True, help="Of ONNX; TensorRT 8.2 reads up to 15.")
@click.option("--precision", default="fp32", metavar="P", show_default=True, help="Of ONNX: fp32 or fp16.")
@click.option(
    "--outputs",
    default="raw",
    metavar="FORM",
    show_default=True,
    help="Of ONNX: raw maps, or decoded boxes and scores.",
)
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="Of an architecture or a design.")
@click.option(
    "--num-classes",
    type=click.IntRange(min=1),
    help="Of an architecture without weights; default: the design's, or 80.",
)
@click.option(
    "--input", "input_hw", type=(int, int), metavar="H W", help="Of an architecture or a design: input size in pixels."
)
@click.option(
    "--device", metavar="NAME", shell_complete=complete_device, help="Board to predict latency for; default: the run's."
)
@click.option("--seed", type=int, default=0, help="Of the weights of what was not trained.")
@plugin_option
@json_option
def command(what: str, out: Path, force: bool, as_json: bool, **options: Any) -> None:
    """Write the front of a run, an architecture or a design to DIR, a folder each.

    A folder holds the architecture, what it costs, its weights if it was trained, ONNX checked against PyTorch, a
    script that reads the outputs without this package, and a card. DIR/front.csv lists them.

    \b
    Examples:
      nas export runs/NAME --out front --top 3
      nas export tinydet-s --out tinydet --format yaml
    """
    from nas import plugins
    from nas.exporters.front import ExportRequest, export
    from nas.exporters.onnx_model import OnnxOptions
    from search_space.errors import ConfigError

    formats = tuple(each.strip() for each in options.pop("formats").split(",") if each.strip())
    unknown = [each for each in formats if each not in FORMATS]
    if unknown or not formats:
        raise ConfigError(f"--format is {','.join(formats)!r}; allowed: {', '.join(FORMATS)}, or both with a comma")
    _check_asked("onnx" in formats)
    onnx = OnnxOptions(opset=options.pop("opset"), precision=options.pop("precision"), form=options.pop("outputs"))
    try:
        reports = export(ExportRequest(what=what, **options), out, formats=formats, options=onnx, force=force)
    except FileExistsError as error:
        raise ConfigError(str(error)) from error
    if as_json:
        echo_json({"what": what, "out": str(out), "front": [_told(out, report) for report in reports]})
        return
    num_weights = sum(report["trained"] for report in reports)
    verb = "is" if len(reports) == 1 else "are"
    say(f"{counted(len(reports), 'architecture')} {verb} in {out}, {num_weights} with trained weights")
    for report in reports:
        onnx_words = ""
        if "onnx" in report:
            onnx_words = f", ONNX within {report['onnx']['largest_relative_difference']:.1g} of PyTorch"
        say(
            f"  {out / report['name']}: {report['macs'] / 1e9:.4g} GFLOPs ({report['flops_2x'] / 1e9:.4g} at 2x), "
            f"{report['params']:,} parameters{onnx_words}"
        )
    first = reports[0]
    say(f"next: nas train {out / first['name'] / 'architecture.yaml'}{first['data']}{plugins.options()}")


def _check_asked(with_onnx: bool) -> None:
    """Raises ConfigError for settings of ONNX where none is written: none is skipped in silence."""
    from search_space.errors import ConfigError

    context = click.get_current_context()
    of_onnx = [name for name in OF_ONNX if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    if of_onnx and not with_onnx:
        raise ConfigError(f"--{of_onnx[0]} is of ONNX, and --format yaml writes none; next: drop one of the two")


def _told(out: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Returns what a script wants to know of a member: where its files are, and its report."""
    import shlex

    folder = out / report["name"]
    weights = str(folder / "weights.safetensors") if report["trained"] else None
    data = shlex.split(report["data"])
    return {**report, "path": str(folder / "architecture.yaml"), "weights": weights, "data": data}
