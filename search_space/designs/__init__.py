"""Published detectors as named architectures, one file per paper or family."""

from __future__ import annotations

from search_space.designs.design import DESIGNS, Design

from search_space.designs import sodet, yolov8_small, sn2yolo, tinydet, ssd_small, light_yolo  # noqa: F401  isort: skip

__all__ = ["DESIGNS", "Design"]
