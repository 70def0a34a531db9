"""Injects faults into real searches, trainings and exports, and counts what was lost.

    python -m tests.faults                      # all kinds, ten times each
    python -m tests.faults --only Ctrl-C --times 50

The exit code is 1 if a trial was lost or counted twice, or if a message does not say what to do next.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    """Runs the bench and prints its table."""
    options = arguments()
    import tests.faults.preload  # noqa: F401  so that children need not import anything
    from tests.faults.bench import KINDS, run_kind
    from tests.faults.table import as_markdown, write_docs

    kinds = [kind for kind in KINDS.values() if not options.only or any(each in kind.name for each in options.only)]
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        out = Path(options.out or scratch).absolute()
        lines = []
        for kind in kinds:
            if not kind.possible():
                print(f"{kind.name}: left out, a disk cannot be mounted here", file=sys.stderr)
                continue
            began = time.monotonic()
            line = run_kind(kind, options.times, out, options.seed, lambda text: print(text, file=sys.stderr))
            lines.append(line)
            (out / "results.json").write_text(json.dumps([each.to_dict() for each in lines], indent=2))
            took = time.monotonic() - began
            print(f"{kind.name}: {len(line.outcomes)} in {took:.0f} s{'' if line.good else ', BAD'}", file=sys.stderr)
    found = [line.to_dict() for line in lines]
    print(json.dumps(found, indent=2) if options.json else as_markdown(found))
    if options.docs:
        write_docs(found)
    return 0 if all(line.good for line in lines) else 1


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=10, help="Injections of each kind; slow kinds have a part of it.")
    parser.add_argument("--only", action="append", metavar="KIND", help="A part of a kind's name; may be repeated.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--docs", action="store_true", help="Write the table into docs/reliability.md.")
    parser.add_argument("--out", metavar="DIR", help="Where what went wrong is left. Default: a temporary folder.")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
