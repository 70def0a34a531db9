"""Architectures as a caller gives them: a YAML file, the name of a design, or an object that has one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from nas.api.result import OnNotice, notify
from nas.architectures import load_architecture, trained_section_of
from search_space.errors import ConfigError, counted

if TYPE_CHECKING:
    from search_space import Architecture

DEFAULT_CLASSES = 80
"""What an architecture is counted for where nothing says how many classes there are."""


class HasArchitecture(Protocol):
    """A design, a member of a run, or a loaded detector."""

    @property
    def architecture(self) -> Architecture:
        """The architecture."""
        ...


ArchitectureLike: TypeAlias = "str | Path | Architecture | HasArchitecture"


def find_architecture(given: ArchitectureLike, input_hw: tuple[int, int] | None = None) -> Architecture:
    """Returns the architecture that a caller means, at another input size `(H, W)` in pixels if one is given.

    Raises:
        ConfigError: there is neither a file nor a design of that name, or the object has no architecture.
        SpaceError: the file is damaged, or the architecture does not take this size.
    """
    if isinstance(given, (str, Path)):
        return load_architecture(str(given), input_hw)
    arch = _architecture_of(given)
    return arch if input_hw is None else arch.resized(input_hw)


def shown_name(given: ArchitectureLike) -> str:
    """Returns how an architecture is called: as the caller named it, by its design, or by its key."""
    if isinstance(given, (str, Path)):
        return str(given)
    name = getattr(given, "name", None)
    return name if isinstance(name, str) else _architecture_of(given).key()


def classes_to_count(given: ArchitectureLike, num_classes: int | None, verb: str, on_notice: OnNotice | None) -> int:
    """Returns the number of classes that an architecture is counted for.

    Args:
        given: the architecture, as the caller named it.
        num_classes: as the caller gave it; None: that of the design, the detector or the run that wrote the file, else
            the default.
        verb: what is done for so many classes, such as `counted`.
        on_notice: is called with a note where it is that of a run, or the default.

    Raises:
        SpaceError: what the file says about its classes is damaged.
    """
    from search_space import DESIGNS

    if num_classes is not None:
        return num_classes
    if isinstance(given, (str, Path)) and str(given) in DESIGNS:
        return DESIGNS.get(str(given)).num_classes
    known = getattr(given, "num_classes", None)
    if isinstance(known, int):
        return known
    trained = trained_section_of(str(given)) if isinstance(given, (str, Path)) else None
    if trained is not None:
        classes = counted(trained.num_classes, "class", "classes")
        notify(on_notice, f"note: {verb} for {classes}, those of the run that found {given}; others: --num-classes N")
        return trained.num_classes
    notify(on_notice, f"note: {verb} for {DEFAULT_CLASSES} classes; give those of your data: --num-classes N")
    return DEFAULT_CLASSES


def _architecture_of(given: Architecture | HasArchitecture) -> Architecture:
    from search_space import Architecture

    found = given if isinstance(given, Architecture) else getattr(given, "architecture", None)
    if not isinstance(found, Architecture):
        raise ConfigError(
            f"an architecture cannot be {type(given).__name__}; give the path of a YAML file, the name of a design, an "
            "Architecture, or an object that has one"
        )
    return found
