"""Makes the README the first page of the documentation site, so that the quick start is written once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

README = Path(__file__).parents[1] / "README.md"


def on_files(files: Any, config: Any) -> Any:
    """Called by mkdocs: adds the page, its links made to start here."""
    from mkdocs.structure.files import File

    text = README.read_text(encoding="utf-8").replace("](docs/", "](").replace("[NOTICE](NOTICE)", "NOTICE")
    files.append(File.generated(config, "index.md", content=text))
    return files
