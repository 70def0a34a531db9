"""The page of a report, from records made by hand: what it says and marks, and that nothing can break out of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from report_fakes import FRONT, content, row
from report_pages import HOSTILE, Tags, data_of
from trial_fakes import make_table

from results.report import DetectorDetails, Importance, NodeLine, is_report, render
from results.report.common import shared
from results.report.content import AxisImportance
from results.report.payload import MAX_OTHERS, part
from results.report.progress import progress
from results.report.text import escape, script_json
from results.visible import visible


def test_a_page_says_what_the_trials_came_to() -> None:
    page = render(content())
    text = Tags(page).text
    assert "3 complete trials, 2 on the front" in text
    assert "trials: 6 = 4 complete + 1 stopped + 1 rejected + 0 cached + 0 failed" in text
    assert "0.8000" in text and "1.6000" in text  # both conventions of FLOPs
    assert "59.00 ± 1.41 (2)" in text and "rung 1 against rung 2: tau" in text
    assert "nas run --resume runs/run" in text and "Too few trials." in text
    assert "Of the boxes 33.3 % are smaller" in page


def test_the_script_is_given_all_trials_with_their_marks() -> None:
    data = data_of(render(content()))
    trials = {each["n"]: each for each in data["trials"]}
    assert {number: (each["kind"], each["rank"]) for number, each in trials.items()} == {
        3: ("front", 1),
        0: ("front", 2),
        1: ("other", 0),
        2: ("lower", 0),
    }
    assert [number for number, each in trials.items() if each["design"]] == [0]
    assert trials[3]["v"] == {"macs": 8e8, "accuracy": 0.6, "accuracy_low": 0.5, "accuracy_high": 0.7}
    assert any("over 2 seeds: 60.00, 58.00 %" in line for line in trials[3]["remarks"])
    detector = data["detectors"]["aa"]
    assert detector["w"] == "words of aa" and detector["c"] == [["width", "0.25"]]
    assert detector["t"][1] == ["head", 1, "4,32,40", 5, 70, "stem"] and data["blocks"] == ["layer:conv", "head:box"]
    assert data["boxes"]["levels"]["aa"] == [["P2", 4], ["P3", 8]]


def test_members_that_the_images_cannot_tell_apart_are_marked() -> None:
    near, far = " ".join(map(str, range(5000, 5100))), " ".join(["100"] * 100)
    mixed = " ".join(str(5050 + (each - 50) * 2 + 1) for each in range(100))
    rows = [
        row(0, "aa", 0.6, 0.8, accuracy_draws=near),
        row(1, "bb", 0.5, 0.4, accuracy_draws=mixed),
        row(2, "cc", 0.1, 0.2, accuracy_draws=far),
    ]
    page = render(content(rows))
    assert [each["tied"] for each in data_of(page)["trials"]] == [[], [1], []]
    assert "not distinguishable from front 1" in page and "~ not distinguishable" in Tags(page).text


def test_a_page_loads_nothing_and_runs_nothing_but_its_own() -> None:
    page = render(content())
    tags = Tags(page).tags
    assert not [attrs for _, attrs in tags if {"src", "style", "onclick", "onload", "srcdoc"} & set(attrs)]
    assert all(str(attrs["href"]).startswith("#") for _, attrs in tags if "href" in attrs)
    assert {tag for tag, _ in tags} & {"link", "iframe", "object", "form", "img"} == set()
    policy = next(str(attrs["content"]) for _, attrs in tags if attrs.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and "unsafe" not in policy and rules["img-src"] == "data:"
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert not re.search(r"\beval\(|innerHTML|document\.write|new Function", page)


def test_names_cannot_break_out_of_the_page() -> None:
    told = HOSTILE.replace("\udcff", "")  # which a table cannot hold
    rows = [each | {"origin": told, "imported_from": told} for each in FRONT]
    nodes = (NodeLine(HOSTILE, HOSTILE, HOSTILE, 1, 1, HOSTILE),)
    nasty = DetectorDetails(words=HOSTILE, choices={HOSTILE: HOSTILE}, nodes=nodes)
    hostile = content(
        rows,
        name=HOSTILE,
        folder=HOSTILE,
        device=HOSTILE,
        importance=HOSTILE,
        rungs=(HOSTILE,),
        notices=(HOSTILE,),
        facts=((HOSTILE, HOSTILE),),
        detectors=dict.fromkeys(("aa", "bb", "cc", "dd"), nasty),
        boxes=HOSTILE,
    )
    page = render(hostile)
    kinds = {unicodedata.category(each) for each in page.replace("\n", "")}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"} and "\u202e" not in page
    page.encode("utf-8")
    usual = [tag for tag, _ in Tags(render(content(boxes="none"))).tags]
    assert [tag for tag, _ in Tags(page).tags if tag not in ("p", "dt", "dd")].count("script") == 2
    assert {tag for tag, _ in Tags(page).tags} <= {*usual, "dt", "dd"}
    assert data_of(page)["detectors"]["aa"]["w"] == visible(HOSTILE)
    assert "alert(1)" in Tags(page).text  # shown, as text


def test_text_is_made_visible() -> None:
    assert visible("a\x00\x1b\x85\u202eb\u2028\udcff") == "a\\x00\\x1b\\x85\\u202eb\\u2028\\udcff"
    assert visible("é 漢 ~") == "é 漢 ~"
    assert escape("<a \"b\" 'c'>&") == "&lt;a &quot;b&quot; &#x27;c&#x27;&gt;&amp;"
    assert "<" not in script_json({"<!--": ["</script>"]}) and json.loads(script_json({"a": "<&>"})) == {"a": "<&>"}


def test_a_run_without_a_complete_trial_says_so() -> None:
    page = render(content([FRONT[2], FRONT[4]]))
    assert "1 trials after rung 1 of 2, as none has reached the last rung, 1 on the front" in page
    assert "<th>trained</th>" in page.replace(' scope="col"', "") and "hypervolume" not in page.split("<script>")[0]
    empty = render(content([]))
    assert "No trial has a result yet" in empty and "trials: 0 =" in empty and 'id="scatter"' not in empty
    assert data_of(empty)["trials"] == []


@pytest.mark.parametrize(
    ("objectives", "xs"),
    [("accuracy", ["macs"]), ("ap50 latency_ms memory_bytes", ["macs", "latency_ms", "memory_bytes"])],
)
def test_one_and_three_objectives(objectives: str, xs: list[str]) -> None:
    more = {"objectives": objectives, "ap50": 0.5, "memory_bytes": 4_000_000}
    timed = {"latency_ms": 5.0, "latency_low_ms": 4.0, "latency_high_ms": 6.0} if "latency" in objectives else {}
    page = render(content([each | more | timed for each in FRONT], limits={}))
    data = data_of(page)
    assert [each["id"] for each in data["xs"]] == xs and data["ys"][0]["id"] == objectives.split()[0]
    assert (
        data["objectives"] == objectives.split() and [len(each["points"]) > 0 for each in data["curves"]] == [True] * 2
    )
    assert ("predicted ms" in page) == bool(timed)


def test_progress_by_hand() -> None:
    course = progress(make_table(FRONT), {"macs": 1e9})
    # aa: 0.2 x (1 - 0.2); bb adds nothing; dd: 0.4 more on a breadth of 1 - 0.8
    assert course.hypervolume == ((1, pytest.approx(0.16)), (4, pytest.approx(0.16 + 0.4 * 0.2)))
    assert course.best == ((1, 0.2), (4, 0.6)) and course.num_asked == 6
    assert course.reference == {"accuracy": 0.0, "macs": 1e9}
    assert progress(make_table(FRONT), {}).reference["macs"] == 8e8
    assert progress(make_table([FRONT[4]]), {}).best == ()


def test_what_members_share_by_hand() -> None:
    table = make_table(
        [
            row(n, f"k{n}", 0.1, 0.1, axis_a="x" if n < 3 else "y", axis_b="z", axis_c="u" if n < 2 else None)
            for n in range(6)
        ]
    )
    (found,) = shared(table[:4], table)
    assert (found.axis, found.choice, found.num_agreeing, found.num_members) == ("a", "x", 3, 4)
    assert (found.share_elsewhere, found.num_elsewhere) == (0.5, 6)
    assert shared(table[:2], table) == []


@pytest.mark.slow
def test_the_importance_of_axes_is_drawn_with_the_level_of_chance() -> None:
    axes = tuple(AxisImportance(axis=f"axis{n}", front=0.5, accuracy=0.05, num_active=30 - n) for n in range(14))
    found = Importance(axes=axes, rung=1, num_trials=30, num_top=8, chance_front=0.25, chance_accuracy=3.0)
    page = render(content(importance=found))
    assert "on 30 trials of rung 1" in page and "the 8 best" in page and "2 more axes have smaller shares" in page
    assert 'x="25.00%"' in page and 'x="99.00%"' in page and 'width="50.00%"' in page
    assert ">all<" in page and ">29<" in page


@pytest.mark.slow
def test_many_trials_stay_in_a_small_file() -> None:
    rows = [row(n, f"{n:016x}", 0.2 + n * 1e-5, 0.9 - n * 1e-5) for n in range(5000)]
    page = render(content(rows + [row(5000, "best", 0.9, 0.1)]))
    assert len(page) < 5e6
    data = data_of(page)
    assert len(data["trials"]) == MAX_OTHERS + 1 and "The 3000 least accurate of the others are left out" in page
    assert min(each["v"]["accuracy"] for each in data["trials"]) > 0.22


def test_a_cached_trial_counts_as_complete() -> None:
    taken = [
        each | {"outcome": "cached", "imported_from": "trial 3 of runs/old"} for each in FRONT if each["number"] == 3
    ]
    members = part(make_table(taken))
    assert members.front["key"].tolist() == ["dd"]
    assert "taken over: trial 3 of runs/old" in render(content(taken))


def test_a_report_is_told_from_other_files(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(render(content()))
    (tmp_path / "other.html").write_text("<!doctype html><title>PyramidNAS report</title>")
    assert is_report(tmp_path / "report.html") and not is_report(tmp_path / "other.html")


def test_a_device_is_named_and_its_latency_called_predicted() -> None:
    timed = {"latency_ms": 5.0, "latency_low_ms": 4.0, "latency_high_ms": 6.5}
    page = render(replace(content([each | timed for each in FRONT]), device="board"))
    data = data_of(page)
    assert data["xs"][1]["title"] == "predicted latency, ms, on board; not measured"
    assert data["trials"][0]["v"]["latency_high_ms"] == 6.5 and "Latencies are predicted, not measured." in page
