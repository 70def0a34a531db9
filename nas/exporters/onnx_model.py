"""Write detectors as ONNX and compare them with PyTorch."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from nas.exporters.folding import fold_input_format, fold_scales, keep_small_numbers, without_splits
from nas.exporters.onnx_suppression import (
    NMS_OPERATORS,
    NmsOperator,
    check_suppression,
    with_suppression,
    without_suppression,
)
from search_space import Detector
from search_space.deployed import deployed
from search_space.errors import ConfigError, check_known
from search_space.graph import IMAGE
from search_space.heads.roi import RoIHead
from trainers.detect import evaluation_mode
from trainers.heads import HeadTraining, head_training
from trainers.heads.anchor_free import AnchorFreeTraining

Form = Literal["raw", "decoded", "boxes"]
FORMS: tuple[Form, ...] = ("raw", "decoded", "boxes")
PRECISIONS = ("fp32", "fp16", "int8")
OPSETS = range(13, 21)
CUDA = "CUDAExecutionProvider"
READ_RAW = ("anchor_free", "ssd", "two_stage")
"""Kinds of head whose raw outputs `kit/postprocess.py` can decode; decoded outputs work for all kinds."""
DETECTED = ("boxes", "scores", "labels")
"""Names of decoded outputs; only those of a one-to-one head have labels."""
DEFAULT_OPSET = 13
"""TensorRT 8.2, the last release for the first Jetson Nano, supports opsets up to 15."""


@dataclass(frozen=True, kw_only=True)
class OnnxOptions:
    """Options of the ONNX file."""

    opset: int = DEFAULT_OPSET
    precision: str = "fp32"
    """`fp32`, `fp16` or `int8` for weights and maps; inputs and outputs are always 32-bit floats. `write_onnx` writes
    fp32 for `int8`, which `nas.exporters.quantisation` makes of it."""
    form: Form = "raw"
    """`raw`: the maps of the head; `decoded`: boxes in pixels and scores, before suppression; of a one-to-one head what
    is found, with its classes; `boxes`: that of all heads, after suppression."""
    nms: NmsOperator | None = None
    """How `boxes` are suppressed; None: by the operator of ONNX, or not at all behind a one-to-one head."""

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise ConfigError(f"--opset is {self.opset}; allowed: {OPSETS[0]} to {OPSETS[-1]}")
        for name, value, allowed in (("precision", self.precision, PRECISIONS), ("outputs", self.form, FORMS)):
            if value not in allowed:
                raise ConfigError(f"--{name} is {value!r}; allowed: {', '.join(allowed)}")
        if self.nms is not None and self.nms not in NMS_OPERATORS:
            raise ConfigError(f"--nms is {self.nms!r}; allowed: {', '.join(NMS_OPERATORS)}")
        if self.nms is not None and self.form != "boxes":
            raise ConfigError(f"--nms applies to --outputs boxes, not to {self.form}; drop it, or give --outputs boxes")
        if self.precision == "int8" and self.form == "boxes":
            raise ConfigError("--outputs boxes does not apply to --precision int8; next: --outputs decoded")


class Exportable(nn.Module):
    """The exported form of a detector: images `(B, 3, H, W)` in, outputs in 32-bit floats.

    Raw outputs are the maps of `Detector.forward`. For a two-stage head they are the maps of the proposal head, then
    the maps that the second stage reads: the selection of proposals depends on values, so a graph of fixed shape cannot
    contain it. Decoded outputs are boxes `(B, N, 4)` as x1, y1, x2, y2 px of the input and scores `(B, N,
    num_classes)`. Those of a one-to-one head, which needs no suppression, are boxes, scores `(B, N)` and class indices
    `(B, N)` of what is found, best first. The form `boxes` is decoded here; `with_suppression` adds the rest.
    """

    def __init__(self, detector: Detector, options: OnnxOptions) -> None:
        super().__init__()
        self.detector, self.form = detector, options.form
        self.dtype = torch.float16 if options.precision == "fp16" else torch.float32
        self.nodes, self.names = _raw_outputs(detector)
        if self.form != "raw":
            self.names = DETECTED if detector.one_to_one else DETECTED[:2]
            self.reader: HeadTraining = head_training(detector)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = self.detector.maps(images.to(self.dtype), self.nodes)
        outputs = tuple(each.float() for each in maps)
        if self.form == "raw":
            return outputs
        if not self.detector.one_to_one:
            return self.reader.table(outputs, self.detector.input_hw)
        assert isinstance(self.reader, AnchorFreeTraining)
        boxes, scores, labels, _ = self.reader.top(outputs)
        return boxes, scores, labels.float()


def _raw_outputs(detector: Detector) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the nodes of the raw outputs, and the names of the outputs."""
    graph = detector.graph
    if detector.head != "two_stage":
        return graph.outputs, tuple(f"level{index}" for index in range(len(graph.outputs)))
    *levels, _, second = graph.outputs
    features = next(node.inputs[1:] for node in graph.nodes if node.name == second)
    names = [f"regions{index}" for index in range(len(levels))] + [f"features{index}" for index in range(len(features))]
    return (*levels, *features), tuple(names)


