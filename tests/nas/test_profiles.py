"""Profiles of boards: those that come with the package, their names, and files that are refused; and the residual."""

from __future__ import annotations

import copy
import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from nas.cost.measurements import DATA, MeasurementSource, joined, load, read_latencies
from nas.cost.operators import CLASSES
from nas.cost.profile import (
    DEVICES,
    GRID,
    SHARE_CLASS,
    ErrorModel,
    device_names,
    find_profile,
    prior,
    read_profile,
    write_profile,
)
from nas.cost.residual import DEVIATION, NOISE, fit_residual, read_residual, write_residual
from nas.cost.terms import START, TERMS
from search_space.errors import ConfigError, DataError
from search_space.plain import without_defaults

NAMES = device_names()
BOARDS = sorted({name.rsplit("-", 2)[0] for name in NAMES})
SHIPPED = {name: find_profile(name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_profile_is_whole(name: str):
    profile = SHIPPED[name]
    assert profile.name == name and profile.path == DEVICES / f"{name}.yaml"
    assert profile.data_sheet.source and profile.includes and profile.board and profile.runtime
    assert profile.precision == "unstated" or name.endswith(f"-{profile.precision}")
    assert profile.constants.shape == (len(TERMS),)
    assert (profile.constants > 0).all() and np.isfinite(profile.constants).all()
    assert (prior(profile) > 0).all()
    assert bool(profile.fitted_on) == bool(profile.num_measured) == bool(profile.error) == bool(profile.measured)
    assert len(profile.fitted_on) == len(profile.measurements)
    assert all(count <= profile.num_measured for count in profile.measured.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_the_same_after_writing_and_reading(name: str, tmp_path: Path):
    profile = SHIPPED[name]
    path = tmp_path / f"{name}.yaml"
    written = write_profile(profile, path)
    again = read_profile(path)
    assert written.path == path and again.path == path
    assert np.allclose(again.constants, profile.constants, rtol=1e-5, atol=0)
    assert without_defaults(again) == without_defaults(profile)
    assert again.rules == profile.rules and again.measurements == profile.measurements
    assert (again.residual_path is None) == (profile.residual is None)


@pytest.mark.parametrize("name", [name for name in NAMES if SHIPPED[name].error])
def test_the_shipped_error_rises_with_confidence(name: str):
    error = SHIPPED[name].error
    assert error is not None
    values = [error.quantiles[level] for level in GRID]
    assert values == sorted(values) and values[0] > 0
    assert error.figures["networks"] == SHIPPED[name].num_measured and error.figures["held_out"]


@pytest.mark.parametrize("name", [name for name in NAMES if SHIPPED[name].measurements])
def test_the_measurements_of_a_profile_are_as_many_as_it_says(name: str):
    profile = SHIPPED[name]
    parts = [load(source, profile.rules) for source in profile.measurements]
    measurements = joined(parts)
    assert len(measurements) == profile.num_measured == len(measurements.names) == len(measurements.families)
    assert (measurements.latency_ms > 0).all() and (measurements.terms[:, START] == 1).all()
    assert measurements.terms.shape == (len(measurements), len(TERMS)) and (measurements.terms >= 0).all()
    assert [part.noise[0] for part in parts] == [source.noise for source in profile.measurements]
    assert profile.fitted_on == tuple(source.what for source in profile.measurements) and all(profile.fitted_on)


@pytest.mark.parametrize("name", [name for name in NAMES if SHIPPED[name].residual_path])
def test_a_shipped_residual_is_read(name: str):
    path = SHIPPED[name].residual_path
    assert path is not None
    residual = read_residual(path)
    assert len(residual.roots) == len(residual.weights) == SHIPPED[name].num_measured
    assert np.allclose((residual.roots**2).sum(axis=1), 1, atol=2e-3), "shares add up to one"


def test_every_residual_belongs_to_a_profile():
    assert {path.name.partition(".")[0] for path in DEVICES.glob("*.residual.csv.gz")} <= set(NAMES)


@pytest.mark.parametrize("board", BOARDS)
def test_a_board_has_one_usual_profile(board: str):
    usual = [name for name in NAMES if name.rsplit("-", 2)[0] == board and SHIPPED[name].usual]
    assert len(usual) == 1
    assert find_profile(board).name == usual[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_names_boards_and_precisions_find_profiles(name: str, tmp_path: Path):
    profile = SHIPPED[name]
    board = name.rsplit("-", 2)[0]
    assert find_profile(name, profile.precision).name == name
    found = find_profile(board, profile.precision)
    assert found.precision == profile.precision and found.name.startswith(board)
    assert not profile.usual or found.name == name
    path = tmp_path / "mine.yaml"
    write_profile(profile, path)
    assert find_profile(str(path)).path == path and find_profile(str(path), profile.precision).name == name


def test_precisions_choose_among_the_profiles_of_a_board():
    assert find_profile("jetson-nano").name == "jetson-nano-trt-fp16"
    assert find_profile("jetson-nano", "fp32").name == "jetson-nano-ort-fp32"
    assert find_profile("orin-nano", "int8").name == "orin-nano-trt-int8"
    assert find_profile("pi4", "fp32").name == "pi4-tflite-fp32", "the usual one where two match"
    assert find_profile("pi4-ort").name == "pi4-ort-fp32"
    assert find_profile("pi4-tflite", "int8").name == "pi4-tflite-int8"


@pytest.mark.parametrize(
    ("name", "precision", "message"),
    [
        ("jetson-nan", None, "unknown device 'jetson-nan'; did you mean 'jetson-nano'"),
        ("orin", None, "unknown device 'orin'; did you mean .*'orin-n.'"),
        ("jetson", None, "unknown device 'jetson'; did you mean 'jetson-nano'"),
        ("", None, "unknown device ''; known: a40-trt"),
        ("../devices/a40-trt", None, "unknown device"),
        ("toaster", None, "unknown device 'toaster'; known: .*xavier-nx-trt-int8; or give a YAML file"),
        ("orin-nano", "int16", "orin-nano has no profile with precision int16; known: orin-nano-trt-fp16, "),
        ("a40-trt", "fp16", "a40-trt has precision unstated, not fp16; known:"),
        ("nowhere/mine.yaml", None, "no profile nowhere/mine.yaml; nas devices lists"),
    ],
)
def test_unknown_names_are_refused_with_the_near_ones(name: str, precision: str | None, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        find_profile(name, precision)
    assert "\n" not in str(caught.value)


BASE = yaml.safe_load((DEVICES / "orin-nano-trt-fp16.yaml").read_text(encoding="utf-8"))


def _changed(*keys: str, value: Any = KeyError) -> str:
    plain = copy.deepcopy(BASE)
    inner = plain
    for key in keys[:-1]:
        inner = inner[key]
    if value is KeyError:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    return str(yaml.safe_dump(plain))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_changed("constants", "start_us", value=-1), "start is -1.0; it must be above 0"),
        (_changed("constants", "launch_us", "conv3x3", value=0), "conv3x3 is 0.0; it must be above 0"),
        (_changed("constants", "gbytes_per_s", "pool", value=float("nan")), "pool is nan; it must be above 0"),
        (_changed("constants", "depth_ns", "fc", value=float("inf")), "fc is inf"),
        (_changed("constants", "depth_ns", "fc", value="fast"), "could not convert"),
        (_changed("constants", "depth_ns", "fc"), "lacks 'fc'"),
        (_changed("constants", "launch_us"), "lacks 'launch_us'"),
        (_changed("constants", "start_us"), "lacks 'start_us'"),
        (_changed("constants", "launch_us", "conv4x4", value=1.0), "unknown entry launch_us conv4x4"),
        (_changed("constants", "watts", value={"conv1x1": 1.0}), "unknown entry watts conv1x1"),
        (_changed("constants", value=[1, 2]), "is not a profile"),
        (_changed("board"), "board"),
        (_changed("like", value="nowhere"), "like: unknown profile 'nowhere'; known: "),
        (_changed("data_sheet"), "field 'data_sheet' is missing"),
        (_changed("rules"), "field 'rules' is missing"),
        (_changed("bord", value="x"), "unknown field 'bord'; did you mean 'board'"),
        (_changed("path", value="x"), "unknown field 'path'"),
        (_changed("name", value=3), "name is 3; it must be text"),
        (_changed("usual", value="maybe"), "usual is 'maybe'; it must be true or false"),
        (_changed("data_sheet", "bandwidth", value=0), "bandwidth is 0.0; it must be above 0"),
        (_changed("data_sheet", "watts", value=5), "watts"),
        (_changed("rules", "tiles", value="no"), "tiles is 'no'"),
        (_changed("rules", "bytes_per_element", value=-2), "bytes_per_element is -2.0; it must be above 0"),
        (_changed("rules", "cores", value=2), "cores"),
        (_changed("measured", value=["conv1x1"]), "is not a profile"),
        (_changed("measured", value={"conv9x9": 3}), "measured has conv9x9; known: conv1x1"),
        (_changed("num_measured", value="many"), "'many'; it must be a whole number"),
        (_changed("num_measured", value=-1), "-1; it must be an integer of 0 or more"),
        (_changed("fitted_on", value="me"), "fitted_on is 'me'; it must be a list"),
        (_changed("error", value="large"), "is not a profile"),
        (_changed("error", "quantiles"), "field 'quantiles' is missing"),
        (_changed("error", "quantiles", 0.9), "confidences or operator classes that this version does not know"),
        (_changed("error", "quantiles", value={level: 1 - level for level in GRID}), "decreasing quantiles"),
        (_changed("error", "quantiles", value=dict.fromkeys(GRID, float("nan"))), "is nan; it must be a finite number"),
        (_changed("error", "class_scale", value={"conv9x9": 1.0}), "operator classes"),
        (_changed("error", "class_scale", value={"conv1x1": -1.0}), "negative or non-finite"),
        (_changed("error", "figures", value="good"), "is not a profile"),
        (_changed("error", "figures", "mean_percent", value="abc"), "error figures mean_percent is 'abc'"),
        (_changed("constants", "start_us", value=10**400), "is not a profile"),
        (_changed("data_sheet", value=[1]), "data_sheet is a list; it must be a mapping"),
        ("[" * 3000, "is not a profile"),
        (_changed("measurements", value=["a.csv"]), "is not a profile"),
        (_changed("measurements", 0, "unit", value="hours"), "use s or ms"),
        (_changed("measurements", 0, "noise", value=0), "a noise above 0"),
        ("- a\n- b\n", "has no entries"),
        ("", "has no entries"),
        ("3", "has no entries"),
        ("a: [", "is not a profile: line 1: expected the node content"),
        ("\t: x", "is not a profile"),
        ("a: !!python/object:os.system x", "is not a profile"),
        (b"\x00\xff", "is not a profile"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(text: str | bytes, message: str, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=message) as caught:
        find_profile(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_is_no_profile(tmp_path: Path):
    with pytest.raises(ConfigError, match="is not a profile"):
        read_profile(tmp_path)


def test_without_constants_the_prior_stands_in(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(_changed("constants"))
    with pytest.raises(ConfigError, match="num_measured without constants"):
        read_profile(path)
    left = {name: value for name, value in BASE.items() if name not in ("constants", "num_measured", "error")}
    path.write_text(yaml.safe_dump(left))
    profile = read_profile(path)
    model = find_profile(str(BASE["like"]))
    expected = profile.data_sheet.constants() * model.constants / model.data_sheet.constants()
    assert np.array_equal(profile.constants, expected) and (profile.constants > 0).all()
    assert "constants" in without_defaults(profile) and "constants" not in without_defaults(
        replace(profile, constants=np.zeros(0))
    )


def test_the_data_sheet_alone_gives_known_constants():
    sheet = replace(SHIPPED["a40-trt"].data_sheet, peak_flops=1e12, bandwidth=1e10, launch_us=20.0)
    seconds = dict(zip(TERMS, sheet.constants(), strict=True))
    assert seconds["launch", "conv1x1"] == seconds["launch", "group"] == pytest.approx(20e-6)
    assert seconds["start", "start"] == pytest.approx(60e-6)
    assert seconds["bytes", "pool"] == pytest.approx(2e-10) and seconds["bytes", "dwconv"] == pytest.approx(1 / 1.3e9)
    assert seconds["flops", "conv3x3"] == pytest.approx(1e-12) and seconds["flops", "conv1x1"] == pytest.approx(2e-12)
    assert seconds["depth", "fc"] == pytest.approx(1e-8)


def test_units_in_the_file_are_those_it_names():
    constants = dict(zip(TERMS, SHIPPED["orin-nano-trt-fp16"].constants, strict=True))
    file = BASE["constants"]
    assert constants["launch", "conv1x1"] == pytest.approx(file["launch_us"]["conv1x1"] * 1e-6)
    assert constants["bytes", "conv1x1"] == pytest.approx(1 / (file["gbytes_per_s"]["conv1x1"] * 1e9))
    assert constants["flops", "conv1x1"] == pytest.approx(1 / (file["gflops_2x_per_s"]["conv1x1"] * 1e9))
    assert constants["depth", "conv1x1"] == pytest.approx(file["depth_ns"]["conv1x1"] * 1e-9)
    assert constants["start", "start"] == pytest.approx(file["start_us"] * 1e-6)


def test_every_term_but_the_start_is_of_one_class():
    assert SHARE_CLASS.shape == (len(TERMS), len(CLASSES))
    assert SHARE_CLASS.sum(axis=1).tolist() == [1.0] * START + [0.0]


def test_an_error_needs_the_confidences_of_this_version():
    with pytest.raises(ValueError, match="confidences or operator classes that this version does not know"):
        ErrorModel(quantiles={0.9: 1.0})


SOURCE = MeasurementSource(latency="jetson_published.csv", operators="jetson_published_ops.csv.gz", column="latency_ms")


def test_measurements_name_the_column_that_is_not_there():
    with pytest.raises(DataError, match="lacks the columns watts; has: .*latency_ms"):
        read_latencies(replace(SOURCE, column="watts", name="ops_model_name"))
    with pytest.raises(DataError, match="lacks the columns bord"):
        read_latencies(replace(SOURCE, name="ops_model_name", where={"bord": "x"}))


@pytest.mark.parametrize("wrong", [{"unit": "hours"}, {"noise": 0}, {"noise": -1}, {"noise": 99}])
def test_impossible_sources_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match="use s or ms"):
        replace(SOURCE, **wrong)


def test_a_source_takes_only_the_rows_that_are_meant():
    where = {"source_id": "krasnov2024", "device_key": "jetson_nano_4gb"}
    source = replace(SOURCE, name="ops_model_name", family="model", where=where)
    found = load(source, SHIPPED["jetson-nano-trt-fp16"].rules)
    assert found.latency_ms.tolist() == [31.8, 60.6] and found.families == ("yolov8n", "yolov8n_p2woP5_bifusion_cbam")
    assert found.kept(np.array([False, True])).names == ("yolov8n_p2woP5_bifusion_cbam@384x640",)
    assert found.kept(np.array([1, 0])).latency_ms.tolist() == [60.6, 31.8]
    assert (DATA / source.latency).is_file()


ROOTS = np.sqrt(np.random.default_rng(0).dirichlet(np.full(8, 2.0), 60))


def _wide(roots: Any) -> Any:
    return np.pad(roots, ((0, 0), (0, len(TERMS) - roots.shape[1])))


def test_the_residual_interpolates_what_was_measured():
    log_ratio = 0.1 * np.sin(6 * ROOTS[:, 0])
    residual = fit_residual(_wide(ROOTS), log_ratio)
    learned, distance = residual(_wide(ROOTS))
    assert np.abs(learned - log_ratio).max() < 2.5 * NOISE
    least = np.sqrt(1 - 1 / (1 + (NOISE / DEVIATION) ** 2))
    assert np.allclose(distance, least, atol=1e-3) and least > 0.2


def test_one_measured_network_is_met_but_for_its_noise():
    residual = fit_residual(_wide(ROOTS[:1]), np.array([0.1]))
    learned, _ = residual(_wide(ROOTS[:1]))
    assert learned[0] == pytest.approx(0.1 * DEVIATION**2 / (DEVIATION**2 + NOISE**2), rel=1e-4)


def test_the_residual_adds_nothing_far_from_what_was_measured():
    residual = fit_residual(_wide(ROOTS), np.full(60, 0.2))
    far = np.zeros((1, len(TERMS)))
    far[0, 50] = 1.0
    learned, distance = residual(far)
    assert abs(learned[0]) < 1e-6 and distance[0] == pytest.approx(1)


def test_distances_grow_on_the_way_from_a_measured_network():
    residual = fit_residual(_wide(ROOTS[:1]), np.array([0.1]))
    way = np.linspace(0, 1, 30)[:, None]
    shares = (1 - way) * _wide(ROOTS[:1]) ** 2 + way * np.eye(len(TERMS))[50]
    learned, distance = residual(np.sqrt(shares))
    assert (np.diff(distance) > -1e-7).all() and (np.diff(learned) < 1e-7).all()
    assert (distance >= 0).all() and (distance <= 1).all()


def test_a_residual_is_the_same_after_writing_and_reading(tmp_path: Path):
    residual = fit_residual(_wide(ROOTS), 0.1 * np.sin(6 * ROOTS[:, 0]), np.linspace(1, 400, len(ROOTS)))
    path = tmp_path / "mine.residual.csv.gz"
    write_residual(residual, [f"n{index}" for index in range(60)], path)
    again = read_residual(path)
    assert np.allclose(again.roots, residual.roots, rtol=0, atol=1e-12)
    assert np.array_equal(again.weights, residual.weights) and again.fingerprint() == residual.fingerprint()
    assert again.precisions is not None and np.array_equal(again.precisions, residual.precisions)
    (one, far), (other, far_again) = residual(_wide(ROOTS)), again(_wide(ROOTS))
    assert np.allclose(one, other, rtol=0, atol=1e-12) and np.allclose(far, far_again, rtol=0, atol=1e-12)
    first = path.read_bytes()
    write_residual(residual, [f"n{index}" for index in range(60)], path)
    assert path.read_bytes() == first, "the same bytes every time"


def _damaged_gzip() -> bytes:
    content = bytearray(gzip.compress(b"model_name,weight,launch conv1x1\n" + b"a,0.12345,0.9\n" * 50, mtime=0))
    content[10] = 0xFF  # a kind of block that there is not
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a gzip", "is not the residual of a profile"),
        (gzip.compress(b"model_name,weight\na,1\n", mtime=0)[:20], "is not the residual of a profile"),
        (_damaged_gzip(), "is not the residual of a profile"),
        (gzip.compress(b"", mtime=0), "is not the residual of a profile"),
        (gzip.compress(b"model_name,launch conv1x1\na,1\n", mtime=0), "lacks 'weight'"),
        (gzip.compress(b"model_name,weight,launch conv1x1\n", mtime=0), "contains no networks"),
        (gzip.compress(b"model_name,weight,launch conv9x9\na,1,1\n", mtime=0), "unknown term 'launch conv9x9'"),
        (gzip.compress(b"model_name,weight,launch conv1x1\na,1,\n", mtime=0), "not a number"),
        (gzip.compress(b"model_name,weight,launch conv1x1\na,inf,1\n", mtime=0), "not a number"),
        (gzip.compress(b"model_name,weight,precision,launch conv1x1\na,1,nan,1\n", mtime=0), "not a number"),
        (gzip.compress(b"model_name,weight,precision,launch conv1x1\na,1,-1,1\n", mtime=0), "negative precision"),
        (gzip.compress(b"model_name,weight,launch conv1x1\na,1,much\n", mtime=0), "is not the residual of a profile"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_residual_is_refused_in_one_line(content: bytes, message: str, tmp_path: Path):
    path = tmp_path / "mine.residual.csv.gz"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_residual(path)
    assert "calibrate the profile again" in str(caught.value) and "\n" not in str(caught.value)
