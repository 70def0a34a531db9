"""ONNX files whose initialisers lost their names: tensors matched by their shapes, in order.

Exporters store initialisers in the order of the checkpoint, or, after an optimiser, in the order in which they run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from search_space import Architecture, lower
from search_space.errors import SpaceError
from trainers.importing.fitting import PlacedFile
from trainers.importing.foreign import ForeignWeights
from trainers.importing.identification import known_anchor_free
from trainers.importing.layouts import ULTRALYTICS, FilePlace, OwnTensor

MODULE_ORDER = ("initial_weight", "conv", "bn", "cv1", "cv2", "cv3", "m", "cbam", "eca", "attn", "ffn", "qkv", "proj")
"""Parts of published blocks in the order of a checkpoint; others follow by name."""
BINS_SHAPE = (1, 16, 1, 1)


def placed_by_order(
    foreign: ForeignWeights, architecture: Architecture | None
) -> tuple[PlacedFile, Architecture] | None:
    """Returns the places of the tensors of an ONNX file without names, and the architecture; None where none fits.

    Args:
        foreign: The file.
        architecture: That of the file; None: the known ones are tried.
    """
    shapes = {key: tuple(value.shape) for key, value in foreign.state.items() if value.is_floating_point()}
    weights = [key for key, shape in shapes.items() if len(shape) == 4 and shape != BINS_SHAPE]
    if not weights:
        return None
    num_classes = shapes[weights[-1]][0]
    for each in (architecture,) if architecture is not None else known_anchor_free():
        for keys in _matches(foreign, each, num_classes, shapes):
            if set(weights) <= set(keys.values()):
                file = PlacedFile(foreign=foreign, layout=ULTRALYTICS, keys=keys, unplaced=())
                return file, each
    return None


def _matches(
    foreign: ForeignWeights, architecture: Architecture, num_classes: int, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[dict[FilePlace, str]]:
    """Gives the keys by place for both orders, where all our tensors find one."""
    if architecture.head.kind not in ULTRALYTICS.head_kinds or num_classes < 1:
        return
    try:
        graph = lower(architecture, num_classes=num_classes)
    except SpaceError:
        return
    places = ULTRALYTICS.places(graph, norms_folded=foreign.norms_folded)
    wanted = {place: _shape(owns) for place, owns in places.items() if not owns[0].tensor.is_counter}
    for order in (sorted(wanted, key=_published_order), list(wanted)):
        keys = _in_order(order, wanted, shapes)
        if keys is not None:
            yield keys


def _shape(owns: list[OwnTensor]) -> tuple[int, ...]:
    """Returns the shape of the tensor in the file: of a folded norm, that of its bias."""
    return next(
        (own.tensor.shape for own in owns if own.tensor.folded and own.tensor.folded.part == "bias"),
        owns[0].tensor.shape,
    )


def _in_order(
    order: list[FilePlace], wanted: Mapping[FilePlace, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]
) -> dict[FilePlace, str] | None:
    """Returns the keys of an order of places, skipping tensors of other shapes; None where one finds no key."""
    keys, found = iter(shapes), dict[FilePlace, str]()
    for place in order:
        key = next((key for key in keys if shapes[key] == wanted[place]), None)
        if key is None:
            return None
        found[place] = key
    return found


def _published_order(place: FilePlace) -> tuple[int, list[tuple[int, str]]]:
    return place.layer, [_rank(part) for part in place.name.split(".")]


def _rank(part: str) -> tuple[int, str]:
    """Numbers in order, then known parts in theirs, then names; a weight before its bias."""
    if re.fullmatch(r"\d+", part):
        return int(part), ""
    if part in MODULE_ORDER:
        return 1000 + MODULE_ORDER.index(part), ""
    return {"weight": 2000, "bias": 2001}.get(part, 1500), part
