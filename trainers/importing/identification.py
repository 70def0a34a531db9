"""Find the detector that a file belongs to: a design, a scale, or one of their layer lists at other widths."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from search_space import DESIGNS, Architecture
from search_space.designs.p2_scales import SCALES
from search_space.designs.references import FAMILIES, REFERENCES
from search_space.errors import ConfigError, SpaceError
from trainers.importing.fitting import Fit, Misfit, MisfitError, PlacedFile, fit, told
from trainers.importing.refitting import refitted

BACKBONE_CLASSES = 80
"""Classes of the detector of a file that holds a backbone only."""
MIN_BACKBONE_SHARE = 1 / 2
"""Of the tensors of a backbone that a file must have."""
MIN_ALIGNED_SHARE = 1 / 4
"""The same where the network of the file is another one, in which fewer tensors have the same shape."""


@dataclass(frozen=True, kw_only=True)
class KnownArchitecture:
    """A known architecture."""

    name: str
    architecture: Architecture
    derived: bool = False
    """Whether it is a design that was derived for an ablation."""


def candidates(file: PlacedFile) -> Iterator[KnownArchitecture]:
    """Gives the known architectures with a head that the layout of a file can hold."""
    known = {name: KnownArchitecture(name=name, architecture=each) for name, each in REFERENCES.items()}
    for name in DESIGNS:
        design = DESIGNS.get(name)
        if not (design.reference or design.by_name):
            known[name] = KnownArchitecture(name=name, architecture=design.architecture, derived=design.derived)
    return (each for each in known.values() if each.architecture.head.kind in file.layout.head_kinds)


def known_anchor_free() -> Iterator[Architecture]:
    """Gives the known architectures with an anchor-free head."""
    designs = (DESIGNS.get(name) for name in DESIGNS)
    known = (*REFERENCES.values(), *(each.architecture for each in designs if not (each.reference or each.by_name)))
    return (each for each in known if each.head.kind == "anchor_free")


def name_of(architecture: Architecture) -> str | None:
    """Returns the name of a design or scale with this architecture, at any input size, or None."""
    plain = {**architecture.to_dict(), "input_hw": None}
    known = ((name, DESIGNS.get(name).architecture) for name in DESIGNS)
    for name, each in (*known, *SCALES.items()):
        if {**each.to_dict(), "input_hw": None} == plain:
            return name
    return None


def fit_given(file: PlacedFile, architecture: Architecture) -> Fit:
    """Fits a file to an architecture.

    Raises:
        MisfitError: a tensor does not fit, or the layout holds another kind of head.
        ConfigError: the layout holds no classes, or too little of a backbone.
    """
    kinds = file.layout.head_kinds
    if architecture.head.kind not in kinds:
        what = (
            f"{file.foreign.path} has the layout {file.layout.name}, of detectors with the head {', '.join(kinds)}; "
            f"got an architecture with {architecture.head.kind}"
        )
        raise _misfit(file, what)
    found = fit(file, architecture, classes_in(file), name_of(architecture))
    if found.misfits:
        raise _misfit(file, f"{file.foreign.path} does not fit the architecture, {told(found.misfits)}", found.misfits)
    return _checked_backbone(file, found)


def _misfit(file: PlacedFile, what: str, misfits: tuple[Misfit, ...] = ()) -> MisfitError:
    """Returns the error of a file that does not fit the given architecture; it names a known design that fits."""
    try:
        fits = identify(file).design
    except ConfigError:
        fits = None
    if fits is not None:
        what += f"; the file fits {fits}"
    return MisfitError(what, _remedy(misfits, "give the architecture of the file"), misfits, fits)


def _remedy(misfits: tuple[Misfit, ...], otherwise: str) -> str:
    """Returns the next step: where all tensors of the detector are there, those without a place are the reason."""
    if misfits and all(each.own is None for each in misfits):
        return "give a file without the tensors that have no place, or an architecture that has them"
    return otherwise


def _checked_backbone(file: PlacedFile, found: Fit) -> Fit:
    """Returns the fit; raises ConfigError where a file without a head has little of a backbone."""
    share = MIN_ALIGNED_SHARE if file.layout.aligned_by_shape else MIN_BACKBONE_SHARE
    if not file.layout.backbone_only or found.num_taken >= share * found.num_comparable:
        return found
    raise ConfigError(
        f"{file.foreign.path} has {found.num_taken} of the {found.num_comparable} tensors of the backbone of "
        f"{found.design or 'the architecture'}; {share:.0%} are needed; next: give the whole file of a detector "
        "or of a backbone"
    )


def classes_in(file: PlacedFile) -> int:
    """Returns the number of classes of a file; raises ConfigError where its head has none."""
    if file.layout.backbone_only:
        return BACKBONE_CLASSES
    found = file.layout.num_classes(file.shapes)
    if found is None or found < 1:
        raise ConfigError(
            f"{file.foreign.path} has the layout {file.layout.name}, but no head with class logits; give a whole file"
        )
    return found


def identify(file: PlacedFile) -> Fit:
    """Finds the detector of a file from its shapes.

    Raises:
        MisfitError: no known detector has these tensors; the nearest is told.
        ConfigError: several detectors have these tensors, or the file has no classes, or too little of a backbone.
    """
    num_classes = classes_in(file)
    fits = [(each, fit(file, each.architecture, num_classes, each.name)) for each in candidates(file)]
    exact = [(each, found) for each, found in fits if not found.misfits]
    if exact and file.layout.backbone_only:
        return _checked_backbone(file, max((found for _, found in exact), key=lambda found: len(found.sources)))
    if exact:
        return _chosen(file, exact)
    for each, _ in fits:
        refit = None if each.derived else _refit(file, each, num_classes)
        if refit is not None:
            return refit
    raise _nothing(file, [found for _, found in fits])


def _chosen(file: PlacedFile, exact: list[tuple[KnownArchitecture, Fit]]) -> Fit:
    """Returns the fit of the design that the file is named after, where several have the same tensors."""
    published = [pair for pair in exact if not pair[0].derived] or exact
    if len(published) == 1:
        return published[0][1]
    words = set(re.split(r"[^a-z0-9]+", file.foreign.path.stem.lower())) - {""}
    named = [(each, found) for each, found in published if _is_named(each.name, words)]
    most = max((each.name.count("-") for each, _ in named), default=0)
    longest = [found for each, found in named if each.name.count("-") == most]
    if len(longest) == 1:
        return longest[0]
    names = [each.name for each, _ in published]
    choices = " or ".join(f"--as {name}" for name in names)
    raise ConfigError(
        f"{file.foreign.path} fits {', '.join(names)}, which differ in what has no weights, such as strides and input; "
        f"next: {_import_command(file)} {choices}"
    )


def _import_command(file: PlacedFile) -> str:
    return f"nas weights import {shlex.quote(str(file.foreign.path))}"


def _is_named(name: str, words: set[str]) -> bool:
    """Whether each part of a name is a word of the file's name, or begins with one of at least four letters."""
    parts = name.split("-")
    return all(any(part == word or (len(word) >= 4 and part.startswith(word)) for word in words) for part in parts)


