"""The report of a run: one HTML file that opens without a network."""

from __future__ import annotations

from results.report.content import AxisImportance, Command, Content, DetectorDetails, Importance, NodeLine, ObjectSizes
from results.report.page import GENERATOR, is_report, render

__all__ = [
    "GENERATOR",
    "AxisImportance",
    "ObjectSizes",
    "Command",
    "Content",
    "DetectorDetails",
    "Importance",
    "NodeLine",
    "is_report",
    "render",
]
