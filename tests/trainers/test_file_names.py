"""Names of files: exact, in another Unicode form, and the ends that tell paths apart."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from trainers.data.file_names import NameTable, as_on_disk, common_end, distinct_ends

NAMES = st.text(alphabet="ae\u0301\u00e9\u30d0\u30cf\u3099\u212b", min_size=1, max_size=6)


@given(names=st.lists(NAMES, max_size=6), asked=NAMES)
def test_a_table_finds_the_exact_name_or_the_only_other_form(names: list[str], asked: str) -> None:
    found = NameTable(zip(names, range(len(names)), strict=True)).get(asked)
    others = {name for name in names if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", asked)}
    if asked in names:
        assert found == names.index(asked)
    else:
        assert found == (names.index(others.pop()) if len(others) == 1 else None)


def test_a_path_is_found_as_it_is_on_disk(tmp_path: Path) -> None:
    stored = tmp_path / "e\u0301te\u0301" / "a\u0301.txt"
    stored.parent.mkdir()
    stored.write_text("")
    said = tmp_path / "\u00e9t\u00e9" / "\u00e1.txt"
    assert as_on_disk(said) == as_on_disk(stored) == stored
    assert as_on_disk(said.with_name("\u00e8.txt")) == said.with_name("\u00e8.txt")
    (stored.parent / "\u00e8.txt").write_text("")  # the folder is read again once it has changed
    assert as_on_disk(said.with_name("e\u0300.txt")) == stored.parent / "\u00e8.txt"
    assert as_on_disk(tmp_path / "\u00e9\0") == tmp_path / "\u00e9\0"


@given(paths=st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=1, max_size=6))
def test_distinct_ends_tell_paths_apart(paths: list[list[str]]) -> None:
    listed = [PurePosixPath("/", *path) for path in paths]
    ends = distinct_ends(listed)
    assert all(common_end(path, PurePosixPath(end)) >= 1 for path, end in zip(listed, ends, strict=True))
    assert [first == second for first in ends for second in ends] == [
        first == second for first in listed for second in listed
    ]