def _refit(file: PlacedFile, template: KnownArchitecture, num_classes: int) -> Fit | None:
    """Returns the fit of a layer list at the widths and repeats of the file, where all tensors fit."""
    try:
        architecture = refitted(file, template.architecture, num_classes)
        if architecture is None:
            return None
        found = fit(file, architecture, num_classes, _label(template.name, architecture))
    except SpaceError:
        return None
    return None if found.misfits else found


def _label(name: str, architecture: Architecture) -> str:
    family = next((each for each in FAMILIES if name[:-1] == each), name)
    widths = (architecture.backbone.stem_channels, *(stage.channels for stage in architecture.backbone.stages))
    return f"{family} {widths}"


def _nothing(file: PlacedFile, fits: list[Fit]) -> MisfitError:
    if not fits:
        what = f"{file.foreign.path} has the layout {file.layout.name}, which no design has"
        return MisfitError(what, "give another file")
    nearest = min(fits, key=lambda each: len(each.misfits))
    return MisfitError(
        f"{file.foreign.path} has the layout {file.layout.name} and fits no known design; of {nearest.design} "
        f"{told(nearest.misfits)}",
        _remedy(nearest.misfits, f"{_import_command(file)} --as ARCH.yaml, with its architecture"),
        nearest.misfits,
    )
