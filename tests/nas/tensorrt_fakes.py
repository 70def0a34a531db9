"""Stand-ins for TensorRT's Python and for CUDA's runtime, of both generations of the interface. They say so.

No part of TensorRT is here. An engine is an ONNX file, which ONNX Runtime runs; the memory of the GPU is that of this
process. What is checked is which functions are called, in which order, and with which addresses, sizes and types.
"""

from __future__ import annotations

import ctypes
from enum import Enum
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime

STATED: list[str] = []
"""What the stand-in said when engines were loaded."""


class DataType(Enum):
    """As in TensorRT."""

    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    INT64 = 4


class TensorIOMode(Enum):
    """As in TensorRT 8.5 and later."""

    NONE = 0
    INPUT = 1
    OUTPUT = 2


KINDS = {"tensor(float)": (DataType.FLOAT, np.float32), "tensor(int32)": (DataType.INT32, np.int32)}


class HostMemory:
    """Stands in for libcudart.so."""

    def __init__(self) -> None:
        self.blocks: dict[int, Any] = {}
        self.calls: list[str] = []

    def cudaStreamCreate(self, stream: Any) -> int:  # noqa: N802
        stream._obj.value = 77
        return 0

    def cudaStreamSynchronize(self, stream: Any) -> int:  # noqa: N802
        self.calls.append("synchronize")
        return 0 if stream.value == 77 else 400

    def cudaMalloc(self, address: Any, size: Any) -> int:  # noqa: N802
        block = ctypes.create_string_buffer(size.value)
        address._obj.value = ctypes.addressof(block)
        self.blocks[ctypes.addressof(block)] = block
        self.calls.append("malloc")
        return 0

    def cudaFree(self, address: Any) -> int:  # noqa: N802
        del self.blocks[address.value]
        return 0

    def cudaMemcpy(self, target: Any, source: Any, size: Any, kind: Any) -> int:  # noqa: N802
        inside = target if kind.value == 1 else source
        if size.value > len(self.blocks[inside.value]):
            return 1
        ctypes.memmove(target.value, source.value, size.value)
        return 0


class OnnxEngine:
    """What both generations have in common: an ONNX file that runs on blocks of memory."""

    def __init__(self, content: bytes, reverse: bool) -> None:
        self.session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        outputs = self.session.get_outputs()
        self.values = [*self.session.get_inputs(), *(outputs[::-1] if reverse else outputs)]
        self.shapes = [tuple(each.shape) for each in self.values]

    def is_input_at(self, number: int) -> bool:
        return number == 0

    def with_input(self, shape: tuple[int, ...]) -> bool:
        """Sets the shape of the input, and of the outputs that depend on it."""
        if len(shape) != len(self.values[0].shape):
            return False
        for number, each in enumerate(self.values):
            self.shapes[number] = tuple(side if isinstance(side, int) else shape[0] for side in each.shape)
        self.shapes[0] = shape
        return True

    def compute(self, addresses: list[int]) -> bool:
        """Reads the input from its block and writes the outputs into theirs."""
        views = []
        for value, shape, address in zip(self.values, self.shapes, addresses, strict=True):
            kind = np.dtype(KINDS[value.type][1])
            size = int(np.prod(shape)) * kind.itemsize
            views.append(np.frombuffer((ctypes.c_char * size).from_address(address), kind).reshape(shape))
        names = [each.name for each in self.values]
        found = self.session.run(names[1:], {names[0]: views[0].copy()})
        for view, values in zip(views[1:], found, strict=True):
            view[...] = values
        return True


class NumberedEngine:
    """An engine of TensorRT 8.2: bindings with numbers, and no named tensors."""

    def __init__(self, inner: OnnxEngine) -> None:
        self._inner, self.num_bindings = inner, len(inner.values)

    def get_binding_name(self, number: int) -> str:
        return str(self._inner.values[number].name)

    def binding_is_input(self, number: int) -> bool:
        return self._inner.is_input_at(number)

    def get_binding_dtype(self, number: int) -> DataType:
        return KINDS[self._inner.values[number].type][0]

    def create_execution_context(self) -> NumberedContext:
        return NumberedContext(self._inner)


class NumberedContext:
    """The context of a `NumberedEngine`."""

    def __init__(self, inner: OnnxEngine) -> None:
        self._inner = inner

    def set_binding_shape(self, number: int, shape: tuple[int, ...]) -> bool:
        return self._inner.is_input_at(number) and self._inner.with_input(shape)

    def get_binding_shape(self, number: int) -> tuple[int, ...]:
        return self._inner.shapes[number]

    def execute_v2(self, bindings: list[int]) -> bool:
        return self._inner.compute(bindings)


class NamedEngine:
    """An engine of TensorRT 10: tensors with names, and no bindings."""

    def __init__(self, inner: OnnxEngine) -> None:
        self._inner, self.num_io_tensors = inner, len(inner.values)
        self._numbers = {each.name: number for number, each in enumerate(inner.values)}

    def get_tensor_name(self, number: int) -> str:
        return str(self._inner.values[number].name)

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if self._inner.is_input_at(self._numbers[name]) else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return KINDS[self._inner.values[self._numbers[name]].type][0]

    def create_execution_context(self) -> NamedContext:
        return NamedContext(self._inner, self._numbers)


class NamedContext:
    """The context of a `NamedEngine`."""

    def __init__(self, inner: OnnxEngine, numbers: dict[str, int]) -> None:
        self._inner, self._numbers = inner, numbers
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        return self._inner.is_input_at(self._numbers[name]) and self._inner.with_input(shape)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._inner.shapes[self._numbers[name]]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        return stream_handle == 77 and self._inner.compute([self._addresses[name] for name in self._numbers])


class StandInLogger:
    """As in TensorRT."""

    WARNING = 2

    def __init__(self, severity: int) -> None:
        self.severity = severity


def stand_in(version: str, *, reverse: bool = False) -> ModuleType:
    """Returns a module in place of `tensorrt` of a version.

    Args:
        version: `8.2.1` has bindings with numbers, `10.3.0` has named tensors.
        reverse: whether engines list their outputs in reverse order.
    """
    module: Any = ModuleType("tensorrt")
    named = not version.startswith("8.2")

    class Runtime:
        def __init__(self, logger: StandInLogger) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, content: bytes) -> NamedEngine | NumberedEngine | None:
            if not content.startswith(b"engine of "):
                return None
            STATED.append(f"a stand-in for TensorRT {version}, which runs ONNX Runtime")
            inner = OnnxEngine(content.partition(b"\n")[2], reverse)
            return NamedEngine(inner) if named else NumberedEngine(inner)

    module.__version__, module.Logger, module.Runtime, module.DataType = version, StandInLogger, Runtime, DataType
    module.init_libnvinfer_plugins = lambda logger, namespace: True
    if named:
        module.TensorIOMode = TensorIOMode
    return module  # type: ignore[no-any-return]
