"""Images of more than 8 bits are scaled from the range of their set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space.errors import ConfigError
from tests.trainers.tiff_files import write_tiff
from trainers.data import open_data
from trainers.data.check import check_data
from trainers.data.convert import convert_data
from trainers.data.images import ImageError, read_image
from trainers.data.pixel_range import range_of, sampled, scale_to_8_bits

DATA = Path(__file__).parents[1] / "data"
THERMAL = DATA / "cases" / "10-16-bit-flat"
HW = (24, 32)
Image = np.ndarray


def thermal(low: float, high: float, dtype: str = "uint16", seed: int = 0) -> Image:
    """Returns noise in the lower third of a range, and an object of 4x4 pixels in its upper third."""
    random = np.random.default_rng(seed)
    third = (high - low) / 3
    pixels = random.uniform(low, low + third, HW)
    pixels[8:12, 8:12] = random.uniform(high - third, high, (4, 4))
    return pixels.astype(dtype)


def write(folder: Path, images: list[Image], suffix: str = ".tiff") -> Path:
    """Writes a YOLO set with all but the last image in `train`, and the last one in `val`."""
    for number, pixels in enumerate(images):
        part = "val" if number == len(images) - 1 else "train"
        path = folder / "images" / part / f"{number}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".tiff":
            write_tiff(path, [pixels])
        else:
            path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        label = folder / "labels" / part / f"{number}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("0 0.3125 0.416667 0.125 0.166667\n")
    (folder / "classes.txt").write_text("hot\n")
    return folder


def test_thermal_frames_use_all_grey_levels() -> None:
    splits = open_data(THERMAL / "data.yaml")
    assert splits.pixel_range == (7200.0, 7546.0) == splits.val.pixel_range
    image = splits.train.image(0)[:, :, 0].astype(int)
    assert (image.min(), image.max()) == (0, 255) and len(np.unique(image)) > 60
    object_, background = image[8:10, 10:14].mean(), np.median(image)
    assert object_ - background > 150
    (notice,) = [each for each in splits.notices if "more than 8 bits" in each]
    assert "4 images of more than 8 bits: values 7200 to 7546 become 0 to 255" in notice


def test_the_check_states_the_range(tmp_path: Path) -> None:
    report = check_data(THERMAL)
    assert report.defects == () and report.pixel_range == (7200.0, 7546.0)
    note = next(each for each in report.notes if each.kind == "deep_pixels")
    assert (note.count, note.what) == (4, "images of more than 8 bits: values 7200 to 7546 become 0 to 255")
    assert report.to_dict()["pixel_range"] == (7200.0, 7546.0)
    assert check_data(THERMAL, pixel_range=(7000, 8000)).pixel_range == (7000, 8000)


def with_border(pixels: Image) -> Image:
    pixels[:, :3] = 0
    return pixels


def with_ends(pixels: Image) -> Image:
    pixels[0, :4], pixels[1, :4] = 0, 65_535
    return pixels


def with_nan(pixels: Image) -> Image:
    pixels[0] = np.nan
    return pixels


def with_alpha(pixels: Image) -> Image:
    return np.dstack([pixels, pixels, pixels, thermal(0, 65_535)])


RANGES: dict[str, tuple[Callable[[int], Image], str, tuple[float, float]]] = {
    "16 bits": (lambda seed: thermal(7200, 7550, seed=seed), ".tiff", (7200, 7550)),
    "a png of 16 bits": (lambda seed: thermal(29_000, 31_000, seed=seed), ".png", (29_000, 31_000)),
    "colour": (lambda seed: np.dstack([thermal(100, 900, seed=seed + each) for each in range(3)]), ".png", (100, 900)),
    "alpha": (lambda seed: with_alpha(thermal(7200, 7550, seed=seed)), ".png", (7200, 7550)),
    "signed": (lambda seed: thermal(-2000, 3500, "int16", seed), ".tiff", (-2000, 3500)),
    "32 bits": (lambda seed: thermal(70_000, 90_000, "uint32", seed), ".tiff", (70_000, 90_000)),
    "signed 32 bits": (lambda seed: thermal(-9000, 90_000, "int32", seed), ".tiff", (-9000, 90_000)),
    "kelvin": (lambda seed: thermal(285.5, 310.25, "float32", seed), ".tiff", (285.5, 310.25)),
    "64-bit floats": (lambda seed: thermal(0, 1, "float64", seed), ".tiff", (0, 1)),
    "no number": (lambda seed: with_nan(thermal(285.5, 310.25, "float32", seed)), ".tiff", (285.5, 310.25)),
    "a border without data": (lambda seed: with_border(thermal(7200, 7550, seed=seed)), ".tiff", (7200, 7550)),
    "dead and hot pixels": (lambda seed: with_ends(thermal(7200, 7550, seed=seed)), ".tiff", (7200, 7550)),
}


@pytest.mark.parametrize("name", RANGES)
def test_the_range_of_the_values_is_found(name: str, tmp_path: Path) -> None:
    make, suffix, (low, high) = RANGES[name]
    folder = write(tmp_path / "set", [make(seed) for seed in range(5)], suffix)
    splits = open_data(folder)
    assert splits.pixel_range is not None
    assert splits.pixel_range == pytest.approx((low, high), abs=0.03 * (high - low))
    for dataset in (splits.train, splits.val):
        image = dataset.image(0)
        assert image.shape == (*HW, 3) and image.dtype == np.uint8
        assert image[8:12, 8:12].min() > 160 > 90 > np.median(image)
    assert check_data(folder).defects == ()


def test_the_range_is_that_of_the_training_images_and_can_be_given(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", [*(thermal(1000, 2000, seed=seed) for seed in range(3)), thermal(1500, 9000)])
    splits = open_data(folder)
    assert splits.pixel_range == pytest.approx((1000, 2000), abs=20)
    assert splits.val.image(0)[8:12, 8:12].min() == 255
    wide = open_data(folder, pixel_range=(0, 10_000))
    assert wide.pixel_range == (0, 10_000) and wide.val.image(0)[8:12, 8:12].max() < 255
    assert wide.train.fingerprint() != splits.train.fingerprint() != open_data(folder).val.fingerprint()
    assert open_data(folder).train.fingerprint() == splits.train.fingerprint()


@pytest.mark.parametrize("pixel_range", [(5, 5), (6, 5), (float("nan"), 5), (0, float("inf"))])
def test_a_range_that_does_not_rise_is_refused(pixel_range: tuple[float, float], tmp_path: Path) -> None:
    for call in (
        lambda: open_data(THERMAL, pixel_range=pixel_range),
        lambda: check_data(THERMAL, pixel_range=pixel_range),
        lambda: convert_data(THERMAL, tmp_path / "out", to="coco", pixel_range=pixel_range),
    ):
        with pytest.raises(ConfigError, match="--range is"):
            call()
    assert not list(tmp_path.iterdir())


def test_a_set_of_8_bits_has_no_range_and_stays_as_it_is(tmp_path: Path) -> None:
    splits = open_data(DATA / "hit_uav")
    assert splits.pixel_range is None and not any("8 bits" in each for each in splits.notices)
    assert (splits.train.fingerprint(), splits.val.fingerprint()) == ("9b1584a5b6b965b0", "2a68c2ef95fea168")
    assert "pixel_range" not in check_data(DATA / "hit_uav").to_dict()
    folder = write(tmp_path / "mixed", [thermal(0, 255, "uint8", 1), thermal(7200, 7550), thermal(0, 255, "uint8", 2)])
    mixed = open_data(folder)
    assert mixed.pixel_range == pytest.approx((7200, 7550), abs=10)
    assert (mixed.train.image(0)[:, :, 0] == thermal(0, 255, "uint8", 1)).all()
    told = open_data(DATA / "hit_uav", pixel_range=(0, 9)).notices
    assert any("no image is known to have more than 8 bits" in each for each in told)


def test_an_undivided_set_has_the_range_of_its_training_images(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for number in range(5):
        write_tiff(folder / "images" / f"{number}.tiff", [thermal(1000, 2000 if number < 4 else 9000)])
        label = folder / "labels" / f"{number}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("0 0.3125 0.416667 0.125 0.166667\n")
    (folder / "classes.txt").write_text("hot\n")
    splits = open_data(folder)
    assert splits.pixel_range == splits.val.pixel_range == pytest.approx((1000, 2000), abs=40)
    assert splits.val.image(0)[8:12, 8:12].min() == 255


def test_only_val_has_16_bits(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", [thermal(0, 255, "uint8"), thermal(7200, 7550)])
    assert open_data(folder).pixel_range == pytest.approx((7200, 7550), abs=10)


def test_16_bits_in_a_file_named_jpg_are_told_by_check_and_reading_alike(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", [thermal(7200, 7550, seed=seed) for seed in range(2)], ".jpg")
    splits = open_data(folder)
    with pytest.raises(ImageError, match="no range is known to scale them from; give it with --range LOW HIGH"):
        splits.train.image(0)
    assert {each.kind for each in check_data(folder).defects} == {"unreadable_image"}
    assert open_data(folder, pixel_range=(7200, 7550)).train.image(0).max() > 240
    assert check_data(folder, pixel_range=(7200, 7550)).defects == ()


def test_the_sample_does_not_depend_on_the_order_of_the_files() -> None:
    paths = [Path(f"{number:03}.png") for number in range(200)]
    chosen = sampled(reversed(paths))
    assert chosen == sampled(paths) and len(chosen) == 64 and (chosen[0], chosen[-1]) == (paths[0], paths[-1])
    assert sampled(paths[:2]) == paths[:2] and sampled([]) == []


def test_equal_values_and_none_at_all() -> None:
    assert range_of([np.full((2, 2), 7, np.uint16)]) == (7, 8)
    assert range_of([]) is None and range_of([np.full((2, 2), np.nan)]) is None


@given(
    st.lists(st.integers(0, 65_535), min_size=1, max_size=9),
    st.floats(-1e5, 1e5),
    st.floats(1e-3, 1e5),
)
def test_scaling_keeps_the_order_and_does_not_depend_on_the_type(values: list[int], low: float, width: float) -> None:
    pixels = np.sort(np.array(values, np.uint16))
    scaled = scale_to_8_bits(pixels, (low, low + width))
    assert scaled.dtype == np.uint8 and (np.diff(scaled.astype(int)) >= 0).all()
    assert (scaled == scale_to_8_bits(pixels.astype(np.float64), (low, low + width))).all()
    assert (scaled[pixels <= low] == 0).all() and (scaled[pixels >= low + width] == 255).all()


def test_a_window_is_converted_with_the_range(tmp_path: Path) -> None:
    write_tiff(tmp_path / "set" / "a.tiff", [thermal(7200, 7550)])
    images = [
        {"id": number, "file_name": "a.tiff", "width": 16, "height": 24, "corner": [x, 0, x + 16, 24]}
        for number, x in enumerate((0, 16))
    ]
    boxes = [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [8, 8, 4, 4]}]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "hot"}]}
    (tmp_path / "set" / "set.json").write_text(json.dumps(content))
    done = convert_data(tmp_path / "set", tmp_path / "out", to="yolo", pixel_range=(7200, 7550))
    assert (
        "windows of images of more than 8 bits are written with 8: values 7200 to 7550 become 0 to 255" in done.losses
    )
    written = sorted((tmp_path / "out").rglob("*.png"))
    whole = read_image(tmp_path / "set" / "a.tiff", pixel_range=(7200, 7550))
    windows = [read_image(path) for path in written]
    assert len(windows) == 2 and (np.hstack(windows) == whole).all()
