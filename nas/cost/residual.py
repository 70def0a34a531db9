"""The learned residual: what a Gaussian process adds to the physical prediction near networks that were measured.

It sees a network as the shares of its predicted time in each term. Far from all measured networks it adds nothing.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from nas.cost.terms import TERMS, Vector
from search_space.errors import ConfigError

LENGTH = 0.15
"""Distance of square-root shares (Hellinger, times the root of 2) over which residuals are alike."""
DEVIATION = 0.07
"""Standard deviation of the logarithm of measured over predicted time before the residual."""
NOISE = 0.02
"""Standard deviation of a measurement's logarithm about its neighbours."""
MIN_MEASURED = 50
MAX_BYTES = 64_000_000
"""Of the file, unpacked; ours take less than one million."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Residual:
    """Measured networks as square-root shares `(n, len(TERMS))`, each with the weight of its neighbourhood `(n,)`."""

    roots: Vector
    weights: Vector

    def __post_init__(self) -> None:
        object.__setattr__(self, "_narrow", _unit(self.roots).astype(np.float32))

    def fingerprint(self) -> str:
        """Returns what a profile names its residual by."""
        whole = (1e5 * self.roots).round().astype("<i4")
        return sha256(whole.tobytes() + self.weights.astype("<f8").tobytes()).hexdigest()[:12]

    def __call__(self, roots: Vector) -> tuple[Vector, Vector]:
        """Returns, for networks `(m, len(TERMS))`, what to add to log time and how far measured ones are, both `(m,)`.

        The distance is 0 beside a measured network and 1 far from all, as a share of the deviation.
        """
        alike = np.exp((roots.astype(np.float32) @ self._narrow.T - 1.0) / np.float32(LENGTH**2))  # type: ignore[attr-defined]
        nearest = alike.max(axis=1).astype(float)
        left = 1.0 - nearest**2 / (1.0 + (NOISE / DEVIATION) ** 2)
        return (alike @ self.weights.astype(np.float32)).astype(float), np.sqrt(np.maximum(left, 0.0))


def fit_residual(roots: Vector, log_ratio: Vector) -> Residual:
    """Fits the residual on measured networks: their square-root shares and log(measured / physical prediction).

    Shares and weights are rounded to what a file keeps, so that a residual is the same after writing and reading.
    """
    from scipy.linalg import cho_factor, cho_solve

    roots = roots.round(5)
    unit = _unit(roots)
    alike = DEVIATION**2 * np.exp((unit @ unit.T - 1.0) / LENGTH**2)
    alike[np.diag_indices(len(roots))] += NOISE**2
    weights = DEVIATION**2 * cho_solve(cho_factor(alike), log_ratio)
    return Residual(roots=roots, weights=np.array([float(f"{weight:.6g}") for weight in weights]))


def _unit(roots: Vector) -> Vector:
    """Returns rows of length 1, which rounding has changed a little."""
    return np.asarray(roots / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-12))


def write_residual(residual: Residual, names: list[str], path: Path) -> None:
    """Writes a residual as a table with one row a measured network, gzipped."""
    import gzip

    import pandas as pd

    from search_space.files import write_bytes

    table = pd.DataFrame(residual.roots, columns=[f"{kind} {name}" for kind, name in TERMS])
    table = table.loc[:, (table != 0).any()]
    table.insert(0, "weight", residual.weights)
    table.insert(0, "model_name", names)
    write_bytes(path, gzip.compress(table.to_csv(index=False, lineterminator="\n").encode(), mtime=0))


def read_residual(path: Path) -> Residual:
    """Reads a residual; raises ConfigError where the file is damaged or of other terms."""
    import pandas as pd

    from search_space.files import read_bytes, unpacked

    columns = {f"{kind} {name}": index for index, (kind, name) in enumerate(TERMS)}
    try:
        text = unpacked(read_bytes(path, MAX_BYTES), MAX_BYTES)
        table = pd.read_csv(io.BytesIO(text), dtype={"weight": str})
        # Read as text, because the reader of tables may be off in the last bit.
        weights = np.array([float(weight) for weight in table["weight"]])
        roots = np.zeros((len(table), len(TERMS)))
        for name in table.columns[2:]:
            if name not in columns:
                raise ValueError(f"it has an unknown term {name!r}")
            roots[:, columns[name]] = table[name].to_numpy(float)
    except (OSError, OverflowError, ValueError, KeyError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise ConfigError(f"{path} is no residual of a profile: {reason}; calibrate the profile again") from None
    if not len(table):
        raise ConfigError(f"{path} holds no networks; calibrate the profile again")
    if not (np.isfinite(roots).all() and np.isfinite(weights).all()):
        raise ConfigError(f"{path} holds what is no number; calibrate the profile again")
    return Residual(roots=roots, weights=weights)
