"""What the channels of a map are made of: labelled parts, and how they run through the layers of a block.

Weights travel between detectors of different widths part by part: the input of a convolution behind a concatenation is
a slice of each map, not the first channels. A block that splits, concatenates or repeats channels says so in a method
`channel_layout(trace, *inputs)`, which mirrors `forward` with layouts instead of maps. A block without that method is
taken as a chain of its children.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch import Tensor, nn


class Part(NamedTuple):
    """Consecutive channels of one origin."""

    label: str
    """What the channels are, unique within a layout."""
    size: int


Layout = tuple[Part, ...]
"""The channels of a map, or the indices of one dimension of a tensor, in order."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
MIXING = (*CONVOLUTIONS, nn.Linear)
"""Layers whose output channels are all new."""


def one_part(size: int, label: str = "") -> Layout:
    """Returns the layout of `size` channels of one kind. Single parts match each other, whatever their labels."""
    return (Part(label, size),)


def equal_parts(labels: Iterable[str], size: int) -> Layout:
    """Returns a layout of parts of `size` channels each."""
    return tuple(Part(label, size) for label in labels)


def width(layout: Layout) -> int:
    """Returns the number of channels of a layout."""
    return sum(part.size for part in layout)


def labelled(label: str, layout: Layout) -> Layout:
    """Returns a layout with `label` before the label of each part."""
    return tuple(Part(f"{label}/{part.label}" if part.label else label, part.size) for part in layout)


def concatenated(**maps: Layout) -> Layout:
    """Returns the layout of a concatenation of maps; the keywords label them, in their order."""
    return tuple(part for label, layout in maps.items() for part in labelled(label, layout))


def multiplied(layout: Layout, factor: int) -> Layout:
    """Returns the layout of a map that has `factor` channels for each one, as after interleaving equal maps."""
    return tuple(Part(part.label, factor * part.size) for part in layout)


class TensorLayout(NamedTuple):
    """What the indices of one tensor of a block are."""

    dims: tuple[Layout, ...]
    """Of the first dimensions; those after them are the window of a kernel. The second of a convolution is given for
    all groups together."""
    groups: int = 1
    follows: str | None = None
    """The weight whose output a norm normalises, or a bias is added to: without that weight it has no meaning."""
    variant: str = ""
    """Tensors of different variants have nothing in common, even if their names and shapes agree."""


class ChannelTrace:
    """Collects the layout of each tensor of a block, by the name of the tensor in the block's state.

    A block's `channel_layout` calls it like a function for each of its layers, in the order of `forward`.
    """

    def __init__(self, block: nn.Module, classes: Sequence[str] | None = None) -> None:
        self.tensors: dict[str, TensorLayout] = {}
        self._names = {module: name for name, module in block.named_modules()}
        self._classes = classes
        self._variant = ""
        self._weight: str | None = None

    def __call__(
        self, module: nn.Module, *inputs: Layout, out: Layout | None = None, variant: str | None = None
    ) -> Layout:
        """Records the tensors of a layer for inputs of these layouts; returns the layout of its output.

        Args:
            module: a layer of the block, at any depth.
            inputs: what the layer is called with.
            out: what the channels of its last convolution are; by default one part.
            variant: the kind of layer, where the same name in another block of this class can be of another kind.
        """
        outer = self._variant
        self._variant = outer if variant is None else f"{outer}/{variant}" if outer else variant
        if out is None and hasattr(module, "channel_layout"):
            result: Layout = module.channel_layout(self, *inputs)  # type: ignore[operator]
        elif isinstance(module, MIXING):
            result = self._mixed(module, inputs[0], out)
        elif next(module.children(), None) is None:
            result = self._kept(module, inputs[0])
        else:
            result = self._chained(module, inputs[0], out)
        self._variant = outer
        return result

    def parameter(self, module: nn.Module, name: str, *dims: Layout) -> None:
        """Records a parameter that a module holds itself, with the layout of each dimension."""
        self.tensors[self._name(module, name)] = TensorLayout(dims, variant=self._variant)

    def classes(self, num_classes: int) -> Layout:
        """Returns the layout of one channel per class: by name where the trace knows the names, else by index."""
        if self._classes is not None and len(self._classes) == num_classes:
            return equal_parts((f"class {name}" for name in self._classes), 1)
        return equal_parts((f"class {index} of {num_classes}" for index in range(num_classes)), 1)

    def classes_and_background(self, num_classes: int) -> Layout:
        """Returns the layout of one channel for the background and one per class."""
        return (Part("background", 1), *self.classes(num_classes))

    def _mixed(self, module: nn.Module, x: Layout, out: Layout | None) -> Layout:
        """Records a convolution or linear layer; a depthwise one keeps the layout of its input."""
        weight: Tensor = module.weight  # type: ignore[assignment]
        groups = int(getattr(module, "groups", 1))
        out_channels, in_channels = weight.shape[0], weight.shape[1] * groups
        x = x if width(x) == in_channels else one_part(in_channels)
        if out is None or width(out) != out_channels:
            out = x if groups == in_channels == out_channels else one_part(out_channels)
        name = self._name(module, "weight")
        self.tensors[name] = TensorLayout((out, x), groups, variant=self._variant)
        if module.bias is not None:
            self.tensors[self._name(module, "bias")] = TensorLayout((out,), follows=name, variant=self._variant)
        self._weight = name
        return out

    def _kept(self, module: nn.Module, x: Layout) -> Layout:
        """Records a layer that keeps its channels, such as a norm, an activation or a pool."""
        for name, value in module.state_dict().items():
            fits = value.ndim == 1 and len(value) == width(x)
            dims = (x,) if fits else tuple(one_part(side) for side in value.shape)
            follows = self._weight if isinstance(module, nn.modules.batchnorm._NormBase | nn.GroupNorm) else None
            self.tensors[self._name(module, name)] = TensorLayout(dims, follows=follows, variant=self._variant)
        return x

    def _chained(self, module: nn.Module, x: Layout, out: Layout | None) -> Layout:
        """Records the children of a module one after the other.

        A child whose width is not that of the map before it reads the input of the module, if that fits.
        """
        given = x
        mixing = [child for child in module.children() if _first_mixing(child) is not None]
        for child in module.children():
            first = _first_mixing(child)
            if first is not None and width(x) != _in_channels(first) == width(given):
                x = given
            x = self(child, x, out=out if mixing and child is mixing[-1] else None)
        for name, value in module.named_parameters(recurse=False):
            self.parameter(module, name, *(one_part(side) for side in value.shape))
        return x

    def _name(self, module: nn.Module, tensor: str) -> str:
        prefix = self._names[module]
        return f"{prefix}.{tensor}" if prefix else tensor


def _first_mixing(module: nn.Module) -> nn.Module | None:
    return next((each for each in module.modules() if isinstance(each, MIXING)), None)


def _in_channels(module: nn.Module) -> int:
    weight: Tensor = module.weight  # type: ignore[assignment]
    return weight.shape[1] * int(getattr(module, "groups", 1))
