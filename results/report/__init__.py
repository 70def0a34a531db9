"""The report of a run: one HTML file that opens without a network."""

from __future__ import annotations

from results.report.content import (
    AuditPair,
    Audits,
    AxisImportance,
    Command,
    Content,
    DetectorDetails,
    FinishedDetector,
    Importance,
    MemberPictures,
    NodeLine,
    ObjectSizes,
    PhaseTime,
    Picture,
    PictureGrid,
    PictureMark,
)
from results.report.page import GENERATOR, is_report, render

__all__ = [
    "GENERATOR",
    "AuditPair",
    "Audits",
    "AxisImportance",
    "ObjectSizes",
    "Command",
    "Content",
    "DetectorDetails",
    "FinishedDetector",
    "Importance",
    "MemberPictures",
    "NodeLine",
    "PhaseTime",
    "Picture",
    "PictureGrid",
    "PictureMark",
    "is_report",
    "render",
]