class SecondStage(nn.Module):
    """The layers of a two-stage head after RoI pooling: `(N, C)` to `(N, num_classes + 1 + 4)`."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        head = detector.blocks[detector.graph.outputs[-1]]
        assert isinstance(head, RoIHead)
        self.head, self.num_features = head, head.hidden.in_features

    def forward(self, features: Tensor) -> Tensor:
        hidden = torch.relu(self.head.hidden(features.to(self.head.hidden.weight.dtype)))
        return torch.cat((self.head.class_logits(hidden), self.head.box_offsets(hidden)), dim=-1).float()


def write_onnx(detector: Detector, options: OnnxOptions) -> dict[str, bytes]:
    """Returns the ONNX files of a detector by name: `model.onnx`, and `second_stage.onnx` for a two-stage head.

    The input is RGB from 0 to 1 whatever the input format of the detector, most of which becomes part of the first
    convolution; see `fold_input_format`. The network is the deployed form, in which branches are merged. Batch norms
    are folded into their convolutions. Fixed scales, such as those of SNI, are folded into the convolutions after them
    if nothing else reads them. Convolutions whose output is split become two; see `without_splits`.

    Raises:
        ConfigError: The extra `onnx` is not installed, the head's outputs cannot be decoded in a graph, or
            `postprocess.py` cannot decode the raw outputs.
    """
    if options.form == "raw" and detector.head not in READ_RAW:
        raise ConfigError(
            f"postprocess.py cannot decode the raw outputs of a head of kind {detector.head!r}; "
            f"allowed: {', '.join(READ_RAW)}; next: --outputs decoded"
        )
    if options.form == "decoded" and detector.head == "two_stage":
        raise ConfigError(
            "the outputs of a two-stage head cannot be decoded inside ONNX, because the number of boxes depends on "
            "the image; next: --outputs raw, and postprocess.py to decode them"
        )
    if options.form == "boxes":
        check_suppression(detector.head, options.nms, one_to_one=detector.one_to_one)
    with evaluation_mode(detector):
        folded = without_splits(fold_input_format(deployed(detector)))
        module = _halved(folded) if options.precision == "fp16" else folded
        model = Exportable(module, options).eval()
        image = torch.zeros(1, 3, *detector.input_hw)
        files = {"model.onnx": _traced(model, image, IMAGE, model.names, options)}
        if options.form == "boxes" and not detector.one_to_one:
            suppression = options.nms or NMS_OPERATORS[0]
            files["model.onnx"] = with_suppression(files["model.onnx"], suppression, detector.num_classes)
        if detector.head == "two_stage":
            second = SecondStage(module).eval()
            features = torch.zeros(1, second.num_features)
            files["second_stage.onnx"] = _traced(second, features, "features", ("table",), options, dynamic=True)
    return files


def _halved(detector: Detector) -> Detector:
    return deepcopy(detector).eval().half()


def _traced(
    module: nn.Module, example: Tensor, name: str, outputs: Sequence[str], options: OnnxOptions, dynamic: bool = False
) -> bytes:
    try:
        import onnx
        from onnxscript import optimizer
    except ImportError as error:
        raise ConfigError(
            f"packages for ONNX are missing ({error}); next: pip install 'pyramidnas[onnx]', or --format yaml"
        ) from None
    buffer = io.BytesIO()
    axes = {each: {0: "boxes"} for each in (name, *outputs)} if dynamic else None
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns of each size that becomes a constant; all sizes are fixed
        torch.onnx.export(
            module,
            (example,),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=options.opset,
            input_names=[name],
            output_names=list(outputs),
            dynamic_axes=axes,
        )
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it warns of operators that it does not optimise
    traced = keep_small_numbers(onnx.load_from_string(buffer.getvalue()))
    model = fold_scales(optimizer.optimize(traced))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def run_onnx(model: bytes, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Runs an ONNX file on the CPU with ONNX Runtime; raises ConfigError if that is not installed."""
    return list(open_session(model).run(None, dict(feeds)))


