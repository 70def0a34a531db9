"""What a fault is, the scene it is put into, and the counting."""

from __future__ import annotations

import random
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.run_audit import Trials, ended_trials, num_doubled, num_false_donors, num_lost, printed_outcomes
from tests.faults.child import Child, nas
from tests.faults.evaluators import quick

DATA = Path(__file__).parent.parent / "data" / "hit_uav"
SPACE = ("--budget-gflops", "0.05", "--choices", "input_size=128", "--fix", "width=0.125", "--strategy", "random")
RELATED = ("backbone=yolov8", "head=anchor_free", "block=c2f", "topology=pan", "head_levels=P3-P4")
HEIRS = ("--inherit", "donor", *(word for choice in RELATED for word in ("--fix", choice)))
"""A search whose trials start from one another."""
TRAINING = ("--rungs", "0.2,0.4", "--batch", "2", "--threads", "1")
ENDLESS = 100


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an injected fault did."""

    lost: int = 0
    """Trials that had been told and are gone or changed, or files that cannot be made good."""
    doubled: int = 0
    message: str = ""
    """The line that tells of it."""
    said: bool = True
    """Whether there was such a line, with what to do next and without a traceback."""

    @property
    def good(self) -> bool:
        """Whether nothing went wrong."""
        return not self.lost and not self.doubled and self.said


@dataclass(kw_only=True)
class Scene:
    """A folder to break something in."""

    folder: Path
    rng: random.Random
    index: int
    """Which injection of its kind this is, from 0."""
    templates: Path
    """Where runs and trainings lie that were made once."""
    children: list[Child] = field(default_factory=list)

    @property
    def run(self) -> Path:
        """The folder of the search."""
        return self.folder / "run"

    def nas(self, *words: object, spoil: Callable[[], None] | None = None) -> Child:
        """Starts a command, with a log of its own."""
        child = nas(self.folder / f"{len(self.children)}.log", *words, spoil=spoil)
        self.children.append(child)
        return child

    def end(self) -> None:
        """Ends what is still under way."""
        for child in self.children:
            child.end()

    def search(
        self,
        *words: object,
        trials: int = ENDLESS,
        run: Path | None = None,
        data: Path = DATA,
        spoil: Callable[[], None] = quick,
    ) -> Child:
        """Begins a search."""
        path = run or self.run
        where = ("--data", data, "--name", path.name, "--out", path.parent, "--trials", trials)
        return self.nas("run", *SPACE, *TRAINING, *where, *words, spoil=spoil)

    def resume(
        self, *words: object, trials: int = ENDLESS, run: Path | None = None, spoil: Callable[[], None] = quick
    ) -> Child:
        """Goes on with the search."""
        return self.nas("run", "--resume", run or self.run, "--trials", trials, *words, spoil=spoil)

    def copied(self, name: str, make: Callable[[Path], None]) -> Path:
        """Returns a copy of what `make` leaves in a folder, and makes it if it is not there."""
        template = self.templates / name
        if not template.is_dir():
            make(template)
        target = self.folder / "run"
        shutil.copytree(template, target)
        return target

    def pause(self, least: float, most: float) -> None:
        """Waits for some time between the two, in seconds."""
        time.sleep(self.rng.uniform(least, most))

    def close_books(
        self,
        child: Child | None,
        *says: str,
        before: Trials | None = None,
        run: Path | None = None,
        more: int = 2,
        log: str = "",
    ) -> Outcome:
        """Goes on with a search until it ends, and checks its books.

        Args:
            child: The one that met the fault; what it printed must have come true.
            says: Patterns that it must have printed, or `log`.
            before: What was told before the fault.
            more: How many trials more the run is to have.
        """
        path = run or self.run
        text = log or (child.text if child else "")
        witnessed = printed_outcomes(child.text) if child else {}
        count = max([*witnessed, *(before or ended_trials(path)), -1]) + 1
        last = self.resume(run=path, trials=count + more)
        code = last.wait()
        trials = ended_trials(path)
        lost = num_lost(before or {}, witnessed, trials) + num_false_donors(trials) + (code != 0)
        message, said = heard(text + (last.text if not log else ""), says, path)
        return Outcome(
            lost=lost, doubled=num_doubled(path), message=message, said=said and "Traceback" not in last.text
        )


def heard(text: str, says: tuple[str, ...], run: Path) -> tuple[str, bool]:
    """Returns the line that tells of a fault, and whether all that it must say is there and no traceback."""
    lines = [line.replace(str(run), "RUN").replace(str(run.parent), "DIR") for line in text.splitlines()]
    found = [next((line for line in lines if re.search(pattern, line)), None) for pattern in says]
    whole = all(line is not None for line in found) and "Traceback" not in text
    tail = next((line for line in reversed(lines) if line.strip()), "(nothing)")
    return str(found[0] if found and found[0] else tail).strip(), whole


Inject = Callable[[Scene], "Outcome | list[Outcome]"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of fault."""

    name: str
    inject: Inject
    share: float = 1.0
    """Of the times that each kind is injected."""
    possible: Callable[[], bool] = lambda: True
    seconds: float = 3.0
    """About how long one takes on an idle core."""


KINDS: dict[str, Kind] = {}


def fault(name: str, **settings: Any) -> Callable[[Inject], Inject]:
    """Registers a kind of fault."""

    def add(inject: Inject) -> Inject:
        KINDS[name] = Kind(name=name, inject=inject, **settings)
        return inject

    return add


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table."""

    name: str
    outcomes: tuple[Outcome, ...]
    errors: tuple[str, ...] = ()
    """What went wrong with the bench itself, or hung."""

    @property
    def good(self) -> bool:
        """Whether nothing went wrong in any injection."""
        return all(each.good for each in self.outcomes) and not self.errors

    def to_dict(self) -> Mapping[str, Any]:
        """Returns plain data."""
        bad = [each.message for each in self.outcomes if not each.said]
        return {
            "fault": self.name,
            "injected": len(self.outcomes),
            "lost": sum(each.lost for each in self.outcomes),
            "doubled": sum(each.doubled for each in self.outcomes),
            "silent": len(bad),
            "message": (bad or [each.message for each in self.outcomes] or [""])[0],
            "errors": list(self.errors),
        }


def run_kind(kind: Kind, times: int, out: Path, seed: int, tell: Callable[[str], None]) -> Line:
    """Injects a fault so many times, each into a fresh folder."""
    outcomes: list[Outcome] = []
    errors: list[str] = []
    wanted, index = max(1, round(times * kind.share)), 0
    while len(outcomes) < wanted and len(errors) < 3:
        folder = out / f"{re.sub('[^a-z0-9]+', '-', kind.name.lower())}-{index}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        scene = Scene(folder=folder, rng=random.Random(f"{seed} {kind.name} {index}"), index=index, templates=out)
        try:
            try:
                found = kind.inject(scene)
            finally:
                scene.end()
        except Exception as error:
            errors.append(f"{folder}: {type(error).__name__}: {error}")
            tell(errors[-1])
            index += 1
            continue
        new = found if isinstance(found, list) else [found]
        for each in new:
            if not each.good:
                tell(f"{folder}: {each}")
        outcomes += new
        if all(each.good for each in new):
            shutil.rmtree(folder, ignore_errors=True)
        index += 1
    return Line(name=kind.name, outcomes=tuple(outcomes), errors=tuple(errors))
