"""Axes that the user fixes or narrows, on the command line or in a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nas.config import RunConfig
from nas.engine.starts import ANCHOR_FREE
from search_space import SearchSpace
from search_space.axis import Axis
from search_space.errors import ConfigError, SpaceError
from search_space.heads.assignment import MANY
from search_space.yaml_text import YamlError, read_yaml
from trainers import HEAD_TRAINING

Narrowing = dict[str, tuple[Any, ...]]
"""The choices that remain, by axis."""
EXAMPLE = "'fusion: [concat, sni]'"


def parse_narrowing(
    space: SearchSpace, fixes: Iterable[str], choices: Iterable[str], path: str | None = None
) -> Narrowing:
    """Reads `axis=value`, `axis=value,value` and a file of the same into the choices that remain.

    Raises:
        SpaceError: For an unknown axis or choice, naming near ones, and for an axis given twice.
        ConfigError: For a file that cannot be read.
    """
    narrowing: Narrowing = {} if path is None else read_narrowing(space, Path(path))
    for option, text in [*(("--fix", each) for each in fixes), *(("--choices", each) for each in choices)]:
        name, separator, values = text.partition("=")
        if not separator or not values:
            raise SpaceError(f"{option} {text!r} is not of the form axis=value; next: {option} input_size=320")
        axis = space.axis(name.strip())
        if axis.name in narrowing:
            raise SpaceError(f"axis {axis.name!r} is given twice; next: name all its choices in one --choices")
        texts = [values.strip()] if option == "--fix" else [value.strip() for value in values.split(",")]
        narrowing[axis.name] = _parse(space, axis, texts)
    return narrowing


def _parse(space: SearchSpace, axis: Axis, texts: Iterable[str]) -> tuple[Any, ...]:
    """Parses choices; if a choice belongs to another axis, the error names that axis."""
    choices = []
    for text in texts:
        try:
            choices.append(axis.parse(text))
        except SpaceError as error:
            others = [f"{other.name}={text}" for other in space.axes if text in map(str, other.choices)]
            numeric = text.replace(".", "", 1).isdigit()
            raise SpaceError(
                f"{error}; there is {' and '.join(others)}" if others and not numeric else str(error)
            ) from None
    return tuple(dict.fromkeys(choices))


def read_narrowing(space: SearchSpace, path: Path) -> Narrowing:
    """Reads a YAML file of `axis: choice` and `axis: [choice, choice]`.

    Raises:
        ConfigError: If it cannot be read or is no such file.
        SpaceError: For an unknown axis or choice.
    """
    try:
        plain = read_yaml(path)
    except OSError as error:
        raise ConfigError(f"--space {path} cannot be read: {error.strerror}; give a YAML file") from None
    except YamlError as error:
        raise ConfigError(f"--space {path} is no YAML: {error}; next: lines such as {EXAMPLE}") from None
    if not isinstance(plain, dict):
        got = "nothing" if plain is None else "a list" if isinstance(plain, list) else "one value"
        raise ConfigError(f"--space {path} holds {got} instead of axes; next: lines such as {EXAMPLE}")
    narrowing: Narrowing = {}
    for name, choices in plain.items():
        listed = choices if isinstance(choices, list) else [choices]
        if not listed or any(isinstance(each, (dict, list, type(None))) for each in listed):
            raise ConfigError(f"--space {path}: {str(name)[:60]} has no choices; next: lines such as {EXAMPLE}")
        try:
            axis = space.axis(str(name))
            narrowing[axis.name] = _parse(space, axis, map(str, listed))
        except SpaceError as error:
            raise SpaceError(f"--space {path}: {error}") from None
    return narrowing


def narrowing_words(narrowing: Mapping[str, Iterable[Any]]) -> dict[str, tuple[str, ...]]:
    """Returns a narrowing as the settings `fix` and `choices`: `axis=value` and `axis=value,value`."""
    kept = {axis: tuple(map(str, choices)) for axis, choices in narrowing.items()}
    return {
        "fix": tuple(f"{axis}={choices[0]}" for axis, choices in kept.items() if len(choices) == 1),
        "choices": tuple(f"{axis}={','.join(choices)}" for axis, choices in kept.items() if len(choices) > 1),
    }


def narrowing_of(config: RunConfig) -> Narrowing:
    """Returns the choices that remain in the space of a run, the heads included."""
    space = SearchSpace()
    parsed = {n: tuple(space.axis(n).parse(text) for text in texts) for n, texts in config.narrowing.items()}
    return with_heads(parsed)


def with_heads(narrowing: Mapping[str, tuple[Any, ...]]) -> Narrowing:
    """Returns the narrowing with the heads and assignments that the user asked for, or the anchor-free one and `many`.

    Only one of each by default: they learn at different speeds, so short trainings would rank them by their start and
    not by their final accuracy; and no cost of a search counts the suppression that a one-to-one head saves.

    Raises:
        ConfigError: If the user asked for a head that cannot be trained.
    """
    heads = narrowing.get("head", (ANCHOR_FREE,))
    for head in heads:
        if head not in HEAD_TRAINING:
            raise ConfigError(
                f"a head of kind {head!r} can be built and counted, but not trained yet; "
                f"allowed in a search: {', '.join(HEAD_TRAINING)}; next: leave out --fix head={head}"
            )
    return {**narrowing, "head": heads, "assignment": narrowing.get("assignment", (MANY,))}
