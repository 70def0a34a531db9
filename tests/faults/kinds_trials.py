"""Trials that go wrong, and data that changes under them."""

from __future__ import annotations

import json
import math
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.run_audit import ended_trials
from nas.commands.run import NO_FRONT
from tests.faults.bench import DATA, Outcome, Scene, fault, heard
from tests.faults.evaluators import quick, spoil_loss, spoil_reading


def _one_bad_trial(scene: Scene, *, spoil: Callable[[Scene], None], says: str) -> Outcome:
    """A search in which one trial goes wrong: it must be told as failed, and all others be as ever."""
    child = scene.search(trials=4, spoil=lambda: spoil(scene))
    code = child.wait()
    trials = ended_trials(scene.run)
    failed = [trial for trial in trials.values() if trial.outcome == "failed"]
    outcome = scene.close_books(child, says, before=trials)
    lost = outcome.lost + (code not in (0, NO_FRONT)) + (len(failed) != 1)
    return Outcome(lost=lost, doubled=outcome.doubled, message=outcome.message, said=outcome.said)


def _short(scene: Scene) -> None:
    quick(faulty=scene.rng.randrange(3), what=("torch short of memory", "MemoryError")[scene.index % 2])


def _dead_reader(scene: Scene) -> None:
    errors = (RuntimeError("the reader died"), OSError(5, "the reader died of the disk"), KeyError("the reader died"))
    spoil_reading(0, errors[scene.index % 3])


def _bad_loss(scene: Scene, value: float) -> None:
    spoil_loss(value, range(1))


OF_SHORT = r"failed .*out of memory, also alone.*a smaller --batch"
OF_LOSS = r"failed .*the loss was not finite in any of 1 steps"
fault("out of memory in a trial")(partial(_one_bad_trial, spoil=_short, says=OF_SHORT))
fault("a thread that reads data dies")(partial(_one_bad_trial, spoil=_dead_reader, says=r"failed .*the reader died"))
fault("loss is NaN")(partial(_one_bad_trial, spoil=partial(_bad_loss, value=math.nan), says=OF_LOSS))
fault("loss is infinite")(partial(_one_bad_trial, spoil=partial(_bad_loss, value=math.inf), says=OF_LOSS))


def _move_a_box(data: Path) -> None:
    path = data / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"][2] += 1
    path.write_text(json.dumps(content))


@fault("data changes between stop and resume", seconds=4)
def data_between(scene: Scene) -> Outcome:
    data = scene.folder / "data"
    shutil.copytree(DATA, data)
    child = scene.search(data=data)
    child.await_text("trial   1")
    scene.pause(0.0, 0.3)
    child.send(signal.SIGINT)
    assert child.wait() == 130
    before = ended_trials(scene.run)
    _move_a_box(data)
    refused = scene.resume()
    code = refused.wait()
    message, said = heard(refused.text, (r"nas: error: .*fingerprint.*next:",), scene.run)
    return _as_it_was(scene, data, before, code, message, said)


@fault("data changes while a search runs", seconds=4)
def data_meanwhile(scene: Scene) -> Outcome:
    data = scene.folder / "data"
    shutil.copytree(DATA, data)
    child = scene.search(data=data)
    child.await_text("trial   1")
    scene.pause(0.0, 0.3)
    if scene.index % 2:
        (data / "annotations" / "instances_train.json").write_text('{"images": [')
    else:
        _move_a_box(data)
    code = child.wait()
    message, said = heard(child.text, (r"nas: error: .*next: .*nas run --resume",), scene.run)
    return _as_it_was(scene, data, ended_trials(scene.run), code, message, said)


def _as_it_was(
    scene: Scene, data: Path, before: dict[int, dict[str, object]], code: int, message: str, said: bool
) -> Outcome:
    """Puts the data back and ends the run."""
    shutil.rmtree(data)
    shutil.copytree(DATA, data)
    outcome = scene.close_books(None, before=before)
    return Outcome(lost=outcome.lost + (code != 2), doubled=outcome.doubled, message=message, said=said)
