"""Weights in a checkpoint file of another program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ForeignWeights:
    """The content of a checkpoint file of another program.

    Attributes:
        path: The file.
        kind: `module` (a pickled `nn.Module`), `state dict`, `safetensors` or `onnx`.
        state: The tensors by the names in the file, in its order, as float32 or int64. Counters of batch norms are
            among them.
        classes: The class names that the file states, in order of index, else None.
        norms_folded: Whether batch norms are part of the convolutions, as in most ONNX files.
        facts: What else the file states, as texts: `version`, `date`, `license`, ...
    """

    path: Path
    kind: str
    state: dict[str, Tensor]
    classes: tuple[str, ...] | None
    norms_folded: bool
    facts: dict[str, str]
