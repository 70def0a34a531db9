"""Plots the share of the front that a strategy has found against its evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from nas.bench.summary import Summary
from search_space.files import write_bytes


def draw(summaries: Sequence[Summary], path: Path) -> None:
    """Draws the median curves, one panel per data set and board; the suffix of the file decides its format.

    Raises:
        ImportError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("--plot needs matplotlib; install it with pip install 'pyramidnas[plots]'") from None
    panels = list(dict.fromkeys((summary.data_set, summary.board) for summary in summaries))
    figure = Figure(figsize=(3.0 * len(panels), 2.9), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        for summary in summaries:
            if (summary.data_set, summary.board) == panel:
                curve = summary.curve()
                axis.plot(range(1, len(curve) + 1), curve, label=summary.strategy, linewidth=1.5)
        axis.set_title(f"{panel[0]}, {panel[1]}", fontsize=9)
        axis.set_xlabel("detectors evaluated", fontsize=8)
        axis.set_ylim(0.6, 1.005)
        axis.set_xlim(1, min(150, max(len(summary.curve()) for summary in summaries)))
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
    axes[0].set_ylabel("share of the front's hypervolume", fontsize=8)
    axes[-1].legend(fontsize=8, loc="lower right")
    picture = BytesIO()
    figure.savefig(picture, dpi=80, format=path.suffix[1:].lower())
    write_bytes(path, picture.getbuffer())
