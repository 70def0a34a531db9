"""Disks that are full or that refuse to be written, while a search, a training or an export writes."""

from __future__ import annotations

import errno
import shutil
import signal
from functools import partial

from benchmarks.run_audit import ended_trials
from tests.faults.bench import Outcome, Scene, fault, heard
from tests.faults.disks import fill, may_mount, refuse, set_disk, small_disk
from tests.faults.evaluators import quick
from tests.faults.kinds_files import doubled_epochs, train, trained_run

FULL = r"^nas: error: cannot write .*(No space left|Read-only).*next: correct that, then nas run --resume"


def _spoil(ending: str, after: int, room: int, number: int) -> None:
    quick()
    refuse(ending, after=after, room=room, number=number)


def _refused(scene: Scene, *, ending: str, most: int, number: int = errno.ENOSPC) -> Outcome:
    """The n-th write of a kind fails, after some bytes."""
    after, room = scene.rng.randrange(1, most), scene.rng.choice((0, 0, scene.rng.randrange(2000)))
    child = scene.search(spoil=lambda: _spoil(ending, after, room, number))
    code = child.wait()
    outcome = scene.close_books(child, FULL, before=ended_trials(scene.run))
    return Outcome(lost=outcome.lost + (code != 2), doubled=outcome.doubled, message=outcome.message, said=outcome.said)


fault("disk full: trials.csv")(partial(_refused, ending="trials.csv", most=12))
fault("disk full: study.journal")(partial(_refused, ending="study.journal", most=30))
fault("disk full: weights of a trial")(partial(_refused, ending=".pt", most=8))
fault("read-only meanwhile", share=0.5)(partial(_refused, ending="", most=60, number=errno.EROFS))


@fault("disk full: a real one under a search", possible=may_mount, seconds=5)
def real_disk(scene: Scene) -> Outcome:
    with small_disk(scene.folder / "disk", 4096) as disk:
        run = disk / "run"
        child = scene.search(run=run)
        child.await_text("trial   1")
        scene.pause(0.0, 0.5)
        filler = fill(disk, leaving=scene.rng.randrange(20_000))
        code = child.wait()
        before = ended_trials(run)
        filler.unlink()
        outcome = scene.close_books(child, FULL, before=before, run=run)
    return Outcome(lost=outcome.lost + (code != 2), doubled=outcome.doubled, message=outcome.message, said=outcome.said)


@fault("read-only folder at a resume", share=0.5, possible=may_mount, seconds=4)
def read_only(scene: Scene) -> Outcome:
    with small_disk(scene.folder / "disk", 8192) as disk:
        run = disk / "run"
        child = scene.search(run=run)
        child.await_text("trial   1")
        child.send(signal.SIGINT)
        child.wait()
        before = ended_trials(run)
        set_disk(disk, "ro")
        refused = scene.resume(run=run)
        code = refused.wait()
        message, said = heard(refused.text, (r"^nas: error: cannot write to .*fix its permissions",), run)
        set_disk(disk, "rw")
        outcome = scene.close_books(None, before=before, run=run)
    return Outcome(lost=outcome.lost + (code != 2), doubled=outcome.doubled, message=message, said=said)


@fault("disk full: last.pt of nas train", possible=may_mount, seconds=8)
def checkpoint(scene: Scene) -> Outcome:
    """The disk fills up at some checkpoint; what was written before must be whole and go on."""
    from trainers.weights import read_torch

    with small_disk(scene.folder / "disk", 200 * 1024) as disk:
        folder = disk / "training"
        child = train(scene.folder / "train.log", folder, epochs=12)
        scene.children.append(child)
        while not (folder / "last.pt").is_file() and child.code is None:
            scene.pause(0.01, 0.02)
        scene.pause(0.0, 0.5)
        filler = fill(disk, leaving=scene.rng.randrange(200_000))
        code = child.wait()
        read_torch(folder / "last.pt", "checkpoint")
        filler.unlink()
        message, said = heard(child.text, (r"^nas: error: cannot write .*resume with: nas train --resume",), folder)
        again = scene.nas("train", "--resume", folder)
        lost = (code != 2) + (again.wait() != 0) + (not (folder / "results.json").is_file())
        return Outcome(lost=lost, doubled=doubled_epochs(folder), message=message, said=said)


@fault("disk full: an export", possible=may_mount, seconds=4)
def export(scene: Scene) -> Outcome:
    """A disk that is too small for an export: nothing of it is left, and with room it is written whole."""
    run = scene.copied("trained", trained_run)
    form = "yaml,onnx" if scene.index % 5 == 0 else "yaml"
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with small_disk(scene.folder / "disk", scene.rng.choice((8, 16, 64, 128))) as disk:
        words = ("export", run, "--out", disk / "out", "--format", form, "--top", 1)
        child = scene.nas(*words)
        code = child.wait()
        left = [path for path in disk.iterdir()]
        message, said = heard(child.text, (r"^nas: error: .*No space left.*(free disk|next:)",), scene.folder)
        set_disk(disk, "size=64m")
        again = scene.nas(*words).wait()
        whole = (disk / "out" / "front.csv").is_file()
    changed = [path for path, content in files.items() if path.read_bytes() != content]
    shutil.rmtree(run)
    return Outcome(lost=(code != 2) + (again != 0) + (not whole) + len(changed) + len(left), message=message, said=said)
