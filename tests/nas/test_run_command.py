"""`nas run` and `nas export` as a user meets them; training is faked in all tests but one."""

from __future__ import annotations

import contextlib
import csv
import json
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from search_fakes import FakeEvaluator

from nas.cli import main
from nas.config import read_config
from nas.cost import cost_of
from nas.engine.run_request import DEFAULT_STARTS
from results import records
from search_space import DESIGNS, Architecture
from trainers import fresh_detector, save_weights
from trainers.heads import HEAD_TRAINING

DATA = str(Path(__file__).parents[1] / "data" / "hit_uav")
QUICK = ["--data", DATA, "--choices", "input_size=128,160,192", "--fix", "block=c2f", "--choices", "width=0.125,0.25"]


@pytest.fixture
def evaluator(monkeypatch: pytest.MonkeyPatch) -> FakeEvaluator:
    """Puts a formula in the place of training."""
    fake = FakeEvaluator()
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: fake)
    return fake


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fails(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """Runs a command that must fail and returns the one line it says."""
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    said = capsys.readouterr().err.strip()
    assert caught.value.code == code, said
    return said.splitlines()[-1]


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    with contextlib.suppress(SystemExit):  # such short trainings may find nothing, which has a code of its own
        main(["run", *arguments, "--json"])
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.slow
def test_a_real_search_on_real_images(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [*QUICK, "--budget-gflops", "0.4", "--trials", "3", "--epochs", "1.4", "--batch", "2", "--threads", "1"]
    result = run_json(capsys, *settings, "--name", "real")
    assert result["run"] == "runs/real" and result["complete"] == 3
    table = records.load(home / "runs" / "real")
    assert table["images_seen"].tolist() == [8, 8, 8] and (table["seconds"] > 0).all()
    for member in result["front"]:
        architecture = Architecture.from_yaml(member["path"])
        assert member["accuracy_low"] <= member["accuracy"] <= member["accuracy_high"]
        cost = cost_of(
            architecture, num_classes=len(yaml.safe_load((home / "runs/real/config.yaml").read_text())["classes"])
        )
        assert (member["macs"], member["flops_2x"], member["params"]) == (cost.macs, 2 * cost.macs, cost.params)
        assert cost.gmacs <= 0.4 and tuple(member["input_hw"]) == architecture.input_hw
        from trainers import load_weights

        weights = load_weights(home / "runs" / "real" / "weights" / f"{member['key']}.pt")
        assert Architecture.from_dict(weights.architecture) == architecture
        weights.detector()


@pytest.mark.slow
def test_the_plain_output(home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator) -> None:
    main(["run", *QUICK, "--budget-gflops", "0.4", "--trials", "8", "--name", "plain"])
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert said.err == ""
    assert "0.4 GFLOPs (= GMACs, fvcore; 0.8 GFLOPs at 2x)" in lines[0]
    assert sum(line.startswith("trial ") for line in lines) >= 8
    counts = records.tally(records.load(home / "runs" / "plain"))
    sums = " + ".join(f"{counts[outcome]} {outcome}" for outcome in records.OUTCOMES)
    assert f"trials: {counts['asked']} = {sums}; 0.0 % were rejected for their cost" in lines
    assert lines[-1].startswith("next:   nas train runs/plain/front/01-") and lines[-1].endswith(f"--data {DATA}")
    assert Path(lines[-1].split()[3]).is_file()


@pytest.mark.slow
def test_the_hold_out_and_the_donors_are_named_before_the_search(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    main(
        [
            "run",
            *QUICK,
            "--budget-gflops",
            "0.4",
            "--trials",
            "1",
            "--holdout",
            "yes",
            "--inherit",
            "donor",
            "--name",
            "a",
        ]
    )
    said = {line.split(":")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert said["data"].endswith("half of val held out") and said["search"].endswith("weights from donors")
    main(["run", *QUICK, "--budget-gflops", "0.4", "--trials", "1", "--holdout", "no", "--name", "b"])
    said = {line.split(":")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "held out" not in said["data"] and "donors" not in said["search"]


@pytest.mark.slow
def test_the_table_of_the_front_is_never_cut(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    start = home / f"{'long' * 40}.yaml"
    DESIGNS.get("yolov8n-p2-nop5").architecture.to_yaml(start)
    settings = ["--data", DATA, "--budget-gflops", "1", "--epochs", "1", "--trials", "2"]
    main(["run", *settings, "--start", str(start), "--name", "cut"])
    said = capsys.readouterr().out
    assert f"design starts/{start.name}" in said.split("origin")[1] and "…" not in said


@pytest.mark.slow
def test_json_is_alone_on_standard_output(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    result = run_json(capsys, *QUICK, "--budget-gflops", "0.4", "--trials", "6", "--name", "j", "--out", "elsewhere")
    assert result["run"] == "elsewhere/j"
    assert result["asked"] == sum(result[outcome] for outcome in records.OUTCOMES)
    assert result["budget_gflops"] == 0.4 and result["data"] == DATA and result["device"] is None
    assert result["objectives"] == ["accuracy", "macs"] and result["rungs"][0]["num_trials"] >= 1
    assert all(isinstance(member["memory_bytes"], int) for member in result["front"])
    assert [member["accuracy"] for member in result["front"]] == sorted(
        (member["accuracy"] for member in result["front"]), reverse=True
    )
    assert all(member["ap_small"] is None for member in result["front"])


@pytest.mark.slow
def test_nothing_fits_writes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.engine.feasibility.NUM_CORNERS", 2)
    said = fails(capsys, "run", *QUICK, "--budget-gflops", "0.0001", "--trials", "3")
    assert "nothing in this space fits the budget" in said and "--budget-gflops" in said
    assert list(home.iterdir()) == [] and evaluator.jobs == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--budget-gflops"),
        (["--budget-gflops", "-1"], "positive"),
        (["--budget-gflops", "1", "--fix", "fusin=concat"], "did you mean 'fusion'"),
        (["--budget-gflops", "1", "--choices", "fusion=concat,eafusio"], "did you mean 'eafusion'"),
        (["--budget-gflops", "1", "--fix", "fusion"], "axis=value"),
        (["--budget-gflops", "1", "--fix", "width=0.25", "--choices", "width=0.5,1.0"], "given twice"),
        (["--budget-gflops", "1", "--trials", "0"], "trials"),
        (["--budget-gflops", "1", "--epochs", "0"], "--epochs must be above 0, got 0"),
        (["--budget-gflops", "1", "--rungs", "0.5,x"], "--rungs 0.5,1.5"),
        (["--budget-gflops", "1", "--rungs", "0.5,1", "--epochs", "1"], "give one of them"),
        (["--budget-gflops", "1", "--batch", "7"], "there are 6 training images; next: --batch 6 or less"),
        (["--budget-gflops", "1", "--seed", "-1"], "--seed must be from 0 to 4,294,967,295, got -1"),
        (["--budget-gflops", "1", "--out", str(Path(__file__))], "it is a file; next: another folder with --out"),
        (["--resume", "runs/none"], "there is no folder runs/none"),
        (["--budget-gflops", "1", "--rungs", "0.4,0.2"], "must rise, got 0.4,0.2; next: --rungs 0.2,0.4"),
        (["--budget-gflops", "1", "--strategy", "grid"], "a grid tries every point"),
        (["--budget-gflops", "1", "--strategy", "tep"], "did you mean 'tpe'"),
        (["--budget-gflops", "1", "--objective", "ap-smal"], "did you mean 'ap-small'"),
        (["--budget-gflops", "1", "--objective", "latency"], "--objective latency needs --device"),
        (
            ["--budget-gflops", "1"] + ["--objective", "macs", "--objective", "params", "--objective", "memory"],
            "two or",
        ),
        (["--budget-gflops", "1", "--proxy", "nwto"], "did you mean 'nwot'"),
        (["--budget-gflops", "1", "--repeats", "-1"], "repeats"),
        (["--budget-gflops", "1", "--executor", "lokal"], "did you mean 'local'"),
        (["--budget-gflops", "1", "--precision", "fp16"], "--precision needs --device"),
        (["--budget-gflops", "1", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["--budget-gflops", "1", "--gpus-per-trial", "1"], "needs --executor ray"),
        (["--budget-gflops", "1", "--from", "runs/none"], "not the folder of a run"),
        (["--budget-gflops", "1", "--start", "none.yaml"], "there is no such file"),
        (["--budget-gflops", "1", "--space", "none.yaml"], "cannot be read"),
        (["--budget-gflops", "1", "--storage", "mysql://x/y"], "takes a PostgreSQL URL"),
        (["--join"], "--join needs --storage"),
        (["--budget-memory-mb", "0"], "MB of activations"),
        (["--budget-gflops", "1", "--name", "../up"], "--out"),
        (["--budget-gflops", "1", "--start", "tinydet-x"], "did you mean 'tinydet-s'"),
        (["--budget-gflops", "1", "--fix", "head=sdd"], "did you mean 'ssd'"),
    ],
)
def test_what_a_user_gets_wrong(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator, arguments: list[str], expected: str
) -> None:
    assert expected in fails(capsys, "run", "--data", DATA, *arguments)
    assert list(home.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("asked", [None, "ssd", "two_stage"])
def test_heads_other_than_the_anchor_free_one_are_searched_when_asked_for(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator, asked: str | None
) -> None:
    narrowed = [] if asked is None else ["--fix", f"head={asked}"]
    result = run_json(capsys, "--data", DATA, "--budget-gflops", "2", "--trials", "4", *narrowed, "--name", "r")
    starts = read_config(home / "runs" / "r" / "config.yaml").start
    assert starts == DEFAULT_STARTS[asked or "anchor_free"]
    table = records.load(home / "runs" / "r")
    assert table["origin"].iloc[0] == f"design {starts[0]}"
    kinds = {Architecture.from_yaml(member["path"]).head.kind for member in result["front"]}
    assert result["complete"] > 0 and kinds == {asked or "anchor_free"}


def test_an_unknown_axis_near_a_known_one_is_not_told_with_all_axes(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails(capsys, "run", "--budget-gflops", "1", "--fix", "blok=c2f")
    assert "did you mean" in said and "'block'" in said and len(said) < 150
    assert "known: head, " in fails(capsys, "run", "--budget-gflops", "1", "--fix", "xyzzy=c2f")


def test_a_front_without_a_cost_is_told(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    arguments = ["run", *QUICK, "--budget-gflops", "0.4", "--trials", "2"]
    with pytest.raises(SystemExit, match="3"):  # the evaluator measures neither
        main([*arguments, "--objective", "ap", "--objective", "ap50", "--name", "a"])
    assert "no objective is a cost" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="3"):
        main([*arguments, "--objective", "ap", "--name", "b"])
    assert "no objective is a cost" not in capsys.readouterr().out


def test_a_head_without_training_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(HEAD_TRAINING._things, "ssd")
    said = fails(capsys, "run", "--data", DATA, "--budget-gflops", "1", "--fix", "head=ssd")
    assert "'ssd' can be built and counted, but not trained yet" in said and "leave out --fix head=ssd" in said


def test_resume(home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator) -> None:
    start = [*QUICK, "--budget-gflops", "0.4", "--trials", "4"]
    run_json(capsys, *start, "--name", "r")
    assert "--resume runs/r" in fails(capsys, "run", *start, "--name", "r")
    assert run_json(capsys, "--resume", "runs/r")["asked"] == 4
    assert run_json(capsys, "--resume", "runs/r", "--trials", "6", *QUICK)["asked"] == 6
    for option, was, now in (
        ("--rungs", "0.5,1.5", "0.5"),
        ("--strategy", "ehvi", "random"),
        ("--budget-gflops", "0.4", "0.5"),
        ("--seed", "0", "1"),
        ("--out", str(home / "runs"), str(home / "elsewhere")),
    ):
        said = fails(capsys, "run", "--resume", "runs/r", option, now)
        assert f"the run r was started with {option} {was}, got {option} {now}; next: " in said
    said = fails(capsys, "run", "--resume", "runs/r", "--from", "runs/r")
    assert f"started with no --from, got --from {home / 'runs' / 'r'}" in said
    assert "got --fix width=0.25" in fails(capsys, "run", "--resume", "runs/r", "--fix", "width=0.25")
    changed = yaml.safe_load(Path("runs/r/config.yaml").read_text())
    messages = {
        "data_fingerprint": f"the data {DATA} has changed",
        "space_fingerprint": "the fingerprint was other, got",
    }
    for name, message in messages.items():
        Path("runs/r/config.yaml").write_text(yaml.safe_dump({**changed, name: "other"}))
        assert message in fails(capsys, "run", "--resume", "runs/r")
    Path("runs/r/config.yaml").write_text(yaml.safe_dump({**changed, "sed": 3}))
    assert "did you mean 'seed'" in fails(capsys, "run", "--resume", "runs/r")
    assert "not the folder of a run" in fails(capsys, "run", "--resume", "runs")
    Path("runs/r/config.yaml").write_text("batch_size: 4")
    assert "not the folder of a run" in fails(capsys, "run", "--resume", "runs/r")


@pytest.mark.slow
def test_a_search_starts_with_the_designs_it_is_given(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    settings = ["--data", DATA, "--budget-gflops", "0.8", "--trials", "3", "--epochs", "1"]
    run_json(capsys, *settings, "--name", "s", "--start", "tinydet-s", "--start", "yolov8n-esd1")
    origins = records.load(home / "runs" / "s")["origin"].tolist()
    assert [origin for origin in origins if origin.startswith("design")] == ["design tinydet-s", "design yolov8n-esd1"]
    assert {job.architecture.head.kind for job in evaluator.jobs} == {"anchor_free"}
    assert run_json(capsys, "--resume", "runs/s", "--start", "tinydet-s", "--start", "yolov8n-esd1")["asked"] == 3
    assert "--start yolov8n" in fails(capsys, "run", "--resume", "runs/s", "--start", "yolov8n")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_search_and_says_how_to_go_on(
    number: signal.Signals,
    code: int,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(job: Any) -> Any:
        signal.raise_signal(number)

    before = signal.getsignal(number)
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *a, **k: FakeEvaluator(interrupt))
    with pytest.raises(SystemExit) as caught:
        main(["run", *QUICK, "--budget-gflops", "0.4", "--trials", "2", "--name", "i"])
    said = capsys.readouterr().out
    assert caught.value.code == code and signal.getsignal(number) is before
    assert "nas run --resume runs/i" in said and "trials: 1 = 0 complete + 1 stopped" in said and "more --" not in said
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *a, **k: FakeEvaluator())
    main(["run", "--resume", "runs/i"])
    assert "interrupted trials that are trained again: 0" in capsys.readouterr().out
    assert records.load(home / "runs" / "i")["retry_of"].tolist()[1] == 0


def train_front(run: Path) -> None:
    """Puts real weights, of no training, in the place of those that the fake evaluator writes."""
    classes = yaml.safe_load((run / "config.yaml").read_text())["classes"]
    for path in (run / "front").iterdir():
        architecture = Architecture.from_yaml(path)
        detector = fresh_detector(architecture, num_classes=len(classes), seed=0)
        save_weights(run / "weights" / f"{architecture.key()}.pt", detector, architecture.to_dict(), classes)


@pytest.mark.slow
def test_export(home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator) -> None:
    front = run_json(capsys, *QUICK, "--budget-gflops", "0.4", "--trials", "6", "--name", "e")["front"]
    train_front(Path("runs/e"))
    main(["export", "runs/e", "--out", "out", "--format", "yaml", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert [member["key"] for member in result["front"]] == [member["key"] for member in front]
    assert all(Architecture.from_yaml(member["path"]).key() == member["key"] for member in result["front"])
    assert all(Path(member["weights"]).is_file() for member in result["front"])
    with open("out/front.csv", newline="") as file:
        assert [int(row["macs"]) for row in csv.DictReader(file)] == [member["macs"] for member in front]
    assert "--force" in fails(capsys, "export", "runs/e", "--out", "out", "--format", "yaml")
    assert "not the folder of a run" in fails(capsys, "export", "runs", "--out", "other")
    main(["export", "runs/e", "--out", "out", "--force", "--format", "yaml"])
    assert "next: nas train out/01-" in capsys.readouterr().out


@pytest.mark.slow
def test_the_format_and_the_images_of_the_data_are_the_runs(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    formats = Path(DATA).parent / "formats"
    data = ["--data", str(formats / "visdrone"), "--format", "visdrone", "--images", str(formats / "images")]
    result = run_json(
        capsys, *data, *QUICK[2:], "--budget-gflops", "0.4", "--trials", "1", "--epochs", "1", "--name", "seen"
    )
    config = yaml.safe_load(Path("runs/seen/config.yaml").read_text())
    assert config["data_format"] == "visdrone" and len(config["classes"]) == 10 and result["complete"] == 1
    assert run_json(capsys, "--resume", "runs/seen", "--trials", "2")["asked"] == 2
    assert "visdrone" in fails(capsys, "run", "--resume", "runs/seen", "--format", "coco")
    train_front(Path("runs/seen"))
    main(["export", "runs/seen", "--out", "mine", "--format", "yaml"])
    assert f"--format visdrone --images {formats / 'images'}" in capsys.readouterr().out
