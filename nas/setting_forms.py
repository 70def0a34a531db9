"""The forms that declared settings take: values given by a user, words of a command line, keywords, a table."""

from __future__ import annotations

import inspect
import os
import shlex
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeAlias

from search_space.errors import ConfigError, check_known, shown
from search_space.plain import TYPE_NAMES
from trainers.settings import DeclaredSetting, SettingError, declared_settings, format_value

Declared: TypeAlias = "type[Any] | Iterable[DeclaredSetting]"
"""A dataclass that declares settings, or some declared settings."""


def given_settings(values: Mapping[str, Any], owner: type[Any]) -> dict[str, Any]:
    """Returns what a user gave, by the names of the settings and in their types; what was not given is left out.

    Args:
        values: By the name or the keyword of a setting. None, an empty sequence and False are not given. A setting of
            several values takes a single one, a sequence, or for `AXIS=VALUE` a mapping.
        owner: The dataclass that declares the settings.

    Raises:
        ConfigError: A name is unknown, or given twice.
        SettingError: A value is of another type.
    """
    known = declared_settings(owner)
    names = {declared.keyword: name for name, declared in known.items()} | {name: name for name in known}
    found: dict[str, Any] = {}
    for word, value in values.items():
        if word not in names:
            check_known("setting", word, [declared.keyword for declared in known.values()], ConfigError)
        if value is not None and value is not False:
            name = names[word]
            if name in found:
                raise ConfigError(f"{known[name].keyword} is given twice; drop one")
            plain = typed_value(known[name], value)
            if plain != ():
                found[name] = plain
    return found


def typed_value(declared: DeclaredSetting, value: Any) -> Any:
    """Returns a value in the type of its setting; raises SettingError where it is of another one."""
    if not declared.is_list:
        return _typed_scalar(declared, value)
    if isinstance(value, str):
        value = value.split(declared.about.separator) if declared.about.separator else (value,)
    elif isinstance(value, Mapping):
        value = [f"{axis}={_joined(choices)}" for axis, choices in value.items()]
    elif not isinstance(value, Iterable):
        value = (value,)
    return tuple(_typed_scalar(declared, each) for each in value)


def _typed_scalar(declared: DeclaredSetting, value: Any) -> Any:
    kind = declared.scalar
    if kind is str and isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if kind is float and isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str) and declared.about.separator:
        try:
            return float(value)
        except ValueError:
            example = f"{declared.option} {declared.about.separator.join(('0.5', '1.5'))}"
            message = f"{declared.option} must be a list of numbers, got {shown(value)}; next: {example}"
            raise SettingError(message, declared.name) from None
    raise SettingError(f"{declared.option} must be {TYPE_NAMES[kind]}, got {shown(value)}; give another", declared.name)


def _joined(choices: Any) -> str:
    single = isinstance(choices, (str, int, float))
    return str(choices) if single else ",".join(map(str, choices))


def stored_settings(owner: type[Any]) -> dict[str, DeclaredSetting]:
    """Returns the settings that a run keeps: all but those that are another way to give one of them."""
    return {name: each for name, each in declared_settings(owner).items() if not each.about.stands_for}


def check_bounds(values: Any, names: Iterable[str] | None = None) -> None:
    """Raises SettingError, naming the option, for the first setting that is out of bounds.

    Args:
        values: An instance of a dataclass that declares settings.
        names: Of the settings to check; None: all.
    """
    known = declared_settings(type(values))
    for name in known if names is None else names:
        declared, value = known[name], getattr(values, name)
        try:
            declared.check(value)
        except SettingError:
            got = ",".join(map(format_value, value)) if isinstance(value, tuple) else value
            allowed = declared.allowed or "finite"
            raise SettingError(f"{declared.option} must be {allowed}, got {got}; give another", name) from None


def check_needs(given: Mapping[str, Any], owner: type[Any], example: str) -> None:
    """Raises ConfigError for a setting that was given without the one that it needs.

    Args:
        given: See `given_settings`.
        owner: The dataclass that declares the settings.
        example: How to give the one that is needed.
    """
    known = declared_settings(owner)
    for name in given:
        needed = known[name].about.needs
        if needed and needed not in given:
            raise ConfigError(f"{known[name].option} needs {known[needed].option}; next: {example}")


def words_of(declared: DeclaredSetting, value: Any) -> list[str]:
    """Returns the words of a command line that give a value to a setting; none for a value that is not given."""
    if value is None or value is False or value in ((), ""):
        return []
    if value is True:
        return [declared.option]
    if not isinstance(value, tuple):
        return _pair(declared.option, format_value(value))
    if declared.about.separator:
        return _pair(declared.option, declared.about.separator.join(map(format_value, value)))
    if declared.count:
        return [declared.option, *map(format_value, value)]
    return [word for each in value for word in _pair(declared.option, format_value(each))]


