"""A folder that is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from results.export import FRONT_CSV, member_file, whole_folder


def export(out: Path, text: str = "new", *, force: bool = False) -> None:
    with whole_folder(out, force=force) as staging:
        (staging / FRONT_CSV).write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    export(tmp_path / "deep" / "out")
    assert names(tmp_path / "deep") == ["out"] and names(tmp_path / "deep" / "out") == [FRONT_CSV]
    assert (tmp_path / "deep" / "out").stat().st_mode & 0o777 == 0o755


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "out") as staging:
        (staging / "half").touch()
        raise RuntimeError("full")
    assert names(tmp_path) == []


def test_a_full_folder_is_refused_and_force_replaces_only_exports(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    for force in (False, True):
        with pytest.raises(FileExistsError):
            export(out, force=force)
    assert (out / "thesis.txt").read_text() == "precious"
    (out / "thesis.txt").rename(tmp_path / "thesis.txt")
    export(out, "first")
    (out / "more").touch()
    with pytest.raises(FileExistsError, match="--force"):
        export(out, "second")
    export(out, "third", force=True)
    assert (out / FRONT_CSV).read_text() == "third" and names(out) == [FRONT_CSV]
    assert names(tmp_path) == ["out", "thesis.txt"]
    with pytest.raises(FileExistsError, match="is a file"):
        export(tmp_path / "thesis.txt", force=True)


def test_members_are_named_by_rank_and_key() -> None:
    assert member_file(3, "abc") == "03-abc.yaml"
