"""Spoilt checkpoints and random pickles end in weights or in one line: a little of what `python -m tests.fuzz` does."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_space.errors import ConfigError
from tests.fuzz.foreign_cases import CONTENT
from tests.fuzz.judge import Tally, judge
from tests.fuzz.parsers import PARSERS
from tests.trainers.importing.foreign_files import archive, legacy, nothing_happens
from trainers.importing.foreign import read_foreign

CASES = 150
WHOLE = (archive(CONTENT), legacy(CONTENT))


@pytest.mark.parametrize("name", ["foreign checkpoints", "foreign pickles"])
def test_nothing_but_weights_or_one_line_comes_of_spoilt_checkpoints(name: str, tmp_path: Path) -> None:
    tally, cases = Tally(parser=name), PARSERS[name].prepare(tmp_path)
    for number in range(CASES):
        judge(tally, f"case {number}", cases(Random(f"1 {name} {number}")))
    assert not tally.failures and not tally.weak
    assert tally.read > CASES / 20 and tally.refused > CASES / 20, "both outcomes occur"


@pytest.fixture(scope="module", autouse=True)
def first_reads(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Reads once what imports modules at its first use, which would count as an effect of a file."""
    path = tmp_path_factory.mktemp("first") / "w.pt"
    for codec in ("cp437", "raw_unicode_escape", "unicode_escape"):  # of names in zip archives and texts in pickles
        "é".encode(codec)
    for content in (*WHOLE, archive(b""), legacy(b""), WHOLE[0][:-9], b"text"):
        path.write_bytes(content)
        with contextlib.suppress(ConfigError):
            read_foreign(path)


edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=6)
pickles = st.lists(st.sampled_from([bytes([code]) for code in range(256)]) | st.binary(max_size=6), max_size=40)


@settings(suppress_health_check=list(HealthCheck))
@given(st.sampled_from(WHOLE), edits, st.floats(0, 1), pickles.map(b"".join), st.booleans())
def test_any_edit_of_a_checkpoint_ends_in_weights_or_one_line(
    whole: bytes, changes: list[tuple[float, bytes]], kept: float, pickled: bytes, is_edited: bool
) -> None:
    content = bytearray(whole if is_edited else archive(pickled) if kept < 0.5 else legacy(pickled))
    for place, text in changes:
        start = int(place * len(content))
        content[start : start + len(text)] = text
    if is_edited and kept < 0.9:
        del content[int((kept + 0.1) * len(content)) :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.pt"
        path.write_bytes(bytes(content))
        with nothing_happens(path):
            try:
                found = read_foreign(path)
            except ConfigError as error:
                assert "\n" not in str(error)
                return
        assert found.state and all(isinstance(value, torch.Tensor) for value in found.state.values())
        assert [each.name for each in Path(folder).iterdir()] == ["w.pt"]
