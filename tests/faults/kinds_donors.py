"""Weights of donors that are cut, garbled, gone, or those of another architecture."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.run_audit import ended_trials
from tests.faults.bench import DATA, HEIRS, SPACE, TRAINING, Outcome, Scene, fault
from tests.faults.child import nas
from tests.faults.kinds_files import spoil_file

TOLD = r"trained from random weights, without its donor, trial \d+: .*\.pt.*(check the path|damaged|from a copy)"
NUM_MORE = 4


@fault("weights of donors: cut, garbled, deleted, swapped", seconds=6)
def donors(scene: Scene) -> Outcome:
    """All weights are spoilt: trials that are to start from them start from scratch, and their reason says so."""
    run = scene.copied("inherited", inherited_run)
    before = ended_trials(run)
    how = ("cut", "garbled", "deleted", "swapped")[scene.index % 4]
    paths = sorted((run / "weights").iterdir())
    if how == "swapped":
        for path, other in zip(paths, [*paths[1:], paths[0]], strict=True):
            shutil.copy(other, path.with_suffix(".swapped"))
        for path in paths:
            path.with_suffix(".swapped").replace(path)
    else:
        for path in paths:
            spoil_file(path, how, scene.rng)
    child = scene.resume(trials=len(before) + NUM_MORE, spoil=lambda: None)
    code = child.wait()
    later = [trial for number, trial in ended_trials(run).items() if number not in before]
    heirs = [trial for trial in later if trial.donor in before]
    told = [trial.reason for trial in heirs if trial.inherited_macs == 0]
    wrong = len(heirs) - len(told) + sum(trial.outcome == "failed" for trial in heirs) + (not heirs)
    outcome = scene.close_books(child, TOLD, before=before, log="\n".join(told))
    return Outcome(
        lost=outcome.lost + (code != 0) + wrong, doubled=outcome.doubled, message=outcome.message, said=outcome.said
    )


def inherited_run(path: Path) -> None:
    """Makes a search of few trials that start from one another."""
    where = ("--data", DATA, "--name", path.name, "--out", path.parent, "--trials", 4)
    child = nas(path.parent / "template.log", "run", *SPACE, *HEIRS, *TRAINING, *where)
    assert child.wait() == 0, child.text
