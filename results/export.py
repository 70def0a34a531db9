"""Atomic folders, and the names of the members of a front."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FRONT_CSV = "front.csv"
"""The table in an export, which identifies an export."""


def member_name(rank: int, key: str) -> str:
    """Returns the name of a member of the front: its rank by accuracy, from 1, and its key."""
    return f"{rank:02d}-{key}"


def member_file(rank: int, key: str) -> str:
    """Returns the name of the architecture file of a member of the front."""
    return f"{member_name(rank, key)}.yaml"


@contextmanager
def whole_folder(out_dir: Path, *, force: bool = False) -> Iterator[Path]:
    """Yields a temporary folder that becomes `out_dir` at the end, so that no incomplete folder is left.

    With `force` an earlier export is replaced; other folders never are.

    Raises:
        FileExistsError: `out_dir` may not be replaced.
    """
    _check_target(out_dir, force)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}-", dir=out_dir.parent))
    try:
        yield staging
        staging.chmod(0o755)
        _swap(staging, out_dir)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_target(out_dir: Path, force: bool) -> None:
    if out_dir.exists() and not out_dir.is_dir():
        raise FileExistsError(f"{out_dir} is a file; --out takes a folder")
    if not out_dir.is_dir() or not any(out_dir.iterdir()):
        return
    if not force:
        raise FileExistsError(f"{out_dir} is not empty; choose another --out, or --force to replace an earlier export")
    if not (out_dir / FRONT_CSV).is_file():
        raise FileExistsError(f"{out_dir} is no earlier export (it has no {FRONT_CSV}); --force replaces only those")


def _swap(staging: Path, out_dir: Path) -> None:
    """Replaces `out_dir` by `staging`; the old folder is deleted last."""
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
