"""Near-duplicates between the parts of a data set: constructed ones are found, other frames are not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.advice.leaks import LEAST_THRESHOLD, find_leaks, num_comparisons
from nas.advice.similarity import NUM_CANDIDATES, Index, similarities
from nas.advice.testing_part import find_test_part
from nas.advice.thumbnails import SIDE, Gallery, gallery, thumbnail
from trainers.data import Record, open_data
from trainers.data.dataset import no_boxes, no_labels
from trainers.data.images import image_size, read_image
from trainers.data.source import ReadRequest

FORMATS = Path(__file__).parents[1] / "data" / "formats" / "images"
FRAMES = sorted(FORMATS.iterdir())


def records(paths: list[Path]) -> list[Record]:
    sizes = [image_size(path) for path in paths]
    return [
        Record(path=path, height=hw[0], width=hw[1], boxes=no_boxes(), labels=no_labels())
        for path, hw in zip(paths, sizes, strict=True)
    ]


def changed(path: Path, out: Path, *, shift_px: int = 12) -> Path:
    """Writes the next frame of a flight: moved, a little brighter, with other noise, compressed again."""
    image = read_image(path).astype(np.float32)
    moved = cv2.warpAffine(
        image, np.array([[1.0, 0, shift_px], [0, 1, -shift_px]]), image.shape[1::-1], borderMode=cv2.BORDER_REFLECT
    )
    noise = np.random.default_rng(0).normal(0, 4, image.shape)
    cv2.imwrite(str(out), (moved * 1.05 + 5 + noise).clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return out


def smooth(number: int, seed: int = 0) -> np.ndarray:
    """Random images with large dark and bright areas, as those of a camera are."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(number, SIDE, SIDE)).astype(np.float32)
    blurred = [cv2.GaussianBlur(each, (0, 0), 2) * 500 + 128 for each in noise]
    return np.stack(blurred) if number else noise


def named(part: str, pixels: np.ndarray) -> Gallery:
    return Gallery(part=part, pixels=pixels, names=tuple(f"{part} {row}" for row in range(len(pixels))))


def test_frames_of_other_scenes_are_no_leak() -> None:
    galleries = [gallery("train", records(FRAMES[::2])), gallery("val", records(FRAMES[1::2]))]
    leaks = find_leaks(galleries)
    assert [(pair.part, pair.other, pair.num_leaked) for pair in leaks.pairs] == [("val", "train", 0)]
    assert leaks.pairs[0].worst == () and leaks.pairs[0].num_images == len(FRAMES[1::2]) == 11


def test_a_copied_and_a_changed_frame_are_found_and_named(tmp_path: Path) -> None:
    train, val = FRAMES[:12], FRAMES[12:]
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(train[3].read_bytes())
    next_frame = changed(train[7], tmp_path / "next.jpg")
    galleries = [gallery("train", records(train)), gallery("val", records([*val, copy, next_frame]))]
    (leak,) = find_leaks(galleries).pairs
    assert leak.num_leaked == 2 and leak.share == 2 / (len(val) + 2)
    assert [(Path(each.image), Path(each.other)) for each in leak.worst] == [(copy, train[3]), (next_frame, train[7])]
    assert leak.worst[0].similarity == pytest.approx(1, abs=1e-4)
    assert LEAST_THRESHOLD < leak.worst[1].similarity < 0.999 and 1 <= leak.num_alike <= 2


def test_parts_are_compared_with_all_before_them() -> None:
    pixels = smooth(30)
    galleries = [named("train", pixels[:10]), named("val", pixels[10:20]), named("test", pixels[15:25])]
    calls: list[int] = []
    leaks = find_leaks(galleries, lambda: calls.append(1))
    found = {(pair.part, pair.other): pair.num_leaked for pair in leaks.pairs}
    assert found == {("val", "train"): 0, ("test", "train"): 0, ("test", "val"): 5}
    assert len(calls) == num_comparisons(galleries) == 20 + 10 + 20


@pytest.mark.slow
def test_chance_stays_below_the_threshold_in_many_images_and_leaks_above_it() -> None:
    """400 unrelated images and 40 neighbours: the share that is told is that which was put there."""
    train, val = smooth(400, seed=1), smooth(160, seed=2)
    val[:40] = np.roll(train[100:140], (2, 3), axis=(1, 2)) * 0.8 + 20
    leaks = find_leaks([named("train", train), named("val", val)])
    (pair,) = leaks.pairs
    assert 40 <= pair.num_leaked <= 46  # chance may add a hundredth or so of 120
    assert leaks.num_mirrored == 560 and leaks.chance_level <= leaks.threshold


