"""A description of an architecture, from its point in the space."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from results.trial import Trial
from search_space.head_kind import HEAD_KINDS

PLAIN = {"conv", "native", "none", "no", "backbone"}
"""Choices that are not mentioned."""
TOPOLOGIES = {
    "pan": "neck down and up",
    "fpn": "neck of one width, down",
    "giraffe": "neck down and up with more connections",
    "ihp": "neck without exchange between levels",
    "none": "no neck",
}
SIDED = re.compile(r"(unit_downsample|downsample|attention)_p(\d)")


def describe(point: Mapping[str, Any], trial: Trial) -> str:
    """Describes an architecture part by part.

    Args:
        point: Its choices by axis; empty if they are not known.
        trial: One of the architecture, for the input size and the levels.
    """
    parts = [
        f"{trial.input_width}x{trial.input_height} px{_tiles(point)}",
        _backbone(point),
        _neck(point),
        _head(point, trial),
    ]
    return "; ".join(each for each in parts if each)


def _tiles(point: Mapping[str, Any]) -> str:
    tiles = point.get("tiles", "1")
    return "" if tiles == "1" else f", {tiles} tiles"


def _backbone(point: Mapping[str, Any]) -> str:
    if "backbone" not in point:
        return ""
    words = [f"backbone {point['backbone']}"]
    words += [f"{name} {point[name]}" for name in ("width", "depth") if name in point]
    words += [f"{point['block']} blocks"] if "block" in point else []
    words += _sided(point, "downsample", "unit_downsample") + _sided(point, "attention")
    removed = [name[-2:].upper() for name in point if name.startswith("stride_p") and point[name] == 1]
    words += [f"stride into {' '.join(removed)} removed"] if removed else []
    words += [f"{point['context']} after its last stage"] if point.get("context", "none") != "none" else []
    words += [f"{point['extras']} extra stages"] if point.get("extras", "none") != "none" else []
    words += [f"dual path ({point['dual_path']})"] if point.get("dual_path", "none") != "none" else []
    return ", ".join(words)


def _sided(point: Mapping[str, Any], *kinds: str) -> list[str]:
    """Describes downsampling or attention of levels that differ from the default."""
    levels: dict[str, list[str]] = {}
    for name, choice in point.items():
        found = SIDED.fullmatch(name)
        if found and found[1] in kinds and choice not in PLAIN:
            levels.setdefault(str(choice), []).append(f"P{found[2]}")
    return [f"{choice} at {' '.join(named)}" for choice, named in levels.items()]


def _neck(point: Mapping[str, Any]) -> str:
    topology = point.get("topology")
    if topology is None:
        return ""
    words = [TOPOLOGIES.get(str(topology), f"neck {topology}")]
    words += [f"fusion {point['fusion']}"] if "fusion" in point else []
    words += [f"upsampling {point['upsample']}"] if "upsample" in point else []
    words += [f"{point['neck_block']} blocks"] if "neck_block" in point else []
    named = {"cross_layer": "cross-layer", "finest_fusion": "finest fusion", "attention_neck": "attention"}
    named |= {"downsample_neck": "downsampling"}
    words += [f"{word} {point[name]}" for name, word in named.items() if point.get(name, "none") not in PLAIN]
    return ", ".join(words)


def _head(point: Mapping[str, Any], trial: Trial) -> str:
    kind = point.get("head")
    name = HEAD_KINDS.get(str(kind)).description.partition(" ")[2] if kind in HEAD_KINDS else "head"
    return f"{name} on {' '.join(trial.levels)}"
