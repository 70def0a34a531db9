"""Similarity of two images at their best shift.

Two thumbnails are compared at every shift: the similarity is the maximum of their normalised circular
cross-correlation, 1 for equal images. Before that, spectral amplitudes are replaced by their square roots, half way to
phase correlation (Kuglin and Hines, 1975). Otherwise large dark and bright areas make any two images similar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.advice.thumbnails import SIDE, Thumbnails

NUM_CANDIDATES = 128
"""Compared images per image: those with the most similar amplitudes, which do not depend on the shift."""

Spectra = NDArray[np.complex64]
"""`(N, SIDE, SIDE // 2 + 1)`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """Images prepared for comparison."""

    spectra: Spectra
    amplitudes: NDArray[np.float32]
    """`(N, SIDE * (SIDE // 2 + 1))`, rows of length 1."""

    def __len__(self) -> int:
        return len(self.spectra)

    @classmethod
    def of(cls, pixels: Thumbnails) -> Index:
        """Returns the index of thumbnails `(N, SIDE, SIDE)`."""
        spectra = softened_spectra(pixels)
        return cls(spectra=spectra, amplitudes=np.abs(spectra).reshape(len(spectra), SIDE * (SIDE // 2 + 1)))

    def nearest(
        self,
        other: Index,
        *,
        leave_out: NDArray[np.int64] | None = None,
        on_image: Callable[[], None] = lambda: None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Returns for each image the similarity `(N,)` and the row `(N,)` of the most similar one of `other`.

        Args:
            other: Images to search; without any, all similarities are 0.
            leave_out: `(N,)`: for each image, a row of `other` to skip, or -1.
            on_image: Called after each image.
        """
        similarity, best = np.zeros(len(self), np.float32), np.zeros(len(self), np.int64)
        mean = other.amplitudes.mean(axis=0) if len(other) else 0
        references = _unit(other.amplitudes - mean)
        for row, amplitudes in enumerate(_unit(self.amplitudes - mean)):
            likely = references @ amplitudes
            if leave_out is not None and leave_out[row] >= 0:
                likely[leave_out[row]] = -np.inf
            rows = _highest(likely, NUM_CANDIDATES)
            if len(rows):
                found = similarities(self.spectra[row], other.spectra[rows])
                similarity[row], best[row] = found.max(), rows[found.argmax()]
            on_image()
        return similarity, best


def softened_spectra(pixels: Thumbnails) -> Spectra:
    """Returns spectra of thumbnails `(N, SIDE, SIDE)` with damped amplitudes, scaled to an autocorrelation of 1.

    A Hann window reduces the weight of the border, where content enters and leaves. The spectrum of a uniform image is
    0; it is similar to nothing.
    """
    fade = np.hanning(SIDE + 2)[1:-1].astype(np.float32)
    faded = (pixels - pixels.mean(axis=(1, 2), keepdims=True)) * np.outer(fade, fade)
    spectra = np.fft.rfft2(faded)
    amplitudes = np.abs(spectra)
    softened = spectra / np.sqrt(np.maximum(amplitudes, 1e-3))
    energy = (np.fft.irfft2(softened, s=(SIDE, SIDE)) ** 2).sum(axis=(1, 2), keepdims=True)
    return np.asarray(softened / np.sqrt(np.maximum(energy, 1e-6)), np.complex64)


def similarities(spectrum: Spectra, spectra: Spectra) -> NDArray[np.float32]:
    """Returns the similarity `(N,)` of one image to N others, each at its best shift; at most 1."""
    correlations = np.fft.irfft2(np.conj(spectrum) * spectra, s=(SIDE, SIDE))
    return np.asarray(correlations.max(axis=(1, 2)), np.float32)


def _highest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Returns the rows of the highest finite values `(N,)`, at most `count`, unordered."""
    if count < len(values):
        rows = np.argpartition(-values, count)[:count]
    else:
        rows = np.arange(len(values))
    return np.asarray(rows[np.isfinite(values[rows])], np.int64)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)
