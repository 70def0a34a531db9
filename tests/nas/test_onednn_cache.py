"""oneDNN's cache of primitives is enlarged where trials are trained, and only there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nas.executors.onednn import CAPACITY, NAMES, enlarge_primitive_cache

EVALUATOR = """
import os
from nas.executors.training import TrainingSpec
from trainers import TrainConfig
for own in ({}, {NAME: "7"}):
    if (child := os.fork()) == 0:
        os.environ.update(own)
        TrainingSpec(config=TrainConfig(epochs=1.0), threads=1).make(0)
        print(own, os.environ.get(NAME), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
CONVOLUTIONS = """
import torch
from nas.executors.onednn import enlarge_primitive_cache
enlarge_primitive_cache()
torch.set_num_threads(1)
with torch.no_grad():
    for _ in range(2):
        for side in range(8, 8 + 2 * NUM, 2):
            torch.nn.functional.conv2d(torch.zeros(2, 3, side, side), torch.zeros(16, 3, 3, 3))
"""


def test_a_value_of_the_user_wins() -> None:
    unset: dict[str, str] = {}
    enlarge_primitive_cache(unset)
    assert unset == {NAMES[0]: str(CAPACITY)}
    for name in NAMES:
        own = {name: "7"}
        enlarge_primitive_cache(own)
        assert own == {name: "7"}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_what_trains_trials_sets_it() -> None:
    said = run(EVALUATOR.replace("NAME", repr(NAMES[0])), {}).splitlines()
    assert said == [f"{{}} {CAPACITY}", f"{ {NAMES[0]: '7'} } 7"]


@pytest.mark.slow
def test_onednn_heeds_it_after_the_import_of_torch() -> None:
    script = CONVOLUTIONS.replace("NUM", "40")
    small, large = (run(script, own | {"ONEDNN_VERBOSE": "2"}) for own in ({NAMES[0]: "5"}, {}))
    if "create:cache_miss" not in large:
        pytest.skip("this build of torch has no oneDNN")
    assert small.count("create:cache_miss") > 1.5 * large.count("create:cache_miss")


def run(script: str, more: dict[str, str]) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in NAMES} | more
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return done.stdout
