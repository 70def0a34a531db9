"""Safe reading of untrusted YAML: plain data only, of bounded depth and size, without duplicate keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from search_space.files import read_bytes

MAX_BYTES = 1_000_000
MAX_CHARS = 2_000_000
"""Limit on all texts and numbers with every alias expanded: ten lines of aliases can expand to fill the memory."""
MAX_DEPTH = 50
MAX_WHOLE = 2**63
"""Whole numbers must be smaller; Python refuses to print very long ones."""
_TEXT_TAG = "tag:yaml.org,2002:str"
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "null", "timestamp"))


class YamlError(ValueError):
    """Text that is not YAML or exceeds the limits. `line` is the place, counted from 1, if known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.line = line


class _Loader(yaml.SafeLoader):
    """Refuses duplicate keys, and data that would exhaust memory or time before it is built."""

    def __init__(self, stream: str | bytes) -> None:
        super().__init__(stream)
        self._depth = 0
        self._sizes: dict[int, int] = {}
        """Characters of every complete node, with aliases expanded."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        line = self.line + 1  # of the reader, at or after the node
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise YamlError(f"it is nested deeper than {MAX_DEPTH}", line)
        is_alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and not is_alias:
            self._sizes[id(node)] = 1 + self._size(node)
        if node is not None and id(node) not in self._sizes:
            raise YamlError("an alias contains itself", line)
        if node is not None and self._sizes[id(node)] > MAX_CHARS:
            raise YamlError(f"it expands to more than {MAX_CHARS:,} characters", line)
        return node

    def _size(self, node: yaml.Node) -> int:
        if isinstance(node, yaml.MappingNode):
            return sum(self._sizes[id(each)] for pair in node.value for each in pair)
        return sum(self._sizes[id(each)] for each in node.value) if isinstance(node.value, list) else len(node.value)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise YamlError(f"{key.value[:60]!r} is given twice; give it once", key.start_mark.line + 1)
                seen.add((key.tag, key.value))
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        short = len(node.value) < 80
        number = super().construct_yaml_int(node) if short else MAX_WHOLE
        if abs(number) >= MAX_WHOLE:
            raise YamlError("a whole number has too many digits", node.start_mark.line + 1)
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse_yaml(text: str | bytes, *, words_of: str | None = None) -> Any:
    """Returns the plain data of a YAML text; bytes may be UTF-8 or, with a byte order mark, UTF-16.

    Args:
        words_of: a key of the top level whose list or table has words as they are written: `[no, 1.0]` are two words,
            where YAML 1.1 has a truth value and a number.

    Raises:
        YamlError: The text is not YAML, has a tag or a duplicate key, or is too deep or too large. One line.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if words_of is not None:
                _keep_words(node, words_of)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except YamlError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(_words(error.problem or error.context), mark.line + 1 if mark else None) from None
    except RecursionError:
        raise YamlError(f"it is nested deeper than {MAX_DEPTH}") from None
    except yaml.reader.ReaderError as error:
        raise YamlError(f"character {error.position} is not allowed: {_words(error.reason)}") from None
    except ValueError as error:  # an invalid date
        raise YamlError(_words(error)) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, yaml.YAMLError):
        raise YamlError("a value does not match its tag") from None


def _keep_words(node: yaml.Node | None, key: str) -> None:
    """Makes the plain values in the list or table under a key of the top level into texts; empty and ~ stay None."""
    for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if not isinstance(name, yaml.ScalarNode) or name.value != key:
            continue
        items = value.value if isinstance(value, yaml.CollectionNode) else ()
        for item in items:
            each = item[1] if isinstance(item, tuple) else item
            if isinstance(each, yaml.ScalarNode) and each.value not in ("", "~") and each.tag in _PLAIN_TAGS:
                each.tag = _TEXT_TAG


def _words(said: object) -> str:
    return " ".join(str(said).split())[:200]


def read_yaml(path: Path, *, words_of: str | None = None) -> Any:
    """Returns the plain data of a YAML file; raises YamlError as `parse_yaml`, and OSError as reading does."""
    try:
        return parse_yaml(read_bytes(path, MAX_BYTES), words_of=words_of)
    except OverflowError as error:
        raise YamlError(str(error)) from None
