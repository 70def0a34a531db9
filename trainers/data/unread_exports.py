"""Recognize archives and exports of annotation tools that are not read, to say what to give instead."""

from __future__ import annotations

import re
from pathlib import Path

from trainers.data.images import is_file

HEAD_BYTES = 100_000
SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".rar", ".7z", ".xml", ".json")
_ARCHIVES = (b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
_TAR, _TAR_AT = b"ustar", 257
_CVAT_XML = re.compile(rb"<annotations[\s>]")
_LABEL_STUDIO = re.compile(
    rb'"(?:rectanglelabels|polygonlabels|brushlabels|keypointlabels|ellipselabels|original_width|annotation_id|'
    rb'lead_time|completed_by)"\s*:'
)
_COCO = re.compile(rb'"(?:images|categories)"\s*:')


def about_unread(path: Path) -> str | None:
    """Returns what an archive or an export that is not read is, and what to do, in one line; None for other files."""
    if not is_file(path):
        return None
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return None
    if head.startswith(_ARCHIVES) or head[_TAR_AT:].startswith(_TAR):
        return f"{path} is an archive; next: unzip it, and give the folder with its files"
    if _CVAT_XML.search(head[:2000]) and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        what = "is an export in CVAT's own format (CVAT for images or video)"
        return f"{path} {what}, which is not read; next: export the task as COCO or Ultralytics YOLO, with its images"
    if is_label_studio(head):
        what = "is a JSON export of Label Studio"
        return f"{path} {what}, which is not read; next: export the project as COCO or YOLO, with its images"
    return None


def is_label_studio(head: bytes) -> bool:
    """Returns whether the beginning of a JSON file is that of Label Studio's own formats, JSON and JSON-MIN."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith((b"[", b"{")) and bool(_LABEL_STUDIO.search(head)) and not _COCO.search(head)


def about_unread_in(folder: Path) -> str | None:
    """Returns `about_unread` of the first such file in a folder, or in its folder `annotations`."""
    places = [path for name in ("", "annotations") for path in sorted((folder / name).glob("*"))]
    files = (path for path in places if path.suffix.lower() in SUFFIXES)
    return next((said for path in files if (said := about_unread(path)) is not None), None)
