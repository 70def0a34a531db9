"""Compare the tensors of a file with those of a detector, one by one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from search_space import Architecture, lower
from search_space.errors import ConfigError
from trainers.importing.foreign import ForeignWeights
from trainers.importing.layouts import BINS, COUNTER, FilePlace, Layout, OwnTensor

SHOWN_MISFITS = 3


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """A tensor of the file or of ours that has no partner of its shape. Shapes are those of the tensors."""

    key: str | None = None
    key_shape: tuple[int, ...] = ()
    own: str | None = None
    own_shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.key is None:
            return f"{self.own} ({_shape(self.own_shape)}) is not in the file"
        if self.own is None:
            return f"{printable(self.key)} ({_shape(self.key_shape)}) has no place"
        return f"{printable(self.key)} is {_shape(self.key_shape)}, {self.own} needs {_shape(self.own_shape)}"


def printable(key: str) -> str:
    """Returns a name of the file; one with characters that are not printed is quoted."""
    return key if key.isprintable() else repr(key)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"


class MisfitError(ConfigError):
    """A file whose tensors do not fit.

    Args:
        what: What does not fit.
        remedy: The next step.
        misfits: All tensors that do not fit.
        fits: The known design that the file fits instead, if there is one.
    """

    def __init__(self, what: str, remedy: str, misfits: tuple[Misfit, ...] = (), fits: str | None = None) -> None:
        super().__init__(f"{what}; next: {remedy}")
        self.what = what
        self.misfits = misfits
        self.fits = fits

    def with_remedy(self, remedy: str) -> MisfitError:
        """Returns the error with another next step."""
        return MisfitError(self.what, remedy, self.misfits, self.fits)


def told(misfits: tuple[Misfit, ...]) -> str:
    """Returns the number of misfits and the first ones as text."""
    more = len(misfits) - SHOWN_MISFITS
    counted = "1 tensor differs" if len(misfits) == 1 else f"{len(misfits)} tensors differ"
    return f"{counted}: {'; '.join(map(str, misfits[:SHOWN_MISFITS]))}" + (f"; and {more} more" if more > 0 else "")


@dataclass(frozen=True, kw_only=True)
class PlacedFile:
    """The tensors of a file by their places in a layout."""

    foreign: ForeignWeights
    layout: Layout
    keys: Mapping[FilePlace, str]
    unplaced: tuple[str, ...]
    """Keys that are none of the layout, or whose place is taken; counters and bins are left out."""

    def shape(self, key: str) -> tuple[int, ...]:
        """Returns the shape of a tensor of the file."""
        return tuple(self.foreign.state[key].shape)

    @property
    def shapes(self) -> dict[FilePlace, tuple[int, ...]]:
        """The shapes of the tensors by their places."""
        return {place: self.shape(key) for place, key in self.keys.items()}


def placed(foreign: ForeignWeights, layout: Layout) -> PlacedFile:
    """Returns the tensors of a file by their places in a layout."""
    counted = [key for key in foreign.state if not BINS.search(key)]
    keys: dict[FilePlace, str] = {}
    for key, place in layout.parse(counted).items():
        keys.setdefault(place, key)
    held = set(keys.values())
    rest = tuple(key for key in counted if key not in held and not key.endswith(COUNTER))
    return PlacedFile(foreign=foreign, layout=layout, keys=keys, unplaced=rest)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Which tensor of a file each tensor of a detector gets."""

    architecture: Architecture
    num_classes: int
    design: str | None
    sources: Mapping[str, tuple[OwnTensor, str]]
    """By our names, in the order of the detector: the tensor, and the key that it is read from."""
    counters: Mapping[str, OwnTensor]
    """Counters of ours that the file does not have."""
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    misfits: tuple[Misfit, ...] = ()
    num_comparable: int
    """Tensors of the detector in the sections that the file has, without counters."""

    @property
    def num_taken(self) -> int:
        """Tensors of the file that are taken, without counters."""
        return sum(not own.tensor.is_counter for own, _ in self.sources.values())


