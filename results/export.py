"""Copies the front of a run to a folder of its own, to be trained or deployed from there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from results.records import front, load, write

FRONT_CSV = "front.csv"


def member_file(rank: int, key: str) -> str:
    """Names the architecture file of a front member: its rank by accuracy from 1, and its key."""
    return f"{rank:02d}-{key}.yaml"


def export_front(run_dir: Path, out_dir: Path, *, force: bool = False) -> pd.DataFrame:
    """Copies architectures, weights where there are any, and a table of the front of a run to `out_dir`.

    Everything is written to a temporary folder beside `out_dir` which is then renamed, so that nothing half
    written stays. With `force` an earlier export is replaced, and nothing else ever is.

    Returns:
        The front, most accurate first, with the columns `architecture_file` and `weights_file` (relative names).

    Raises:
        FileNotFoundError: If the run has no front, or lacks a file of it.
        FileExistsError: If `out_dir` holds something that may not be replaced.
    """
    members = front(load(run_dir))
    if members.empty:
        raise FileNotFoundError(f"{run_dir} has no complete trial yet, so there is no front; next: nas run --resume")
    _check_target(out_dir, force)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}-", dir=out_dir.parent))
    try:
        table = _fill(staging, run_dir, members)
        staging.chmod(0o755)
        _swap(staging, out_dir)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return table


def _check_target(out_dir: Path, force: bool) -> None:
    if out_dir.exists() and not out_dir.is_dir():
        raise FileExistsError(f"{out_dir} is a file; --out takes a folder")
    if not out_dir.is_dir() or not any(out_dir.iterdir()):
        return
    if not force:
        raise FileExistsError(f"{out_dir} is not empty; choose another --out, or --force to replace an earlier export")
    if not (out_dir / FRONT_CSV).is_file():
        raise FileExistsError(f"{out_dir} is no earlier export (it has no {FRONT_CSV}); --force replaces only those")


def _fill(staging: Path, run_dir: Path, members: pd.DataFrame) -> pd.DataFrame:
    """Copies every member's files into `staging` and returns the table with their names."""
    names: list[str] = []
    weights: list[str | None] = []
    for rank, key in enumerate(members["key"].tolist(), start=1):
        names.append(member_file(rank, key))
        shutil.copyfile(run_dir / "front" / names[-1], staging / names[-1])
        source = run_dir / "weights" / f"{key}.pt"
        weights.append(f"{Path(names[-1]).stem}.pt" if source.is_file() else None)
        if weights[-1] is not None:
            shutil.copyfile(source, staging / weights[-1])
    table: pd.DataFrame = members.copy()
    table["architecture_file"] = pd.array(names, dtype="string")
    table["weights_file"] = pd.array(weights, dtype="string")
    write(table, staging / FRONT_CSV)
    return table


def _swap(staging: Path, out_dir: Path) -> None:
    """Puts `staging` in the place of `out_dir`; what was there goes only when the new folder stands."""
    old = staging.with_name(staging.name + ".old")
    if out_dir.is_dir():
        os.rename(out_dir, old)
    try:
        os.rename(staging, out_dir)
    except OSError:
        if old.is_dir():
            os.rename(old, out_dir)
        raise
    shutil.rmtree(old, ignore_errors=True)
