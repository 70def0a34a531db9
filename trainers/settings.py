"""Settings that are declared once: a dataclass field says its type, default, bounds, unit, help and how it may change.

Command-line options, configuration files, the checks at a resume, keywords of the Python API and the tables of the
documentation are derived from these declarations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from keyword import iskeyword
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from search_space.errors import ConfigError, nearest, shown
from search_space.plain import TYPE_NAMES, FieldError, read_plain

T = TypeVar("T")


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
    command_default: Any = None
    """The default of the command and of the API, where it differs from that of the field; None: it does not."""
    is_stored: bool = True
    """Whether the configuration file holds it."""
    stored_if_set: bool = False
    """Whether the configuration file holds it only where it is neither None nor False."""
    group: str = ""
    """The heading under which help and documentation list it."""
    default_words: str = ""
    """The default in words, where it depends on other settings."""
    separator: str = ""
    """What joins several values in one option; empty: the option is repeated."""
    stands_for: str = ""
    """The setting that this is another way to give; it is merged into that one and not stored."""
    needs: str = ""
    """The setting without which this one has no meaning."""
    per_session: bool = False
    """Whether each session says it anew: a resume neither keeps nor compares it."""
    joinable: bool = False
    """Whether a worker that joins a run may have its own."""


@dataclass(frozen=True, kw_only=True)
class DeclaredSetting:
    """A setting of an owner with all that is known of it."""

    name: str
    kind: Any
    """The declared type, such as `float | None` or `tuple[str, ...]`."""
    default: Any
    about: Setting
    parents: tuple[str, ...] = ()
    """The names of the nested dataclasses that it stands in, from the outside in."""

    @property
    def path(self) -> str:
        """The name with those of its parents, such as `augmentation.scale`."""
        return ".".join((*self.parents, self.name))

    @property
    def initial(self) -> Any:
        """The default of the command and of the API."""
        return self.default if self.about.command_default is None else self.about.command_default

    @property
    def option(self) -> str:
        """The command-line option, with its dashes; empty where there is none."""
        if self.about.option == "-":
            return ""
        return self.about.option or f"--{self.name.replace('_', '-')}"

    @property
    def keyword(self) -> str:
        """The keyword of the Python API: the option without dashes, or the name where that is a keyword of Python."""
        word = self.option.removeprefix("--").replace("-", "_")
        return word if word.isidentifier() and not iskeyword(word) else self.name

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
        if about.minimum is not None and about.maximum is not None:
            return f"from {_digits(about.minimum)} to {_digits(about.maximum)}"
        bounds = {
            "at least": about.minimum,
            "above": about.above,
            "at most": about.maximum,
            "below": about.below,
        }
        return " and ".join(f"{words} {_digits(bound)}" for words, bound in bounds.items() if bound is not None)

    @property
    def default_text(self) -> str:
        """The default as help and documentation show it; empty where there is none."""
        value = self.initial
        if self.about.default_words or value is None or value is False or value in ((), ""):
            return self.about.default_words
        return format_value(value)

    @property
    def count(self) -> int | None:
        """How many values a tuple of fixed length has; None for a tuple of any length and for one value."""
        for kind in (self.kind, *get_args(self.kind)):
            if get_origin(kind) is tuple and Ellipsis not in get_args(kind):
                return len(get_args(kind))
        return None

    def check(self, value: Any) -> None:
        """Raises SettingError where a value, or an element of a tuple, is out of bounds; None is always allowed."""
        if isinstance(value, tuple) and len(value) != (self.count or len(value)):
            raise SettingError(f"{self.name} is {shown(value)}; it must be {self.count} values", self.name)
        for each in value if isinstance(value, tuple) else (value,):
            if each is not None and not self._holds(each):
                hint = nearest(str(each), self.about.choices)
                allowed = f"it must be {self.allowed or TYPE_NAMES[self.scalar]}{hint}"
                raise SettingError(f"{self.name} is {shown(each)}; {allowed}", self.name)

    def _holds(self, value: Any) -> bool:
        about = self.about
        if about.choices and value not in about.choices:
            return False
        if isinstance(value, str) and self.scalar in (int, float):
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


def all_settings(owner: type[Any], parents: tuple[str, ...] = ()) -> dict[str, DeclaredSetting]:
    """Returns the settings of a dataclass and of the dataclasses nested in it, by name, in order.

    Args:
        owner: The dataclass.
        parents: See `DeclaredSetting.parents`.
    """
    found: dict[str, DeclaredSetting] = {}
    here = declared_settings(owner)
    for name, kind in get_type_hints(owner).items():
        if name in here:
            added = {name: replace(here[name], parents=parents)}
        else:
            added = all_settings(kind, (*parents, name)) if is_dataclass(kind) and isinstance(kind, type) else {}
        assert not found.keys() & added.keys(), f"{owner.__name__} declares a setting twice: {', '.join(added)}"
        found.update(added)
    return found


def fixed_changes(
    before: Mapping[str, Any], now: Mapping[str, Any], owner: type[Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Yields path, former and new value of each setting that differs and that a resume may not change.

    Args:
        before: The settings of `owner` as plain data, as they were; one that is missing had its default.
        now: The same as they are now.
        owner: The dataclass that declares them.
    """
    settings = all_settings(owner).values()
    for each in settings:
        values = [value_at(plain, each.path.split("."), each.default) for plain in (before, now)]
        if not each.about.resumable and values[0] != values[1]:
            yield each.path, *values
    known = {each.path.partition(".")[0] for each in settings}
    yield from ((name, value, None) for name, value in before.items() if name not in known)


def value_at(values: Any, path: Iterable[str], default: Any = None) -> Any:
    """Returns a value in nested mappings; `default` where there is none."""
    for name in path:
        if not isinstance(values, Mapping) or name not in values:
            return default
        values = values[name]
    return values


def check_settings(values: Any) -> None:
    """Checks every declared setting of a dataclass instance; raises SettingError naming the first that is wrong."""
    for name, declared in declared_settings(type(values)).items():
        declared.check(getattr(values, name))


def read_settings(owner: type[T], values: Mapping[str, Any]) -> T:
    """Returns an instance of a dataclass of settings, made from plain data; names and types are checked.

    Args:
        owner: The dataclass.
        values: By the name of the setting; nested mappings for nested dataclasses.

    Raises:
        SettingError: A setting is unknown, or its value is of the wrong type or out of bounds.
    """
    try:
        return read_plain(owner, values)
    except FieldError as error:
        raise SettingError(str(error), error.field) from None


def format_value(value: Any) -> str:
    """Returns a value as it is typed on a command line; numbers read back as the same number."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _scalar(kind: Any) -> type:
    if get_origin(kind) is tuple:
        return _scalar(get_args(kind)[0])
    if get_args(kind):
        return _scalar(next(each for each in get_args(kind) if each is not NoneType))
    assert isinstance(kind, type), kind
    return kind


def _digits(value: Any) -> str:
    """Returns a number without a needless fraction, as whole numbers with separators; another value as it is."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:g}"
    return f"{int(value):,}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