@dataclass
class _Matching:
    """The work of one comparison."""

    file: PlacedFile
    sources: dict[str, tuple[OwnTensor, str]] = field(default_factory=dict)
    counters: dict[str, OwnTensor] = field(default_factory=dict)
    absent: dict[FilePlace, list[OwnTensor]] = field(default_factory=dict)
    misfits: list[Misfit] = field(default_factory=list)
    left: dict[FilePlace, str] = field(default_factory=dict)

    def take(self, owns: Iterable[OwnTensor], key: str) -> None:
        """Gives a tensor of the file to ours, or notes the misfit."""
        shape = self.file.shape(key)
        for own in owns:
            computed = own.tensor.folded is not None and own.tensor.folded.part != "bias"
            if computed or shape == own.tensor.shape:
                self.sources[own.name] = (own, key)
            else:
                self.misfits.append(Misfit(key=key, key_shape=shape, own=own.name, own_shape=own.tensor.shape))


def fit(file: PlacedFile, architecture: Architecture, num_classes: int, design: str | None) -> Fit:
    """Compares a file with the detector of an architecture.

    Args:
        file: The tensors of the file.
        architecture: That of the detector.
        num_classes: That of the detector.
        design: How the architecture is called.
    """
    graph = lower(architecture, num_classes=num_classes)
    wanted = file.layout.places(graph, norms_folded=file.foreign.norms_folded)
    keys: Mapping[FilePlace, str] = file.keys
    if file.layout.aligned_by_shape:
        keys = aligned(file, wanted)
    found = _Matching(file=file, left=dict(keys))
    for place, owns in wanted.items():
        key = found.left.pop(place, None)
        if key is not None:
            found.take(owns, key)
        elif owns[0].tensor.is_counter:
            found.counters |= {own.name: own for own in owns}
        else:
            found.absent[place] = owns
    _guess(found)
    return _result(found, architecture, num_classes, design, wanted)


def _result(
    found: _Matching,
    architecture: Architecture,
    num_classes: int,
    design: str | None,
    wanted: Mapping[FilePlace, list[OwnTensor]],
) -> Fit:
    file = found.file
    order = {own.name: number for number, own in enumerate(own for owns in wanted.values() for own in owns)}
    unused = (*(key for key in found.left.values() if not key.endswith(COUNTER)), *file.unplaced)
    if file.layout.aligned_by_shape:
        unused += tuple(dict.fromkeys(each.key for each in found.misfits if each.key is not None))
        unused += _drop_lone_norms(found)
        found.misfits.clear()
    taken = {own.node for own, _ in found.sources.values()}
    counters = {name: own for name, own in found.counters.items() if own.node in taken}
    sections = {place.section for place in file.keys}
    comparable = [own for at, owns in wanted.items() if at.section in sections for own in owns]
    missing = tuple(name for name in order if name not in found.sources and not name.endswith(COUNTER))
    if not file.layout.backbone_only:
        owns = {own.name: own for each in found.absent.values() for own in each}
        found.misfits += [Misfit(own=name, own_shape=own.tensor.shape) for name, own in owns.items()]
        found.misfits += [Misfit(key=key, key_shape=file.shape(key)) for key in unused]
    elif not any(own.tensor.shape[1:] for own, _ in found.sources.values()):
        found.misfits += [Misfit(key=key, key_shape=file.shape(key)) for key in unused]
    return Fit(
        architecture=architecture,
        num_classes=num_classes,
        design=design,
        sources=dict(sorted(found.sources.items(), key=lambda item: order[item[0]])),
        counters=counters,
        missing=missing,
        unused=unused,
        misfits=tuple(found.misfits),
        num_comparable=sum(not own.tensor.is_counter for own in comparable),
    )


def _drop_lone_norms(found: _Matching) -> tuple[str, ...]:
    """Takes back the norms whose convolutions do not fit; returns their keys."""
    lone = []
    for name, (own, key) in list(found.sources.items()):
        conv = f"blocks.{own.node}.{own.tensor.conv}.weight"
        if own.tensor.conv is not None and conv not in found.sources:
            del found.sources[name]
            lone.append(key)
    return tuple(key for key in lone if not key.endswith(COUNTER))


