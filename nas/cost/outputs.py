"""Output shapes of operators on the `meta` device, computed here because many of torch's meta kernels are slow Python.

Only simple cases are handled: contiguous 32-bit floats with matching sizes. Torch handles everything else and reports
sizes that do not match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

UNCHANGED_SHAPE = frozenset(
    "_native_batch_norm_legit_no_training native_batch_norm _softmax abs exp gelu hardsigmoid "
    "hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_ leaky_relu leaky_relu_ neg relu relu_ rsqrt sigmoid "
    "sigmoid_ silu silu_ softplus sqrt tanh".split()
)
"""Free operators whose output has the shape of their input."""

NOTHING = torch.empty(0, device="meta")
"""The empty statistics that batch norm returns outside training."""


def without_running(name: str, args: Sequence[Any]) -> Any:
    """Returns the output of an operator of `UNCHANGED_SHAPE` without running it."""
    source: Tensor = args[0]
    if name.endswith("_"):
        return source
    output = _new(source, source.shape) if _is_plain(source) else torch.empty_like(source)
    return (output, NOTHING, NOTHING) if "batch_norm" in name else output


def output_of(name: str, args: Sequence[Any]) -> Tensor | None:
    """Returns the output of an operator, of any shape, without running it; None if torch has to run it."""
    rule = RULES.get(name)
    return None if rule is None else rule(args)


def _is_plain(tensor: Any) -> bool:
    return isinstance(tensor, Tensor) and tensor.dtype is torch.float32 and tensor.is_meta and tensor.is_contiguous()


def _new(source: Tensor, shape: Iterable[int]) -> Tensor:
    return torch.empty(tuple(shape), dtype=source.dtype, device="meta")


def _convolution(args: Sequence[Any]) -> Tensor | None:
    source, weight, _, stride, padding, dilation, transposed, _, groups = args
    if transposed or not (_is_plain(source) and _is_plain(weight) and source.dim() == weight.dim() == 4):
        return None
    if not len(stride) == len(padding) == len(dilation) == 2 or source.shape[1] != weight.shape[1] * groups:
        return None
    sides = [
        (source.shape[2 + i] + 2 * padding[i] - dilation[i] * (weight.shape[2 + i] - 1) - 1) // stride[i] + 1
        for i in range(2)
    ]
    return _new(source, (source.shape[0], weight.shape[0], *sides)) if min(sides) > 0 else None


def _elementwise(args: Sequence[Any]) -> Tensor | None:
    """Handles `left op right` if one operand has the shape of the result or is a number."""
    left, right = args[:2]
    if not _is_plain(left):
        return None
    if not isinstance(right, Tensor):
        return _new(left, left.shape)
    if not _is_plain(right):
        return None
    larger, smaller = (left, right) if left.dim() >= right.dim() and left.numel() >= right.numel() else (right, left)
    offset = larger.dim() - smaller.dim()
    if offset < 0 or any(side not in (1, larger.shape[offset + i]) for i, side in enumerate(smaller.shape)):
        return None
    return _new(larger, larger.shape)


def _concatenation(args: Sequence[Any]) -> Tensor | None:
    maps: Sequence[Tensor] = args[0]
    if not all(map(_is_plain, maps)):
        return None
    first, dims = maps[0], {each.dim() for each in maps}
    axis = (args[1] if len(args) > 1 else 0) % max(first.dim(), 1)
    rests = {(*each.shape[:axis], *each.shape[axis + 1 :]) for each in maps}
    if len(dims) > 1 or len(rests) > 1 or not first.dim():
        return None
    return _new(first, (*first.shape[:axis], sum(each.shape[axis] for each in maps), *first.shape[axis + 1 :]))


def _stack(args: Sequence[Any]) -> Tensor | None:
    maps: Sequence[Tensor] = args[0]
    if not all(map(_is_plain, maps)) or len({each.shape for each in maps}) > 1:
        return None
    axis = (args[1] if len(args) > 1 else 0) % (maps[0].dim() + 1)
    return _new(maps[0], (*maps[0].shape[:axis], len(maps), *maps[0].shape[axis:]))


def _reduction(args: Sequence[Any]) -> Tensor | None:
    """Handles reductions over given dimensions, `(source, dims, keepdim)`."""
    if len(args) < 2 or not _is_plain(args[0]) or not isinstance(args[1], (list, tuple)) or not args[1]:
        return None
    source, keeps = args[0], len(args) > 2 and bool(args[2])
    if any(not -source.dim() <= dim < source.dim() for dim in args[1]):
        return None
    gone = {dim % source.dim() for dim in args[1]}
    sides = enumerate(source.shape)
    return _new(source, [1 if i in gone else side for i, side in sides if keeps or i not in gone])


RULES: dict[str, Callable[[Sequence[Any]], Tensor | None]] = {
    "convolution": _convolution,
    **dict.fromkeys(("add", "sub", "mul", "div", "rsub", "pow"), _elementwise),
    **dict.fromkeys(("mean", "amax", "amin", "sum"), _reduction),
    "cat": _concatenation,
    "stack": _stack,
}
"""Computes the output of an operator from its arguments, or None; by name."""

FILLS = frozenset("uniform_ normal_ trunc_normal_ zero_ fill_ random_ erfinv_ copy_".split())
"""Operators that only write values; tensors on `meta` have none."""


class OnMeta(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Creates all tensors inside it on the `meta` device and skips writing their values.

    Does the same as `with torch.device("meta")` in a third of the time per block.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Skips torch's guard against compiling this mode: importing its compiler takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        if name in FILLS and args[0].is_meta:
            return args[0]
        if name == "lift_fresh":  # given values, such as those of torch.tensor
            return torch.empty_like(args[0], device="meta")
        kwargs = kwargs or {}
        if "device" in kwargs:
            kwargs = {**kwargs, "device": torch.device("meta")}
        return func(*args, **kwargs)
