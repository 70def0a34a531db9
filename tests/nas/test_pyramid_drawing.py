"""The picture of a pyramid: every node is in it, on its level, and no two boxes lie on each other."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import nas
from nas.cli import main
from nas.reports.pyramid_drawing import GAP, WIDTH, draw_pyramid
from search_space import DESIGNS, lower
from search_space.errors import ConfigError, WriteError

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", list(DESIGNS))
def test_every_node_is_drawn_on_its_level(name: str) -> None:
    graph = lower(DESIGNS.get(name).architecture, num_classes=3)
    picture = ElementTree.fromstring(draw_pyramid(graph, title=f"<{name}>"))
    boxes = [each for each in picture.iter(f"{SVG}rect") if each.get("width") == str(WIDTH)]
    texts = [str(each.text) for each in picture.iter(f"{SVG}text")]
    assert f"<{name}>" in texts
    levels = [re.fullmatch(r"P(\d+) /(\d+)", text) for text in texts]
    assert {int(found[1]) for found in levels if found} == {node.level for node in graph.nodes}
    assert all(int(found[2]) == 2 ** int(found[1]) for found in levels if found)
    shown = sum(int(found[1]) if (found := re.match(r"(\d+) x ", text)) else 1 for text in texts)
    resized = [
        node for node in graph.nodes if node.part == "neck" and node.block.split(":")[0] in ("upsample", "downsample")
    ]
    assert shown >= len(graph.nodes) - len(resized)
    places = {(each.get("x"), each.get("y")) for each in boxes}
    assert len(places) == len(boxes), "boxes do not lie on each other"
    rows = [sorted(int(x) for x, other in places if other == y) for _, y in places]
    assert all(right - left >= WIDTH + GAP for row in rows for left, right in zip(row, row[1:], strict=False))


def test_explain_draws_the_pyramid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", "sodet-s", "--picture", str(tmp_path / "a.svg")])
    assert "0 GMACs" not in capsys.readouterr().out
    nas.explain("sodet-s", picture=tmp_path / "b.svg")
    first = (tmp_path / "a.svg").read_text()
    assert first == (tmp_path / "b.svg").read_text()
    assert all(f">{block}<" in first for block in ("eafusion", "weighted_concat", "cdown", "c2psa"))
    with pytest.raises(ConfigError, match="--picture draws one architecture"):
        nas.explain("sodet-s", diff="sodet-m", picture=tmp_path / "c.svg")  # type: ignore[call-overload]
    assert not (tmp_path / "c.svg").exists()
    with pytest.raises(ConfigError, match=r"--picture writes an SVG file, got .*a\.png; next: a name that"):
        nas.explain("sodet-s", picture=tmp_path / "a.png")
    with pytest.raises(WriteError, match="No such file or directory; create the folder, or correct the path"):
        nas.explain("sodet-s", picture=tmp_path / "none" / "a.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg"]
