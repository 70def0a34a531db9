"""Cases for everything that is read beside data sets: YAML, CSV, gzip, weights, names and options."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import safetensors.torch
import torch
import yaml

from nas.api.train_folder import read_config as read_training
from nas.api.train_settings import placed, put
from nas.commands.train import read_assignment
from nas.config import RunConfig, read_config
from nas.cost.latency import LatencyModel, load_model
from nas.cost.operators import TABLE_COLUMNS, read_operators, unknown_types
from nas.cost.profile import DEVICES, find_profile, read_profile
from nas.cost.residual import read_residual
from nas.cost.terms import network_terms
from nas.cost.user_measurements import measured, read_rows
from nas.engine.narrowing import narrowing_of, parse_narrowing, read_narrowing
from nas.engine.run_request import RunRequest, checked_name, rungs_of
from nas.run_folder import read_trials
from results import records
from results.report.text import escape, script_json
from results.visible import as_cell, from_cell, visible
from search_space import DESIGNS, Architecture, SearchSpace, lower
from search_space.plain import without_defaults
from search_space.plugins import forget_plugin, load_plugin
from search_space.registry import additions
from tests.fuzz.data_cases import Act, Cases
from tests.fuzz.mutations import TEXTS, WORDS, encoded, hostile_value, spoil_bytes, spoil_plain, spoil_text, spoil_yaml
from trainers import TrainConfig, load_weights, save_weights
from trainers.weights import read_torch, write_torch

OPS = ",".join(TABLE_COLUMNS) + (
    "\nknown,0,conv,-1,3,160,160,8,160,160,3,3,1,1,1,5529600,224,76800,204800"
    "\nknown,1,act_silu,0,8,160,160,8,160,160,0,0,0,0,0,0,0,204800,204800\n"
)
LATENCIES = "model,latency_ms,input_h,input_w,num_classes,family\nyolov8n,30,640,640,10,a\nsodet-s,20,,,,b\n"
SPACE = {"fusion": ["concat", "sni"], "input_size": [320, 640], "width": 0.25, "head": "anchor_free"}
SETTINGS = (
    "epochs",
    "learning_rate",
    "augmentation.flip",
    "seed",
    "optimizer",
    "a.b.c",
    "device",
    "nwd",
    "augmentation",
)


@cache
def _space() -> SearchSpace:
    return SearchSpace()


@cache
def _model() -> LatencyModel:
    return load_model("jetson-nano")


def _yaml_cases(path: Path, plain: Any, act: Any) -> Cases:
    text = yaml.safe_dump(plain, sort_keys=False)

    def case(rng: Random) -> Act:
        path.write_bytes(spoil_yaml(rng, text, plain))
        return lambda: act(path)

    return case


def architecture_cases(folder: Path) -> Cases:
    """Cases for architecture files."""
    designs = [DESIGNS.get(name).architecture.to_dict() for name in DESIGNS]
    cases = [_yaml_cases(folder / "a.yaml", plain, Architecture.from_yaml) for plain in designs]
    return lambda rng: rng.choice(cases)(rng)


def lowering_cases(folder: Path) -> Cases:
    """Cases for what is made of an architecture that could be read: its graph, with every name looked up."""
    designs = [DESIGNS.get(name).architecture.to_dict() for name in DESIGNS]

    def case(rng: Random) -> Act:
        spoilt = spoil_plain(rng, rng.choice(designs))
        return lambda: lower(Architecture.from_dict(spoilt), num_classes=3)

    return case


def space_cases(folder: Path) -> Cases:
    """Cases for the file of `--space`."""
    return _yaml_cases(folder / "space.yaml", SPACE, lambda path: read_narrowing(_space(), path))


def option_cases(folder: Path) -> Cases:
    """Cases for `--fix`, `--choices`, `--rungs`, and `--name`, which must stay the name of one folder."""

    def words(rng: Random, text: str) -> str:
        return spoil_text(rng, text, (*WORDS, *TEXTS))

    def case(rng: Random) -> Act:
        fix, choices = words(rng, "fusion=concat"), words(rng, "input_size=320,640")
        rungs, name = words(rng, "0.5,1.5"), words(rng, "my-run")
        acts: tuple[Act, ...] = (
            lambda: parse_narrowing(_space(), [fix], []),
            lambda: parse_narrowing(_space(), [], [choices]),
            lambda: rungs_of(RunRequest.of(rungs=rungs)),
            lambda: _is_inside(folder, checked_name(name)),
        )
        return rng.choice(acts)

    return case


def _is_inside(folder: Path, name: str) -> None:
    assert (folder / name).resolve().parent == folder.resolve() and name.isprintable()


def run_cases(folder: Path) -> Cases:
    """Cases for `config.yaml` of a run, and the space that it names."""
    config = RunConfig(
        name="run",
        space_fingerprint="aa",
        data_fingerprint="bb",
        classes=("person", "car"),
        budget_gflops=1.0,
        minutes=5.0,
        rungs=(0.5, 1.5),
        choices=("fusion=concat,sni",),
        start=("sodet-s",),
        versions={"python": "3"},
    )

    def act(path: Path) -> object:
        read = read_config(path)
        return read.to_text(), read.limit_words(), read.data_words(), narrowing_of(read)

    return _yaml_cases(folder / "config.yaml", yaml.safe_load(config.to_text()), act)


def training_cases(folder: Path) -> Cases:
    """Cases for `config.yaml` of a training."""
    plain = {
        "data": "x",
        "weights": None,
        "threads": 2,
        "training": TrainConfig().to_dict(),
        "versions": {"torch": "2"},
    }
    return _yaml_cases(folder / "config.yaml", plain, lambda path: read_training(path.parent))


def setting_cases(folder: Path) -> Cases:
    """Cases for `--set NAME=VALUE`, and the training settings that come of it."""

    def case(rng: Random) -> Act:
        value = (
            json.dumps(hostile_value(rng))
            if rng.random() < 0.5
            else spoil_text(rng, "0.5", (*WORDS, *TEXTS, "[" * 3000))
        )
        text = f"{rng.choice(SETTINGS)}={value}" if rng.random() < 0.9 else spoil_text(rng, "epochs=1", TEXTS)
        return lambda: _set(text)

    return case


def _set(text: str) -> TrainConfig:
    ((path, value),) = placed(dict([read_assignment(text)])).items()
    content: Any = {"training": TrainConfig().to_dict()}
    put(content, path, value)
    return TrainConfig.from_dict(content["training"])


def latency_cases(folder: Path) -> Cases:
    """Cases for a table of latencies that a user measured; of some the networks are built, too."""
    path = folder / "measured.csv"
    path.write_text(LATENCIES)
    _measured(path)  # what every later one finds remembered

    def case(rng: Random) -> Act:
        path.write_bytes(encoded(rng, spoil_text(rng, LATENCIES, separators=",\n")))
        built = rng.random() < 0.03
        return lambda: _measured(path) if built else read_rows(path)

    return case


def _measured(path: Path) -> object:
    own = measured(path, read_rows(path)[0], _model())
    return _model().predict(own.measurements.terms)


def operator_cases(folder: Path) -> Cases:
    """Cases for a table of operators, packed or not, up to the prediction."""

    def case(rng: Random) -> Act:
        raw = encoded(rng, spoil_text(rng, OPS, separators=",\n;"))
        if packed := rng.random() < 0.3:
            raw = spoil_bytes(rng, gzip.compress(raw)) if rng.random() < 0.5 else gzip.compress(raw)
        path = folder / ("ops.csv.gz" if packed else "ops.csv")
        path.write_bytes(raw)
        return lambda: _operators(path)

    return case


def _operators(path: Path) -> object:
    names, operators = read_operators(path)
    model = _model()
    return model.predict(network_terms(operators, model.profile.rules, len(names))), unknown_types(path)


def profile_cases(folder: Path) -> Cases:
    """Cases for the profile of a board."""
    plain = yaml.safe_load(yaml.safe_dump(without_defaults(find_profile("jetson-nano"))))
    return _yaml_cases(folder / "board.yaml", plain, lambda path: without_defaults(read_profile(path)))


def residual_cases(folder: Path) -> Cases:
    """Cases for what a profile learned, a packed table."""
    text = gzip.decompress(sorted(DEVICES.glob("*.residual.csv.gz"))[0].read_bytes()).decode()
    text = "\n".join(text.split("\n")[:4]) + "\n"
    path = folder / "board.residual.csv.gz"

    def case(rng: Random) -> Act:
        raw = gzip.compress(encoded(rng, spoil_text(rng, text, separators=",\n")))
        path.write_bytes(spoil_bytes(rng, raw) if rng.random() < 0.4 else raw)
        return lambda: read_residual(path).fingerprint()

    return case


def trial_cases(folder: Path) -> Cases:
    """Cases for the table of trials, and what is derived from it."""
    from tests.results.report_fakes import FRONT
    from tests.results.trial_fakes import make_table

    records.write(make_table(each | {"axis_fusion": "concat"} for each in FRONT), folder / records.TRIALS_CSV)
    text = (folder / records.TRIALS_CSV).read_text()

    def case(rng: Random) -> Act:
        (folder / records.TRIALS_CSV).write_bytes(encoded(rng, spoil_text(rng, text, separators=",\n")))
        return lambda: _derived(folder)

    return case


def _derived(folder: Path) -> None:
    table = read_trials(folder)
    members = records.front(table)
    assert records.tally(table)["asked"] == len(table)
    records.write(members, folder / "front.csv")
    assert len(records.load(folder, "front.csv")) == len(members)


def plugin_cases(folder: Path) -> Cases:
    """Cases for plug-ins: their names, what they hold, and the names that they register."""
    lines = "from search_space.blocks import STAGES\n"
    good = f"{lines}@STAGES.register('mine')\nclass Mine:\n    pass\n"

    def case(rng: Random) -> Act:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        name, act = "block.py", rng.randrange(3)
        if act == 0:
            name = rng.choice(
                (f"{rng.choice(TEXTS)}.py", *TEXTS, "..py", ".py", "a b.py", "import.py", "\x1b[2J.py", "ä.py")
            )
        raw = good.encode()
        if act == 1:
            raw = good.replace("'mine'", ascii(rng.choice((*TEXTS, None, 3, [])))).encode()
        elif act == 2:
            raw = encoded(rng, spoil_text(rng, good))
        try:
            (folder / name).write_bytes(raw)
        except (OSError, ValueError):
            pass
        return lambda: _loaded(folder, name)

    return case


def _loaded(folder: Path, name: str) -> None:
    before = additions()
    plugin = None
    try:
        plugin = load_plugin(f"{folder}/{name}")
        assert all(thing.isprintable() and thing for _, thing in plugin.added) and plugin.label.isprintable()
    finally:
        if plugin is not None:
            forget_plugin(plugin)
        assert additions() == before


def weight_cases(ending: str) -> Any:
    """Returns cases for files of weights in one of their two forms."""

    def prepare(folder: Path) -> Cases:
        tensors = {"a.weight": torch.zeros(2, 3), "a.bias": torch.zeros(2)}
        plain: Any = DESIGNS.get("sodet-s").architecture.to_dict()
        path = folder / f"w{ending}"
        save_weights(path, tensors, plain, ("person", "car"))
        raw = path.read_bytes()

        def case(rng: Random) -> Act:
            if rng.random() < 0.6:
                path.write_bytes(spoil_bytes(rng, raw))
            elif ending == ".pt":
                content = {"architecture": plain, "classes": ["a"], "state": tensors}
                spoilt = spoil_plain(rng, content)
                write_torch(path, spoilt if isinstance(spoilt, dict) else {"a": spoilt})
            else:
                described = {
                    "architecture": json.dumps(spoil_plain(rng, plain)),
                    "classes": json.dumps(hostile_value(rng)),
                }
                path.write_bytes(safetensors.torch.save(tensors, described))
            return lambda: load_weights(path).detector() if rng.random() < 0.1 else load_weights(path)

        return case

    return prepare


def checkpoint_cases(folder: Path) -> Cases:
    """Cases for a torch file of any content: other pickles, other zips, and spoilt ones of our own."""
    path = folder / "last.pt"
    write_torch(path, {"kind": "checkpoint", "state": {"step": 3}, "detector": {"a": torch.zeros(3)}})
    raw = path.read_bytes()

    def case(rng: Random) -> Act:
        act = rng.randrange(6)
        made = spoil_bytes(rng, raw)
        if act == 0:
            made = spoil_bytes(rng, pickle.dumps({"state": [1, 2, {"a": b"x"}], "f": print}))
        elif act == 1:
            made = _rezipped(rng, raw)
        path.write_bytes(made)
        return lambda: read_torch(path, "checkpoint")

    return case


def _rezipped(rng: Random, raw: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(buffer, "w", rng.choice((0, 8))) as new:
        for each in old.infolist():
            content = old.read(each)
            new.writestr(each.filename, spoil_bytes(rng, content) if rng.random() < 0.5 else content)
    return buffer.getvalue()


def shown_cases(folder: Path) -> Cases:
    """Cases for what is shown of others' names: on a page, on a terminal, in a cell of CSV."""

    def case(rng: Random) -> Act:
        text, value = spoil_text(rng, rng.choice(TEXTS) or "a", (*TEXTS, *WORDS)), hostile_value(rng)
        return lambda: _shown(text, value)

    return case


def _shown(text: str, value: Any) -> None:
    page = escape(text)
    assert not set(page) & set("<>\"'") and "\x1b" not in page
    assert visible(text).isprintable() or not any(ord(each) < 32 or ord(each) == 127 for each in visible(text))
    visible(text).encode()
    assert from_cell(as_cell(text)) == text and as_cell(text)[:1] not in ("=", "@", "\t", "\r")
    try:
        assert not set(script_json({"a": value, text: text})) & set("<>&")
    except ValueError as error:  # the page's own numbers are finite, and of few digits
        assert "JSON" in str(error) or "digits" in str(error)
