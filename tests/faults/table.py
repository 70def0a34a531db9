"""The table of what was injected."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- faults -->", "<!-- end of faults -->"
LONGEST = 220


def as_markdown(lines: Sequence[Mapping[str, Any]]) -> str:
    """Returns the table as Markdown, with the sums below."""
    head = ["| fault | times injected | trials lost | double counted | message seen |", "|---|---|---|---|---|"]
    body = [
        f"| {line['fault']} | {line['injected']} | {line['lost']} | {line['doubled']} | {_message(line)} |"
        for line in lines
    ]
    sums = [sum(line[name] for line in lines) for name in ("injected", "lost", "doubled", "silent")]
    told = f"{len(lines)} kinds, {sums[0]} injections: {sums[1]} trials lost, {sums[2]} counted twice, "
    return "\n".join([*head, *body, "", f"{told}{sums[3]} without a message that says what to do."])


def write_docs(lines: Sequence[Mapping[str, Any]], path: Path = DOCS) -> None:
    """Puts the table in the place of the one in the documentation."""
    text, table = path.read_text(encoding="utf-8"), f"{BEGIN}\n\n{as_markdown(lines)}\n\n{END}"
    path.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: table, text, flags=re.DOTALL), encoding="utf-8")


def _message(line: Mapping[str, Any]) -> str:
    text = " ".join(str(line["message"]).replace("|", "/").split())
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    flaws = [f"**{line['silent']} without what to do**"] if line["silent"] else []
    flaws += [f"**{len(line['errors'])} did not end**"] if line["errors"] else []
    return "; ".join([*flaws, f"`{text}`"])
