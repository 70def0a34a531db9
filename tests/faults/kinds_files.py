"""Files of a run, a training or an export that are cut, garbled or gone."""

from __future__ import annotations

import csv
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path

from benchmarks.run_audit import ended_trials
from search_space import DESIGNS
from tests.faults.bench import DATA, SPACE, TRAINING, Outcome, Scene, fault, heard
from tests.faults.child import Child, nas
from tests.faults.evaluators import quick


def ended_run(path: Path) -> None:
    """Makes a search of some trials, of which some may go on to the next rung."""
    where = ("--data", DATA, "--name", path.name, "--out", path.parent, "--trials", 8)
    child = nas(path.parent / "template.log", "run", *SPACE, *TRAINING, *where, spoil=lambda: quick())
    assert child.wait() == 0, child.text


def spoil_file(path: Path, how: str, rng: random.Random) -> None:
    """Cuts a file, garbles some bytes in its middle, takes a line out, or deletes it."""
    content = bytearray(path.read_bytes())
    if how == "cut":
        path.write_bytes(content[: rng.randrange(len(content))])
    elif how == "garbled":
        begin = rng.randrange(len(content) * 3 // 4)
        content[begin : begin + 40] = rng.randbytes(len(content[begin : begin + 40]))
        path.write_bytes(content)
    elif how == "a line gone":
        lines = content.splitlines(keepends=True)
        del lines[rng.randrange(len(lines) - 1)]
        path.write_bytes(b"".join(lines))
    else:
        path.unlink()


def _journal(scene: Scene, how: str) -> Outcome:
    """The journal is spoilt between stop and resume: all that was told must come back."""
    run = scene.copied("ended", ended_run)
    before = ended_trials(run)
    spoil_file(run / "study.journal", how, scene.rng)
    says = r"study.journal (had lost its end|was damaged at line \d+): (trials .* are put back|no trial that had ended)"
    return scene.close_books(None, *(() if _is_intact(run, before) else (says,)), before=before)


def _is_intact(run: Path, before: dict[int, dict[str, object]]) -> bool:
    """Whether a cut took nothing but the end of a line that nobody misses."""
    copy = run.with_name("looked-at")
    shutil.copytree(run, copy)
    try:
        return ended_trials(copy) == before
    except ValueError:
        return False
    finally:
        shutil.rmtree(copy)


for _how in ("cut", "garbled", "a line gone", "deleted"):
    fault(f"study.journal: {_how}", share=1.0 if _how != "deleted" else 0.5)(partial(_journal, how=_how))


@fault("trials.csv: cut, garbled, deleted", seconds=4)
def table(scene: Scene) -> Outcome:
    """Readers must say that something is missing, and a resume must write the table anew."""
    run = scene.copied("ended", ended_run)
    before = ended_trials(run)
    how = ("cut", "garbled", "deleted", "a line gone")[scene.index % 4]
    whole = (run / "trials.csv").read_bytes()
    while (run / "trials.csv").is_file() and (run / "trials.csv").read_bytes() == whole:
        spoil_file(run / "trials.csv", how, scene.rng)
    reader = scene.nas("report", run) if scene.index % 2 else scene.nas("export", run, "--out", scene.folder / "out")
    reader.wait()
    outcome = scene.close_books(None, before=before)
    known = r"damaged|of the 8 trials|writes it anew|it has no trials.csv"
    message, said = heard(reader.text, (known,), run)
    harmless = how == "garbled" and "damaged" not in reader.text  # a letter of a name, or digits
    return Outcome(lost=outcome.lost, doubled=outcome.doubled, message=message, said=said or harmless)


@fault("config.yaml: cut, garbled, deleted", seconds=3)
def config(scene: Scene) -> Outcome:
    run = scene.copied("ended", ended_run)
    before = ended_trials(run)
    whole = (run / "config.yaml").read_bytes()
    how = ("cut", "garbled", "deleted")[scene.index % 3]
    spoil_file(run / "config.yaml", how, scene.rng)
    child = scene.resume()
    code = child.wait()
    message, said = heard(child.text, (r"^nas: error: .*(next:|give)",), run)
    (run / "config.yaml").write_bytes(whole)
    outcome = scene.close_books(None, before=before)
    return Outcome(lost=outcome.lost + (code != 2), doubled=outcome.doubled, message=message, said=said)


@fault("front/NN-KEY.yaml: cut, garbled, deleted", seconds=4)
def front(scene: Scene) -> Outcome:
    run = scene.copied("ended", ended_run)
    before = ended_trials(run)
    member = min((run / "front").iterdir())
    spoil_file(member, ("cut", "garbled", "deleted")[scene.index % 3], scene.rng)
    child = scene.nas("export", run, "--out", scene.folder / "out", "--format", "yaml", "--top", 1)
    code = child.wait()
    message, said = heard(child.text, (r"^nas: error: .*(next:|give|check)",), run)
    outcome = scene.close_books(None, before=before)
    again = scene.nas("export", run, "--out", scene.folder / "again", "--format", "yaml", "--top", 1)
    return Outcome(
        lost=outcome.lost + (code != 2) + (again.wait() != 0), doubled=outcome.doubled, message=message, said=said
    )


@fault("weights of an earlier rung: cut, garbled, deleted", seconds=4)
def weights(scene: Scene) -> Outcome:
    """All weights are spoilt; the trials that go on must be trained anew, from the first rung on."""
    run = scene.copied("trained", trained_run)
    before = ended_trials(run)
    how = ("cut", "garbled", "deleted")[scene.index % 3]
    for path in (run / "weights").iterdir():
        spoil_file(path, how, scene.rng)
    child = scene.resume(trials=len(before) + 3, spoil=lambda: None)
    code = child.wait()
    gone = how == "deleted"
    outcome = scene.close_books(child, r"ended: " if gone else r"\.pt .*treated as missing|ended: ", before=before)
    later = [
        trial for number, trial in ended_trials(run).items() if number not in before and trial.promoted_from in before
    ]
    short = [trial for trial in later if trial.outcome == "complete" and (trial.epochs or 0) < 0.59]
    return Outcome(
        lost=outcome.lost + (code != 0) + len(short),
        doubled=outcome.doubled,
        message=outcome.message,
        said=outcome.said,
    )


def trained_run(path: Path) -> None:
    where = ("--data", DATA, "--name", path.name, "--out", path.parent, "--trials", 3)
    child = nas(path.parent / "template.log", "run", *SPACE, *TRAINING, *where)
    assert child.wait() == 0, child.text


@fault("last.pt: cut, garbled", seconds=5)
def checkpoint(scene: Scene) -> Outcome:
    """A checkpoint that cannot be read is refused, and all else of the training stays; a copy in its place goes on."""
    folder = scene.copied("training", begun_training)
    last, files = folder / "last.pt", {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    spoil_file(last, ("cut", "garbled")[scene.index % 2], scene.rng)
    child = scene.nas("train", "--resume", folder)
    code = child.wait()
    message, said = heard(
        child.text, (r"^nas: error: .*(damaged|is not a checkpoint).*restore it from a copy",), folder
    )
    kept = {path: content for path, content in files.items() if path not in (last, folder / "lock")}
    changed = [path for path, content in kept.items() if path.read_bytes() != content]
    last.write_bytes(files[last])
    again = scene.nas("train", "--resume", folder)
    lost = (code != 2) + len(changed) + (again.wait() != 0) + (not (folder / "results.json").is_file())
    return Outcome(lost=lost, doubled=doubled_epochs(folder), message=message, said=said)


def begun_training(folder: Path) -> None:
    """Makes a training that was interrupted after its first epoch."""
    child = train(folder.parent / "training.log", folder, epochs=8)
    while not (folder / "last.pt").is_file() and child.code is None:
        time.sleep(0.01)
    child.send(signal.SIGINT)
    assert child.wait() == 130, child.text


def train(log: Path, folder: Path, epochs: int) -> Child:
    """Starts a training of a small architecture."""
    architecture = folder.parent / "small.yaml"
    if not architecture.is_file():
        DESIGNS.get("yolov8n-p2-nop5").architecture.resized((64, 64)).to_yaml(architecture)
    words = ("train", architecture, "--data", DATA, "--batch", 2, "--threads", 1, "--epochs", epochs, "--out", folder)
    return nas(log, *words)


def doubled_epochs(folder: Path) -> int:
    """Counts the steps that the history of a training has twice."""
    with (folder / "history.csv").open() as file:
        steps = [row["step"] for row in csv.DictReader(file)]
    return len(steps) - len(set(steps))
