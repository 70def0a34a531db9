"""Ways to spoil a valid file: in the values that it holds, in its words and lines, and in its bytes."""

from __future__ import annotations

import codecs
import copy
import json
import math
import struct
from collections.abc import Sequence
from random import Random
from typing import Any

NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 7, 2**31, 2**63, 10**18, 10**30, 10**400, -(10**30)),
    *(0.5, -0.5, 1e-300, 1e308, -1e308, math.nan, math.inf, -math.inf, 1e18),
)
TEXTS = (
    *("", " ", "a", "0", "-", ".", "..", "../../etc/passwd", "/etc/passwd", "C:\\Windows\\a.png", "..\\..\\a.png"),
    *(
        "a\0b.png",
        "\x1b[31mred\x1b[0m",
        "\x1b]0;title\x07",
        "<script>alert(1)</script>",
        "</script>",
        "=1+1",
        "@SUM(A1)",
    ),
    *("+1", "-1", "\t=1", "\u202eabc", "\ud800", "é", "漢", "a\nb", "x" * 300, "a/" * 200, "nan", "inf", "null", "~"),
    *("1e999", "0x10", "1_000", "²", "2026-99-99", "true", "[red]", "%s%n", "{0}", "$(id)", "`id`", "'", '"'),
)
WORDS = (
    *("0", "1", "-1", "0.5", "1e308", "1e999", "nan", "inf", "-inf", "9" * 400, "9" * 5000, "1e18", "10" * 15, "a", ""),
    *(" ", "\t", "\0", "²", "1_0", "0x1", "=1+1", "../a", "/etc/passwd", "\x1b[2J", "\ud7ff", "\ufeff", ",", ";", '"'),
)
YAML_PIECES = (
    *("!!python/object/apply:os.system ['true']", "!!python/name:os.system", "!!int ''", "!!bool x", "!!timestamp x"),
    *(
        "!!binary x",
        "!!set {a}",
        "&a [*a]",
        "*unknown",
        "<<: 1",
        "? [a]\n: b",
        "2026-99-99",
        "1:2:3",
        ".nan",
        "%YAML 9",
    ),
    *(
        "---\n",
        "...\n",
        "\t",
        "- ",
        ": ",
        "{",
        "[",
        "}",
        "]",
        "|",
        ">",
        "&x ",
        "0o9",
        "0b2",
        "'",
        '"',
        "#",
        "!",
        "@",
        "`",
    ),
)
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


def hostile_value(rng: Random) -> Any:
    """Returns a value that few readers expect, alone or nested."""
    kind = rng.randrange(9)
    if kind < 3:
        return rng.choice(NUMBERS)
    if kind < 6:
        return rng.choice(TEXTS)
    if kind == 6:
        return rng.choice((None, True, False, [], {}, [[]], {"": {}}))
    if kind == 7:
        return [hostile_value(rng) for _ in range(rng.randrange(5))]
    return {str(rng.choice(TEXTS)): hostile_value(rng) for _ in range(rng.randrange(3))}


def spoil_plain(rng: Random, plain: Any) -> Any:
    """Returns nested dicts and lists with one to four places changed."""
    spoilt = copy.deepcopy(plain)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        spoilt = _spoil_once(rng, spoilt)
    return spoilt


def _spoil_once(rng: Random, plain: Any) -> Any:
    places = _places(plain)
    if not places or rng.random() < 0.02:
        return hostile_value(rng)
    parent, key = rng.choice(places)
    act = rng.randrange(11)
    if act < 4:
        parent[key] = hostile_value(rng)
    elif act > 7:
        parent[key] = _like(rng, parent[key])
    elif act == 4:
        del parent[key]
    elif act == 5 and isinstance(parent, dict):
        parent[str(rng.choice((*TEXTS, *(str(name) for _, name in places))))] = parent.pop(key)
    elif act == 6:
        other, name = rng.choice(places)
        parent[key] = copy.deepcopy(other[name])
    else:
        parent[key] = rng.choice(([parent[key]], {"a": parent[key]}, str(parent[key])[:1000]))
    return plain


