"""YAML that anyone may have written."""

from __future__ import annotations

from pathlib import Path

import pytest

from search_space import Architecture
from search_space.errors import SpaceError
from search_space.files import read_bytes, unpacked
from search_space.yaml_text import MAX_BYTES, MAX_CHARS, YamlError, parse_yaml, read_yaml
from tests.fuzz.mutations import BOMB


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [", "line 2: expected the node content"),
        ("a: !!python/object/apply:os.system ['touch x']", "line 1: could not determine a constructor for the tag"),
        ("a: !!python/name:os.system", "line 1: could not determine"),
        (BOMB, f"it expands to more than {MAX_CHARS:,} characters"),
        (f"a: &a {'x' * 9000}\nb: [{', '.join(['*a'] * 300)}]", "it expands to more than"),
        ("a: &a [1, *a]", "line 1: an alias contains itself"),
        ("[" * 100_000, "line 1: it is nested deeper than 50"),
        ("- " * 2000, "nested deeper than 50"),
        ("a: 1\nb: 2\na: 3", "line 3: 'a' is given twice; give it once"),
        ("a: " + "9" * 5000, "line 1: a whole number has too many digits"),
        ("a: 0x" + "f" * 5000, "line 1: a whole number has too many digits"),
        (f"a: {2**63}", "line 1: a whole number has too many digits"),
        ("a: 2026-99-99", "month must be in 1..12"),
        ("a: !!bool x", "a value does not match its tag"),
        ("a: !!timestamp x", "a value does not match its tag"),
        ("a: \x00", "character 3 is not allowed"),
        (b"a: \xff", "character 3 is not allowed"),
        ("? [a]\n: b", "unhashable"),
        ("a: 1\n---\nb: 2", "another document"),
    ],
)
def test_what_is_no_plain_data_is_refused_in_one_line(text: str | bytes, message: str) -> None:
    with pytest.raises(YamlError) as caught:
        parse_yaml(text)
    assert message in str(caught.value) and "\n" not in str(caught.value) and "unicode string" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &a {x: 1}\nb: {<<: *a, y: 2}", {"a": {"x": 1}, "b": {"x": 1, "y": 2}}),
        ("\ufeffa: 1\r\nb: .nan", {"a": 1}),
        ("a: 1".encode("utf-16"), {"a": 1}),
        ("a: 9223372036854775807", {"a": 2**63 - 1}),
        ("", None),
    ],
)
def test_plain_data_is_read_whatever_its_encoding(text: str | bytes, expected: object) -> None:
    found = parse_yaml(text)
    assert found == expected if not isinstance(found, dict) else {**found, "b": 0} == {**dict(expected or {}), "b": 0}  # type: ignore[call-overload]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("#" * (MAX_BYTES + 1))
    with pytest.raises(YamlError, match="larger than 1,000,000 bytes"):
        read_yaml(tmp_path / "a.yaml")
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "a\0b", 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "is a list; it must be a mapping"),
        ("input_hw: &a [*a]", "an alias contains itself"),
        (f"{BOMB}input_hw: *a11", "is not a YAML file: line"),
        (f"input_hw: 1\nbackbone: {'x' * 1000}\nhead: 1", "input_hw is 1; it must be a list"),
        ("1: 2", "unknown field 1;"),
    ],
)
def test_an_architecture_of_others_is_refused_in_few_words(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SpaceError) as caught:
        Architecture.from_yaml(tmp_path / "a.yaml")
    assert message in str(caught.value) and len(str(caught.value)) < 400 + len(str(tmp_path))


def test_a_name_that_no_file_can_have_is_told(tmp_path: Path) -> None:
    for name in ("a\0b", "x" * 300):
        with pytest.raises(SpaceError, match="is not a file|cannot read"):
            Architecture.from_yaml(tmp_path / name)


def test_what_unpacks_to_too_much_is_refused() -> None:
    import gzip

    assert unpacked(gzip.compress(b"a") + gzip.compress(b"b") + b"\0\0", 2) == b"ab"
    with pytest.raises(OverflowError, match="unpacks to more than 1,000,000 bytes"):
        unpacked(gzip.compress(bytes(50_000_000)), 1_000_000)
    with pytest.raises(ValueError, match="cut off"):
        unpacked(gzip.compress(b"abc" * 100)[:-9], 1000)


@pytest.mark.parametrize("text", ["names: [no, 1.0, 010, null, 2024-01-01, a]", "names: {1: no, 2: 1.0, 3: 010, 4: a}"])
def test_words_are_kept_as_they_are_written(text: str) -> None:
    read = parse_yaml(f"{text}\nother: [no, 1.0]\n", words_of="names")
    words = list(read["names"].values()) if isinstance(read["names"], dict) else read["names"]
    assert words == [word for word in ("no", "1.0", "010", "null", "2024-01-01", "a") if word in text]
    assert read["other"] == [False, 1.0] and parse_yaml(text) != {"names": read["names"]}


@pytest.mark.parametrize(
    ("text", "read"), [("names: [~, '']", [None, ""]), ("names: no", False), ("names: [[no]]", [[False]])]
)
def test_nothing_and_other_values_are_no_words(text: str, read: object) -> None:
    assert parse_yaml(text, words_of="names") == {"names": read}


def test_a_tag_is_refused_among_words() -> None:
    with pytest.raises(YamlError, match="constructor for the tag"):
        parse_yaml("names: [!!python/object/apply:os.getcwd []]", words_of="names")
    with pytest.raises(YamlError, match="constructor for the tag"):
        parse_yaml("names: [!mine a]", words_of="names")
