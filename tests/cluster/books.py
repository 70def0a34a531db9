"""The books of a case: what the witness saw, what the commands printed, what the study has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.run_audit import num_lost, num_twice, printed_outcomes
from results.trial import Outcome, Trial

EVENT = re.compile(r"^(begun|ended) (\d+) (\S+)$", re.MULTILINE)
ENDED = {Outcome.COMPLETE, Outcome.STOPPED}


@dataclass(frozen=True, kw_only=True)
class Witness:
    """What the stub wrote down: the numbers of the trials, and where each was evaluated."""

    begun: Mapping[int, str]
    ended: Mapping[int, str]

    @classmethod
    def read(cls, path: Path) -> Witness:
        """Reads the file of the stub; of one that is missing, nothing."""
        return cls.of(path.read_text(encoding="utf-8") if path.is_file() else "")

    @classmethod
    def of(cls, text: str) -> Witness:
        """Reads lines such as `begun 3 beta`."""
        events: dict[str, dict[int, str]] = {"begun": {}, "ended": {}}
        for what, number, host in EVENT.findall(text):
            events[what][int(number)] = host
        return cls(begun=events["begun"], ended=events["ended"])

    def in_flight(self, host: str) -> set[int]:
        """Returns the trials that began on a host and did not end."""
        return {number for number, where in self.begun.items() if where == host and number not in self.ended}


@dataclass(frozen=True, kw_only=True)
class ClusterLine:
    """One line of the table."""

    case: str
    begun: int
    """Trials whose training began."""
    ended: int
    """Trials whose result is in the study."""
    per_host: Mapping[str, int]
    """Trainings that ended on each host."""
    in_flight: tuple[int, ...]
    """Trials that a fault took, and that were repeated."""
    lost: int
    """Trials that were printed and are missing or have changed, or in flight and not repeated."""
    doubled: int
    ends: tuple[str, ...]
    """Exit code of each command, with its host."""
    messages: tuple[str, ...]
    """The lines of the commands that tell of the fault."""
    flaws: tuple[str, ...]
    """What was not as required."""
    seconds: float
    cpu_seconds: float

    @property
    def good(self) -> bool:
        """Whether nothing went wrong."""
        return not self.lost and not self.doubled and not self.flaws

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that has ended."""

    host: str
    code: int | None
    """None: it did not end, and was killed."""
    text: str
    """All that it printed."""
    codes: tuple[int, ...] = (0,)
    """The exit codes that it may have."""
    says: str = ""
    """A pattern that it must have printed."""

    @property
    def message(self) -> str:
        """The line that the pattern finds, or the last one of a command that failed; else nothing."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        found = (line for line in lines if self.says and re.search(self.says, line))
        last = lines[-1] if lines else "(nothing)"
        return next(found, "" if self.code == 0 else last)

    def flaws(self) -> list[str]:
        """Returns what was not as required."""
        found = []
        if self.code not in self.codes:
            found.append(f"{self.host}: exit code {self.code}, expected {' or '.join(map(str, self.codes))}")
        if self.says and not re.search(self.says, self.text, re.MULTILINE):
            found.append(f"{self.host}: no line with {self.says}")
        if "Traceback" in self.text:
            found.append(f"{self.host}: a traceback")
        return found


def close_books(
    case: str,
    witness: Witness,
    trials: Sequence[Trial],
    running: Sequence[Trial],
    commands: Sequence[Ended],
    *,
    flaws: Sequence[str] = (),
    seconds: float = 0.0,
    cpu_seconds: float = 0.0,
) -> ClusterLine:
    """Compares what was seen and printed with the study at the end."""
    by_number = {trial.number: trial for trial in trials}
    repeated = {trial.retry_of for trial in trials}
    taken = sorted(trial.number for trial in trials if trial.is_lost)
    lost = sum(num_lost({}, printed_outcomes(each.text), by_number) for each in commands)
    lost += sum(number not in repeated for number in taken)
    lost += sum(number not in by_number for number in witness.begun)
    hosts = sorted(set(witness.begun.values()))
    return ClusterLine(
        case=case,
        begun=len(witness.begun),
        ended=sum(trial.outcome in ENDED for trial in trials),
        per_host={host: sum(each == host for each in witness.ended.values()) for host in hosts},
        in_flight=tuple(taken),
        lost=lost,
        doubled=num_twice(trials, running),
        ends=tuple(f"{each.host}: {'killed' if each.code is None else each.code}" for each in commands),
        messages=tuple(each.message for each in commands if each.message),
        flaws=(*flaws, *(flaw for each in commands for flaw in each.flaws())),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
    )


def as_table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Returns the table as Markdown, with the sums below."""
    columns = ("case", "trials begun", "ended", "on each host", "in flight, repeated", "lost", "counted twice")
    head = "| " + " | ".join((*columns, "exit codes", "time", "message")) + " |"
    body = ["|".join(["", *(f" {cell} " for cell in _cells(line)), ""]) for line in lines]
    lost, doubled = (sum(line[name] for line in lines) for name in ("lost", "doubled"))
    flawed = sum(bool(line["flaws"]) for line in lines)
    told = f"{len(lines)} cases: {lost} trials lost, {doubled} counted twice, {flawed} not as required."
    return "\n".join([head, "|---" * 10 + "|", *body, "", told])


def _cells(line: Mapping[str, Any]) -> list[str]:
    per_host = ", ".join(f"{host} {count}" for host, count in line["per_host"].items())
    flaws = "; ".join(f"**{flaw}**" for flaw in line["flaws"])
    messages = "; ".join(f"`{_plain(message)}`" for message in line["messages"])
    return [
        line["case"],
        str(line["begun"]),
        str(line["ended"]),
        per_host,
        ", ".join(map(str, line["in_flight"])) or "none",
        str(line["lost"]),
        str(line["doubled"]),
        ", ".join(line["ends"]),
        f"{line['seconds']:.0f} s",
        "; ".join(filter(None, [flaws, messages])),
    ]


def _plain(message: str, longest: int = 260) -> str:
    text = " ".join(message.replace("|", "/").split())
    return text if len(text) <= longest else f"{text[:longest]}…"
