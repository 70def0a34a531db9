"""Runs a network with ONNX Runtime, or an engine with TensorRT's Python. For `detect.py`; needs Python 3.6 and numpy.

A network is called with the values of its only input and returns its outputs as a list of arrays. TensorRT needs no
other package: memory of the GPU is reached through the library of CUDA's runtime, by ctypes.
"""

import ctypes
import ctypes.util

import numpy as np

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
CUDA_LIBRARIES = ["libcudart.so", "/usr/local/cuda/lib64/libcudart.so"] + [
    "libcudart.so." + version for version in ("13", "12", "11.0", "10.2", "10.0")
]
TO_GPU, FROM_GPU = 1, 2
TYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}
"""By the name of TensorRT's type. Its own function for this fails with newer versions of numpy."""


class OnnxNetwork:
    """An ONNX file in ONNX Runtime, on the GPU if the installed package can."""

    def __init__(self, path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        providers = [each for each in PROVIDERS if each in onnxruntime.get_available_providers()]
        self.session = onnxruntime.InferenceSession(path, options, providers=providers)
        self.input = self.session.get_inputs()[0].name
        self.metadata = self.session.get_modelmeta().custom_metadata_map

    def __call__(self, values):
        """Returns the outputs in the order of the file."""
        return self.session.run(None, {self.input: values})


class EngineError(RuntimeError):
    """An engine that does not load, such as one of another version of TensorRT."""


class EngineNetwork:
    """An engine of TensorRT 8.2 to 10.

    Until 8.4 the tensors of an engine are bindings with numbers; from 8.5 on they have names, and 10 knows names only.
    """

    def __init__(self, path, names=None):
        """Loads an engine.

        Args:
            path: File that trtexec wrote on this board.
            names: Names of the outputs in the order of the ONNX file; None: the order of the engine.

        Raises:
            EngineError: The engine does not load.
        """
        import tensorrt

        logger = tensorrt.Logger(tensorrt.Logger.WARNING)
        tensorrt.init_libnvinfer_plugins(logger, "")
        self.runtime = tensorrt.Runtime(logger)
        with open(path, "rb") as file:
            self.engine = self.runtime.deserialize_cuda_engine(file.read())
        if self.engine is None:
            raise EngineError("the engine %s does not load with TensorRT %s" % (path, tensorrt.__version__))
        self.context = self.engine.create_execution_context()
        self.calls = (NamedCalls if hasattr(self.engine, "num_io_tensors") else NumberedCalls)(self.engine, tensorrt)
        (self.input,) = [each for each in self.calls.tensors if each.is_input]
        outputs = [each for each in self.calls.tensors if not each.is_input]
        order = {name: index for index, name in enumerate(names or ())}
        self.outputs = sorted(outputs, key=lambda each: order.get(each.name, len(order)))
        self.memory = GpuMemory()

    def __call__(self, values):
        """Returns the outputs, copied from the GPU."""
        values = np.ascontiguousarray(values, self.input.type)
        self.calls.set_input_shape(self.context, self.input, values.shape)
        self.memory.copy_in(self.input.name, values)
        found = []
        for each in self.outputs:
            found.append(np.empty(self.calls.shape(self.context, each), each.type))
            self.memory.reserve(each.name, found[-1].nbytes)
        self.calls.run(self.context, self.memory)
        for each, array in zip(self.outputs, found):
            self.memory.copy_out(each.name, array)
        return found


class Tensor:
    """An input or output of an engine."""

    def __init__(self, number, name, is_input, kind):
        self.number, self.name, self.is_input = number, name, is_input
        self.type = TYPES[str(kind).rpartition(".")[2]]


class NumberedCalls:
    """The calls of TensorRT 8.2 to 8.4: tensors are bindings with numbers."""

    def __init__(self, engine, _):
        self.tensors = []
        for number in range(engine.num_bindings):
            name, kind = engine.get_binding_name(number), engine.get_binding_dtype(number)
            self.tensors.append(Tensor(number, name, engine.binding_is_input(number), kind))

    def set_input_shape(self, context, tensor, shape):
        """Gives an input its shape."""
        if not context.set_binding_shape(tensor.number, shape):
            raise RuntimeError("the engine does not take an input of shape %s" % (shape,))

    def shape(self, context, tensor):
        """Returns the shape of an output for the shape that the input has."""
        return tuple(context.get_binding_shape(tensor.number))

    def run(self, context, memory):
        """Runs the engine and waits for it."""
        if not context.execute_v2([memory.addresses[each.name] for each in self.tensors]):
            raise RuntimeError("TensorRT could not run the engine")


class NamedCalls:
    """The calls of TensorRT 8.5 to 10: tensors have names."""

    def __init__(self, engine, tensorrt):
        self.tensors = []
        for number in range(engine.num_io_tensors):
            name = engine.get_tensor_name(number)
            is_input = engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT
            self.tensors.append(Tensor(number, name, is_input, engine.get_tensor_dtype(name)))

    def set_input_shape(self, context, tensor, shape):
        """Gives an input its shape."""
        if not context.set_input_shape(tensor.name, shape):
            raise RuntimeError("the engine does not take an input of shape %s" % (shape,))

    def shape(self, context, tensor):
        """Returns the shape of an output for the shape that the input has."""
        return tuple(context.get_tensor_shape(tensor.name))

    def run(self, context, memory):
        """Runs the engine and waits for it."""
        for each in self.tensors:
            context.set_tensor_address(each.name, memory.addresses[each.name])
        if not context.execute_async_v3(memory.stream):
            raise RuntimeError("TensorRT could not run the engine")
        memory.wait()


class GpuMemory:
    """A block of memory of the GPU for each tensor, and a stream."""

    def __init__(self):
        self.cuda, self.addresses, self.sizes = load_cuda(), {}, {}
        stream = ctypes.c_void_p()
        self.call("cudaStreamCreate", ctypes.byref(stream))
        self.stream = stream.value

    def call(self, name, *arguments):
        """Calls a function of CUDA; raises RuntimeError with its name if it fails."""
        code = getattr(self.cuda, name)(*arguments)
        if code != 0:
            raise RuntimeError("%s failed with code %d of CUDA" % (name, code))

    def reserve(self, name, size):
        """Makes the block of a tensor at least as large as `size` bytes."""
        if self.sizes.get(name, -1) >= size:
            return
        if name in self.addresses:
            self.call("cudaFree", ctypes.c_void_p(self.addresses.pop(name)))
        address = ctypes.c_void_p()
        self.call("cudaMalloc", ctypes.byref(address), ctypes.c_size_t(max(size, 1)))
        self.addresses[name], self.sizes[name] = address.value, size

    def copy_in(self, name, array):
        """Copies an array into the block of a tensor."""
        self.reserve(name, array.nbytes)
        self.copy(self.addresses[name], array.ctypes.data, array.nbytes, TO_GPU)

    def copy_out(self, name, array):
        """Copies the block of a tensor into an array."""
        self.copy(array.ctypes.data, self.addresses[name], array.nbytes, FROM_GPU)

    def copy(self, target, source, size, kind):
        """Copies bytes and waits for it."""
        words = (ctypes.c_void_p(target), ctypes.c_void_p(source), ctypes.c_size_t(size), ctypes.c_int(kind))
        self.call("cudaMemcpy", *words)

    def wait(self):
        """Waits for the stream."""
        self.call("cudaStreamSynchronize", ctypes.c_void_p(self.stream))


def load_cuda():
    """Returns the library of CUDA's runtime. Raises RuntimeError if there is none."""
    for name in filter(None, [ctypes.util.find_library("cudart")] + CUDA_LIBRARIES):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise RuntimeError("libcudart.so of CUDA was not found; next: install cuda-cudart, or add it to LD_LIBRARY_PATH")
