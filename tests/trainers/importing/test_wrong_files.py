"""A file that is no checkpoint is told as what it is, with the next step."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from search_space.errors import ConfigError
from tests.trainers.importing.foreign_files import FIXTURES, MARK, archive, dictionary, tensor
from trainers.importing import file_kinds
from trainers.importing.foreign import read_foreign


def packed(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, content)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("w.pt"))
    return buffer.getvalue()


PAGE = "is an HTML page, not the file; next: open the link in a browser"
FILES = {
    "empty": (b"", "is empty; next: download"),
    "page": (b"<!DOCTYPE html><html><body>Google Drive - Virus scan warning", PAGE),
    "page with a mark": (b"\xef\xbb\xbf\n  <HTML>", PAGE),
    "answer of a store": (b"<?xml version='1.0'?><Error>", PAGE),
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "is a Git LFS pointer, not the file itself",
    ),
    "gzip": (gzip.compress(b"x"), "is compressed with gzip; next: gunzip"),
    "tar": (tarred(), "is a tar archive; next: unpack"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", "is an HDF5 file of Keras"),
    "zip of something": (packed("model/w.pt", b"x"), "is a zip archive, but none of PyTorch; next: unpack"),
    "zip of nothing": (packed("data.pkl", b"x"), "is a zip archive, but none of PyTorch"),
    "text": (b"hello world", "is no checkpoint of a known format; next: give a PyTorch"),
    "picture": (b"\x89PNG\r\n\x1a\n", "is no checkpoint of a known format"),
    "json": (b'{"message": "Not Found"}', "is no checkpoint of a known format"),
    "other pickle": (pickle.dumps({"a": 1}), "is a pickle, but none of PyTorch; next: give a file"),
    "old pickle": (pickle.dumps({"a": 1}, 0), "is no checkpoint of a known format"),
    "cut pickle": (pickle.dumps("x" * 1000)[:50], "is a damaged checkpoint"),
    "one byte": (b"\x80", "is a damaged checkpoint"),
}


@pytest.mark.parametrize("case", FILES)
def test_what_is_no_checkpoint_is_told(case: str, tmp_path: Path) -> None:
    content, message = FILES[case]
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_foreign(path)
    assert str(caught.value).startswith(f"{path} {message}") and "; next: " in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_told_and_not_run(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "w.pt")
    with pytest.raises(
        ConfigError, match=r"is a TorchScript program, which is not read; next: save the state_dict\(\)"
    ):
        read_foreign(tmp_path / "w.pt")
    (tmp_path / "x.pt").write_bytes(archive(dictionary({"a": tensor()}), {"net/code/a.py": b""}))
    with pytest.raises(ConfigError, match="is a TorchScript program"):
        read_foreign(tmp_path / "x.pt")


@pytest.mark.parametrize("name", ["ultralytics_tiny.pt", "ultralytics_tiny.onnx"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_download_that_was_cut_off_is_told(name: str, share: float, tmp_path: Path) -> None:
    whole = (FIXTURES / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ConfigError, match="cut off"):
        read_foreign(tmp_path / name)


def test_what_is_no_file_is_told_and_nothing_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ConfigError, match="is a folder or a device; next: give a file"):
            read_foreign(path)
    for path, reason in ((tmp_path / "none.pt", "No such file"), (Path("a\0b"), "No such file")):
        with pytest.raises(ConfigError, match=f"cannot read .*{reason}.*; check the path"):
            read_foreign(path)


def test_the_size_of_a_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_kinds, "MAX_FILE_BYTES", 10)
    (tmp_path / "w.pt").write_bytes(MARK * 11)
    with pytest.raises(ConfigError, match="has 11 bytes; a checkpoint has at most 10"):
        read_foreign(tmp_path / "w.pt")
