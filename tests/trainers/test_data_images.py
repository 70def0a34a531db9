"""Image files: headers that lie, files that end too early, and what is read of them."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from tests.trainers.data_sets import write_image
from trainers.data.dataset import Record, no_boxes, no_labels, read_record
from trainers.data.images import MAX_PIXELS, ImageError, image_header, image_size, read_image, read_rgb


def bomb(width: int, height: int) -> bytes:
    """Returns a small PNG whose header asks for any number of pixels."""
    raw = bytearray(cv2.imencode(".png", np.zeros((2, 2), np.uint8))[1].tobytes())
    raw[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
    return bytes(raw)


@pytest.mark.parametrize("side", [14_000, 100_000, 2_000_000_000])
def test_huge_headers_are_refused_before_decoding(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(side, side))
    for read in (image_size, read_image):
        with pytest.raises(ImageError, match=f"more than {MAX_PIXELS:,} pixels") as caught:
            read(path)
        assert caught.value.kind == "huge_image"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_cut_off_images_are_refused(tmp_path: Path, suffix: str) -> None:
    path = write_image(tmp_path / f"a{suffix}")
    assert read_image(path).shape == (48, 64, 3)
    raw = path.read_bytes()
    path.write_bytes(raw + b"\0" * 1000)  # what comes behind the end does no harm
    assert read_image(path).shape == (48, 64, 3)
    path.write_bytes(raw[: len(raw) * 2 // 3])
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert caught.value.kind == ("truncated_image" if suffix in (".jpg", ".png") else "unreadable_image")


ORIENTATIONS = range(1, 9)


def tagged(path: Path, orientation: int) -> Path:
    """Writes a JPEG of 64x48 that is dark but for its stored top left quarter, red."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32, 0] = 255
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return path


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_jpegs_are_shown_upright(tmp_path: Path, orientation: int) -> None:
    path = tagged(tmp_path / "a.jpg", orientation)
    wanted = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(path)))
    image = read_image(path)
    assert image.shape == wanted.shape and image_size(path) == wanted.shape[:2]
    assert np.abs(image.astype(int) - wanted).mean() < 3 and np.abs(read_rgb(path).astype(int) - wanted).mean() < 3
    assert image_header(path).orientation == orientation


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_annotations_that_state_the_stored_size_go_by_the_stored_pixels(tmp_path: Path, orientation: int) -> None:
    path = tagged(tmp_path / "a.jpg", orientation)
    upright = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(path)))
    record = Record(path=path, height=48, width=64, boxes=no_boxes(), labels=no_labels())
    wanted = np.asarray(PIL.Image.open(path)) if orientation >= 5 else upright
    assert np.abs(read_record(record).astype(int) - wanted).mean() < 3
    turned = replace(record, height=upright.shape[0], width=upright.shape[1])
    assert np.abs(read_record(turned).astype(int) - upright).mean() < 3


@pytest.mark.parametrize("value", [0, 9])
def test_an_orientation_that_is_none_is_left_alone(tmp_path: Path, value: int) -> None:
    path = tmp_path / "a.jpg"
    exif = PIL.Image.Exif()
    exif[0x0112] = value
    PIL.Image.new("RGB", (64, 48)).save(path, exif=exif)
    assert read_image(path).shape == (48, 64, 3) and image_header(path).orientation == 1


def tiff(width: int, height: int) -> bytes:
    """Returns the header of a TIFF of 16-bit color, which Pillow does not open."""
    depths = 8 + 2 + 5 * 12 + 4  # behind the entries
    entries = ((256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, depths), (262, 4, 1, 2), (277, 4, 1, 3))
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I3H", 0, 16, 16, 16)


def test_huge_headers_that_pillow_does_not_know_are_refused_as_well(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(200, 100))
    assert image_size(path) == (100, 200)
    path.write_bytes(tiff(13_378, 13_378))  # the first square that is too large
    with pytest.raises(ImageError, match=f"more than {MAX_PIXELS:,} pixels"):
        read_image(path)
    path.write_bytes(tiff(13_377, 13_377))
    assert image_size(path) == (13_377, 13_377)


def test_16_bit_color_tiff_has_a_header(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    cv2.imwrite(str(path), np.full((5, 7, 3), 514, np.uint16))
    header = image_header(path)
    assert (header.height, header.width, header.channels) == (5, 7, 3) and read_image(path, None, (0, 65535)).max() == 2
