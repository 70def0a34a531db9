"""The learned residual: a Gaussian process that corrects the physical prediction near measured networks.

Its input is each term's share of the predicted time. Far from all measured networks it changes nothing.
"""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from nas.cost.terms import TERMS, Vector
from search_space.errors import ConfigError
from search_space.files import read_bytes, unpacked, write_bytes

LENGTH = 0.15
"""Length scale of the kernel over square-root shares (Hellinger distance times the root of 2)."""
DEVIATION = 0.07
"""Prior standard deviation of the log ratio of measured to predicted time."""
NOISE = 0.02
"""Standard deviation of the noise of a log measurement."""
MIN_MEASURED = 50
PRECISION = "precision"
"""Column of the precisions in the file."""
MAX_BYTES = 64_000_000
"""Limit of the unpacked file; those of the package take less than one million."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Residual:
    """Measured networks as square-root shares `(n, len(TERMS))`, with their kernel weights `(n,)`."""

    roots: Vector
    weights: Vector
    precisions: Vector | None = None
    """Precision of each measured log time, `(n,)`, as `families.precisions` returns it; None in files without it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_narrow", _unit(self.roots).astype(np.float32))

    def fingerprint(self) -> str:
        """Returns a digest; the profile stores it to recognise its residual."""
        whole = (1e5 * self.roots).round().astype("<i4")
        precise = b"" if self.precisions is None else self.precisions.astype("<f8").tobytes()
        return sha256(whole.tobytes() + self.weights.astype("<f8").tobytes() + precise).hexdigest()[:12]

    def __call__(self, roots: Vector) -> tuple[Vector, Vector]:
        """Returns the correction of log time and the distance to measured networks, both `(m,)`.

        Args:
            roots: Square-root shares of networks, `(m, len(TERMS))`.

        Returns:
            The correction, and the posterior over the prior deviation: near 0 beside a measured network, 1 far away.
        """
        alike = np.exp((roots.astype(np.float32) @ self._narrow.T - 1.0) / np.float32(LENGTH**2))  # type: ignore[attr-defined]
        nearest = alike.max(axis=1).astype(float)
        left = 1.0 - nearest**2 / (1.0 + (NOISE / DEVIATION) ** 2)
        return (alike @ self.weights.astype(np.float32)).astype(float), np.sqrt(np.maximum(left, 0.0))


def fit_residual(roots: Vector, log_ratio: Vector, precisions: Vector | None = None) -> Residual:
    """Fits the residual to square-root shares `(n, len(TERMS))` and log(measured / physical prediction) `(n,)`.

    The precisions are kept beside it. Shares, weights and precisions are rounded to the digits of the file, so that a
    residual is the same after writing and reading.
    """
    from scipy.linalg import cho_factor, cho_solve

    roots = roots.round(5)
    unit = _unit(roots)
    alike = DEVIATION**2 * np.exp((unit @ unit.T - 1.0) / LENGTH**2)
    alike[np.diag_indices(len(roots))] += NOISE**2
    weights = DEVIATION**2 * cho_solve(cho_factor(alike), log_ratio)
    return Residual(roots=roots, weights=_short(weights), precisions=None if precisions is None else _short(precisions))


def _short(values: Vector) -> Vector:
    return np.array([float(f"{value:.6g}") for value in values])


def _unit(roots: Vector) -> Vector:
    """Returns rows rescaled to length 1, which rounding has changed slightly."""
    return np.asarray(roots / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-12))


def write_residual(residual: Residual, names: list[str], path: Path) -> None:
    """Writes a residual as a gzipped table with one row per measured network."""
    import pandas as pd

    table = pd.DataFrame(residual.roots, columns=[f"{kind} {name}" for kind, name in TERMS])
    table = table.loc[:, (table != 0).any()]
    if residual.precisions is not None:
        table.insert(0, PRECISION, residual.precisions)
    table.insert(0, "weight", residual.weights)
    table.insert(0, "model_name", names)
    write_bytes(path, gzip.compress(table.to_csv(index=False, lineterminator="\n").encode(), mtime=0))


def read_residual(path: Path) -> Residual:
    """Reads a residual; raises ConfigError if the file is damaged or has unknown terms."""
    import pandas as pd

    columns = {f"{kind} {name}": index for index, (kind, name) in enumerate(TERMS)}
    try:
        text = unpacked(read_bytes(path, MAX_BYTES), MAX_BYTES)
        table = pd.read_csv(io.BytesIO(text), dtype={"weight": str, PRECISION: str})
        # Read as text, because the CSV reader may be off in the last bit.
        weights = np.array([float(weight) for weight in table["weight"]])
        precisions = np.array([float(each) for each in table.pop(PRECISION)]) if PRECISION in table else None
        roots = np.zeros((len(table), len(TERMS)))
        for name in table.columns[2:]:
            if name not in columns:
                raise ValueError(f"it has an unknown term {name!r}")
            roots[:, columns[name]] = table[name].to_numpy(float)
    except (OSError, OverflowError, ValueError, KeyError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise ConfigError(f"{path} is not the residual of a profile: {reason}; calibrate the profile again") from None
    if not len(table):
        raise ConfigError(f"{path} contains no networks; calibrate the profile again")
    if not all(np.isfinite(each).all() for each in (roots, weights, precisions) if each is not None):
        raise ConfigError(f"{path} contains a value that is not a number; calibrate the profile again")
    if precisions is not None and (precisions < 0).any():
        raise ConfigError(f"{path} contains a negative precision; calibrate the profile again")
    return Residual(roots=roots, weights=weights, precisions=precisions)
