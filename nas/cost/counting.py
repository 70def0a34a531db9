"""Count a block by running its deployed form once on the `meta` device, where nothing is computed.

One multiply-add is one MAC, fvcore's FLOP. Convolutions, linear layers and matrix products (attention included) count
MACs. Batch norm is folded into its convolution. Pooling, resizing and element-wise operators count no MACs, but the
bytes that they write count. An operator that is neither in `COUNTED` nor in `FREE` is an error.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nas.cost.outputs import UNCHANGED_SHAPE, output_of, without_running
from search_space.deployed import deployed
from search_space.errors import SpaceError

Shape = tuple[int, ...]
"""`(C, H, W)` of one map of one image."""

FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class BlockCount:
    """The cost of one block for inputs of given shapes: one image in 32-bit floats."""

    output_shape: Shape
    macs: int
    """Of the deployed form, in which branches are merged."""
    macs_trained: int
    """As trained, with all branches."""
    params: int
    """Trainable ones, as trained."""
    params_deployed: int
    """Of the deployed form; batch norms that do not belong to a merged branch count as in `params`."""
    weight_bytes: int
    """Parameters and buffers as trained, such as the statistics of batch norm."""
    activation_bytes: int
    """Everything that the operators of the deployed form write, without views."""
    peak_bytes: int
    """Peak of what these operators write that is alive at one time, with the output, without the inputs."""


def _convolution(args: Sequence[Any], output: Tensor) -> int:
    weight, transposed = args[1], args[6]
    positions: Tensor = args[0] if transposed else output
    return int(positions.numel() * prod(weight.shape[1:]))


def _matrix_product(first: int, second: int) -> Callable[[Sequence[Any], Tensor], int]:
    def count(args: Sequence[Any], output: Tensor) -> int:
        left: Tensor = args[first]
        right: Tensor = args[second]
        return left.numel() * right.shape[-1]

    return count


def _attention(args: Sequence[Any], output: Tensor) -> int:
    query, key, value = args[0], args[1], args[2]
    pairs = prod(query.shape[:-1]) * key.shape[-2]
    return int(pairs * (query.shape[-1] + value.shape[-1]))


COUNTED: dict[str, Callable[[Sequence[Any], Tensor], int]] = {
    "aten.convolution.default": _convolution,
    "aten.mm.default": _matrix_product(0, 1),
    "aten.bmm.default": _matrix_product(0, 1),
    "aten.addmm.default": _matrix_product(1, 2),
    "aten.baddbmm.default": _matrix_product(1, 2),
    "aten._scaled_dot_product_attention_math.default": _attention,
    "aten._scaled_dot_product_flash_attention_for_cpu.default": _attention,
    "aten._scaled_dot_product_fused_attention_overrideable.default": _attention,
}
"""MACs of operators that multiply, from their arguments and first output."""

FREE = frozenset(
    "_softmax _safe_softmax _to_copy _unsafe_view abs adaptive_avg_pool2d _adaptive_avg_pool2d add add_ alias amax "
    "amin arange as_strided avg_pool2d bitwise_and cat chunk clamp clamp_ clamp_min clone constant_pad_nd copy_ "
    "detach div div_ empty exp expand flip floor full gather ge gelu hardsigmoid hardsigmoid_ hardswish hardswish_ "
    "hardtanh hardtanh_ index le leaky_relu leaky_relu_ lift_fresh linalg_vector_norm log log2 max "
    "max_pool2d_with_indices mean min minimum mul mul_ native_batch_norm _native_batch_norm_legit "
    "_native_batch_norm_legit_no_training native_group_norm native_layer_norm neg new_empty new_zeros ones "
    "ones_like permute pow reflection_pad2d relu relu_ reshape round rsqrt rsub scalar_tensor select sigmoid "
    "sigmoid_ silu silu_ slice softplus split split_with_sizes sqrt squeeze stack sub sub_ sum t tanh "
    "transpose unbind unsqueeze upsample_bilinear2d upsample_nearest2d var_mean view where zeros zeros_like "
    "pixel_unshuffle pixel_shuffle".split()
)
"""Operators without MACs: normalisation, activation, pooling, resizing, element-wise work, and data movement."""


class MemoryPeak:
    """Tracks the bytes of new tensors that are alive, as 32-bit floats, and their peak."""

    def __init__(self) -> None:
        self.live_bytes = 0
        self.peak_bytes = 0
        self._holders: Counter[int] = Counter()
        self._sizes: dict[int, int] = {}
        self._watches: dict[int, weakref.ref[Tensor]] = {}

    def follow(self, tensor: Tensor, *, is_view: bool) -> None:
        """Adds a tensor of any shape that an operator returned; its storage is alive as long as any tensor uses it."""
        num_bytes = tensor.numel() * FLOAT_BYTES
        if not num_bytes:
            return
        place = tensor.untyped_storage()._cdata
        if place not in self._sizes:
            if is_view:
                return  # a view of an input or a weight, which is not new
            self._sizes[place] = num_bytes
            self.live_bytes += num_bytes
            self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        self._holders[place] += 1
        watch = weakref.ref(tensor, partial(self._let_go, place))
        self._watches[id(watch)] = watch

    def _let_go(self, place: int, watch: weakref.ref[Tensor]) -> None:
        del self._watches[id(watch)]
        self._holders[place] -= 1
        if not self._holders[place]:
            self.live_bytes -= self._sizes.pop(place)
            del self._holders[place]


class _Operator(NamedTuple):
    """What is known of one of torch's operators, whatever it is called with."""

    name: str
    macs: Callable[[Sequence[Any], Tensor], int] | None
    is_known: bool
    is_unchanged: bool
    is_view: bool


