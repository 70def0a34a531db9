"""The towers of an anchor-free head: convolutions before its predictors, of the head's own or of another level's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.channel_layout import ChannelTrace, Layout, one_part

MakeConv = Callable[..., Conv]


def plain_convolutions(in_channels: int, channels: int, kernel: int, make: MakeConv) -> tuple[Conv, ...]:
    """Returns one dense convolution, as in the towers of YOLOv8."""
    return (make(in_channels, channels, kernel),)


def depthwise_convolutions(in_channels: int, channels: int, kernel: int, make: MakeConv) -> tuple[Conv, ...]:
    """Returns a depthwise and a 1x1 convolution, as in the class towers of YOLO11."""
    return make(in_channels, in_channels, kernel, groups=in_channels), make(in_channels, channels)


TOWERS = {"plain": plain_convolutions, "depthwise": depthwise_convolutions}


def tower(
    in_channels: int, channels: int, *, kind: str, length: int, kernel: int, borrowed: bool = False
) -> nn.Sequential:
    """Returns a tower, `(B, in_channels, H, W)` to `(B, channels, H, W)`; with length 0 it does nothing.

    Args:
        kind: one of `TOWERS`.
        length: dense convolutions, or pairs of a depthwise and a 1x1 convolution.
        kernel: side of their kernels.
        borrowed: whether another tower has the convolutions; see `borrow`.
    """
    make = BorrowedConv if borrowed else Conv
    widths = (in_channels, *[channels] * length)
    return nn.Sequential(*(conv for before in widths[:-1] for conv in TOWERS[kind](before, channels, kernel, make)))


class BorrowedConv(Conv):
    """A `Conv` that applies the convolution of another one, and has its own batch norm.

    The convolution is not registered here: its weight is a parameter of its owner, counted and stored there. Until
    `borrow` it is an untrained one of the same shape, so that a block can be counted alone. Source: the towers of
    RTMDet, Lyu et al., 2022.
    """

    conv: nn.Conv2d

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1, groups: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, groups=groups)
        self.is_alone = True
        alone = self.conv.requires_grad_(False)
        del self.conv
        self.__dict__["conv"] = alone  # past `Module.__setattr__`, which would register it

    def borrow(self, owner: Conv) -> None:
        """Applies the convolution of `owner` from now on."""
        self.is_alone = False
        self.__dict__["conv"] = owner.conv

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> BorrowedConv:
        """Moves or converts the tensors; those of the owner follow the owner."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.is_alone:
            self.conv._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return trace(self.norm, one_part(self.norm.num_features))


def borrow(blocks: nn.ModuleDict, borrower: str, owner: str) -> None:
    """Lets all `BorrowedConv`s of one block apply the convolutions at the same places of another block."""
    places = dict(blocks[owner].named_modules())
    for path, conv in _borrowed(blocks[borrower]):
        found = places[path]
        assert isinstance(found, Conv)
        conv.borrow(found)


def _borrowed(block: nn.Module) -> Iterator[tuple[str, BorrowedConv]]:
    return ((path, module) for path, module in block.named_modules() if isinstance(module, BorrowedConv))
