"""The operators of a deployed graph, traced by running each block once on the `meta` device.

Everything that an exporter folds is folded: parallel branches that merge, batch norm after a convolution, and whatever
depends only on weights. Views are free; splits, slices and transposes are not, because a deployed graph copies them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nas.cost.cost import NodeKey, counted_nodes
from nas.cost.counting import COUNTED, Shape
from nas.cost.operators import TABLE_COLUMNS, Operators, operators_of
from nas.cost.outputs import UNCHANGED_SHAPE, OnMeta, without_running
from search_space.deployed import deployed
from search_space.graph import Graph, Node, build, cannot_be

_OPERATORS: dict[NodeKey, Operators] = {}

OP_TYPES: dict[str, str] = {
    **dict.fromkeys(("relu", "clamp_min"), "act_relu"),
    **dict.fromkeys(("hardtanh", "clamp"), "act_hardtanh"),
    **{name: f"act_{name}" for name in ("silu", "sigmoid", "gelu", "hardswish", "hardsigmoid", "leaky_relu", "tanh")},
    **dict.fromkeys(("exp", "log", "log2", "softplus", "elu"), "act_other"),
    **{name: f"eltwise_{name}" for name in ("add", "sub", "mul", "div")},
    "rsub": "eltwise_sub",
    **dict.fromkeys(("neg", "abs", "pow", "sqrt", "rsqrt", "maximum", "minimum", "where"), "eltwise_other"),
    **dict.fromkeys(("round", "floor", "le", "ge", "bitwise_and"), "eltwise_other"),
    **dict.fromkeys(("cat", "stack"), "concat"),
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "unbind"), "split"),
    **dict.fromkeys(("slice", "select", "index", "gather"), "slice"),
    **dict.fromkeys(("constant_pad_nd", "reflection_pad2d"), "constant_pad_nd"),
    "max_pool2d_with_indices": "maxpool",
    "avg_pool2d": "avgpool",
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "linalg_vector_norm"), "global_pool"),
    **dict.fromkeys(("_adaptive_avg_pool2d", "adaptive_avg_pool2d", "var_mean"), "global_pool"),
    **dict.fromkeys(("upsample_nearest2d", "upsample_bilinear2d"), "upsample"),
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training"), "batchnorm"),
    "native_layer_norm": "native_layer_norm",
    "native_group_norm": "native_group_norm",
    **dict.fromkeys(("transpose", "permute", "t"), "transpose"),
    **dict.fromkeys(("_softmax", "_safe_softmax"), "softmax"),
    **dict.fromkeys(("pixel_unshuffle", "pixel_shuffle"), "space_to_depth"),
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm"), "matmul"),
}
"""Operator type in a deployed graph for each operator of torch."""

NOTHING = frozenset(
    "view _unsafe_view reshape expand squeeze unsqueeze alias detach clone copy_ _to_copy as_strided lift_fresh".split()
)
"""Operators that a deployed graph does not run, or whose cost is part of the operator before them."""


@dataclass(frozen=True, kw_only=True)
class TracedOperator:
    """One operator that ran, with the numbers of `operators.TABLE_COLUMNS`; 0 where a number does not apply."""

    op_type: str
    in_c: int
    in_h: int
    in_w: int
    out_c: int
    out_h: int
    out_w: int
    kernel_h: int = 0
    kernel_w: int = 0
    stride_h: int = 0
    stride_w: int = 0
    groups: int = 0
    macs: int
    params: int = 0
    in_elems: int
    out_elems: int


class _Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operators that run inside it and depend on its inputs."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.traced: list[TracedOperator] = []
        self.sources: list[tuple[int, ...]] = []
        self._producer = {id(tensor): -1 for tensor in inputs}
        self._alive: list[Any] = list(inputs)  # ids are unique only while their tensors are alive

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        result = without_running(name, args) if name in UNCHANGED_SHAPE else func(*args, **(kwargs or {}))
        inputs = [tensor for tensor in _tensors(args) if id(tensor) in self._producer]
        outputs = [tensor for tensor in _tensors((result,)) if tensor.numel()]
        if inputs and outputs:
            self._record(name.rstrip("_") if name not in NOTHING else name, func, args, inputs, outputs)
        return result

    def _record(self, name: str, func: Any, args: Any, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        self._alive.append((inputs, outputs))
        sources = tuple(dict.fromkeys(self._producer[id(tensor)] for tensor in inputs))
        unchanged = name in ("slice", "transpose", "permute", "t") and _same_order(name, inputs[0], outputs[0])
        producer = sources[0]
        if name not in NOTHING and not unchanged:
            for operator, reads in self._operators(name, func, args, inputs, outputs):
                self.traced.append(operator)
                self.sources.append(sources if reads is None else (reads,))
            producer = len(self.traced) - 1
        for tensor in outputs:
            self._producer[id(tensor)] = producer

    def _operators(
        self, name: str, func: Any, args: Any, inputs: list[Tensor], outputs: list[Tensor]
    ) -> Iterator[tuple[TracedOperator, int | None]]:
        """Yields what one torch operator runs, and the index of the operator that it reads where it is not `inputs`.

        Attention is two products and a softmax.
        """
        output = outputs[0]
        if "scaled_dot_product" in name:
            query, key, value = args[:3]
            scores = torch.Size((*query.shape[:-1], key.shape[-2]))
            pairs = prod(scores)
            macs, values_read = pairs * query.shape[-1], query.numel() + key.numel()
            yield _operator("matmul", query.shape, scores, macs, values_read), None
            yield _operator("softmax", scores, scores, 0, pairs), len(self.traced) - 1
            macs, values_read = pairs * value.shape[-1], pairs + value.numel()
            yield _operator("matmul", scores, output.shape, macs, values_read), len(self.traced) - 1
            return
        total = sum(tensor.numel() for tensor in inputs)
        op_type = OP_TYPES.get(name, name)
        if name in ("_adaptive_avg_pool2d", "adaptive_avg_pool2d") and prod(output.shape[2:]) > 1:
            op_type = "avgpool"
        macs = int(COUNTED[str(func)](args, output)) if str(func) in COUNTED else 0
        operator = _operator(op_type, inputs[0].shape, output.shape, macs, total)
        if op_type == "split":
            operator = replace(operator, out_elems=sum(tensor.numel() for tensor in outputs))
        if op_type == "matmul":
            params = sum(tensor.numel() for tensor in _tensors(args) if id(tensor) not in self._producer)
            operator = replace(operator, params=params)
        if name == "convolution":
            operator = replace(operator, **_convolution(args))
        yield operator, None

    def operators(self) -> Operators:
        """Returns the recorded operators, without batch norms that are folded into the convolution before them."""
        readers = [0] * len(self.traced)
        for sources in self.sources:
            for source in sources:
                if source >= 0:
                    readers[source] += 1
        stands_for = list(
            range(len(self.traced))
        )  # the operator that produces each output, once batch norms are folded
        kept, follows = [], []
        for index, (operator, sources) in enumerate(zip(self.traced, self.sources, strict=True)):
            source = sources[0]
            origin = stands_for[source] if source >= 0 else -1
            behind_conv = origin >= 0 and self.traced[origin].op_type.startswith("conv") and readers[source] == 1
            if operator.op_type == "batchnorm" and behind_conv:
                stands_for[index] = origin
                continue
            kept.append(operator)
            follows.append(operator.op_type.startswith("act_") and behind_conv)
        columns = {name: [getattr(each, name) for each in kept] for name in TABLE_COLUMNS[4:] + ["op_type"]}
        return operators_of({**columns, "model": [0] * len(kept), "follows_conv": follows})


def _tensors(args: Sequence[Any]) -> Iterator[Tensor]:
    for each in args:
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, (list, tuple)):
            yield from _tensors(each)


def _same_order(name: str, source: Tensor, output: Tensor) -> bool:
    """Returns whether a slice is the whole tensor, or a transposition only moves sides of length 1."""
    if name == "slice":
        return source.shape == output.shape
    return [side for side in source.shape if side > 1] == [side for side in output.shape if side > 1] and (
        output.is_contiguous()
    )


def _chw(shape: Sequence[int]) -> tuple[int, int, int]:
    """Returns channels, height and width of `(B, C, H, W)`; missing dimensions are 1, extra ones are flattened."""
    sides = list(shape[1:])
    if len(sides) > 3:
        sides = [prod(sides[:-2]), *sides[-2:]]
    return tuple([*sides[:1], *[1] * (3 - len(sides)), *sides[1:]] if sides else [1, 1, 1])  # type: ignore[return-value]


def _operator(
    op_type: str, source: Sequence[int], output: Sequence[int], macs: int, in_elements: int
) -> TracedOperator:
    in_c, in_h, in_w = _chw(source)
    out_c, out_h, out_w = _chw(output)
    return TracedOperator(
        op_type=op_type,
        in_c=in_c,
        in_h=in_h,
        in_w=in_w,
        out_c=out_c,
        out_h=out_h,
        out_w=out_w,
        macs=macs,
        in_elems=in_elements,
        out_elems=prod(output),
    )


def _convolution(args: Sequence[Any]) -> dict[str, Any]:
    """Returns the fields of `TracedOperator` that only a convolution has."""
    weight, bias, stride, transposed, groups = args[1], args[2], args[3], args[6], args[8]
    kernel = [*weight.shape[2:]]
    height, width = kernel if len(kernel) == 2 else (1, kernel[0])
    return {
        "op_type": "conv_transpose" if transposed else "conv",
        "kernel_h": height,
        "kernel_w": width,
        "stride_h": stride[0],
        "stride_w": stride[-1],
        "groups": groups,
        "params": weight.numel() + (bias.numel() if bias is not None else weight.shape[0]),
    }


def trace_operators(module: nn.Module, *shapes: Shape) -> Operators:
    """Runs a module on the `meta` device once on maps `(1, C, H, W)` and returns its operators."""
    inputs = [torch.empty((1, *shape), device="meta") for shape in shapes]
    tracer = _Tracer(inputs)
    module.eval()
    with torch.no_grad(), tracer:
        module(*inputs)
    return tracer.operators()


def graph_operators(graph: Graph) -> Iterator[tuple[NodeKey, Callable[[], Operators]]]:
    """Yields the cache key of each node of a graph and a function that returns its operators."""
    for node, key, _ in counted_nodes(graph):
        yield key, partial(node_operators, node, key)


def node_operators(node: Node, key: NodeKey) -> Operators:
    """Returns the operators of a node; runs its block if the key is not cached.

    Raises:
        SpaceError: The block cannot be built, or cannot run on maps of these shapes.
    """
    found = _OPERATORS.get(key)
    if found is None:
        with OnMeta():
            block = deployed(build(node))
        try:
            found = _OPERATORS[key] = trace_operators(block, *key[2])
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            raise cannot_be(node, error) from error
    return found
