"""From a checkpoint file of another program to the names of our detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from search_space import Architecture
from search_space.errors import ConfigError, counted
from search_space.tables import IMAGENET_INPUT
from trainers.importing.fitting import Fit, PlacedFile, placed, printable
from trainers.importing.foreign import ForeignWeights
from trainers.importing.identification import fit_given, identify
from trainers.importing.layouts import MMDET, MOBILENETV3_BACKBONE, VGG_BACKBONE, layout_of
from trainers.importing.published_names import BlockTensor
from trainers.importing.thinning import with_thinned_classifier
from trainers.importing.unnamed import placed_by_order
from trainers.weights import numbered_classes

TORCHVISION_MOBILENETV3_EPS = 1e-3
SHOWN_KEYS = 3


@dataclass(frozen=True, kw_only=True)
class ImportedWeights:
    """Weights of a published file for a detector of ours."""

    architecture: Architecture
    num_classes: int
    classes: tuple[str, ...]
    """As the file states them, or `class_0`, `class_1`, …"""
    state: dict[str, Tensor]
    """By the names of the detector; complete unless `missing`."""
    design: str | None
    """The design or scale that was found, such as `yolov8s`, or a family with its widths; None for another one."""
    layout: str
    """How the file names its tensors, such as `Ultralytics`."""
    missing: tuple[str, ...]
    """Tensors of the detector that the file does not have, as where it holds a backbone only."""
    unused: tuple[str, ...]
    """Keys of the file without a place. Counters of batches and the bins of the head are not among them."""
    backbone_only: bool
    """Whether the file is that of a backbone, without a head."""


def convert(foreign: ForeignWeights, architecture: Architecture | None = None) -> ImportedWeights:
    """Converts the tensors of a published file to those of a detector.

    Args:
        foreign: The content of the file.
        architecture: That of the file; None: it is found from the shapes, with the number of classes.

    Raises:
        MisfitError: Tensors do not fit; the first are told with their shapes, all are in `misfits`.
        ConfigError: The layout is unknown, several designs have these tensors, or a value is not finite.
    """
    file, known = _placed(foreign, architecture)
    found = identify(file) if known is None else fit_given(file, known)
    _check_finite(file, found)
    return ImportedWeights(
        architecture=_architecture(file, found),
        num_classes=found.num_classes,
        classes=_classes(file, found),
        state=_state(file, found),
        design=found.design,
        layout=file.layout.name,
        missing=found.missing,
        unused=found.unused,
        backbone_only=file.layout.backbone_only,
    )


def _placed(foreign: ForeignWeights, architecture: Architecture | None) -> tuple[PlacedFile, Architecture | None]:
    """Returns the file by places. Where its names are lost, the places come from a detector that fits in order."""
    layout = layout_of(foreign.state)
    if layout is VGG_BACKBONE:
        foreign = with_thinned_classifier(foreign)
    if layout is not None:
        return placed(foreign, layout), architecture
    by_order = placed_by_order(foreign, architecture) if foreign.kind == "onnx" else None
    if by_order is None:
        raise _unknown(foreign)
    return by_order


def _unknown(foreign: ForeignWeights) -> ConfigError:
    keys = list(foreign.state)
    first = ", ".join(map(printable, keys[:SHOWN_KEYS])) + (", …" if len(keys) > SHOWN_KEYS else "")
    remedy = "give a detector of Ultralytics, mmdetection or ssds.pytorch, or a backbone of torchvision"
    if foreign.kind == "onnx":
        remedy += ", or, if its names were lost, its architecture with nas weights import --as"
    return ConfigError(
        f"{foreign.path} is no detector or backbone of a known program; its {len(keys)} "
        f"{'tensor is' if len(keys) == 1 else 'tensors are'} named {first}; next: {remedy}"
    )


def _check_finite(file: PlacedFile, found: Fit) -> None:
    """Raises ConfigError where a tensor that is taken has values that are infinite or not a number."""
    tensors = {key: file.foreign.state[key] for _, key in found.sources.values()}
    wrong = [key for key, value in tensors.items() if not value.is_meta and not value.isfinite().all()]
    if wrong:
        of_first = int((~tensors[wrong[0]].isfinite()).sum())
        raise ConfigError(
            f"{file.foreign.path} has values that are infinite or not a number, in {len(wrong)} of {len(tensors)} "
            f"tensors; first: {printable(wrong[0])}, {of_first:,} of {tensors[wrong[0]].numel():,}; next: give another "
            "file"
        )


def _architecture(file: PlacedFile, found: Fit) -> Architecture:
    """Returns the architecture with the input that the weights were trained for, where the layout decides it."""
    if file.layout not in (VGG_BACKBONE, MOBILENETV3_BACKBONE) or not any(map(_is_torchvision, file.foreign.state)):
        return found.architecture
    return replace(found.architecture, input_format=IMAGENET_INPUT)


def _is_torchvision(key: str) -> bool:
    return key.startswith("features.")


def _classes(file: PlacedFile, found: Fit) -> tuple[str, ...]:
    stated = file.foreign.classes
    if stated is None or file.layout.backbone_only:
        return numbered_classes(found.num_classes)
    if len(stated) != found.num_classes:
        raise ConfigError(
            f"{file.foreign.path} states {counted(len(stated), 'class name')}, but its head has "
            f"{counted(found.num_classes, 'class', 'classes')}; the file is damaged or mixed; give another one"
        )
    if file.layout is MMDET:  # which writes COCO's names with underscores
        return tuple(name.replace("_", " ") for name in stated)
    return stated


def _state(file: PlacedFile, found: Fit) -> dict[str, Tensor]:
    eps = TORCHVISION_MOBILENETV3_EPS if file.layout is MOBILENETV3_BACKBONE else None
    state = {name: torch.zeros(own.tensor.shape, dtype=torch.int64) for name, own in found.counters.items()}
    for name, (own, key) in found.sources.items():
        state[name] = value_of(own.tensor, file.foreign.state, key, eps)
    return state


def value_of(tensor: BlockTensor, state: Mapping[str, Tensor], key: str, eps: float | None = None) -> Tensor:
    """Returns the value of one of our tensors, of its shape such as `(O, I, K, K)`, as float32 or int64.

    The norm of a convolution that holds it already becomes an identity with the bias of that convolution: variance 1,
    weight sqrt(1 + eps).

    Args:
        tensor: Ours.
        state: The tensors of the file.
        key: That of the file.
        eps: Of the norms in the file, where it differs from ours: the variance takes the difference.
    """
    if tensor.is_counter:
        return torch.zeros(tensor.shape, dtype=torch.int64) if tensor.folded else state[key].to(torch.int64)
    value = state[key].to(torch.float32)
    if tensor.folded is None:
        return value if eps is None or tensor.norm_eps is None else value + (eps - tensor.norm_eps)
    fixed = {"weight": (1.0 + tensor.folded.eps) ** 0.5, "running_mean": 0.0, "running_var": 1.0}
    return value if tensor.folded.part == "bias" else torch.full(tensor.shape, fixed[tensor.folded.part])
