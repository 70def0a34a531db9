"""The section of an architecture file that says how a detector was trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from search_space import DESIGNS, Architecture
from search_space.errors import SpaceError
from search_space.trained_section import TrainedSection, read_trained

ARCHITECTURE = DESIGNS.get("yolov8n-p2").architecture
COUNTS = st.integers(min_value=1, max_value=10_000)
SECTIONS = st.builds(
    TrainedSection,
    num_classes=COUNTS,
    epochs=st.none() | st.floats(min_value=0, max_value=1e4),
    rung=st.none() | COUNTS,
    rungs=st.none() | COUNTS,
    complete=st.booleans(),
)


@given(section=SECTIONS)
def test_a_file_has_both_and_the_architecture_is_unchanged(
    section: TrainedSection, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("files") / "a.yaml"
    path.write_text(section.text(ARCHITECTURE))
    assert read_trained(path) == section
    assert Architecture.from_yaml(path) == ARCHITECTURE


def test_an_architecture_file_needs_no_section(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    ARCHITECTURE.to_yaml(path)
    assert read_trained(path) is None


@pytest.mark.parametrize("section", [3, {}, {"num_classes": 0}, {"num_classes": "a"}, {"num_classes": 2, "more": 1}])
def test_a_damaged_section_names_its_file(section: object, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(ARCHITECTURE.to_dict() | {"trained": section}))
    with pytest.raises(SpaceError, match=r"a\.yaml: trained"):
        read_trained(path)
    assert Architecture.from_yaml(path) == ARCHITECTURE


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="none.yaml"):
        read_trained(tmp_path / "none.yaml")
