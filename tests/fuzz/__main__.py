"""`python -m tests.fuzz`: gives every parser spoilt input and counts what comes of it. Exit code 1 on any failure.

A case follows from the seed, the parser and its number alone: `--only PARSER --seed S --case N` runs it again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from random import Random

from tests.fuzz.judge import HEAD, Tally

PARSER_SECONDS = 3600
RULE_CASES = 2000


def main() -> int:
    """Runs what was asked for, each parser in a process of its own, so that not even a crash of one is the end."""
    options = _options()
    if options.child:
        return _child(options)
    from tests.fuzz.parsers import PARSERS
    from tests.fuzz.rules import RULES

    names = [name for name in (*PARSERS, *map(by_rule, RULES)) if options.only is None or options.only in name]
    if not names:
        print(f"no parser {options.only!r}; known: {', '.join((*PARSERS, *map(by_rule, RULES)))}", file=sys.stderr)
        return 2
    if not options.json:
        print(HEAD, flush=True)
    tallies = []
    for name in names:
        tallies.append(_in_child(name, options))
        if not options.json:
            print(tallies[-1].row(), flush=True)
    return _summary(tallies, options)


def by_rule(name: str) -> str:
    """Returns what the cases that hypothesis builds are called in the table."""
    return f"{name}, rule"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, help="of each parser; default: its share of 100,000 and more")
    parser.add_argument("--only", metavar="PARSER", help="those with this in their names")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="only the case of this number, with its traceback")
    parser.add_argument("--weak", action="store_true", help="list messages that say no next step")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_child(name: str, options: argparse.Namespace) -> Tally:
    words = [sys.executable, "-m", "tests.fuzz", "--child", f"--only={name}", f"--seed={options.seed}"]
    words += ["--cases", str(options.cases)] if options.cases is not None else []
    words += ["--case", str(options.case)] if options.case is not None else []
    surroundings = {**os.environ, "OPENCV_LOG_LEVEL": "OFF", "OPENCV_FFMPEG_LOGLEVEL": "-8", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=said, env=surroundings, timeout=PARSER_SECONDS, check=False
        )
        said.seek(0)
        told = said.read().decode(errors="replace")
    if done.returncode == 0:
        return Tally(**json.loads(done.stdout.splitlines()[-1]))
    last = (told.strip().splitlines() or ["nothing said"])[-1]
    if options.case is not None:
        print(told, file=sys.stderr)
    return Tally(parser=name, failures=[f"{name}: the process ended with code {done.returncode}: {last}"])


def _child(options: argparse.Namespace) -> int:
    from tests.fuzz.parsers import PARSERS

    shared, tally, began = Path("/dev/shm"), Tally(parser=options.only), time.perf_counter()
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as place:
        folder = Path(place) / "fuzz"
        folder.mkdir()
        (_spoil if options.only in PARSERS else _build)(tally, folder, options)
    tally.seconds = time.perf_counter() - began
    print(json.dumps(asdict(tally)))
    return 0


def _spoil(tally: Tally, folder: Path, options: argparse.Namespace) -> None:
    from tests.fuzz.judge import judge, limit_memory
    from tests.fuzz.parsers import PARSERS

    name, parser = options.only, PARSERS[options.only]
    cases = parser.prepare(folder)
    with contextlib.suppress(Exception):
        cases(Random(0))()  # what is imported and remembered at first is not the case's
    limit_memory()
    numbers = range(options.cases or parser.cases) if options.case is None else [options.case]
    for number in numbers:
        case = f"{name} --seed {options.seed} --case {number}"
        act = cases(Random(f"{options.seed} {name} {number}"))
        if options.case is not None:
            act()
        judge(tally, case, act)


def _build(tally: Tally, folder: Path, options: argparse.Namespace) -> None:
    from hypothesis import HealthCheck, Phase, given, seed, settings

    from tests.fuzz.judge import judge, limit_memory
    from tests.fuzz.rules import RULES

    strategy, prepare = next(rule for name, rule in RULES.items() if by_rule(name) == options.only)
    case, number = prepare(folder), options.cases or RULE_CASES
    limit_memory()

    @seed(options.seed)
    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value: object) -> None:
        judge(tally, f"{options.only} --seed {options.seed}: {value!r:.300}", case(value))

    run()


def _summary(tallies: list[Tally], options: argparse.Namespace) -> int:
    total = Tally(parser="all")
    for each in tallies:
        total.cases, total.read, total.refused = (
            total.cases + each.cases,
            total.read + each.read,
            total.refused + each.refused,
        )
        total.failures += each.failures
        total.slowest_s, total.seconds = max(total.slowest_s, each.slowest_s), total.seconds + each.seconds
    if options.json:
        print(json.dumps({"seed": options.seed, "parsers": [asdict(each) for each in tallies]}, indent=2))
    else:
        print(total.row())
        print(f"\nseed {options.seed}, {total.seconds:.0f} s")
        for line in [line for each in tallies for line in each.failures[:10]]:
            print(f"FAILED {line}")
        for line in [line for each in tallies for line in each.weak.values()] if options.weak else ():
            print(f"no next step: {line}")
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