def test_a_set_that_is_its_own_mirror_raises_the_threshold() -> None:
    half = smooth(40)[:, :, : SIDE // 2]
    symmetric = np.concatenate((half, half[:, :, ::-1]), axis=2)
    leaks = find_leaks([named("train", symmetric), named("val", symmetric[:5])])
    assert leaks.chance_level > 0.99 and leaks.threshold == leaks.chance_level


def test_an_image_is_not_compared_with_its_own_mirror() -> None:
    half = smooth(40)[:, :, : SIDE // 2]
    symmetric = np.concatenate((half, half[:, :, ::-1]), axis=2)
    leaks = find_leaks([named("train", symmetric), named("val", smooth(5, seed=3))])
    assert leaks.chance_level < 0.8 and leaks.num_mirrored == 45


def test_the_most_similar_image_is_found_among_more_than_are_compared() -> None:
    many = smooth(NUM_CANDIDATES * 4)
    moved = np.roll(many[::50], (3, -2), axis=(1, 2))
    similarity, best = Index.of(moved).nearest(Index.of(many))
    assert best.tolist() == list(range(0, len(many), 50)) and similarity.min() > 0.7


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.2, 3), st.floats(-50, 50))
def test_similarity(seed: int, contrast: float, brightness: float) -> None:
    pixels = smooth(3, seed=seed)
    spectra = Index.of(pixels).spectra
    found = np.stack([similarities(each, spectra) for each in spectra])
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-4)
    np.testing.assert_allclose(found, found.T, atol=1e-4)
    assert found.max() <= 1 + 1e-4
    again = Index.of(pixels * np.float32(contrast) + np.float32(brightness)).spectra
    np.testing.assert_allclose(similarities(spectra[0], again), found[0], atol=1e-3)


def test_images_of_one_grey_value_are_similar_to_nothing() -> None:
    blank = named("val", np.full((2, SIDE, SIDE), 7, np.float32))
    (pair,) = find_leaks([named("train", blank.pixels), blank]).pairs
    assert pair.num_leaked == 0


@pytest.mark.parametrize("sizes", [(1, 1), (0, 1), (1, 0), (2, 3)])
def test_few_or_no_images(sizes: tuple[int, int]) -> None:
    (pair,) = find_leaks([named("train", smooth(sizes[0])), named("val", smooth(sizes[1], seed=1))]).pairs
    assert (pair.num_images, pair.num_leaked) == (sizes[1], 0) and pair.share == 0


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(FRAMES[0].read_bytes()[:4000])
    wanted = [*records(FRAMES[:1]), Record(path=broken, height=256, width=320, boxes=no_boxes(), labels=no_labels())]
    calls: list[int] = []
    found = gallery("train", wanted, lambda: calls.append(1))
    assert found.num_unreadable == 1 and found.names == (str(FRAMES[0]),) and len(calls) == 2
    assert find_leaks([found, gallery("val", wanted[:1])]).num_unreadable == 1


def test_a_large_jpeg_is_read_at_a_part_of_its_size_with_the_same_result(tmp_path: Path) -> None:
    large = cv2.resize(read_image(FRAMES[0]), (1920, 1536), interpolation=cv2.INTER_CUBIC)
    paths = [tmp_path / "large.jpg", tmp_path / "large.png"]
    for path in paths:
        cv2.imwrite(str(path), large)
    reduced, full = (thumbnail(each) for each in records(paths))
    np.testing.assert_allclose(reduced, full, atol=4)


def test_a_small_jpeg_is_read_in_full(tmp_path: Path) -> None:
    path = tmp_path / "small.jpg"
    cv2.imwrite(str(path), read_image(FRAMES[0])[:100, :90])
    expected = cv2.resize(read_image(path), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(thumbnail(*records([path])), expected)


def test_a_window_of_a_file_is_an_image_of_its_own() -> None:
    (whole,) = records(FRAMES[:1])
    part = Record(
        path=whole.path, height=160, width=200, boxes=no_boxes(), labels=no_labels(), window=(20, 10, 220, 170)
    )
    expected = read_image(FRAMES[0])[10:170, 20:220]
    np.testing.assert_allclose(thumbnail(part), cv2.resize(expected, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def test_the_test_part_of_a_folder_of_images(tmp_path: Path) -> None:
    for part, frames in {"train": FRAMES[:3], "val": FRAMES[3:5], "test": FRAMES[5:9]}.items():
        for frame in frames:
            image = tmp_path / "images" / part / frame.name
            image.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(frame.read_bytes())
            label = tmp_path / "labels" / part / f"{frame.stem}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "classes.txt").write_text("thing\n")
    splits = open_data(tmp_path)
    found = find_test_part(splits, ReadRequest(path=tmp_path))
    assert [record.path.name for record in found if record.path] == [frame.name for frame in FRAMES[5:9]]
