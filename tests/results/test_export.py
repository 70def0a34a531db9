"""The export of a front: complete or not there at all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from results import records
from results.export import export_front, member_file


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run with two front members, weights for the first."""
    run = tmp_path / "run"
    rows = [
        {"number": 0, "outcome": "complete", "key": "aa", "macs": 9, "accuracy": 0.4},
        {"number": 1, "outcome": "complete", "key": "bb", "macs": 3, "accuracy": 0.2},
    ]
    (run / "front").mkdir(parents=True)
    (run / "weights").mkdir()
    records.write(records.frame(rows), run / records.TRIALS_CSV)
    for rank, key in enumerate(("aa", "bb"), start=1):
        (run / "front" / member_file(rank, key)).write_text(key)
    (run / "weights" / "aa.pt").write_bytes(b"weights")
    return run


def test_export_copies_members_weights_and_table(run_dir: Path, tmp_path: Path) -> None:
    export_front(run_dir, tmp_path / "deep" / "out")
    out = tmp_path / "deep" / "out"
    assert sorted(path.name for path in out.iterdir()) == ["01-aa.pt", "01-aa.yaml", "02-bb.yaml", "front.csv"]
    assert pd.read_csv(out / "front.csv")["architecture_file"].tolist() == ["01-aa.yaml", "02-bb.yaml"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_export_leaves_nothing_when_a_file_is_missing(run_dir: Path, tmp_path: Path) -> None:
    (run_dir / "front" / "02-bb.yaml").unlink()
    with pytest.raises(FileNotFoundError):
        export_front(run_dir, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_export_refuses_a_full_folder_and_force_replaces_only_exports(run_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    for force in (False, True):
        with pytest.raises(FileExistsError):
            export_front(run_dir, out, force=force)
    assert (out / "thesis.txt").read_text() == "precious"
    (out / "thesis.txt").rename(tmp_path / "thesis.txt")
    export_front(run_dir, out)
    (out / "02-bb.yaml").write_text("changed")
    with pytest.raises(FileExistsError, match="--force"):
        export_front(run_dir, out)
    export_front(run_dir, out, force=True)
    assert (out / "02-bb.yaml").read_text() == "bb"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run", "thesis.txt"]


def test_export_of_a_run_without_a_front(tmp_path: Path) -> None:
    records.write(records.frame([]), tmp_path / records.TRIALS_CSV)
    with pytest.raises(FileNotFoundError, match="no complete trial"):
        export_front(tmp_path, tmp_path / "out")