def _guess(found: _Matching) -> None:
    """Gives tensors of blocks whose published names are not certain those of the same layer with the same shapes.

    The tensors of a part belong together, such as weight and bias: only a part whose shapes are those of no other in
    the layer is taken.
    """
    for layer in {place.layer for place, owns in found.absent.items() if any(own.guessed for own in owns)}:
        ours = _parts({place: owns[0].tensor.shape for place, owns in found.absent.items() if place.layer == layer})
        theirs = _parts({place: found.file.shape(key) for place, key in found.left.items() if place.layer == layer})
        for shapes, parts in ours.items():
            if len(parts) == 1 and len(theirs.get(shapes, ())) == 1:
                for own, key in zip(sorted(parts[0]), sorted(theirs[shapes][0]), strict=True):
                    found.take(found.absent.pop(own), found.left.pop(key))


LEAVES = ("weight", "bias", "running_mean", "running_var", COUNTER)


def _parts(shapes: Mapping[FilePlace, tuple[int, ...]]) -> dict[tuple[object, ...], list[list[FilePlace]]]:
    """Returns the places of the parts of layers by the shapes of their tensors.

    A part is a module, with its weight and bias, or a parameter of another name.
    """
    parts: dict[str, list[FilePlace]] = defaultdict(list)
    for place in shapes:
        module, _, leaf = place.name.rpartition(".")
        if leaf != COUNTER:
            parts[module if leaf in LEAVES else place.name].append(place)
    by_shapes: dict[tuple[object, ...], list[list[FilePlace]]] = defaultdict(list)
    for places in parts.values():
        leaves = sorted((_leaf(place), shapes[place]) for place in places)
        by_shapes[tuple(leaves)].append(places)
    return by_shapes


def _leaf(place: FilePlace) -> str:
    leaf = place.name.rpartition(".")[2]
    return leaf if leaf in LEAVES else ""


def aligned(file: PlacedFile, wanted: Mapping[FilePlace, list[OwnTensor]]) -> dict[FilePlace, str]:
    """Returns the keys of a file by the places of ours, layers aligned in their order so that most weights fit."""
    ours: dict[int, Counter[tuple[str, tuple[int, ...]]]] = defaultdict(Counter)
    theirs: dict[int, Counter[tuple[str, tuple[int, ...]]]] = defaultdict(Counter)
    section = next(iter(file.keys)).section
    for place, owns in wanted.items():
        if place.section == section and len(owns[0].tensor.shape) > 1:
            ours[place.layer][place.name, owns[0].tensor.shape] += 1
    for place, shape in file.shapes.items():
        if len(shape) > 1:
            theirs[place.layer][place.name, shape] += 1
    scores = [[(ours[own] & theirs[layer]).total() for layer in sorted(theirs)] for own in sorted(ours)]
    pairs = {sorted(theirs)[layer]: sorted(ours)[own] for own, layer in best_pairs(scores)}
    keys: dict[FilePlace, str] = {}
    for place, key in file.keys.items():
        layer = pairs.get(place.layer)
        keys[FilePlace("", place.layer, place.name) if layer is None else place._replace(layer=layer)] = key
    return keys


def best_pairs(scores: list[list[int]]) -> list[tuple[int, int]]:
    """Returns the increasing pairs of a row and a column with the largest sum of scores; pairs of score 0 are left out.

    The alignment of two sequences by dynamic programming (Needleman and Wunsch, 1970), without a cost of gaps.
    """
    rows, columns = len(scores), len(scores[0]) if scores else 0
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows - 1, -1, -1):
        for column in range(columns - 1, -1, -1):
            joined = scores[row][column] + best[row + 1][column + 1]
            best[row][column] = max(joined, best[row + 1][column], best[row][column + 1])
    pairs, row, column = [], 0, 0
    while row < rows and column < columns:
        if scores[row][column] and best[row][column] == scores[row][column] + best[row + 1][column + 1]:
            pairs.append((row, column))
            row, column = row + 1, column + 1
        elif best[row][column] == best[row + 1][column]:
            row += 1
        else:
            column += 1
    return pairs
