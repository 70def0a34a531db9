"""Pages of reports taken apart, and a name that would break out of one."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

HOSTILE = "</script><script>alert(1)</script>\"'&<b>\x1b[31m\u202e\u2028 \udcff end"


def data_of(page: str) -> dict[str, Any]:
    """Returns what the script of a page is given."""
    found: dict[str, Any] = json.loads(page.split('id="data">')[1].split("</script>")[0])
    return found


class Tags(HTMLParser):
    """Collects the tags of a page and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data if self.tags and self.tags[-1][0] not in ("script", "style") else ""
