"""Pages and channels of an image that are not read are a defect that says how many there are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.trainers.data_sets import write_yolo_set
from tests.trainers.tiff_files import EXTRA, PHOTOMETRIC, SUBFILE, write_tiff
from trainers.data import open_data
from trainers.data.check import check_data
from trainers.data.defects import BrokenFile, Defect
from trainers.data.images import ImageError, read_image, read_rgb
from trainers.data.pixel_layout import PixelLayout, pixel_layout

BANDS = Path(__file__).parents[1] / "data" / "cases" / "11-tiff-bands"
HW = (48, 64)
GREY, COLOR, SMALL = np.zeros(HW, np.uint8), np.zeros((*HW, 3), np.uint8), np.zeros((24, 32), np.uint8)


def channels(count: int, dtype: str = "uint8") -> np.ndarray:
    return np.zeros((*HW, count), dtype)


def test_eight_pages_and_channels_are_defects() -> None:
    defects = {(each.kind, Path(each.file).name): each for each in check_data(BANDS).defects}
    assert defects.keys() == {
        ("unsupported_channels", "data.yaml"),
        ("extra_pages", "train0.tiff"),
        ("extra_pages", "val0.tiff"),
    }
    assert defects["unsupported_channels", "data.yaml"].line == 4
    assert defects["unsupported_channels", "data.yaml"].what.startswith("channels is 8, and 3 are read")
    assert defects["extra_pages", "val0.tiff"].what == "val0.tiff: 8 pages, 1 is read"
    with pytest.raises(BrokenFile, match="channels is 8, and 3 are read") as caught:
        open_data(BANDS)
    assert caught.value.defect.kind == "unsupported_channels"


def test_the_first_page_is_read_without_the_key_and_that_is_told(tmp_path: Path) -> None:
    folder = shutil.copytree(BANDS, tmp_path / "set")
    yaml = folder / "data.yaml"
    yaml.write_text(yaml.read_text().replace("channels: 8\n", ""))
    splits = open_data(folder)
    assert any("2 images with more than one page, of which the first is read" in each for each in splits.notices)
    assert splits.train.image(0).shape == (40, 60, 3)
    assert [each.kind for each in check_data(folder).defects] == ["extra_pages"] * 2


@pytest.mark.parametrize("value", ["8", "4", "2", "0", "-3", "true", "x", "[3]", "3.5"])
def test_channels_of_a_data_yaml_that_are_refused(value: str, tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path)
    (folder / "data.yaml").write_text(f"train: images\nval: images\nchannels: {value}\nnames: [person, car]\n")
    with pytest.raises(BrokenFile, match="channels is .*, and 3 are read"):
        open_data(folder)
    (defect,) = check_data(folder).defects
    assert (defect.kind, defect.line) == ("unsupported_channels", 3)


@pytest.mark.parametrize("value", ["3", "1", "null", "3.0"])
def test_channels_of_a_data_yaml_that_are_read(value: str, tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path)
    (folder / "data.yaml").write_text(f"train: images\nval: images\nchannels: {value}\nnames: [person, car]\n")
    assert len(open_data(folder).train) == 3 and check_data(folder).defects == ()


Files = tuple[Sequence[np.ndarray], Sequence[Mapping[int, int]]]
LOST: dict[str, tuple[Files, str, str]] = {
    "two pages": (([GREY, GREY], []), "extra_pages", "2 pages, 1 is read"),
    "pages of 16 bits": (([channels(1, "uint16")[..., 0]] * 5, []), "extra_pages", "5 pages, 1 is read"),
    "pages of other sizes": (([COLOR, SMALL, SMALL], []), "extra_pages", "3 pages, 1 is read"),
    "a page and a reduced one": (([GREY, GREY, SMALL], [{}, {}, {SUBFILE: 1}]), "extra_pages", "2 pages, 1 is read"),
    "colour and infrared": (
        ([channels(4)], [{PHOTOMETRIC: 2, EXTRA: 0}]),
        "extra_channels",
        "4 channels, 3 are read",
    ),
    "colour and infrared of 16 bits": (
        ([channels(4, "uint16")], [{PHOTOMETRIC: 2, EXTRA: 0}]),
        "extra_channels",
        "4 channels, 3 are read",
    ),
    "four bands": (([channels(4)], [{PHOTOMETRIC: 1, EXTRA: 0}]), "extra_channels", "4 channels, 1 is read"),
    "three bands": (([channels(3)], [{PHOTOMETRIC: 1, EXTRA: 0}]), "extra_channels", "3 channels, 1 is read"),
    "two polarisations": (([channels(2)], [{PHOTOMETRIC: 1, EXTRA: 0}]), "extra_channels", "2 channels, 1 is read"),
}
KEPT: dict[str, Files] = {
    "grey": ([GREY], []),
    "colour": ([COLOR], []),
    "alpha": ([channels(4)], [{PHOTOMETRIC: 2, EXTRA: 2}]),
    "premultiplied alpha": ([channels(4)], [{PHOTOMETRIC: 2, EXTRA: 1}]),
    "a fourth channel without a word": ([channels(4)], [{PHOTOMETRIC: 2}]),
    "grey and alpha": ([channels(2)], [{PHOTOMETRIC: 1, EXTRA: 2}]),
    "reduced versions": ([COLOR, SMALL, SMALL], [{}, {SUBFILE: 1}, {SUBFILE: 1}]),
    "a mask": ([COLOR, GREY], [{}, {SUBFILE: 4}]),
    "CMYK": ([channels(4)], [{PHOTOMETRIC: 5}]),
}
UNREADABLE: dict[str, tuple[Files, int]] = {
    "eight bands": (([channels(8)], [{PHOTOMETRIC: 1, EXTRA: 0}]), 8),
    "five bands": (([channels(5)], [{PHOTOMETRIC: 2, EXTRA: 0}]), 5),
    "two bands of 16 bits": (([channels(2, "uint16")], [{PHOTOMETRIC: 1, EXTRA: 0}]), 2),
}


def checked(folder: Path, files: Files) -> tuple[Path, list[Defect]]:
    """Returns the path of an image in a small YOLO set, and the defects of the set."""
    write_yolo_set(folder)
    path = folder / "images" / "a.png"
    write_tiff(path, *files)
    return path, list(check_data(folder).defects)


@pytest.mark.parametrize("name", LOST)
def test_what_is_not_read_of_an_image_is_a_defect(name: str, tmp_path: Path) -> None:
    files, kind, what = LOST[name]
    path, defects = checked(tmp_path, files)
    assert [(each.kind, each.file, each.what) for each in defects] == [(kind, str(path), f"a.png: {what}")]
    assert read_rgb(path, (0, 1)).shape == (*HW, 3)


@pytest.mark.parametrize("name", KEPT)
def test_alpha_and_reduced_versions_are_no_defect(name: str, tmp_path: Path) -> None:
    path, defects = checked(tmp_path, KEPT[name])
    assert defects == [] and read_rgb(path).shape == (*HW, 3)


@pytest.mark.parametrize("name", UNREADABLE)
def test_channels_that_cannot_be_decoded_are_counted_in_the_message(name: str, tmp_path: Path) -> None:
    files, count = UNREADABLE[name]
    path, (defect,) = checked(tmp_path, files)
    words = f"has {count} channels, of which none can be read"
    assert defect.kind == "unreadable_image" and words in defect.what
    with pytest.raises(ImageError, match=words):
        read_image(path)


def test_alpha_of_a_png_stays_what_it_is(tmp_path: Path) -> None:
    PIL.Image.new("RGBA", (64, 48), (1, 2, 3, 4)).save(tmp_path / "a.png")
    assert pixel_layout(tmp_path / "a.png") == PixelLayout()
    assert read_rgb(tmp_path / "a.png")[0, 0].tolist() == [1, 2, 3]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow
def test_damaged_and_missing_files_have_the_usual_layout(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tiff", [GREY, GREY])
    raw = path.read_bytes()
    for length in range(0, len(raw), 97):
        path.write_bytes(raw[:length])
        assert pixel_layout(path).num_pages <= 2
    assert pixel_layout(tmp_path / "none.tiff") == PixelLayout()


def test_pages_that_link_to_each_other_end(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tiff", [GREY])
    raw = bytearray(path.read_bytes())
    raw[-4:] = raw[4:8]
    path.write_bytes(raw)
    assert pixel_layout(path).num_pages == 1


@pytest.mark.parametrize("suffix", [".gif", ".mpo"])
def test_further_images_in_a_gif_or_mpo_are_pages(suffix: str, tmp_path: Path) -> None:
    images = [PIL.Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 100, 200)]
    images[0].save(tmp_path / f"one{suffix}")
    images[0].save(tmp_path / f"three{suffix}", save_all=True, append_images=images[1:])
    assert [pixel_layout(tmp_path / f"{name}{suffix}").num_pages for name in ("one", "three")] == [1, 3]
    assert [kind for kind, _ in pixel_layout(tmp_path / f"three{suffix}").lost()] == ["extra_pages"]
