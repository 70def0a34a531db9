"""Read weights that others published, and write them as a weights file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.api.result import Result
from search_space.errors import ConfigError

if TYPE_CHECKING:
    from search_space import Architecture
    from trainers.importing.convert import ImportedWeights

SUFFIXES = (".safetensors", ".pt")


@dataclass(frozen=True, kw_only=True)
class WeightsImport(Result):
    """What a published file was recognised as, and what of it was taken."""

    file: Path
    kind: str
    """`module` (a pickled model), `state dict`, `safetensors` or `onnx`."""
    layout: str
    """Whose names of tensors it has."""
    design: str | None
    """The design or reference architecture; None: an architecture without a name."""
    key: str
    input_hw: tuple[int, int]
    num_classes: int
    classes: tuple[str, ...]
    params: int
    """Parameters that were taken, without running statistics."""
    missing: tuple[str, ...]
    """Tensors of the detector that the file does not have, such as the head's where it has a backbone alone."""
    unused: tuple[str, ...]
    """Tensors of the file that the detector has no place for, without counters and constants."""
    facts: Mapping[str, str]
    """What the file says about itself, such as its version, date and licence."""
    out: Path

    @property
    def weights(self) -> Path:
        """The file that was written, for functions that take weights."""
        return self.out


def import_weights(
    file: str | Path, *, architecture: str | Path | Architecture | None = None, out: str | Path | None = None
) -> WeightsImport:
    """Reads weights that others published and writes them as a weights file. Nothing in the file is executed.

    Args:
        file: a checkpoint of Ultralytics, mmdetection, ssds.pytorch or torchvision, safetensors, or ONNX.
        architecture: a design, a YAML file or an architecture that the file is read as; None: found from the shapes
            of its tensors.
        out: weights file to write, `.safetensors` or `.pt`; None: the name of `file` with `.safetensors`, in the
            working directory.

    Raises:
        UserError: the file is of no known kind or damaged, does not fit the architecture, or `out` exists.
    """
    from nas.architectures import load_architecture
    from trainers.importing.convert import convert
    from trainers.importing.foreign import read_foreign
    from trainers.weights import save_weights

    source = Path(file)
    target = Path(source.with_suffix(".safetensors").name) if out is None else Path(out)
    _check_target(target)
    if isinstance(architecture, (str, Path)):
        architecture = load_architecture(str(architecture))
    foreign = read_foreign(source)
    imported = convert(foreign, architecture)
    save_weights(target, imported.state, imported.architecture.to_dict(), imported.classes)
    return WeightsImport(
        file=source,
        kind=foreign.kind,
        layout=imported.layout,
        design=imported.design,
        key=imported.architecture.key(),
        input_hw=imported.architecture.input_hw,
        num_classes=imported.num_classes,
        classes=imported.classes,
        params=_num_params(imported),
        missing=imported.missing,
        unused=imported.unused,
        facts=foreign.facts,
        out=target,
    )


def _check_target(out: Path) -> None:
    """Raises ConfigError where the file cannot be written."""
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"--out {out} must end with {' or '.join(SUFFIXES)}")
    if out.exists():
        raise ConfigError(f"{out} exists; give another file with --out")
    if not out.parent.is_dir():
        raise ConfigError(f"the folder {out.parent} of --out does not exist; create it, or give another file")


def _num_params(imported: ImportedWeights) -> int:
    """Returns how many parameters were taken; the statistics of batch norms are none."""
    import torch

    from search_space import Detector, lower

    with torch.device("meta"):
        detector = Detector(lower(imported.architecture, num_classes=imported.num_classes))
    return sum(value.numel() for name, value in detector.named_parameters() if name in imported.state)
