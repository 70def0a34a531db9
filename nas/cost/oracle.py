"""MACs counted by fvcore, which traces the real module; an independent check of our counts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from nas.cost.counting import Shape
from search_space.deployed import deployed

UNCOUNTED = (
    "batch_norm",
    "adaptive_avg_pool2d",
    "upsample_nearest2d",
    "upsample_bilinear2d",
    "layer_norm",
    "group_norm",
)
"""Operators that fvcore counts by elements, but that are no multiply-adds of the deployed network."""


def _attention_macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    query, key, value = (tensor.type().sizes() for tensor in inputs[:3])
    return int(prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def fvcore_macs(module: nn.Module, *shapes: Shape) -> int:
    """Returns fvcore's MACs of the deployed form for one image of maps `(C, H, W)`.

    Attention counts, normalisation does not.
    """
    inputs = tuple(torch.zeros(1, *shape) for shape in shapes)
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    analysis = FlopCountAnalysis(deployed(module.eval()), inputs)
    analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_macs)
    # None would mean "ignore", but fvcore still counts an operator that it has a handler for.
    analysis.set_op_handle(**{f"aten::{name}": lambda inputs, outputs: 0 for name in UNCOUNTED})
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    return int(analysis.total())
