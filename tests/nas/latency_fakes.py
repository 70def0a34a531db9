"""What the tests of the latency commands share: calling the command line, and tables to give it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nas.cli import main
from nas.cost.operators import TABLE_COLUMNS

NANO, PI = "jetson-nano-trt-fp16", "pi4-ort-fp32"
MINE = ("yolov8n", "yolov8n-p2", "sodet-s", "yolov8n-p2-nop5", "yolov5n-ihp")
OPS_ROWS = """
known,0,conv,-1,3,160,160,8,160,160,3,3,1,1,1,5529600,224,76800,204800
known,1,act_silu,0,8,160,160,8,160,160,0,0,0,0,0,0,0,204800,204800
odd,0,deform_attention,-1,8,160,160,8,160,160,0,0,0,0,0,0,0,204800,204800
"""
OPS = ",".join(TABLE_COLUMNS) + OPS_ROWS


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[str, str]:
    try:
        main([str(each) for each in arguments])
    except SystemExit as stop:
        assert stop.code == code
    else:
        assert code == 0
    return capsys.readouterr()


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    return json.loads(run(capsys, *arguments, "--json")[0])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    out, err = run(capsys, *arguments, code=2)
    lines = [line for line in err.splitlines() if not line.startswith(("note:", "device:"))]
    assert not out and len(lines) == 1 and "Traceback" not in err
    return lines[0]


def write(path: Path, *rows: object, header: str = "model,latency_ms") -> Path:
    path.write_text("\n".join((header, *map(str, rows))) + "\n")
    return path
