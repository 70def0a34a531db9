"""The two fully connected layers of VGG16 as the convolutions fc6 and fc7 of SSD.

Every fourth output, and of the first layer every third row and column of its 7x7 window, are kept. This is the usual
way to start an SSD from a classifier (Liu et al., SSD, ECCV 2016, section 3, after Chen et al., DeepLab, 2015).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from trainers.importing.foreign import ForeignWeights

WINDOW, CHANNELS = 7, 512
"""Side and channels of the map that the classifier of VGG16 reads."""
OUTPUTS = 4096
KEEP_OUTPUTS, KEEP_CELLS = 4, 3
NUMBERS = {"classifier.0": 31, "classifier.3": 33}
"""Numbers of fc6 and fc7 in the list of layers, by the layer of the classifier."""


def with_thinned_classifier(foreign: ForeignWeights) -> ForeignWeights:
    """Returns the file with fc6 and fc7 in place of the first two layers of its classifier, where it has them."""
    found, state = foreign.state, dict(foreign.state)
    shapes = {"classifier.0": (OUTPUTS, CHANNELS * WINDOW**2), "classifier.3": (OUTPUTS, OUTPUTS)}
    for layer, shape in shapes.items():
        weight, bias = found.get(f"{layer}.weight"), found.get(f"{layer}.bias")
        if weight is None or bias is None or tuple(weight.shape) != shape:
            return foreign
        if any(key.startswith(f"features.{NUMBERS[layer]}.") for key in found):
            return foreign
        window = WINDOW if layer == "classifier.0" else 1
        state[f"features.{NUMBERS[layer]}.weight"] = thinned(weight, window)
        state[f"features.{NUMBERS[layer]}.bias"] = bias[::KEEP_OUTPUTS].clone()
        del state[f"{layer}.weight"], state[f"{layer}.bias"]
    return replace(foreign, state=state)


def thinned(weight: Tensor, window: int) -> Tensor:
    """Returns a fully connected layer `(O, I * window²)` as a thinner convolution.

    The result is `(O/4, I, W, W)` with W every third cell of the window, from the first; without a window it is
    `(O/4, I/4, 1, 1)`, because its inputs are the outputs of a thinned layer.
    """
    kept = weight.reshape(len(weight), -1, window, window)[::KEEP_OUTPUTS, :, ::KEEP_CELLS, ::KEEP_CELLS]
    return (kept if window > 1 else kept[:, ::KEEP_OUTPUTS]).clone()
