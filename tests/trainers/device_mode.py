"""Finds mixtures of host and device tensors, and waits for the device, on a machine that has no device.

Every tensor is computed on the CPU. `DeviceMode` remembers of each whether it would be on the device `cuda`, and raises
where CUDA would refuse an operation because its tensors are on different devices.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

ROOT = Path(__file__).parents[2]
CUDA = torch.device("cuda", 0)
MOVES = {"cpu", "cuda", "to", "copy_", "type_as", "as_tensor", "__deepcopy__", "_has_compatible_shallow_copy_type"}
"""Functions whose tensors may be on different devices."""
NO_SCALARS = {"cat", "concat", "concatenate", "gather", "index_select", "matmul", "mm", "scatter", "stack", "vstack"}
"""Functions that refuse even a host tensor of one value; others take it as a number."""
WAITS = {
    *("__array__", "__bool__", "__float__", "__index__", "__int__", "cpu", "item", "numpy", "tolist"),
    *("allclose", "argwhere", "bincount", "equal", "is_nonzero", "masked_select", "nonzero", "unique"),
    *("isin", "unique_consecutive"),
}
"""Functions after which the host waits for the device."""
HOST_ONLY = {"__array__", "numpy"}


class DevicesMixed(AssertionError):
    """An operation got tensors of the host and of the device."""


def is_on_device(tensor: Tensor) -> bool:
    """Returns whether a tensor would be on the device."""
    return bool(vars(tensor).get("on_device", False))


def _tensors(*values: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(values) if isinstance(leaf, Tensor)]


class DeviceMode(TorchFunctionMode):
    """Computes on the CPU, and keeps for each tensor whether it would be on the device.

    A factory makes tensors of the host unless it is given `device=`; `to`, `cuda` and `cpu` move them; the result of an
    operation is on the device if one of its tensors is. Functions of the module `torch.nn.functional` count as one
    operation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        """How often the host waited, by operation and place in the project."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name, kwargs = _name(function), dict(kwargs or {})
        if name == "_parse_to":  # of `Module.to`, which reads its arguments
            return function(*args, **kwargs)
        if name in ("get device", "get is_cuda"):
            there = is_on_device(args[0])
            return there if name == "get is_cuda" else CUDA if there else function(*args)
        there = self._target(name, args, kwargs)
        self._check(name, args, kwargs)
        found = function(*map(_on_cpu, args), **{key: _on_cpu(value) for key, value in kwargs.items()})
        if name in ("set data", "set_"):
            _mark(args[0], is_on_device(args[1]))
        if isinstance(found, Tensor) and any(found is each for each in _tensors(args)):
            if name in MOVES and is_on_device(found) != there:
                return _mark(found.clone(), there)
            return found
        for tensor in _tensors(found):
            _mark(tensor, there)
        return found

    def _target(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Returns whether the result of an operation is on the device, and notes a wait of the host."""
        tensors = _tensors(args, kwargs)
        before = any(map(is_on_device, tensors))
        asked = [each for each in (*args, kwargs.get("device")) if _is_device(each)]
        after = before
        if asked:
            after = torch.device(asked[0]).type == "cuda"
        elif name in ("to", "type_as") and len(args) > 1 and isinstance(args[1], Tensor):
            after = is_on_device(args[1])
        elif name in ("cpu", "cuda"):
            after = name == "cuda"
        elif name == "copy_":
            after = is_on_device(args[0])
        if (before and not after) or (before and (name in WAITS or _is_masked(name, args))):
            self.waits[f"{name} at {_place()}"] += 1
        return after

    def _check(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if name in HOST_ONLY and is_on_device(args[0]):
            raise DevicesMixed(f"{name} of a tensor of the device at {_place()}")
        if name in MOVES or name.startswith(("get ", "set ")):
            return
        if name in ("__getitem__", "__setitem__"):
            indices = _tensors(args[1])
            if not is_on_device(args[0]) and any(map(is_on_device, indices)):
                raise DevicesMixed(f"a tensor of the host is indexed by one of the device at {_place()}")
            others = [args[0], *(_tensors(args[2]) if name == "__setitem__" and indices else [])]
        else:
            others = _tensors(args, kwargs)
        fixed = [each for each in others if each.ndim or name in NO_SCALARS]
        if len({is_on_device(each) for each in fixed}) > 1 or (
            any(is_on_device(each) for each in others) and fixed and not any(map(is_on_device, fixed))
        ):
            raise DevicesMixed(f"{name} got tensors of the host and of the device at {_place()}")


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", str(function))
    if name in ("__get__", "__set__"):
        owner = getattr(function, "__self__", None)
        return f"{name.strip('_')} {getattr(owner, '__name__', '')}"
    return name


def _is_device(value: Any) -> bool:
    return isinstance(value, torch.device) or (isinstance(value, str) and value.startswith(("cpu", "cuda")))


def _on_cpu(value: Any) -> Any:
    return torch.device("cpu") if _is_device(value) and torch.device(value).type == "cuda" else value


def _mark(tensor: Tensor, on_device: bool) -> Tensor:
    vars(tensor)["on_device"] = on_device
    return tensor


def _is_masked(name: str, args: Sequence[Any]) -> bool:
    """Returns whether an operation has to know how many values of a mask are true."""
    if name == "where":
        return len(args) == 1
    if name not in ("__getitem__", "__setitem__"):
        return False
    masked = any(each.dtype in (torch.bool, torch.uint8) for each in _tensors(args[1]))
    return masked and (name == "__getitem__" or bool(_tensors(args[2]) and _tensors(args[2])[0].ndim))


def _place() -> str:
    """Returns the innermost line of the project, tests left out, that is being run."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and path != Path(__file__):
            return f"{path.relative_to(ROOT)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "?"


@pytest.fixture
def device_mode(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeviceMode]:
    """Runs a test in which the device `cuda` is there, and all tensors are checked."""

    class Autocast(torch.autocast):  # type: ignore[misc]
        def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
            super().__init__("cpu", *args, **kwargs)

    class Scaler(torch.amp.GradScaler):
        def __init__(self, device: str = "cuda", *args: Any, **kwargs: Any) -> None:
            super().__init__("cpu", *args, **kwargs)

    def copied(value: nn.Parameter, memo: dict[int, Any]) -> nn.Parameter:
        return _mark(copy_parameter(value, memo), is_on_device(value))  # type: ignore[return-value]

    real, copy_parameter = torch.random.fork_rng, nn.Parameter.__deepcopy__
    monkeypatch.setattr(nn.Parameter, "__deepcopy__", copied)
    monkeypatch.setattr(torch, "autocast", Autocast)
    monkeypatch.setattr(torch.amp, "GradScaler", Scaler)
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices=None, **kwargs: real([], **kwargs))
    for module in ("trainers.optimizer", "trainers.steps", "nas.executors.initial_weights"):
        monkeypatch.setattr(
            f"{module}.device_for", lambda name: CUDA if name.startswith("cuda") else torch.device(name)
        )
    with DeviceMode() as mode:
        yield mode
