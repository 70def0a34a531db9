"""Weights files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from search_space import DESIGNS
from search_space.errors import ConfigError
from trainers import fresh_detector, load_weights, save_weights

ARCH = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((64, 64))


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
    with pytest.raises(ConfigError, match="no weights file"):
        load_weights(tmp_path / "w.pt")


def test_missing_incomplete_and_unsafe_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read weights file .*No such file"):
        load_weights(tmp_path / "none.pt")
    torch.save({"state": {}}, tmp_path / "part.pt")
    with pytest.raises(ConfigError, match="lacks architecture, classes"):
        load_weights(tmp_path / "part.pt")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "module.pt")
    with pytest.raises(ConfigError, match="no weights file"):
        load_weights(tmp_path / "module.pt")


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    detector = fresh_detector(ARCH, num_classes=2, seed=0)
    save_weights(tmp_path / "w.pt", detector, ARCH.to_dict(), ("a", "b", "c"))
    with pytest.raises(ConfigError, match="do not fit"):
        load_weights(tmp_path / "w.pt").detector()
