"""The report of a run: one HTML file that opens without a network."""

from __future__ import annotations

from results.report.content import AxisImportance, BoxSizes, Command, Content, Detector, Importance, NodeLine
from results.report.page import GENERATOR, is_report, render

__all__ = [
    "GENERATOR",
    "AxisImportance",
    "BoxSizes",
    "Command",
    "Content",
    "Detector",
    "Importance",
    "NodeLine",
    "is_report",
    "render",
]
