"""The section of a report with images, from pictures made by hand."""

from __future__ import annotations

import base64
from dataclasses import replace

from report_fakes import content
from report_pages import HOSTILE, Tags

from results.report import MemberPictures, Picture, PictureGrid, PictureMark, render

MARKS = (
    PictureMark(title="found", color="#00c88c", line="solid", sign=""),
    PictureMark(title="missed", color="#fae132", line="dashed", sign="-"),
    PictureMark(title="wrong", color="#ff7d46", line="dotted", sign="x"),
)


def member(name: str, role: str) -> MemberPictures:
    pictures = tuple(
        Picture(jpeg=f"{name}{number}".encode(), counts={"found": number, "missed": 2, "wrong": 1}) for number in (1, 3)
    )
    return MemberPictures(
        name=name, role=role, gmacs=0.5, weights=f"weights/{name}.pt", score_threshold=0.3125, pictures=pictures
    )


GRID = PictureGrid(
    source="the 9 validation images",
    names=("one.jpg", "two.jpg"),
    marks=MARKS,
    iou=0.5,
    members=(member("01-dd", "most accurate"), member("02-aa", "cheapest")),
)


def test_every_image_is_shown_for_every_member() -> None:
    page = render(content(pictures=GRID))
    tags = Tags(page)
    images = [attrs for tag, attrs in tags.tags if tag == "img"]
    contents = [base64.b64decode(str(each["src"]).removeprefix("data:image/jpeg;base64,")) for each in images]
    assert contents == [b"01-dd1", b"02-aa1", b"01-dd3", b"02-aa3"]
    assert images[2]["alt"] == "two.jpg with the boxes of 01-dd: 3 found, 2 missed, 1 wrong"
    assert "The same 2 of the 9 validation images, for 2 members of the front." in tags.text
    assert not [attrs for _, attrs in tags.tags if {"style", "onclick"} & set(attrs)]


def test_the_legend_says_colour_line_and_sign_and_the_table_counts() -> None:
    page = render(content(pictures=GRID))
    text = Tags(page).text
    assert "IoU of at least 0.5, solid line" in text
    assert "dashed line, marked -" in text and "dotted line, marked x" in text
    swatches = {attrs["stroke"]: attrs.get("stroke-dasharray") for _, attrs in Tags(page).tags if "stroke" in attrs}
    assert list(swatches) == [mark.color for mark in MARKS] and swatches[MARKS[0].color] is None
    assert len(set(swatches.values())) == 3
    assert "01-ddmost accurate0.50000.312442weights/01-dd.pt" in text.replace("\n", "")
    assert "score threshold with the best F1 on these images" in text and "right at any" not in text


def test_a_member_without_pictures_is_told_and_the_others_shown() -> None:
    gone = replace(GRID.members[0], pictures=(), problem="No images are shown of 01-dd: gone.")
    page = render(content(pictures=replace(GRID, members=(gone, GRID.members[1]))))
    assert "No images are shown of 01-dd: gone." in page and page.count("<img") == 2 and "for 1 member of" in page
    neither = render(content(pictures=replace(GRID, members=(gone,))))
    assert "No images are shown of 01-dd: gone." in neither and "<img" not in neither and "The same" not in neither


def test_a_detector_that_is_never_right_is_told() -> None:
    unsure = replace(GRID.members[0], is_best_threshold=False)
    assert "None of 01-dd is right at any threshold." in render(content(pictures=replace(GRID, members=(unsure,))))


def test_a_reason_stands_in_place_of_pictures() -> None:
    assert "<p>No images are shown, for a reason.</p>" in render(content(pictures="No images are shown, for a reason."))
    assert "What the detectors see" not in render(content(pictures=""))


def test_names_of_images_cannot_break_out() -> None:
    hostile = replace(GRID, names=(HOSTILE, HOSTILE), source=HOSTILE)
    told = replace(GRID.members[0], name=HOSTILE, role=HOSTILE, weights=HOSTILE)
    page = render(content(pictures=replace(hostile, members=(told, replace(told, pictures=(), problem=HOSTILE)))))
    assert [tag for tag, _ in Tags(page).tags].count("script") == 2 and "<b>" not in page
    assert "alert(1)" in Tags(page).text


def test_pictures_add_a_bounded_number_of_bytes() -> None:
    largest = Picture(jpeg=bytes(60_000), counts={"found": 10_000, "missed": 10_000, "wrong": 10_000})
    full = replace(GRID.members[0], pictures=(largest,) * 6)
    grid = replace(GRID, names=("a name of twenty.jpg",) * 6, members=(full,) * 3)
    assert len(render(content(pictures=grid))) - len(render(content())) < 1_500_000
