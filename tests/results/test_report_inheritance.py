"""What a report says of inheritance, audits, finished detectors, the plan and held-out scores, from rows by hand."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
from report_fakes import FRONT, content, row
from report_pages import HOSTILE, Tags, data_of
from trial_fakes import make_table

from results import records
from results.report import AuditPair, Audits, FinishedDetector, PhaseTime, render
from results.report.lineage import Lineages

FAMILY: list[dict[str, Any]] = [
    row(0, "aa", 0.2, 0.5, rung=1, outcome="stopped", images_in_all=100),
    row(1, "bb", 0.3, 0.4, rung=1, outcome="stopped", donor=0, inherited_macs=0.75, images_in_all=200),
    row(2, "aa", 0.5, 0.5, promoted_from=0, images_in_all=300),
    row(3, "cc", 0.1, 0.3, donor=1, inherited_macs=0.5, images_in_all=250, peak_learning_rate=0.002),
    row(4, "dd", 0.6, 0.8, donor=2, inherited_macs=0.9, images_in_all=350),
    row(5, "ee", 0.05, 0.1, donor=2, images_in_all=50),
    row(6, "ff", 0.04, 0.9),
]
"""dd and, over bb, cc descend from aa; ee should have inherited and did not; ff never did."""


def lines(rows: list[dict[str, Any]], keys: list[str]) -> list[tuple[int, list[int], str, int | None]]:
    """Returns depth, trials, key and donor of the tree of some architectures."""
    trials = {trial.key: trial for trial in records.trials_of(make_table(rows))}
    tree = Lineages(make_table(rows)).tree(trials[key] for key in keys)
    return [(each.depth, [trial.number for trial in each.trials], each.begun.key, each.donor) for each in tree]


def test_the_tree_of_donors_by_hand() -> None:
    assert lines(FAMILY, ["dd", "aa", "cc", "ee"]) == [
        (0, [0, 2], "aa", None),
        (1, [1], "bb", 0),
        (2, [3], "cc", 1),
        (1, [4], "dd", 2),
        (0, [5], "ee", None),
    ]
    assert lines(FAMILY, ["cc"]) == [(0, [0, 2], "aa", None), (1, [1], "bb", 0), (2, [3], "cc", 1)]
    assert lines(FAMILY, ["ff"]) == [(0, [6], "ff", None)]


def test_donors_that_a_table_lacks_or_that_go_round_in_circles_end_a_chain() -> None:
    circle = [row(0, "aa", 0.2, 0.5, donor=1, inherited_macs=0.9), row(1, "bb", 0.3, 0.6, donor=0, inherited_macs=0.9)]
    assert [each[2] for each in lines(circle, ["aa"])] == ["bb", "aa"]
    assert lines([row(3, "aa", 0.2, 0.5, donor=1, inherited_macs=0.9)], ["aa"]) == [(0, [3], "aa", 1)]
    itself = [row(0, "aa", 0.2, 0.5, promoted_from=0, donor=9)]
    assert [each[1] for each in lines(itself, ["aa"])] == [[0]]


def test_a_page_shows_donors_with_shares_images_and_scores() -> None:
    page = render(content(FAMILY))
    assert "Who inherited from whom" in page and "3 trials started from the weights of a donor" in page
    body = page.split("Who inherited from whom")[1].split("</section>")[0]
    cells = [
        re.sub(r"<[^>]*>", "", each).split("|") for each in re.findall(r"<tr>(.*?)</tr>", body.replace("</td>", "|"))
    ]
    assert cells[1][:8] == ["0, 2", "02-aa", "tpe", "-", "-", "300", "50.00", "2 of 2"]
    assert cells[2][:8] == ["└ 1", "", "tpe", "0", "75", "200", "30.00", "1 of 2"]
    assert cells[3][0] == "\u00a0" * 3 + "└ 3"
    told = {each["n"]: " ".join(each["remarks"]) for each in data_of(page)["trials"]}
    assert "started from trial 1, with 50 % of its multiply-adds, peak learning rate 0.002; its weights" in told[3]
    assert "have seen 250 images" in told[3]
    assert not [number for number in (2, 5, 6) if "started from trial" in told[number]]


def test_long_chains_are_indented_so_far_only() -> None:
    more = {"inherited_macs": 0.5, "images_in_all": 9}
    rows = [row(n, f"{n:02d}", 0.3, 0.4, **(more | {"donor": n - 1} if n else {})) for n in range(40)]
    page = render(content([*rows[:-1], rows[-1] | {"accuracy": 0.9}]))
    assert page.count("└ ") == 39 and "\u00a0" * 3 * 12 + "└ " in page and "\u00a0" * 3 * 13 not in page


def test_a_run_without_inheritance_has_no_such_section() -> None:
    assert "inherited" not in Tags(render(content())).text
    assert "donor" not in Tags(render(content())).text


def test_audits_are_listed_with_their_line() -> None:
    pairs = (AuditPair(1, 7, 0.3, 0.25), AuditPair(3, 8, 0.1, 0.2))
    text = Tags(render(content(audits=Audits(pairs=pairs, line="tau is +1.00")))).text
    assert "Audits" in text and "tau is +1.00" in text
    assert "1730.0025.00" in text and "3810.0020.00" in text


FINISHED = FinishedDetector(
    name="01-dd",
    scores={"ap50": 0.61, "ap50_low": 0.5, "ap50_high": 0.7, "ap": 0.3, "ap_small": math.nan},
    epochs=31.25,
    images_seen=31250,
    seconds=1200.0,
    macs=800_000_000,
    params=1_500_000,
    weights="finished/01-dd/weights.pt",
    export="",
)


def test_finished_detectors_come_first() -> None:
    other = replace(FINISHED, name="02-aa", seconds=45.0, export="finished/02-aa/export")
    page = render(content(finished=(FINISHED, other), finished_on="They are scored on held-out images."))
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings[0] == "Finished detectors" and headings[1].startswith("The front")
    text = Tags(page).text.split("The front")[0]
    assert "They are scored on held-out images." in text and "accuracy %" not in text
    for cell in ("61.00", "50.00-70.00", "30.00", "0.8000", "1.500", "31.2", "31,250", "20 min", "45 s"):
        assert cell in text
    assert "finished/01-dd/weights.pt-" in text and "finished/02-aa/export" in text
    assert "Finished detectors" not in render(content())


def test_the_plan_against_what_happened() -> None:
    phases = (
        PhaseTime(title="search", planned_seconds=1620, actual_seconds=1700.4),
        PhaseTime(title="training of the best", planned_seconds=300, actual_seconds=20.0),
        PhaseTime(title="evaluation and export", planned_seconds=80, actual_seconds=None),
    )
    text = Tags(render(content(phases=phases))).text.split("The time: planned and taken")[1]
    assert "search27 min28 min" in text and "training of the best300 s20 s" in text
    assert "evaluation and export80 s-" in text and "in all33 min29 min" in text
    assert "in all300 s-" in Tags(render(content(phases=(replace(phases[1], actual_seconds=None),)))).text
    assert "planned and taken" not in render(content())


HELD_OUT = [
    each | {"held_out_accuracy": each["accuracy"] - 0.03, "held_out_ap50": each["accuracy"] / 2, "ap50": 0.123}
    if each["outcome"] == "complete"
    else each
    for each in FRONT
]


def test_figures_of_the_front_are_those_on_held_out_images() -> None:
    rows = [each | {"held_out_accuracy_low": 0.44, "held_out_accuracy_high": 0.66} for each in HELD_OUT]
    page = render(content(rows, held_out="Held-out figures are of 100 images."))
    table = page.split('aria-label="The members of the front"')[1].split("</div>")[0]
    titles = re.findall(r"<th[^>]*>(.*?)</th>", table)
    assert titles[1:3] == ["held-out accuracy %", "held-out 95 %"]
    assert "held-out AP50 %" in titles and "accuracy %" in titles and "AP50 %" not in titles
    first = dict(zip(titles, re.findall(r"<td[^>]*>(.*?)</td>", table.split("<tr>")[2]), strict=True))
    assert (first["held-out accuracy %"], first["held-out AP50 %"], first["accuracy %"]) == ("57.00", "30.00", "60.00")
    assert first["held-out 95 %"] == "44.00-66.00" and first["95 %"] == "50.00-70.00"
    assert "Held-out figures are of 100 images." in page
    ys = data_of(page)["ys"]
    assert [each["id"] for each in ys] == ["held_out_accuracy", "held_out_ap50", "accuracy", "ap50"]
    assert ys[0]["name"] == "held-out accuracy" and data_of(page)["curves"][1]["label"].startswith(
        "Best accuracy so far"
    )


def test_a_front_without_held_out_scores_does_not_speak_of_them() -> None:
    assert "Held-out" not in render(content(held_out="Held-out figures."))
    below = [each | {"outcome": "stopped", "rung": 1} for each in FRONT if each["accuracy"]]
    assert "Held-out" not in render(content(below, held_out="Held-out figures."))


@pytest.mark.parametrize("name", ["finished", "audits", "phases"])
def test_names_in_these_sections_cannot_break_out(name: str) -> None:
    hostile: dict[str, Any] = {
        "finished": (replace(FINISHED, name=HOSTILE, weights=HOSTILE, export=HOSTILE),),
        "audits": Audits(pairs=(AuditPair(1, 7, 0.3, 0.25),), line=HOSTILE),
        "phases": (PhaseTime(title=HOSTILE, planned_seconds=1, actual_seconds=2),),
    }
    page = render(content(**{name: hostile[name]}))
    assert [tag for tag, _ in Tags(page).tags].count("script") == 2 and "<b>" not in page
    assert "alert(1)" in Tags(page).text
