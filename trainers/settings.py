"""Settings that are declared once: a dataclass field says its type, default, bounds, unit, help and how it may change.

Command-line options, configuration files, the checks at a resume, keywords of the Python API and the tables of the
documentation are derived from these declarations.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field, fields
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from search_space.errors import ConfigError, shown


class SettingError(ConfigError):
    """A setting with a value that it must not have.

    Args:
        message: begins with the name of the setting.
        setting: that name, so that a command can put its own in the place of it.
    """

    def __init__(self, message: str, setting: str = "") -> None:
        super().__init__(message)
        self.setting = setting


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is declared of one setting beside its name, type and default."""

    help: str
    """One sentence or two for the help of the option, the API and the documentation."""
    unit: str = ""
    """Of a number, such as `ms` or `epochs`."""
    option: str = ""
    """The command-line option; empty: the name with dashes. `-` where there is none."""
    metavar: str = ""
    """How the option's value is shown in its help; empty: by the type."""
    minimum: float | None = None
    """The smallest value allowed."""
    above: float | None = None
    """Values must be larger than this."""
    maximum: float | None = None
    """The largest value allowed."""
    below: float | None = None
    """Values must be smaller than this."""
    choices: tuple[str, ...] = ()
    """All values that are allowed; empty: no such list."""
    resumable: bool = False
    """Whether a resume may change it."""
    identity: bool = True
    """Whether it belongs to what was computed: two results that differ in it cannot be compared."""
    is_path: bool = False
    """Whether the value is a path, which is stored absolute."""


@dataclass(frozen=True, kw_only=True)
class DeclaredSetting:
    """A setting of an owner with all that is known of it."""

    name: str
    kind: Any
    """The declared type, such as `float | None` or `tuple[str, ...]`."""
    default: Any
    about: Setting

    @property
    def option(self) -> str:
        """The command-line option, with its dashes; empty where there is none."""
        if self.about.option == "-":
            return ""
        return self.about.option or f"--{self.name.replace('_', '-')}"

    @property
    def is_list(self) -> bool:
        """Whether the value is a tuple."""
        return get_origin(self.kind) is tuple or any(get_origin(each) is tuple for each in get_args(self.kind))

    @property
    def scalar(self) -> type:
        """The type of one value: of a tuple that of its elements, of an optional value that other than None."""
        return _scalar(self.kind)

    @property
    def allowed(self) -> str:
        """The bounds in words; empty where there are none."""
        about = self.about
        if about.choices:
            return f"one of {', '.join(about.choices)}"
        bounds = {
            "at least": about.minimum,
            "above": about.above,
            "at most": about.maximum,
            "below": about.below,
        }
        return " and ".join(f"{words} {bound:,g}" for words, bound in bounds.items() if bound is not None)

    def check(self, value: Any) -> None:
        """Raises SettingError where a value, or an element of a tuple, is out of bounds; None is always allowed."""
        for each in value if isinstance(value, tuple) else (value,):
            if each is not None and not self._holds(each):
                raise SettingError(f"{self.name} is {shown(each)}; it must be {self.allowed or 'finite'}", self.name)

    def _holds(self, value: Any) -> bool:
        about = self.about
        if about.choices and value not in about.choices:
            return False
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return True
        return (
            math.isfinite(value)
            and (about.minimum is None or value >= about.minimum)
            and (about.above is None or value > about.above)
            and (about.maximum is None or value <= about.maximum)
            and (about.below is None or value < about.below)
        )


def setting(default: Any, help: str, **about: Any) -> Any:
    """Returns a dataclass field that declares a setting.

    Args:
        default: The value where the user gives none.
        help: See `Setting.help`.
        **about: The other fields of `Setting`.
    """
    return field(default=default, metadata={"setting": Setting(help=help, **about)})


def declared_settings(owner: type[Any]) -> dict[str, DeclaredSetting]:
    """Returns the settings that a dataclass declares by `setting`, by name, in order; other fields are left out."""
    kinds = get_type_hints(owner)
    return {
        each.name: DeclaredSetting(
            name=each.name,
            kind=kinds[each.name],
            default=None if each.default is MISSING else each.default,
            about=each.metadata["setting"],
        )
        for each in fields(owner)
        if "setting" in each.metadata
    }


def check_settings(values: Any) -> None:
    """Checks every declared setting of a dataclass instance; raises SettingError naming the first that is wrong."""
    for name, declared in declared_settings(type(values)).items():
        declared.check(getattr(values, name))


def _scalar(kind: Any) -> type:
    if get_origin(kind) is tuple:
        return _scalar(get_args(kind)[0])
    if get_args(kind):
        return _scalar(next(each for each in get_args(kind) if each is not NoneType))
    assert isinstance(kind, type), kind
    return kind
