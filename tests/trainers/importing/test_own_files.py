"""Files that this program wrote, given where a published file is expected."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import nas
from search_space import DESIGNS
from search_space.errors import ConfigError
from trainers import fresh_detector, save_weights
from trainers.importing.foreign import read_foreign
from trainers.importing.opening import open_weights
from trainers.importing.own_files import OwnFileError
from trainers.weights import ForeignFileError

DESIGN = "yolov8n-p2-nop5"
SUFFIXES = (".pt", ".safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of one detector in both formats."""
    home = tmp_path_factory.mktemp("own")
    architecture = DESIGNS.get(DESIGN).architecture
    detector = fresh_detector(architecture, num_classes=2, seed=0)
    for suffix in SUFFIXES:
        save_weights(home / f"w{suffix}", detector, architecture.to_dict(), ("car", "bus"))
    return home


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_weights_file_needs_no_import(suffix: str, folder: Path) -> None:
    with pytest.raises(OwnFileError, match="is a weights file of nas already; it needs no import"):
        read_foreign(folder / f"w{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_weights_file_with_the_suffix_of_another_format_is_told(suffix: str, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / f"w{next(each for each in SUFFIXES if each != suffix)}"
    shutil.copy(folder / f"w{suffix}", other)
    with pytest.raises(ConfigError, match=f"next: rename it, so that it ends with {suffix}$"):
        open_weights(other)


def test_a_damaged_weights_file_is_not_called_a_whole_one(folder: Path, tmp_path: Path) -> None:
    content = bytearray((folder / "w.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(ForeignFileError, match="or it is damaged"):
        open_weights(tmp_path / "w.pt")


def test_tensors_without_metadata_are_read(folder: Path, tmp_path: Path) -> None:
    import safetensors.torch

    state = open_weights(folder / "w.safetensors").state
    safetensors.torch.save_file(state, tmp_path / "plain.safetensors")
    assert read_foreign(tmp_path / "plain.safetensors").state.keys() == state.keys()


def test_a_model_that_was_exported_names_its_weights(tmp_path: Path) -> None:
    exported = nas.export(DESIGN, out=tmp_path / "exported", formats="onnx", input_hw=(64, 64))
    model = next(exported.front[0].path.parent.glob("*.onnx"))
    with pytest.raises(ConfigError, match="is a model that nas exported; .*; next: give the file weights.safetensors"):
        read_foreign(model)
