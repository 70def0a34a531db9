"""No label is lost without a word: labels are counted in the files, and in what is read and converted from them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_space.errors import DataError
from tests.trainers.data_spoiling import TEXTS, WRITE, Case
from tests.trainers.test_data_defects import CASES
from tests.trainers.test_data_notes import NOTE_CASES
from trainers.data.check import check_data
from trainers.data.convert import convert_data

ALL = [*CASES.values(), *(case for _, case in NOTE_CASES.values())]
PLACES = {"coco": "set.json", "yolo": "labels/*.txt", "visdrone": "annotations/*.txt", "voc": "Annotations/*.xml"} | {
    "labelme": "*.json",
    **{format: str(Path(text).parent / "*.txt") for format, text in TEXTS.items()},
}
MARKS = {"coco": b'"bbox"', "voc": b"<object>", "labelme": b'"points"'}
"""What stands once in each label; in the other formats a label is a line."""


def labels_in(folder: Path, format: str) -> int:
    """Counts the labels in the files of a set as text, as a reader that gives up does not."""
    count = 0
    for path in folder.glob(PLACES[format]):
        raw = path.read_bytes().replace(b"\0", b"") if path.is_file() else b""
        count += raw.count(MARKS[format]) if format in MARKS else sum(bool(line.strip()) for line in raw.splitlines())
    return count


def spoilt(folder: Path, format: str, cases: list[Case]) -> Path:
    """Writes a small set, and applies the defects to it as far as one leaves what the next one spoils."""
    path = WRITE[format](folder)
    for case in cases:
        try:
            case.spoil(folder)
        except OSError:
            continue
    return path


@pytest.mark.slow
@pytest.mark.parametrize("format", sorted({case.format for case in ALL}))
def test_a_lost_label_is_told(format: str) -> None:
    known = [case for case in ALL if case.format == format]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.sampled_from(known), min_size=1, max_size=3))
    def check(cases: list[Case]) -> None:
        with TemporaryDirectory() as name:
            folder = Path(name) / "set"
            folder.mkdir()
            path = spoilt(folder, format, cases)
            num_labels = labels_in(folder, format)
            try:
                report = check_data(path)
            except DataError:
                return  # refused as a whole
            assert num_labels <= report.num_boxes + report.num_ignored or report.defects
            try:
                done = convert_data(path, Path(name) / "out", to="coco")
            except DataError:
                return
            written = sum(file.read_bytes().count(MARKS["coco"]) for file in Path(name).glob("out/annotations/*.json"))
            assert written >= done.num_boxes
            assert num_labels <= done.num_boxes + done.num_ignored or done.notices or done.losses

    check()
