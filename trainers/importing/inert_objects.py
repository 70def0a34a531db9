"""What stands for the classes, functions and objects that a pickle names, without being them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class InertName:
    """The name of a class or function of another program. It is never looked up."""

    module: str
    name: str


@dataclass(kw_only=True, eq=False, slots=True)
class InertObject:
    """What a pickle makes of a class that is not known: it has no behaviour.

    Attributes:
        name: The class or function that the pickle names, None where it names none.
        state: The attributes that the pickle sets, any plain or inert value.
        items: The entries that the pickle assigns with a key.
    """

    name: InertName | None
    state: object = None
    items: dict[object, object] = field(default_factory=dict)
