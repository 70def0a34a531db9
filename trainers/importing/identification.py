"""Find the detector that a file belongs to: a design, a scale, or one of their layer lists at other widths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from search_space import DESIGNS, Architecture
from search_space.designs.references import FAMILIES, REFERENCES
from search_space.errors import ConfigError, SpaceError
from trainers.importing.fitting import Fit, MisfitError, PlacedFile, fit, told
from trainers.importing.refitting import refitted

BACKBONE_CLASSES = 80
"""Classes of the detector of a file that holds a backbone only."""


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
        known[name] = KnownArchitecture(name=name, architecture=design.architecture, derived=design.derived)
    return (each for each in known.values() if each.architecture.head.kind in file.layout.head_kinds)


def known_anchor_free() -> Iterator[Architecture]:
    """Gives the known architectures with an anchor-free head."""
    known = (*REFERENCES.values(), *(DESIGNS.get(name).architecture for name in DESIGNS))
    return (each for each in known if each.head.kind == "anchor_free")


def name_of(architecture: Architecture) -> str | None:
    """Returns the name of a design or scale with this architecture, at any input size, or None."""
    plain = {**architecture.to_dict(), "input_hw": None}
    known = ((name, DESIGNS.get(name).architecture) for name in DESIGNS)
    for name, each in (*known, *REFERENCES.items()):
        if {**each.to_dict(), "input_hw": None} == plain:
            return name
    return None


def fit_given(file: PlacedFile, architecture: Architecture) -> Fit:
    """Fits a file to an architecture.

    Raises:
        MisfitError: a tensor does not fit.
        ConfigError: the layout holds another kind of head, or no classes.
    """
    kinds = file.layout.head_kinds
    if architecture.head.kind not in kinds:
        raise ConfigError(
            f"{file.foreign.path} has the layout {file.layout.name}, of detectors with the head {', '.join(kinds)}; "
            f"got an architecture with {architecture.head.kind}; give another one, or none, so that it is found"
        )
    found = fit(file, architecture, classes_in(file), name_of(architecture))
    if found.misfits:
        raise MisfitError(
            f"{file.foreign.path} does not fit the architecture, {len(found.misfits)} tensors differ: "
            f"{told(found.misfits)}; give the architecture of the file",
            found.misfits,
        )
    return found


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
        ConfigError: several detectors have these tensors, or the file has no classes.
    """
    num_classes = classes_in(file)
    fits = [(each, fit(file, each.architecture, num_classes, each.name)) for each in candidates(file)]
    exact = [(each, found) for each, found in fits if not found.misfits]
    if exact and file.layout.backbone_only:
        return max((found for _, found in exact), key=lambda found: len(found.sources))
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
    raise ConfigError(
        f"{file.foreign.path} fits {', '.join(names)}, which differ in what has no weights, such as strides and input; "
        f"say which it is: --as {names[0]}"
    )


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
        return MisfitError(f"{file.foreign.path} has the layout {file.layout.name}, which no design has")
    nearest = min(fits, key=lambda each: len(each.misfits))
    return MisfitError(
        f"{file.foreign.path} has the layout {file.layout.name} and fits no known design; of {nearest.design} "
        f"{len(nearest.misfits)} tensors differ: {told(nearest.misfits)}; give its architecture: --as ARCH.yaml",
        nearest.misfits,
    )
