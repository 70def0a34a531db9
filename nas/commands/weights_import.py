"""`nas weights import FILE`: a published checkpoint as a weights file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.commands.display import counted, say
from nas.commands.options import echo_json, json_option, plugin_option
from search_space.errors import shortened

if TYPE_CHECKING:
    from nas.api.import_weights import WeightsImport
    from trainers.importing.fitting import Misfit

NUM_MISFITS = 20
"""Tensors that do not fit that are shown."""
SHOWN_FACTS = ("version", "mmdet_version", "date", "license")
"""What a file says about itself that is shown; --json has all."""


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--as",
    "architecture",
    metavar="DESIGN|ARCH.yaml",
    default=None,
    help="Architecture that the file is read as. Default: found from the shapes of its tensors.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="W.safetensors",
    default=None,
    help="File to write; must be new. Default: the name of FILE with .safetensors, in the working directory.",
)
@plugin_option
@json_option
def command(file: Path, architecture: str | None, out: Path | None, as_json: bool) -> None:
    """Write the checkpoint FILE, which others published, as a weights file.

    FILE is a checkpoint of Ultralytics, mmdetection, ssds.pytorch or torchvision, safetensors, or ONNX. It is never
    executed. Every command that takes weights reads such files directly, too. docs/weights.md says where the weights of
    each design are published, and under which licence.

    \b
    Examples:
      nas weights import yolov8n.pt
      nas weights import SO-Dets.pt --as sodet-s --out sodet-s.safetensors
    """
    from nas.api.import_weights import import_weights
    from trainers.importing.fitting import MisfitError

    try:
        imported = import_weights(file, architecture=architecture, out=out)
    except MisfitError as error:
        _print_misfits(error.misfits)
        raise
    return echo_json(imported.to_dict()) if as_json else print_import(imported)


def _print_misfits(misfits: tuple[Misfit, ...]) -> None:
    for misfit in misfits[:NUM_MISFITS]:
        say(str(misfit), err=True)
    more = len(misfits) - NUM_MISFITS
    if more > 0:
        say(f"and {counted(more, 'more tensor')}", err=True)


def print_import(imported: WeightsImport) -> None:
    """Prints what a file was recognised as, what of it was taken, and where it was written."""
    height, width = imported.input_hw
    name = imported.design or "an architecture without a name"
    say(f"{imported.file}: {name} ({imported.key}), input {width}x{height}")
    if imported.backbone_only:
        say("backbone only; give it as --pretrained")
    else:
        say(f"{counted(imported.num_classes, 'class', 'classes')}: {shortened(imported.classes)}")
    say(f"{imported.params:,} parameters; file: {imported.kind}, names of tensors: {imported.layout}")
    for names, what in ((imported.missing, "not in the file"), (imported.unused, "without a place, left out")):
        if names:
            say(f"{counted(len(names), 'tensor')} {what}: {shortened(names)}")
    stated = [f"{fact}: {imported.facts[fact]}" for fact in SHOWN_FACTS if fact in imported.facts]
    if stated:
        say("; ".join(stated))
    say(f"written: {imported.out}")
    say("note: the weights keep the licence of those who trained them", err=True)