def _pair(option: str, text: str) -> list[str]:
    """Returns an option and its value, as one word where the value looks like an option."""
    return [f"{option}={text}"] if text.startswith("-") else [option, text]


def spelled(declared: DeclaredSetting, value: Any) -> str:
    """Returns a setting with its value as it is typed, or that it is not given."""
    return shlex.join(words_of(declared, value)) or f"no {declared.option}"


def command_words(values: Any, *groups: str) -> list[str]:
    """Returns the words of a command line that give all settings of a dataclass instance.

    A setting that needs one which is not given is left out.

    Args:
        values: The instance; its class declares the settings.
        groups: Only the settings of these groups; none: all.
    """
    words = []
    for name, declared in stored_settings(type(values)).items():
        needed = declared.about.needs
        if (not groups or declared.about.group in groups) and (not needed or getattr(values, needed) is not None):
            words += words_of(declared, getattr(values, name))
    return words


def is_kept(declared: DeclaredSetting, value: Any) -> bool:
    """Returns whether a configuration file holds this value of a setting."""
    is_set = value is not None and value is not False
    return is_set or not declared.about.stored_if_set


def absolute(given: Mapping[str, Any], owner: type[Any]) -> dict[str, Any]:
    """Returns given settings with absolute paths."""
    known = declared_settings(owner)
    return {name: absolute_value(known[name], value) for name, value in given.items()}


def absolute_value(declared: DeclaredSetting, value: Any) -> Any:
    """Returns a path as an absolute one, so that a run or a training can be resumed from another folder."""
    return str(Path(value).resolve()) if declared.about.is_path and value is not None else value


def settings_in(owner: Declared) -> list[DeclaredSetting]:
    """Returns the settings that a dataclass declares, or the given ones."""
    return list(declared_settings(owner).values() if isinstance(owner, type) else owner)


def signature_of(function: Any, owner: Declared) -> inspect.Signature:
    """Returns the signature of a function with the settings as keywords in the place of its `**settings`."""
    own = inspect.signature(function).parameters.values()
    named = [each for each in own if each.kind is not inspect.Parameter.VAR_KEYWORD]
    taken = {each.name for each in named}
    keywords = [
        inspect.Parameter(each.keyword, inspect.Parameter.KEYWORD_ONLY, default=each.initial, annotation=each.kind)
        for each in settings_in(owner)
        if each.keyword not in taken
    ]
    return inspect.Signature([*named, *keywords], return_annotation=inspect.signature(function).return_annotation)


def described_keywords(owner: Declared, indent: str = "    ") -> str:
    """Returns one line for each setting, for a docstring: keyword, meaning, bounds and default."""
    lines = (f"{indent}{each.keyword}: {described(each)}" for each in settings_in(owner))
    return "\n".join(lines)


def described(declared: DeclaredSetting) -> str:
    """Returns the help of a setting with its default and its bounds."""
    default, allowed = declared.default_text, "" if declared.about.choices else declared.allowed
    notes = "; ".join(note for note in (default and f"default: {default}", allowed) if note)
    return f"{declared.about.help} {notes[0].upper()}{notes[1:]}." if notes else declared.about.help


def settings_table(owner: Declared) -> str:
    """Returns the settings as Markdown tables, one for each group."""
    return "\n\n".join(_group_table(group, list(each)) for group, each in grouped(owner).items())


def grouped(owner: Declared) -> dict[str, list[DeclaredSetting]]:
    """Returns the settings by group, in the order of their declaration."""
    groups: dict[str, list[DeclaredSetting]] = {}
    for declared in settings_in(owner):
        groups.setdefault(declared.about.group, []).append(declared)
    return groups


def _group_table(group: str, settings: list[DeclaredSetting]) -> str:
    rows = [
        f"### {group}",
        "",
        "| option | name | meaning | allowed | default | at a resume |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*rows, *map(_row, settings)])


def _row(declared: DeclaredSetting) -> str:
    about = declared.about
    resume = "given anew" if about.per_session else "may change" if about.resumable else "fixed"
    allowed = " ".join(part for part in (declared.allowed, about.unit) if part)
    metavar = f" {about.metavar}" if about.metavar else ""
    option = f"{declared.option}{metavar}" if declared.option else "--set"
    name = declared.path if declared.parents else declared.keyword
    cells = [f"`{option}`", f"`{name}`", about.help, allowed, declared.default_text, resume]
    return f"| {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |"
