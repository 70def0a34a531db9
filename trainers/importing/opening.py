"""Open a weights file, of this program or published by others."""

from __future__ import annotations

from pathlib import Path

from search_space import Architecture
from search_space.errors import ConfigError, counted
from trainers.importing.convert import ImportedWeights, convert
from trainers.importing.fitting import MisfitError
from trainers.importing.foreign import read_foreign
from trainers.importing.own_files import OwnFileError
from trainers.weights import ForeignFileError, Weights, load_weights

AS_PRETRAINED = "give it as --pretrained, which takes what fits"


def open_weights(path: str | Path, architecture: Architecture | None = None, *, remedy: str | None = None) -> Weights:
    """Reads a weights file of this program, or one that others published.

    Args:
        path: the file.
        architecture: what a published file is read as; None: found from the shapes of its tensors.
        remedy: the next step of the error where a published file fits a known design, but not `architecture`.

    Raises:
        ConfigError: the file is missing or damaged, is of no known kind, or does not fit the architecture.
    """
    try:
        return load_weights(path)
    except ForeignFileError as refused:
        try:
            return from_published(import_published(path, architecture), path)
        except OwnFileError:  # and damaged
            raise refused from None
        except MisfitError as error:
            raise error if remedy is None or error.fits is None else error.with_remedy(remedy) from None


def import_published(path: str | Path, architecture: Architecture | None = None) -> ImportedWeights:
    """Reads a weights file that others published, with our names of its tensors.

    Args:
        path: a checkpoint of PyTorch, safetensors or ONNX. Nothing in it is executed.
        architecture: what it is read as; None: found from the shapes of its tensors.

    Raises:
        ConfigError: the file is of no known kind, or does not fit the architecture.
    """
    return convert(read_foreign(path), architecture)


def from_published(imported: ImportedWeights, path: str | Path) -> Weights:
    """Returns imported weights as the content of a weights file, with a note that says what was found."""
    found = imported.design or "an architecture without a name"
    if imported.backbone_only:
        note = f"{Path(path).name}: read as the backbone of {found} ({imported.layout})"
    else:
        classes = counted(imported.num_classes, "class", "classes")
        note = f"{Path(path).name}: read as {found} for {classes} ({imported.layout})"
    if imported.missing:
        note += f"; {len(imported.missing)} tensors are not in the file, first: {imported.missing[0]}"
    return Weights(
        architecture=imported.architecture.to_dict(),
        classes=imported.classes,
        state=imported.state,
        notes=(note,),
    )


def check_complete(weights: Weights, path: str | Path) -> None:
    """Raises ConfigError where weights lack tensors of their detector, as those of a backbone do."""
    missing = weights.missing()
    if missing:
        raise ConfigError(
            f"{path} has not all weights of a detector: {len(missing)} tensors are missing, first: {missing[0]}; "
            "next: nas train with --pretrained, which takes what is there"
        )
