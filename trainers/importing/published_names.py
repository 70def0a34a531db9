"""How published checkpoints call the tensors of our blocks: parts of names, once per class of block and layout.

A table gives for a class the published name of each of its parts, by the path of the part in ours. A part that is not
in it keeps its name. Names and shapes are facts of the published files; they were read from their key lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from search_space.blocks.attention import CBAM
from search_space.blocks.conv import SPPF, Conv, Pointwise
from search_space.blocks.csp import C3, Bottleneck, SplitChain
from search_space.blocks.downsample import CDown
from search_space.blocks.extra import PlainExtra, SeparableExtra
from search_space.blocks.fusion import EAFusion, WeightedConcat
from search_space.blocks.gsconv import GSConvE1
from search_space.blocks.mobile import DepthwiseResidual, HardswishConv, InvertedResidual, ReLUConv, Separable
from search_space.blocks.psa import C2PSA, PositionAttention, PSABlock
from search_space.blocks.smooth import SCConv
from search_space.blocks.vgg import BiasedConv, L2Scale
from search_space.graph import Arguments, Node, build
from search_space.heads.anchor_free import AnchorFreeLevel
from search_space.heads.roi import RoIHead
from search_space.heads.rpn import RPNLevel
from search_space.heads.ssd import SSDLevel

Names = Mapping[str, str]
Table = Mapping[type[nn.Module], "Names | Callable[[nn.Module], Names]"]

LEVEL = "@"
"""Stands for the number of the level in the names of the head of Ultralytics."""


def _c3(block: nn.Module) -> Names:
    bottlenecks = {f"main.{number + 1}": f"m.{number}" for number in range(len(block.main) - 1)}  # type: ignore[arg-type]
    return {"main.0": "cv1", "bypass": "cv2", "join": "cv3", **bottlenecks}


def _anchor_free(head: nn.Module) -> Names:
    assert isinstance(head, AnchorFreeLevel)
    names = {}
    for branch, part, kind in (("box", "cv2", head.box_branch), ("class", "cv3", head.class_branch)):
        pairs, length = kind == "depthwise", len(head.get_submodule(f"{branch}_tower"))  # type: ignore[arg-type]
        for number in range(length):
            place = f"{number // 2}.{number % 2}" if pairs else str(number)
            names[f"{branch}_tower.{number}"] = f"{part}.{LEVEL}.{place}"
        names[f"{branch}_logits"] = f"{part}.{LEVEL}.{length // 2 if pairs else length}"
    return names


ULTRALYTICS: Table = {
    Conv: {"norm": "bn"},
    Bottleneck: {"first": "cv1", "second": "cv2"},
    SplitChain: {"split": "cv1", "inner": "m", "join": "cv2"},
    C3: _c3,
    SPPF: {"reduce": "cv1", "expand": "cv2"},
    C2PSA: {"split": "cv1", "blocks": "m", "join": "cv2"},
    PSABlock: {"attention": "attn", "feed": "ffn"},
    PositionAttention: {"position": "pe", "project": "proj"},
    CDown: {"attention": "eca"},
    CBAM: {"channel_gate": "cbam.channel_attention.fc", "spatial_gate": "cbam.spatial_attention.cv1"},
    GSConvE1: {"dense": "cv1", "mix": "cv2.0", "spread": "cv2.1"},
    WeightedConcat: {"weights": "w"},
    EAFusion: {
        "scale": "initial_weight",
        "spatial.conv": "sa.sa",
        "squeeze": "ca.ca.0",
        "excite": "ca.ca.2",
        "pixel": "pa.pa2",
        "project": "SWS.conv",
        "norm": "SWS.bn",
    },
    AnchorFreeLevel: _anchor_free,
}
GUESSED = ("fusion:weighted_concat", "fusion:eafusion")
"""Blocks whose published names are not certain: their tensors may also be found by shape."""

MMDET: Table = {
    HardswishConv: {"conv.0": "0", "conv.1": "1"},
    DepthwiseResidual: {
        "depthwise.0.0": "conv2",
        "depthwise.0.1": "bn2",
        "project.0": "conv3",
        "project.1": "bn3",
    },
    InvertedResidual: {
        "expand.0.0": "conv1",
        "expand.0.1": "bn1",
        "depthwise.0.0": "conv2",
        "depthwise.0.1": "bn2",
        "squeeze.squeeze": "se.se.1",
        "squeeze.excite": "se.se.3",
        "project.0": "conv3",
        "project.1": "bn3",
    },
    Pointwise: {"weight": "conv.weight", "bias": "conv.bias"},
    SCConv: {"depthwise": "0", "pointwise": "1"},
    RPNLevel: {"smooth": "rpn_conv", "objectness": "rpn_cls", "box_offsets": "rpn_reg"},
    RoIHead: {"hidden": "shared_fcs.0", "class_logits": "fc_cls", "box_offsets": "fc_reg"},
}

SSDS: Table = {
    ReLUConv: {},
    BiasedConv: {"conv.weight": "weight", "conv.bias": "bias"},
    Separable: {"depthwise": "conv", "pointwise.0": "conv.3", "pointwise.1": "conv.4"},
    L2Scale: {"gain": "weight"},
    SeparableExtra: {
        "reduce": "0",
        "reduce_norm": "1",
        "shrink": "3",
        "shrink_norm": "4",
        "mix": "6",
        "mix_norm": "7",
    },
    PlainExtra: {"reduce": "0", "shrink": "1"},
    SSDLevel: {"box_offsets": "loc", "class_logits": "conf"},
}


def _torchvision_residual(unit: nn.Module) -> Names:
    """The parts of a unit of MobileNetV3 are numbered in the order in which they run, those that exist only."""
    parts = [name for name in ("expand", "depthwise", "squeeze", "project") if _has_tensors(unit, name)]
    names = {"squeeze.squeeze": "fc1", "squeeze.excite": "fc2"}
    named = {
        part: f"block.{parts.index(part.split('.')[0])}.{name}" for part, name in names.items() if "squeeze" in parts
    }
    for part in ("expand", "depthwise", "project"):
        if part in parts:
            inside = part if part == "project" else f"{part}.0"
            named |= {f"{inside}.{number}": f"block.{parts.index(part)}.{number}" for number in (0, 1)}
    return named


def _has_tensors(unit: nn.Module, part: str) -> bool:
    return hasattr(unit, part) and bool(getattr(unit, part).state_dict())


TORCHVISION: Table = {
    HardswishConv: {"conv.0": "0", "conv.1": "1"},
    DepthwiseResidual: _torchvision_residual,
    InvertedResidual: _torchvision_residual,
}

OWN: Table = {}
TABLES: dict[str, Table] = {
    "ultralytics": ULTRALYTICS,
    "mmdet": MMDET,
    "ssds": SSDS,
    "torchvision": TORCHVISION,
    "own": OWN,
}


@dataclass(frozen=True, kw_only=True)
class FoldedNorm:
    """A tensor of a batch norm that is part of its convolution in the file."""

    part: str
    """`weight`, `bias`, `running_mean`, `running_var` or `num_batches_tracked`."""
    eps: float


@dataclass(frozen=True, kw_only=True)
class BlockTensor:
    """One tensor of a block."""

    own: str
    """Its name in the block."""
    published: str
    """Its name in the file; of a folded norm, that of the bias which the convolution got."""
    shape: tuple[int, ...]
    folded: FoldedNorm | None = None
    norm_eps: float | None = None
    """Of a running variance: the eps of its norm."""
    conv: str | None = None
    """Of a tensor of a norm: the name in the block of the convolution before it."""

    @property
    def is_counter(self) -> bool:
        """Whether it counts batches, which the outputs do not depend on."""
        return self.own.endswith("num_batches_tracked")


def tensors_of(node: Node, table: str, *, norms_folded: bool = False) -> tuple[BlockTensor, ...]:
    """Returns the tensors of a node's block with their names in the files of a layout, in the order of the block.

    Args:
        node: A node of a graph.
        table: One of `TABLES`.
        norms_folded: Whether the file has batch norms as parts of their convolutions.
    """
    return _tensors_of(node.block, node.arguments, table, norms_folded)


@cache
def _tensors_of(block: str, arguments: Arguments, table: str, norms_folded: bool) -> tuple[BlockTensor, ...]:
    with torch.device("meta"):
        module = build(Node("", block, arguments, (), 0))
    norms = {name: each for name, each in module.named_modules() if isinstance(each, nn.modules.batchnorm._NormBase)}
    convs = _convolutions(module)
    found = []
    for own, value in module.state_dict().items():
        name, _, part = own.rpartition(".")
        norm = norms.get(name)
        folded = FoldedNorm(part=part, eps=norm.eps) if norms_folded and norm is not None else None
        source = f"{convs[name]}.bias".lstrip(".") if folded is not None else own
        found.append(
            BlockTensor(
                own=own,
                published=published_name(module, source, TABLES[table]),
                shape=tuple(value.shape),
                folded=folded,
                norm_eps=norm.eps if norm is not None and part == "running_var" else None,
                conv=convs.get(name),
            )
        )
    return tuple(found)


def _convolutions(module: nn.Module) -> dict[str, str]:
    """Returns the name of the convolution before each batch norm: every block defines it just before the norm."""
    pairs, last = {}, ""
    for name, each in module.named_modules():
        if isinstance(each, nn.Conv2d):
            last = name
        elif isinstance(each, nn.modules.batchnorm._NormBase):
            pairs[name] = last
    return pairs


def published_name(module: nn.Module, own: str, table: Table) -> str:
    """Returns the name in the file of a tensor or part of a block.

    Args:
        module: The block.
        own: The name in the block, such as `inner.0.first.conv.weight`.
        table: The names of a layout.
    """
    names, parts = _names_of(module, table), own.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in names or length == 1:
            rest = ".".join(parts[length:])
            below = published_name(module.get_submodule(prefix), rest, table) if rest else ""
            return ".".join(filter(None, (names.get(prefix, prefix), below)))
    raise AssertionError("a name has at least one part")


def _names_of(module: nn.Module, table: Table) -> Names:
    for cls in type(module).__mro__:
        if cls in table:
            names = table[cls]
            return names(module) if callable(names) else names
    return {}
