"""Runs searches on several hosts, which are namespaces of this machine, and injects faults. Needs root.

    python -m tests.cluster                     # all cases, about ten minutes and few minutes of CPU time
    python -m tests.cluster --only PostgreSQL --only "Ray: all well"

The exit code is 1 if a trial was lost or counted twice, or if an exit code or a message is not as required.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path


def main() -> int:
    """Runs the cases and prints their table."""
    options = arguments()
    from tests.cluster.books import as_table
    from tests.cluster.cases import CASES
    from tests.cluster.hosts import may_make_hosts

    if not may_make_hosts():
        print("python -m tests.cluster needs root, unshare, nsenter and ip", file=sys.stderr)
        return 2
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the bench runs in the background
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [each for each in CASES.values() if not options.only or any(part in each.name for part in options.only)]
    lines, broken = [], 0
    for each in chosen:
        try:
            line = run_case(each, options)
        except RuntimeError as error:
            print(f"{each.name}: did not run: {error}", file=sys.stderr)
            broken += 1
            continue
        told = f"{each.name}: {line.seconds:.0f} s, {line.cpu_seconds:.0f} s of CPU time"
        print(told + ("" if line.good else f", BAD: {line.flaws}"), file=sys.stderr)
        lines.append(line)
    found = [line.to_dict() for line in lines]
    print(json.dumps(found, indent=2) if options.json else as_table(found) if found else "no case ran")
    return 0 if not broken and all(line.good for line in lines) else 1


def run_case(each, options: argparse.Namespace):  # type: ignore[no-untyped-def]
    """Runs one case in a network and a folder of its own; the folder of one that went wrong is kept with `--out`."""
    from tests.cluster.hosts import network
    from tests.cluster.scenes import ClusterScene

    with ExitStack() as closing:
        folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=options.out or "/var/tmp")).absolute()
        folder.chmod(0o755)
        if options.out is None:
            closing.callback(shutil.rmtree, folder, ignore_errors=True)
        shared = folder / "shared"
        shared.mkdir()
        hosts = closing.enter_context(network(folder))
        return each.play(ClusterScene(name=each.name, network=hosts, shared=shared, seconds=options.seconds))


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", metavar="CASE", help="A part of a case's name; may be repeated.")
    parser.add_argument("--seconds", type=float, default=4.0, help="Time that a training takes.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", metavar="DIR", help="Where the folders are left. Default: they are removed.")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
