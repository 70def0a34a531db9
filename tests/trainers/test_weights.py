"""Weights files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from search_space import DESIGNS
from search_space.errors import ConfigError, WriteError
from trainers import fresh_detector, load_weights, save_weights
from trainers.weights import load_state, write_torch

ARCH = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((64, 64))


@pytest.mark.slow
def test_round_trip_gives_the_same_outputs(tmp_path: Path) -> None:
    detector = fresh_detector(ARCH, num_classes=2, seed=4).eval()
    save_weights(tmp_path / "w.pt", detector, ARCH.to_dict(), ("a", "b"))
    loaded = load_weights(tmp_path / "w.pt")
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        pairs = zip(detector(images), loaded.detector()(images), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    assert loaded.classes == ("a", "b") and list(tmp_path.iterdir()) == [tmp_path / "w.pt"]


def test_initial_weights_follow_from_the_seed_alone() -> None:
    first, again, other = (fresh_detector(ARCH, num_classes=2, seed=seed).state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 broken"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(ConfigError, match="not a weights file"):
        load_weights(tmp_path / "w.pt")


def test_missing_incomplete_and_unsafe_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read weights file .*No such file"):
        load_weights(tmp_path / "none.pt")
    torch.save({"state": {}}, tmp_path / "part.pt")
    with pytest.raises(ConfigError, match="lacks architecture, classes"):
        load_weights(tmp_path / "part.pt")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "module.pt")
    with pytest.raises(ConfigError, match="not a weights file"):
        load_weights(tmp_path / "module.pt")


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    detector = fresh_detector(ARCH, num_classes=2, seed=0)
    save_weights(tmp_path / "w.pt", detector, ARCH.to_dict(), ("a", "b", "c"))
    with pytest.raises(ConfigError, match=r"do not fit the detector of \d+ tensors: \d+ of another shape \(first: "):
        load_weights(tmp_path / "w.pt").detector()
    state = {f"other.{number}": torch.zeros(1) for number in range(300)}
    with pytest.raises(ConfigError, match=r"missing \(first: .*, 300 unknown \(first: other.0\)") as caught:
        load_state(detector, state)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("part", [{"state": 3}, {"state": {"a": 1}}, {"classes": "ab"}, {"architecture": []}])
def test_parts_of_wrong_types_are_refused(tmp_path: Path, part: dict[str, object]) -> None:
    torch.save({"architecture": {}, "classes": ["a"], "state": {}, **part}, tmp_path / "w.pt")
    with pytest.raises(ConfigError, match="damaged weights file"):
        load_weights(tmp_path / "w.pt")


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WriteError, match=f"cannot write {tmp_path / 'w.pt'}: No space left on device; free disk space"):
        write_torch(tmp_path / "w.pt", {"a": torch.zeros(3)})
    assert list(tmp_path.iterdir()) == []
