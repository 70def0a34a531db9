"""The results of a run as one HTML file: `nas.report`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.result import Result
from search_space.errors import ConfigError
from search_space.files import write_text

if TYPE_CHECKING:
    from nas.api.search_run import SearchRun

REPORT_HTML = "report.html"


@dataclass(frozen=True, kw_only=True)
class ReportFile(Result):
    """A written report, and what it shows."""

    run: Path
    report: Path
    counts: Mapping[str, int]
    """Trials by outcome."""
    front: tuple[str, ...]
    """Keys of the architectures on the front, most accurate first."""
    bytes: int
    """Size of the file."""
    notices: tuple[str, ...]
    """What the reader of the report should know, such as trials that are missing."""
    num_trials: int

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready data."""
        told = {"front": list(self.front), "bytes": self.bytes, "notices": list(self.notices)}
        return {"run": str(self.run), "report": str(self.report), **self.counts, **told}

    def _repr_html_(self) -> str:
        from html import escape

        path = escape(str(self.report))
        return f'<a href="{path}">{path}</a>: {self.num_trials} trials, {len(self.front)} on the front'


def report(
    run: str | Path | SearchRun, *, out: str | Path | None = None, force: bool = False, no_images: bool = False
) -> ReportFile:
    """Writes the results of a run to one HTML file: the front, the course of the search, the axes that matter.

    The file needs no network. The run may be under way; nothing of it is changed.

    Args:
        run: the folder of a run, or a run.
        out: the file; None: `report.html` in the folder of the run.
        force: whether to replace a file that is no earlier report.
        no_images: whether to leave out the validation images with boxes.

    Raises:
        ConfigError: it is not the folder of a run, or the file must not be written.
    """
    from nas.reports.gather import gather
    from results import records
    from results.report import render

    folder = Path(run) if isinstance(run, (str, Path)) else run.folder
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not the folder of a run; give one that nas run wrote")
    path = folder / REPORT_HTML if out is None else Path(out)
    check_target(path, force)
    content = gather(folder, images=not no_images)
    text = render(content)
    write_text(path, text)
    return ReportFile(
        run=folder,
        report=path,
        counts=records.tally(content.table),
        front=() if content.nothing_found else tuple(records.front(content.table)["key"].tolist()),
        bytes=len(text.encode()),
        notices=tuple(content.notices),
        num_trials=len(content.table),
    )


def check_target(path: Path, force: bool) -> None:
    """Checks before any work that the report may be written.

    Raises:
        ConfigError: If its place is taken by something else, or its folder is not there.
    """
    from results.report import is_report

    if path.is_dir():
        raise ConfigError(f"--out {path} is a folder; next: --out {path / REPORT_HTML}")
    if not path.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} of the report is not there; next: make it, or another --out")
    if path.exists() and not force and not is_report(path):
        raise ConfigError(f"{path} exists and is no earlier report; next: another --out, or --force to write over it")
