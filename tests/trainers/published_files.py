"""Published networks as files: in the layout that the program writes which published them, with weights by the rule."""

from __future__ import annotations

import sys
import types
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from published_networks import foreign, rows
from torch import Tensor, nn

MODEL_MODULE = "ultralytics.nn.tasks"


def write_published(
    name: str, folder: Path, *, dtype: torch.dtype = torch.float32, classes: Sequence[str] | None = None
) -> Path:
    """Writes the file of a network, with `thing 0`, `thing 1` ... as class names or those that are given.

    Ultralytics pickles the model itself, here one in training with averaged weights. mmdetection and ssds.pytorch
    write a state dict in the format of torch before 1.6.
    """
    state = foreign(name).state
    first = rows(name)[0].key
    if first.startswith("model."):
        path = folder / f"{name}.pt"
        floating = {key: value.to(dtype) for key, value in state.items() if value.is_floating_point()}
        _save_model(path, {**state, **floating}, classes)
    elif first.startswith("backbone."):
        path = folder / f"{name}.pth"
        _save_legacy(path, {"meta": {"CLASSES": tuple(f"thing_{i}" for i in range(80))}, "state_dict": state})
    else:
        path = folder / f"{name}.pth"
        _save_legacy(path, OrderedDict(state))
    return path


def _save_legacy(path: Path, content: Any) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def _save_model(path: Path, state: Mapping[str, Tensor], classes: Sequence[str] | None) -> None:
    """Saves a pickled module whose class lives in a module that is not installed where the file is read."""
    module = types.ModuleType(MODEL_MODULE)
    model_class = type("DetectionModel", (nn.Module,), {"__module__": MODEL_MODULE})
    module.DetectionModel = model_class  # type: ignore[attr-defined]
    model = _tree(state, model_class)
    num_classes = next(value.shape[0] for key, value in reversed(state.items()) if ".cv3." in key)
    model.names = dict(enumerate(classes or [f"thing {index}" for index in range(num_classes)]))
    names = [MODEL_MODULE.rsplit(".", depth)[0] for depth in (2, 1)]
    parents = {name: types.ModuleType(name) for name in names}
    try:
        sys.modules.update({**parents, MODEL_MODULE: module})
        torch.save({"epoch": 3, "model": None, "ema": model, "train_args": {"imgsz": 640}, "version": "8.4.190"}, path)
    finally:
        for name in (*names, MODEL_MODULE):
            del sys.modules[name]


def _tree(state: Mapping[str, Tensor], root_class: type[nn.Module]) -> Any:
    """Returns nested modules that hold the tensors of a state, in its order."""
    root = root_class()
    for key, value in state.items():
        *path, last = key.split(".")
        module: nn.Module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module._modules[part]  # type: ignore[assignment]
        is_learned = value.is_floating_point() and not last.startswith("running_")
        if is_learned:
            module.register_parameter(last, nn.Parameter(value))
        else:
            module.register_buffer(last, value)
    return root