def _like(rng: Random, value: Any) -> Any:
    """Returns another value of the same kind, which more readers take."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return rng.choice((value + 1, value - 1, 2 * value, type(value)(0), -value, type(value)(1)))
    if isinstance(value, list):
        return rng.sample(value, len(value)) if rng.random() < 0.5 else value + value[:1]
    return rng.choice(TEXTS) if isinstance(value, str) else value


def _places(plain: Any) -> list[tuple[Any, Any]]:
    found, todo = [], [plain]
    while todo:
        each = todo.pop()
        keys: Sequence[Any] = (
            list(each) if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else ()
        )
        for key in keys:
            found.append((each, key))
            todo.append(each[key])
    return found


def dumped(rng: Random, plain: Any) -> str:
    """Returns plain data as JSON, with its nan and infinities, in one of several layouts."""
    try:
        return json.dumps(plain, indent=rng.choice((None, None, 1)), ensure_ascii=rng.random() < 0.5)
    except ValueError:  # an infinite or too long number somewhere in a key
        return "{}"


def spoil_text(rng: Random, text: str, words: Sequence[str] = WORDS, separators: str = " ,:;\n<>\"'[]{}=") -> str:
    """Returns a text with words and lines replaced, doubled, lost or exchanged."""
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        act = rng.randrange(7)
        if act < 3:
            begin, end = _word(rng, text, separators)
            text = text[:begin] + rng.choice(words) + text[end:]
        elif act == 3:
            lines = text.split("\n")
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
            text = "\n".join(lines)
        elif act == 4:
            lines = text.split("\n")
            del lines[rng.randrange(len(lines))]
            text = "\n".join(lines)
        elif act == 5:
            place = rng.randrange(len(text) + 1)
            text = text[:place] + rng.choice(words) + text[place:]
        else:
            first, second = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
            text = text[:first] + text[second:] if rng.random() < 0.3 else text[:second] + text[first:]
    return text[:200_000]


def _word(rng: Random, text: str, separators: str) -> tuple[int, int]:
    place = rng.randrange(len(text) + 1)
    begin = place
    while begin > 0 and text[begin - 1] not in separators and place - begin < 80:
        begin -= 1
    end = place
    while end < len(text) and text[end] not in separators and end - place < 80:
        end += 1
    return begin, end


def encoded(rng: Random, text: str) -> bytes:
    """Returns a text as bytes, mostly UTF-8, sometimes with another encoding, line end or mark."""
    act = rng.randrange(20)
    if act == 0:
        return codecs.BOM_UTF8 + text.encode(errors="replace")
    if act == 1:
        return text.encode("utf-16", errors="replace")
    if act == 2:
        return codecs.BOM_UTF16_LE + text.encode(errors="replace")
    if act == 3:
        return text.replace("\n", rng.choice(("\r\n", "\r", "\x85", "\u2028"))).encode(errors="replace")
    if act == 4:
        return text.encode("latin-1", errors="replace") + b"\xff\xfe\x00"
    if act == 5:
        return spoil_bytes(rng, text.encode(errors="replace"))
    return text.encode(errors=rng.choice(("replace", "surrogatepass")))


def spoil_bytes(rng: Random, raw: bytes) -> bytes:
    """Returns bytes with some flipped, cut off, doubled, or read as numbers made extreme."""
    spoilt = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not spoilt:
            break
        place, act = rng.randrange(len(spoilt)), rng.randrange(6)
        if act < 2:
            spoilt[place] = rng.randrange(256)
        elif act == 2:
            del spoilt[place : place + rng.choice((1, 4, 100, len(spoilt)))]
        elif act == 3:
            form = rng.choice(("<I", ">I", "<Q", ">H", "<H"))
            top = 256 ** struct.calcsize(form) - 1
            spoilt[place : place + struct.calcsize(form)] = struct.pack(
                form, rng.choice((0, 1, top, top // 2, top // 3))
            )
        elif act == 4:
            piece = spoilt[place : place + rng.choice((1, 8, 64))]
            spoilt[place:place] = piece * rng.choice((1, 2, 50))
        else:
            spoilt[place:place] = rng.randbytes(rng.choice((1, 4, 16)))
    return bytes(spoilt)


def spoil_yaml(rng: Random, text: str, plain: Any) -> bytes:
    """Returns a YAML file that was near a valid one: in its values, its words, its tags and aliases, or its depth."""
    act = rng.randrange(10)
    if act < 5:
        return encoded(rng, dumped(rng, spoil_plain(rng, plain)))
    if act < 7:
        return encoded(rng, spoil_text(rng, text))
    if act < 9:
        return encoded(rng, spoil_text(rng, text, YAML_PIECES))
    return rng.choice(
        (
            (BOMB + text).encode(),
            b"[" * rng.choice((40, 60, 5000)),
            b"{a: " * rng.choice((40, 60, 3000)),
            b"- " * rng.choice((40, 60, 3000)),
            (text + text).encode(),
            b"",
            b"- 1\n- 2\n",
            b"word",
        )
    )
