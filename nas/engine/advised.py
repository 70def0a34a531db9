"""Narrows the space by the advice on a data set, for `nas run --auto`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from nas.advice.advice import advise
from nas.settings import RunSettings
from search_space.errors import BudgetError, ConfigError
from trainers.data import Record


@dataclass(frozen=True, kw_only=True)
class Advised:
    """The axes that the advice narrowed."""

    narrowing: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """The choices that remain, by axis; none of an axis that the user narrowed himself."""
    notices: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    """The same as options of `nas run`."""

    @contextmanager
    def errors_mention_advice(self) -> Iterator[None]:
        """Adds the narrowing by the advice to a BudgetError that says that no point fits."""
        try:
            yield
        except BudgetError as error:
            told = f"; --auto gave {shlex.join(self.flags)}" if self.flags else ""
            raise BudgetError(f"{error}{told}") from None


NO_ADVICE = Advised()


def check_auto(settings: RunSettings) -> None:
    """Raises ConfigError where advice is asked for without a data set."""
    if settings.auto and settings.data is None:
        raise ConfigError("--auto needs the boxes of your data; next: nas run --auto --data PATH")


def follow_advice(records: Sequence[Record], narrowing: Mapping[str, tuple[Any, ...]]) -> Advised:
    """Narrows the axes that the user did not narrow, by the boxes of the training images."""
    items = [item for item in advise(records, narrowing).items if item.choices]
    notices = [f"auto:   {shlex.join(item.flags)} ({item.reason})" for item in items]
    return Advised(
        narrowing={item.topic: item.choices for item in items},
        notices=tuple(notices) or ("auto:   nothing to narrow that you did not narrow yourself",),
        flags=tuple(word for item in items for word in item.flags),
    )
