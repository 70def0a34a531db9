"""Searches whose trials start from given weights: `nas run --pretrained`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from search_fakes import FakeEvaluator, formula, make_config
from torch import Tensor

import nas
from nas.cli import main
from nas.config import read_config
from nas.engine.warm_start import read_starts
from nas.executors import Evaluation, Job
from nas.pretrained import joined_pretrained, open_pretrained
from results import records
from search_space import DESIGNS, Architecture
from search_space.errors import ConfigError
from trainers import fresh_detector, load_weights, save_weights

DATA = str(Path(__file__).parents[1] / "data" / "hit_uav")
QUICK = ["--data", DATA, "--fix", "input_size=128", "--fix", "block=c2f", "--fix", "width=0.125"]
RUN = [*QUICK, "--budget-gflops", "0.4", "--trials", "5"]
ARCHITECTURE = DESIGNS.get("yolov8n").architecture.resized((64, 64))
VARYING = ["seconds", "training_seconds", "worker", "peak_memory_bytes"]
"""The columns in which two equal runs differ."""


def with_shares(job: Job) -> Evaluation:
    """Scores by the formula; the first trial took nothing from the weights that it was given."""
    found = formula(job)
    if job.pretrained is None:
        return found
    share = 0.8 if job.number else 0.0
    note = "" if share else "nothing fits"
    return dataclasses.replace(found, pretrained_params=share, pretrained_macs=share / 2, reason=note)


@pytest.fixture
def evaluator(monkeypatch: pytest.MonkeyPatch) -> FakeEvaluator:
    fake = FakeEvaluator(with_shares)
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: fake)
    return fake


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_donor(path: Path, seed: int = 0) -> Path:
    detector = fresh_detector(ARCHITECTURE, num_classes=2, seed=seed)
    save_weights(path, detector, ARCHITECTURE.to_dict(), ("car", "bus"))
    return path


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Runs `nas run`, which must fail, and returns the one line that it says."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(["run", *map(str, arguments)])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_every_trial_without_weights_of_its_own_starts_from_the_copy_in_the_run(
    home: Path, evaluator: FakeEvaluator, capsys: pytest.CaptureFixture[str]
) -> None:
    donor = write_donor(home / "donor.pt")
    main(["run", *RUN, "--pretrained", "donor.pt", "--name", "p"])
    said = capsys.readouterr().out
    donor.unlink()
    copy = Path("runs/p/pretrained.safetensors")
    assert {job.pretrained for job in evaluator.jobs if job.rung == 1} == {copy}
    upper = [job for job in evaluator.jobs if job.rung == 2]
    assert upper and all(job.pretrained is None and job.start_weights is not None for job in upper)
    table = records.load("runs/p")
    first = table[table["rung"] == 1]
    assert first["pretrained_params"].tolist() == [0.0] + [0.8] * (len(first) - 1)
    assert first["pretrained_macs"].tolist() == [0.0] + [0.4] * (len(first) - 1)
    assert first["reason"].iloc[0] == "rung 1 of 2 done; nothing fits"
    assert table["pretrained_params"][table["rung"] == 2].isna().all()
    count, mean = len(first), 80 * (len(first) - 1) / len(first)
    line = f"pretrained weights: {count} trials started from {donor}; on average {mean:.0f} % of the parameters and "
    assert f"{line}{mean / 2:.0f} % of the multiply-adds came from there; 1 took nothing, for the reasons in " in said

    main(["run", "--resume", "runs/p", "--trials", "7"])
    later = evaluator.jobs[5:]
    assert later and all((job.pretrained == copy) == (job.start_weights is None) for job in later)


def test_an_upper_rung_whose_weights_are_lost_starts_from_the_copy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose_weights(job: Job) -> Evaluation:
        assert job.weights_path is not None
        job.weights_path.unlink()
        return formula(job)

    fake = FakeEvaluator(lose_weights)
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: fake)
    write_donor(home / "donor.pt")
    main(["run", *RUN, "--pretrained", "donor.pt", "--name", "p"])
    upper = [job for job in fake.jobs if job.rung == 2]
    assert upper and {job.pretrained for job in upper} == {Path("runs/p/pretrained.safetensors")}


def test_without_the_option_nothing_is_different(home: Path, evaluator: FakeEvaluator) -> None:
    main(["run", *RUN, "--name", "plain"])
    assert {job.pretrained for job in evaluator.jobs} == {None}
    assert list(records.load("runs/plain").columns)[: len(records.COLUMNS) + 1][-1].startswith("axis_")
    assert not Path("runs/plain/pretrained.safetensors").exists()


def test_a_resume_compares_the_content_of_the_weights(
    home: Path, evaluator: FakeEvaluator, capsys: pytest.CaptureFixture[str]
) -> None:
    write_donor(home / "donor.pt")
    main(["run", *RUN, "--pretrained", "donor.pt", "--name", "p"])
    same, other = write_donor(home / "same.safetensors"), write_donor(home / "other.pt", seed=1)
    main(["run", "--resume", "runs/p", "--trials", "6", "--pretrained", str(same)])
    assert read_config(Path("runs/p/config.yaml")).pretrained == str(same)
    said = fails(capsys, "--resume", "runs/p", "--trials", "7", "--pretrained", other)
    assert f"--pretrained {other} is not what the run p was started with: the weights of {same} had" in said
    main(["run", *RUN, "--name", "plain"])
    said = fails(capsys, "--resume", "runs/plain", "--pretrained", same)
    assert f"the run plain was started with no --pretrained, got --pretrained {same}" in said


def test_a_lost_copy_is_made_again_from_the_same_weights_or_refused(
    home: Path, evaluator: FakeEvaluator, capsys: pytest.CaptureFixture[str]
) -> None:
    donor, copy = write_donor(home / "donor.pt"), Path("runs/p/pretrained.safetensors")
    main(["run", *RUN, "--pretrained", "donor.pt", "--name", "p"])
    whole = open_pretrained(copy)
    copy.write_bytes(copy.read_bytes()[:-9])
    main(["run", "--resume", "runs/p", "--trials", "6"])
    assert open_pretrained(copy).fingerprint == whole.fingerprint
    assert f"{copy} was missing or damaged; it is copied again" in capsys.readouterr().out
    copy.unlink()
    donor.unlink()
    said = fails(capsys, "--resume", "runs/p", "--trials", "7")
    assert f"{copy} is missing or damaged; next: nas run --resume runs/p --pretrained FILE" in said
    main(["run", "--resume", "runs/p", "--trials", "7", "--pretrained", str(write_donor(home / "moved.pt"))])
    assert (
        open_pretrained(copy).fingerprint == whole.fingerprint and records.tally(records.load("runs/p"))["asked"] == 7
    )


def test_the_share_of_each_start_is_told_when_the_run_starts(
    home: Path, evaluator: FakeEvaluator, capsys: pytest.CaptureFixture[str]
) -> None:
    write_donor(home / "donor.pt")
    limits = ["--data", DATA, "--fix", "input_size=128", "--budget-gflops", "0.4", "--trials", "1"]
    main(["run", *limits, "--pretrained", "donor.pt", "--name", "a", "--start", "yolov8n-p2-nop5"])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "share of the designs" in line)
    design = read_starts(["yolov8n-p2-nop5"]).architectures["yolov8n-p2-nop5"]
    told = open_pretrained("donor.pt").notices("W", {"x": design, "y": ARCHITECTURE}, ("car", "bus"))
    assert told == [told[0]] and "y 100.0% of the parameters and 100.0% of the multiply-adds" in told[0]
    assert f"that comes from {home / 'donor.pt'}: yolov8n-p2-nop5 " in line and "of the multiply-adds" in line
    assert "warning" not in line and "x 100.0%" not in told[0]

    vgg = DESIGNS.get("ssd-vgg16").architecture
    save_weights(home / "vgg.pt", _backbone(vgg), vgg.to_dict(), ("car",))
    main(["run", *limits, "--pretrained", "vgg.pt", "--name", "b", "--start", "yolov8n-p2-nop5"])
    said = capsys.readouterr().out
    assert f"warning: nothing of {home / 'vgg.pt'} fits yolov8n-p2-nop5; such trials start from random weights" in said
    assert "share of the designs" not in said


def _backbone(architecture: Architecture) -> dict[str, Tensor]:
    """Returns weights of the first convolutions alone, which no other family has."""
    state = fresh_detector(architecture, num_classes=1, seed=0).state_dict()
    return {name: value for name, value in state.items() if name.startswith(("blocks.stem", "blocks.p1"))}


def test_an_object_that_has_weights_starts_a_search(home: Path, evaluator: FakeEvaluator) -> None:
    donor = write_donor(home / "donor.pt")
    limits: dict[str, Any] = {"fix": {"input_size": 128}, "budget_gflops": 0.4, "trials": 1}
    run = nas.search(DATA, **limits, name="p", pretrained=nas.load(donor))
    assert run.config.pretrained == str(donor)
    with pytest.raises(ConfigError, match="SimpleNamespace has no weights; next: train it"):
        nas.search(DATA, **limits, name="q", pretrained=SimpleNamespace(weights=None))


@pytest.mark.parametrize("kind", ["missing", "no weights file", "no architecture", "empty", "another shape"])
def test_wrong_weights_are_refused_before_anything_is_written(
    kind: str, home: Path, evaluator: FakeEvaluator, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "donor.pt"
    if kind == "no weights file":
        path.write_text("weights")
    elif kind == "another shape":
        detector = fresh_detector(ARCHITECTURE, num_classes=3, seed=0)
        save_weights(path, detector, ARCHITECTURE.to_dict(), ("car", "bus"))
    elif kind != "missing":
        save_weights(path, {}, {} if kind == "no architecture" else ARCHITECTURE.to_dict(), ("car",))
    before = sorted(home.iterdir())
    assert str(path) in fails(capsys, *RUN, "--pretrained", path)
    assert sorted(home.iterdir()) == before and evaluator.jobs == []


def test_trials_of_other_weights_are_not_imported(
    home: Path, evaluator: FakeEvaluator, capsys: pytest.CaptureFixture[str]
) -> None:
    write_donor(home / "donor.pt")
    main(["run", *RUN, "--pretrained", "donor.pt", "--name", "a"])
    same = write_donor(home / "same.safetensors")
    for given, told in (([], "its pretrained weights differ"), (["--pretrained", str(same)], "are imported")):
        main(["run", *RUN, *given, "--from", "runs/a", "--name", f"b{len(given)}"])
        assert told in capsys.readouterr().out


def test_the_weights_of_a_member_of_a_front_are_taken(home: Path, evaluator: FakeEvaluator) -> None:
    (home / "first" / "front").mkdir(parents=True)
    (home / "first" / "weights").mkdir()
    ARCHITECTURE.to_yaml(home / "first" / "front" / "01-abc.yaml")
    donor = write_donor(home / "first" / "weights" / "abc.pt")
    main(["run", *RUN[:-1], "1", "--pretrained", "first/front/01-abc.yaml", "--name", "p"])
    copied = load_weights("runs/p/pretrained.safetensors")
    assert open_pretrained(donor).fingerprint == open_pretrained("runs/p/pretrained.safetensors").fingerprint
    assert copied.classes == ("car", "bus") and copied.architecture == ARCHITECTURE.to_dict()


def test_the_fingerprint_is_of_architecture_classes_and_tensors(tmp_path: Path) -> None:
    state = fresh_detector(ARCHITECTURE, num_classes=2, seed=0).state_dict()
    name = next(name for name, value in state.items() if value.ndim > 1)

    def fingerprint(classes: tuple[str, ...] = ("car", "bus"), suffix: str = ".pt", **changed: Any) -> str:
        path = tmp_path / f"weights{suffix}"
        save_weights(path, {**state, **changed}, ARCHITECTURE.to_dict(), classes)
        return open_pretrained(path).fingerprint

    nudged = state[name].clone()
    nudged.view(-1)[-1] += 1e-6
    found = [fingerprint(), fingerprint(classes=("bus", "car")), fingerprint(**{name: nudged})]
    assert len(set(found)) == 3 and fingerprint(suffix=".safetensors") == found[0]


def test_a_worker_that_joins_finds_the_weights_or_has_none(tmp_path: Path) -> None:
    donor, other = write_donor(tmp_path / "donor.pt"), write_donor(tmp_path / "other.pt", seed=1)
    fingerprint = open_pretrained(donor).fingerprint
    config = make_config(out=str(tmp_path), pretrained=str(donor), pretrained_fingerprint=fingerprint)
    moved = dataclasses.replace(config, pretrained=str(tmp_path / "gone.pt"))
    assert joined_pretrained(make_config(), None) is None and joined_pretrained(moved, None) is None
    found = joined_pretrained(config, None), joined_pretrained(moved, str(donor))
    assert [each.fingerprint for each in found if each is not None] == [fingerprint] * 2
    with pytest.raises(ConfigError, match=r"--pretrained .*other\.pt is not what the run run was started with"):
        joined_pretrained(moved, str(other))
    (tmp_path / "run").mkdir()
    donor.rename(tmp_path / "run" / "pretrained.safetensors")
    assert joined_pretrained(config, None) is None  # the copy is no safetensors file
    write_donor(tmp_path / "run" / "pretrained.safetensors")
    again = joined_pretrained(moved, None)
    assert again is not None and again.fingerprint == fingerprint


def test_a_job_for_another_process_has_an_absolute_path() -> None:
    job = Job(number=0, architecture=ARCHITECTURE, seed=0, pretrained=Path("runs/p/pretrained.safetensors"))
    assert job.absolute().pretrained == Path("runs/p/pretrained.safetensors").absolute()


@pytest.mark.slow
def test_the_same_seed_and_weights_give_the_same_trials(home: Path) -> None:
    write_donor(home / "donor.pt")
    ARCHITECTURE.resized((128, 128)).to_yaml(home / "start.yaml")
    limits = ["--data", DATA, "--fix", "input_size=128", "--budget-gflops", "0.4", "--trials", "1", "--epochs", "0.5"]
    arguments = ["run", *limits, "--start", "start.yaml", "--batch", "2", "--threads", "1"]
    for name, given in (("a", True), ("b", True), ("random", False)):
        main([*arguments, "--name", name, *(["--pretrained", "donor.pt"] if given else [])])
    a, b = (records.load(f"runs/{name}").drop(columns=VARYING) for name in "ab")
    assert a.equals(b) and a["pretrained_params"].item() > 0.5
    trained = [open_pretrained(f"runs/{name}").fingerprint for name in ("a", "b", "random")]
    assert trained[0] == trained[1] != trained[2]
