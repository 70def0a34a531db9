"""The message for a name that is unknown."""

from __future__ import annotations

import pytest

from search_space.errors import ConfigError, check_known, nearest, unknown_name


def test_an_unknown_name_is_told_with_the_nearest_and_the_known_ones() -> None:
    message = unknown_name("device", "nano", ("orin-nano-fp16", "a40"), also=("jetson-nano", "a40"))
    assert message == "unknown device 'nano'; did you mean 'jetson-nano'; known: orin-nano-fp16, a40"
    assert len(unknown_name("device", "x" * 10_000, ("a40",))) < 200


def test_a_hint_ignores_upper_and_lower_case() -> None:
    assert nearest("COCO", ("coco", "tinyperson")) == "; did you mean 'coco'"
    assert nearest("p2", ("P2", "head")) == "; did you mean 'P2'"
    assert nearest("quite another", ("coco", "voc")) == ""


def test_a_known_name_passes_and_another_raises_the_given_error() -> None:
    check_known("format", "coco", iter(("coco", "voc")), ConfigError)
    with pytest.raises(ConfigError):
        check_known("format", "cocoa", iter(("coco", "voc")), ConfigError)
