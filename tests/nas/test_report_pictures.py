"""The images of a report: which ones, what is found in them, how large they are, and why there are none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_fakes import FakeEvaluator

from nas.box_drawing import DrawnBox
from nas.cli import main
from nas.config import RunConfig, read_config
from nas.reports.gather import gather
from nas.reports.object_sizes import opened_data
from nas.reports.pictures import MAX_IMAGE_BYTES, NUM_IMAGES, compared, jpeg_with, pictures_of, telling
from results import records
from results.report import PictureGrid, render
from results.trial import Origin, Trial
from search_space import DESIGNS, Architecture
from trainers import fresh_detector, load_weights, save_weights
from trainers.data import Dataset, DataSplits, Record

DATA = Path(__file__).parents[1] / "data" / "hit_uav"
QUICK = ["--choices", "input_size=128,160,192", "--fix", "block=c2f", "--choices", "width=0.125,0.25"]


@dataclass(frozen=True, kw_only=True)
class SmallRun:
    """A run whose members have random weights, and what pictures of it are made from."""

    folder: Path
    config: RunConfig
    splits: DataSplits
    front: list[Trial]

    def pictures(self, **changed: object) -> PictureGrid | str:
        """Returns its pictures; `splits` and `front` may be others."""
        given = {"splits": self.splits, "front": self.front, **changed}
        return pictures_of(self.folder, self.config, **given)  # type: ignore[arg-type]

    def weights(self, place: int = 0) -> Path:
        return self.folder / "weights" / f"{self.front[place].key}.pt"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    shutil.copytree(DATA, folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: FakeEvaluator())
        options = ["--budget-gflops", "0.4", "--strategy", "random", "--trials", "6", "--epochs", "1", "--json"]
        main(["run", "--data", str(folder / "data"), *QUICK, *options, "--name", "r"])
    run = folder / "runs" / "r"
    config = read_config(run / "config.yaml")
    for path in (run / "front").iterdir():
        architecture = Architecture.from_yaml(path)
        detector = fresh_detector(architecture, num_classes=len(config.classes), seed=0)
        save_weights(run / "weights" / f"{architecture.key()}.pt", detector, architecture.to_dict(), config.classes)
    yield run


@pytest.fixture
def small(searched: Path, tmp_path: Path) -> SmallRun:
    folder = tmp_path / "r"
    shutil.copytree(searched, folder)
    config = read_config(folder / "config.yaml")
    splits = opened_data(config)
    assert isinstance(splits, DataSplits)
    return SmallRun(
        folder=folder,
        config=config,
        splits=splits,
        front=records.trials_of(records.front(records.load(folder))),
    )


def boxes(number: int) -> np.ndarray:
    return np.tile(np.array([[1, 1, 9, 9]], np.float32), (number, 1))


def dataset(counts: list[int]) -> Dataset:
    """Images with so many objects each."""
    labels = [np.zeros(count, np.int64) for count in counts]
    return Dataset(
        [
            Record(path=None, height=40, width=50, boxes=boxes(len(each)), labels=each, number=place)
            for place, each in enumerate(labels)
        ],
        ("a", "b"),
        reader=lambda record: np.full((record.height, record.width, 3), 90, np.uint8),
    )


@given(st.lists(st.integers(0, 30), max_size=80))
def test_the_images_are_spread_and_have_few_and_many_objects(counts: list[int]) -> None:
    chosen = telling(dataset(counts))
    assert chosen == telling(dataset(counts)) == sorted(set(chosen))
    assert all(counts[index] for index in chosen)
    assert len(chosen) == min(NUM_IMAGES, sum(map(bool, counts)))


def test_the_images_by_hand() -> None:
    counts = [each for _ in range(6) for each in (0, 9, 1, 5)]
    assert [counts[index] for index in telling(dataset(counts))] == [1, 1, 5, 5, 9, 9]
    assert [index // 4 for index in telling(dataset(counts))] == [0, 1, 2, 3, 4, 5]


def trial(number: int, gmacs: float, **more: object) -> Trial:
    known = {"key": f"k{number}", "origin": Origin("tpe"), "rung": 1, "rungs": 1, "levels": ("P2",), "params": 1}
    known |= {"input_height": 64, "input_width": 64, "weight_bytes": 1, "activation_bytes": 1, "memory_bytes": 1}
    objectives = ("accuracy", "macs")
    return Trial(**{**known, "number": number, "macs": int(gmacs * 1e9), "objectives": objectives, **more})  # type: ignore[arg-type]


def roles(front: list[Trial]) -> dict[str, int]:
    return {role: each.number for role, each in compared(front).items()}


def test_the_members_are_the_most_accurate_the_cheapest_and_one_in_between() -> None:
    front = [trial(number, 1 - number / 10) for number in range(6)]
    assert roles(front) == {"most accurate": 0, "in between": 3, "cheapest": 5}
    assert roles(front[:2]) == {"most accurate": 0, "cheapest": 1}
    assert roles(front[:1]) == {"the only member": 0}
    by_latency = [replace(each, objectives=("accuracy", "latency_ms"), latency_ms=each.number + 1.0) for each in front]
    assert roles(by_latency) == {"most accurate and cheapest": 0, "in between": 3}


@pytest.mark.parametrize(("height", "width"), [(40, 50), (700, 500), (1800, 3000), (3, 900), (64, 1)])
def test_an_image_is_brought_to_a_size_that_can_be_seen_and_stays_small(height: int, width: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    encoded = jpeg_with(noise, [DrawnBox(corners=(1, 1, 9, 9), color=(0, 255, 0), text="- a")])
    seen = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert len(encoded) <= MAX_IMAGE_BYTES
    assert max(seen.shape[:2]) <= 960 and max(seen.shape[:2]) >= min(320, max(height, width))


def test_a_plain_image_is_enlarged_with_its_boxes() -> None:
    encoded = jpeg_with(np.full((160, 160, 3), 90, np.uint8), [DrawnBox(corners=(40, 40, 80, 80), color=(0, 255, 0))])
    seen = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    green = np.argwhere(seen[:, :, 1].astype(int) - seen[:, :, 2] > 80)
    assert seen.shape == (640, 640, 3)
    assert abs(green.min(axis=0) - 158).max() <= 2 and abs(green.max(axis=0) - 322).max() <= 2


def test_pictures_of_a_run(small: SmallRun) -> None:
    before = {path: path.read_bytes() for path in small.folder.rglob("*") if path.is_file()}
    grid = small.pictures()
    assert isinstance(grid, PictureGrid)
    assert len(grid.names) == min(NUM_IMAGES, sum(bool(len(each.boxes)) for each in small.splits.val.records))
    assert grid.source == f"the {len(small.splits.val)} validation images, which the search chose by"
    objects = {each.name: len(each.boxes) for each in small.splits.val.records}
    for member, chosen in zip(grid.members, compared(small.front).values(), strict=True):
        assert member.name.endswith(chosen.key) and member.weights == f"weights/{chosen.key}.pt" and not member.problem
        for name, picture in zip(grid.names, member.pictures, strict=True):
            assert picture.counts["found"] + picture.counts["missed"] == objects[name]
            assert len(picture.jpeg) <= MAX_IMAGE_BYTES
    assert {path: path.read_bytes() for path in small.folder.rglob("*") if path.is_file()} == before


def test_a_report_is_the_same_twice(small: SmallRun) -> None:
    pages = [render(replace(gather(small.folder), written="today")) for _ in range(2)]
    assert pages[0] == pages[1] and pages[0].count("data:image/jpeg;base64,") == 2 * len(compared(small.front))


def test_images_can_be_left_out(small: SmallRun, capsys: pytest.CaptureFixture[str]) -> None:
    main(["report", str(small.folder), "--json"])
    whole = (small.folder / "report.html").read_text()
    main(["report", str(small.folder), "--no-images"])
    without = (small.folder / "report.html").read_text()
    assert "data:image/jpeg" in whole and "What the detectors see" in whole
    assert "data:image/jpeg" not in without and "What the detectors see" not in without
    assert "report.html" in capsys.readouterr().out


def test_finished_weights_are_preferred(small: SmallRun) -> None:
    key = small.front[0].key
    folder = small.folder / "finished" / f"01-{key}"
    folder.mkdir(parents=True)
    shutil.copy(small.weights(), folder / "weights.pt")
    small.weights().unlink()
    grid = small.pictures()
    assert isinstance(grid, PictureGrid)
    assert grid.members[0].weights == f"finished/01-{key}/weights.pt" and grid.members[0].pictures


def problem(small: SmallRun) -> str:
    """Returns why there are no pictures of the first member; there are some of the others."""
    grid = small.pictures()
    assert isinstance(grid, PictureGrid)
    assert not grid.members[0].pictures and all(each.pictures for each in grid.members[1:])
    said = grid.members[0].problem
    assert said.startswith(f"No images are shown of {grid.members[0].name}: ") and "\n" not in said
    return said


def test_weights_that_are_gone_or_damaged_are_told(small: SmallRun) -> None:
    content = small.weights().read_bytes()
    small.weights().write_bytes(content[: len(content) // 2])
    assert "is damaged" in problem(small)
    small.weights().unlink()
    assert "are not there; next: nas run --resume" in problem(small)


@pytest.mark.parametrize("changed", ["classes", "architecture"])
def test_weights_of_another_detector_are_told(changed: str, small: SmallRun) -> None:
    known = load_weights(small.weights())
    if changed == "classes":
        save_weights(small.weights(), known.state, known.architecture, reversed(known.classes))
    else:
        architecture = DESIGNS.get("yolov8n-p2").architecture
        detector = fresh_detector(architecture, num_classes=len(known.classes), seed=0)
        save_weights(small.weights(), detector, architecture.to_dict(), known.classes)
    assert "is of another detector" in problem(small)


def test_a_run_without_a_front_images_or_data_says_so_in_one_line(small: SmallRun) -> None:
    assert small.pictures(front=[]) == "No images are shown, because the front has no member yet."
    empty = replace(small.splits, val=dataset([0, 0]))
    assert small.pictures(splits=empty) == (
        "No images are shown, because none of the 2 validation images, which the search chose by has an object."
    )
    moved = opened_data(replace(small.config, data=str(small.folder / "gone")))
    said = small.pictures(splits=moved)
    assert isinstance(said, str) and said.startswith("No images are shown. The data of the run cannot be read any more")
    shutil.copytree(DATA, small.folder / "data")
    copied = opened_data(replace(small.config, data=str(small.folder / "data")))
    for path in (small.folder / "data" / "images").rglob("*.jpg"):
        path.write_bytes(b"no image")
    broken = small.pictures(splits=copied)
    assert isinstance(broken, str) and broken.startswith("No images are shown, because one of them cannot be read: ")
    assert "\n" not in said + broken