@cache
def _operator(func: Any) -> _Operator:
    name = func.__name__.partition(".")[0]
    macs = COUNTED.get(str(func))
    is_known = macs is not None or name in FREE
    return _Operator(name, macs, is_known, name in UNCHANGED_SHAPE, func.is_view)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the MACs and the bytes written by every operator that runs inside it, and follows its memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self.activation_bytes = 0
        self.memory = MemoryPeak()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Skips torch's guard against compiling this mode: importing its compiler takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operator = _operator(func)
        if not operator.is_known:
            raise SpaceError(f"operator {func} has no counting rule; add it to COUNTED or FREE in nas/cost/counting.py")
        if operator.is_unchanged:
            result = without_running(operator.name, args)
        else:
            result = None if kwargs else output_of(operator.name, args)
            result = func(*args, **(kwargs or {})) if result is None else result
        output = result[0] if isinstance(result, (tuple, list)) else result
        if operator.macs is not None:
            self.macs += int(operator.macs(args, output))
        if isinstance(output, Tensor) and not operator.is_view:
            self.activation_bytes += output.numel() * FLOAT_BYTES
        self._follow(result, operator.is_view, args)
        return result

    def _follow(self, result: Any, is_view: bool, args: Sequence[Any]) -> None:
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor) and not any(tensor is arg for arg in args):
                self.memory.follow(tensor, is_view=is_view)


def count_module(module: nn.Module, *shapes: Shape) -> BlockCount:
    """Runs a module and its deployed form on the `meta` device on maps `(1, C, H, W)` and returns its cost.

    Raises:
        SpaceError: It runs an operator without a counting rule.
    """
    if module.training:
        module.eval()
    form = deployed(module)
    output_shape, counter = _run(form, shapes)
    tensors = [*module.parameters(), *(buffer for buffer in module.buffers() if buffer.is_floating_point())]
    return BlockCount(
        output_shape=output_shape,
        macs=counter.macs,
        macs_trained=counter.macs if form is module else _run(module, shapes)[1].macs,
        params=_num_trained(module),
        params_deployed=_num_trained(form),
        weight_bytes=sum(tensor.numel() for tensor in tensors) * FLOAT_BYTES,
        activation_bytes=counter.activation_bytes,
        peak_bytes=counter.memory.peak_bytes,
    )


def _run(module: nn.Module, shapes: Sequence[Shape]) -> tuple[Shape, _Counter]:
    """Runs a module on the `meta` device; returns the shape of its output, and what its operators cost."""
    counter = _Counter()
    inputs = [torch.empty((1, *shape), device="meta") for shape in shapes]
    with torch.no_grad(), counter:
        output = module(*inputs)
    return tuple(output.shape[1:]), counter


def _num_trained(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