def open_session(model: bytes | Path, device: str = "cpu", threads: int = 0) -> Any:
    """Returns a session of ONNX Runtime.

    Args:
        model: content or path of an ONNX file.
        device: `auto`, `cpu` or `cuda`; `auto` is the GPU if this build of ONNX Runtime can use it.
        threads: CPU threads; 0: all.

    Raises:
        ConfigError: ONNX Runtime is not installed or cannot use the device, or the file cannot be read.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"ONNX Runtime is not installed ({error}); next: pip install 'pyramidnas[onnx]', or --format yaml"
        ) from None
    check_known("--device", device, ("auto", "cpu", "cuda"), ConfigError)
    has_cuda = CUDA in onnxruntime.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise ConfigError("this ONNX Runtime has no CUDA; next: --device cpu, or pip install onnxruntime-gpu")
    options: Any = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    providers = [CUDA] if has_cuda and device != "cpu" else []
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=[*providers, "CPUExecutionProvider"]
        )
    except Exception as error:  # its own classes, which derive from Exception alone
        name, reason = "the ONNX file" if isinstance(model, bytes) else model, str(error).splitlines()[0]
        raise ConfigError(f"ONNX Runtime cannot open {name}: {reason}; next: export it again") from None


def difference(detector: Detector, files: Mapping[str, bytes], options: OnnxOptions, images: np.ndarray) -> float:
    """Returns the largest difference between ONNX and PyTorch outputs, relative to each output's largest value.

    Of a file with suppression inside, the boxes and scores before it are compared. Decoded boxes and scores have a
    scale of at least 1 (a pixel, a score), because those of an untrained detector are tiny.

    Args:
        images: `(B, 3, H, W)` 32-bit floats from 0 to 1; they are run one at a time.
    """
    worst, network = 0.0, without_suppression(files["model.onnx"])
    with evaluation_mode(detector):
        reference = Exportable(detector, OnnxOptions(form=options.form)).eval()
        for image in images:
            found = run_onnx(network, {IMAGE: image[None]})
            if reference.names == DETECTED:
                worst = max(worst, _apart_as_found(detector, torch.from_numpy(image[None]), found))
                continue
            expected = reference(torch.from_numpy(image[None]))
            least = 0.0 if options.form == "raw" else 1.0  # boxes are in pixels, scores are at most 1
            worst = max(worst, *(_apart(a, b.numpy(), least) for a, b in zip(found, expected, strict=True)))
        if "second_stage.onnx" in files:
            second = SecondStage(detector).eval()
            features = np.random.default_rng(0).normal(size=(7, second.num_features)).astype(np.float32)
            (table,) = run_onnx(files["second_stage.onnx"], {"features": features})
            worst = max(worst, _apart(table, second(torch.from_numpy(features)).numpy()))
    return worst


def _apart_as_found(detector: Detector, image: Tensor, found: Sequence[np.ndarray]) -> float:
    """Returns how far the detections of a one-to-one head in one image are from those in PyTorch.

    Rounding changes the order of detections with nearly equal scores. The k-th scores are compared, and each detection
    with the most similar pair of a point and its class.
    """
    training = head_training(detector)
    assert isinstance(training, AnchorFreeTraining)
    maps = detector(image)
    boxes, scores = (each[0].numpy() for each in training.table(maps, detector.input_hw))
    worst = float(np.abs(found[1] - training.top(maps)[1].numpy()).max())
    scale = max(1.0, float(np.abs(boxes).max()))
    for box, score, label in zip(*(each[0] for each in found), strict=True):
        apart = np.maximum(np.abs(boxes - box).max(axis=1) / scale, np.abs(scores[:, int(label)] - score))
        worst = max(worst, float(apart.min()))
    return worst


def _apart(found: np.ndarray, expected: np.ndarray, least_scale: float = 0.0) -> float:
    scale = max(least_scale, float(np.abs(expected).max()))
    return float(np.abs(found - expected).max()) / (scale or 1.0)
