"""Cross-validation of the latency model on the measurements of the package.

No network is scored by a fit that contained it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.latency_study.baselines import PEERS, Mask, Networks
from nas.cost.calibration import calibrated, fit_constants, hold_out
from nas.cost.latency import EXTRAPOLATES_FROM, LatencyModel, LatencyPredictions, load_model
from nas.cost.measurements import Measurements, MeasurementSource, joined, load, read_latencies, shipped_operators
from nas.cost.profile import Profile, find_profile, prior
from nas.cost.terms import GROUP, TERMS, Vector

Folds = NDArray[np.intp]

NANO, A40 = "jetson-nano-ort-fp32", "a40-trt"
ORIN = [
    f"{board}-trt-{precision}"
    for board in ("orin-nano", "orin-nx", "agx-orin")
    for precision in ("fp32", "fp16", "int8")
]
SHOTS = (5, 10, 20)
LIMIT_MS = 100.0
CANDIDATES, PICKS = 200, 10


def validate(
    *, draws: int = 50, quick: bool = False, report: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Runs the whole study and returns its figures, JSON-ready.

    Args:
        draws: Number of random draws of few measured networks and of candidates.
        quick: Whether to skip the nested intervals, which take most of the time.
        report: Called with the name of each step before it starts.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    steps: dict[str, Callable[[], Any]] = {
        "jetson_nano": lambda: whole_study(NANO, peers=True),
        "nvidia_a40": lambda: whole_study(A40, peers=True),
        "other_boards": other_boards,
        "few_shots": lambda: few_shots(draws),
        "intervals": lambda: {} if quick else intervals(),
        "depthwise": lambda: depthwise(quick=quick),
        "orin": orin,
        "nano_tensorrt": nano_tensorrt,
        "input_steps": input_steps,
        "picking": lambda: {} if quick else picking(draws),
    }
    result = {}
    for name, step in steps.items():
        report(name.replace("_", " "))
        result[name] = step()
    return result


def parts_of(name: str) -> tuple[Profile, list[Measurements]]:
    """Returns a profile and the measurements of its sources."""
    profile = find_profile(name)
    return profile, [load(source, profile.rules) for source in profile.measurements]


def architecture_folds(detectors: Measurements) -> Folds:
    """Returns the fold of each network: one architecture at all its input sizes."""
    names = [name.rpartition("_")[0] for name in detectors.names]
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.intp)


def named_folds(labels: Sequence[str]) -> Folds:
    """Returns the fold of each label."""
    return np.asarray(np.unique(np.asarray(labels, dtype=str), return_inverse=True)[1], dtype=np.intp)


def scores(measured_ms: Vector, predicted_ms: Vector) -> dict[str, float]:
    """Returns mean absolute percentage error, share within 10 %, and Kendall's tau."""
    from scipy.stats import kendalltau

    percent = 100 * np.abs(predicted_ms / measured_ms - 1)
    return {
        "mean_percent": round(float(percent.mean()), 2),
        "median_percent": round(float(np.median(percent)), 2),
        "within_10_percent": round(float(100 * (percent <= 10).mean()), 1),
        "kendall_tau": round(float(kendalltau(measured_ms, predicted_ms)[0]), 3),
    }


def split_scores(detectors: Measurements, predicted_ms: Vector, folds: Folds) -> dict[str, Any]:
    """Returns the scores of held-out predictions; by family too if the folds are the families."""
    result: dict[str, Any] = scores(detectors.latency_ms, predicted_ms)
    families = named_folds(detectors.families)
    if np.array_equal(families, folds):
        off = 100 * np.abs(predicted_ms / detectors.latency_ms - 1)
        by_family = {
            detectors.families[int(np.argmax(folds == fold))]: round(float(off[folds == fold].mean()), 2)
            for fold in np.unique(folds)
        }
        result["by_family"] = by_family
        result["mean_of_families_percent"] = round(float(np.mean(list(by_family.values()))), 2)
        result["worst_family_percent"] = max(by_family.values())
    return result


def held_out_detectors(profile: Profile, parts: list[Measurements], folds: Folds) -> Vector:
    """Returns held-out predictions for the networks of the first source; the other sources are always in the fit."""
    everything = joined(parts)
    always = np.full(len(everything) - len(folds), -1)
    return hold_out(prior(profile), everything, np.concatenate([folds, always]), skip=-1).latency_ms[: len(folds)]


def whole_study(name: str, *, peers: bool) -> dict[str, Any]:
    """Leaves one architecture, then one family out, for the model and the baselines, all fitted to detectors alone.

    If the profile is fitted to other networks too, the model is scored again with these always in the fit.
    """
    profile, parts = parts_of(name)
    detectors = parts[0]
    splits = {
        "leave_one_architecture_out": architecture_folds(detectors),
        "leave_one_family_out": named_folds(detectors.families),
    }
    result: dict[str, Any] = {"networks": len(detectors)}
    for title, known in {"model": parts[:1], f"model, {sum(map(len, parts[1:]))} classifiers known": parts}.items():
        if title == "model" or parts[1:]:
            result[title] = {
                split: split_scores(detectors, held_out_detectors(profile, known, folds), folds)
                for split, folds in splits.items()
            }
    if peers:
        result["peers"] = list(PEERS)
    networks = networks_of(profile, profile.measurements[0], detectors)
    for peer, make in PEERS.items() if peers else ():
        fit = make(networks)
        result[peer] = {
            split: split_scores(detectors, _peer_held_out(fit, folds), folds) for split, folds in splits.items()
        }
    return result


def networks_of(profile: Profile, source: MeasurementSource, detectors: Measurements) -> Networks:
    """Returns measured networks as input of the baselines."""
    names, operators = shipped_operators(source.operators)
    row_of = {name: row for row, name in enumerate(names)}
    return Networks(
        operators=operators,
        num_networks=len(names),
        rows=np.array([row_of[name] for name in detectors.names], dtype=np.intp),
        bytes_per_element=profile.rules.bytes_per_element,
        latency_ms=detectors.latency_ms,
    )


def _peer_held_out(fit: Callable[[Mask], Vector], folds: Folds) -> Vector:
    predicted = np.empty(len(folds))
    for fold in np.unique(folds):
        predicted[folds == fold] = fit(folds != fold)[folds == fold]
    return predicted


def other_boards() -> dict[str, Any]:
    """Leaves one architecture and one family out on the boards other than Jetson."""
    names = ("i7-10875h-openvino-fp32", "vim3-npu-int16", "orange-pi5-npu-fp16")
    boards = (*names, "pi4-tflite-fp32", "pi4-tflite-int8", "pi4-ort-fp32", "pi5-ort-fp32")
    return {name: whole_study(name, peers=False)["model"] for name in boards}


def few_shots(draws: int) -> dict[str, Any]:
    """Fits to few random networks with the data sheet as prior, and scores all others."""
    result: dict[str, Any] = {}
    for name in (NANO, A40):
        profile, (detectors, *_) = parts_of(name)
        result[name] = {}
        for shots in SHOTS:
            errors = []
            for seed in range(draws):
                known = np.random.default_rng(seed).choice(len(detectors), shots, replace=False)
                constants = fit_constants(profile.data_sheet.constants(), detectors.kept(known))
                others = np.delete(np.arange(len(detectors)), known)
                predicted = 1e3 * detectors.terms[others] @ constants
                errors.append(100 * np.abs(predicted / detectors.latency_ms[others] - 1).mean())
            result[name][str(shots)] = {
                "mean_percent": round(float(np.mean(errors)), 2),
                "worst_draw_percent": round(float(max(errors)), 2),
                "draws": draws,
            }
    return result


def intervals() -> dict[str, Any]:
    """Coverage and half-width of 90 % intervals that were computed without the scored networks."""
    result: dict[str, Any] = {}
    for name in (NANO, A40):
        measured = parts_of(name)[1][0].latency_ms
        result[name] = {}
        for split in ("architectures", "families"):
            made = nested_predictions(name, split)
            inside = (made.low_ms <= measured) & (measured <= made.high_ms)
            result[name][split] = {
                "coverage_percent": round(float(100 * inside.mean()), 1),
                "median_half_width_percent": round(float(100 * np.median(made.high_ms / made.latency_ms - 1)), 1),
            }
    return result


@lru_cache
def nested_predictions(name: str, split: str) -> LatencyPredictions:
    """Predicts detectors with profiles whose constants, residual and error were computed without them.

    Args:
        name: Name of the profile.
        split: `architectures` holds out fifths of them with all their input sizes, `families` one family at a time.
    """
    profile, (detectors, *others) = parts_of(name)
    folds = architecture_folds(detectors) % 5 if split == "architectures" else named_folds(detectors.families)
    table = np.empty((5, len(folds)))
    for fold in np.unique(folds):
        tested = folds == fold
        known = joined([detectors.kept(~tested), *others])
        made = LatencyModel(*calibrated(profile, known, ())).predict(detectors.terms[tested])
        columns = (made.latency_ms, made.low_ms, made.high_ms, made.unsupported_share, made.unlike_measured)
        table[:, tested] = columns
    latency_ms, low_ms, high_ms, unsupported_share, unlike = table
    return LatencyPredictions(
        latency_ms=latency_ms,
        low_ms=low_ms,
        high_ms=high_ms,
        unsupported_share=unsupported_share,
        unlike_measured=unlike.astype(bool),
    )


def classifier_kinds(classifiers: Measurements) -> dict[str, Mask]:
    """Returns which classifiers have depthwise convolutions, grouped ones, or neither."""
    depthwise = classifiers.terms[:, TERMS.index(("launch", "dwconv"))] > 0
    grouped = (classifiers.terms[:, GROUP] > 0) & ~depthwise
    return {"depthwise": depthwise, "grouped": grouped, "plain": ~depthwise & ~grouped}


def depthwise(*, quick: bool) -> dict[str, Any]:
    """Predicts classifiers on the Nano from detectors alone, and with the other classifiers in the fit.

    Classifiers with the same operators, which differ only in their weights, stay in one random fifth.
    """
    profile, (detectors, classifiers) = parts_of(NANO)
    predicted = LatencyModel(*calibrated(profile, detectors, ())).predict(classifiers.terms)
    measured = classifiers.latency_ms
    covered = (predicted.low_ms <= measured) & (measured <= predicted.high_ms)
    flagged = predicted.unsupported_share >= EXTRAPOLATES_FROM
    kinds = classifier_kinds(classifiers)
    alike = np.unique(classifiers.terms.round(6), axis=0, return_inverse=True)[1].ravel()
    splits = {"random_fifths": (np.random.default_rng(0).permutation(alike.max() + 1) % 5)[alike]}
    if not quick:
        splits["leave_one_family_out"] = named_folds(classifiers.families)
    held = {name: held_out_detectors(profile, [classifiers, detectors], folds) for name, folds in splits.items()}
    result: dict[str, Any] = {}
    for kind, mask in {**kinds, "all": np.ones(len(classifiers), dtype=bool)}.items():
        result[kind] = {
            "networks": int(mask.sum()),
            "from_detectors_alone": {
                **scores(measured[mask], predicted.latency_ms[mask]),
                "flagged_percent": round(float(100 * flagged[mask].mean()), 1),
                "coverage_percent": round(float(100 * covered[mask].mean()), 1),
            },
            "with_classifiers": {name: scores(measured[mask], each[mask]) for name, each in held.items()},
        }
    return result


def orin() -> dict[str, Any]:
    """Fits each Orin profile to two of the five YOLO11 models and scores the other three."""
    result: dict[str, Any] = {}
    for name in ORIN:
        profile, (models,) = parts_of(name)
        start, errors = prior(profile), {}
        for pair in itertools.combinations(range(len(models)), 2):
            constants = fit_constants(start, models.kept(np.array(pair)))
            others = np.delete(np.arange(len(models)), pair)
            off = 100 * np.abs(1e3 * models.terms[others] @ constants / models.latency_ms[others] - 1)
            errors["".join(sorted(models.families[each][-1] for each in pair))] = float(off.mean())
        result[name] = {
            "from_n_and_l_percent": round(errors["ln"], 2),
            "mean_of_all_pairs_percent": round(float(np.mean(list(errors.values()))), 2),
            "worst_pair_percent": round(max(errors.values()), 2),
        }
    return result


def nano_tensorrt() -> dict[str, Any]:
    """Predicts the second published TensorRT figure of the Nano from the first, and figures of independent sources.

    No profile of the package was fitted to the independent sources.
    """
    profile, (published, _) = parts_of("jetson-nano-trt-fp16")
    first = int(np.argmin(published.latency_ms))
    constants = fit_constants(prior(profile), published.kept(np.array([first])))
    predicted = 1e3 * published.terms[1 - first] @ constants
    measured = published.latency_ms[1 - first]
    result: dict[str, Any] = {
        "calibrated_on_ms": float(published.latency_ms[first]),
        "measured_ms": float(measured),
        "predicted_ms": round(float(predicted), 1),
        "off_percent": round(float(100 * (predicted / measured - 1)), 1),
        "independent": [],
    }
    checks: tuple[tuple[str, str, dict[str, str]], ...] = (
        ("jetson-nano-trt-fp16", "yolov9_issue519", {}),
        ("orin-nano-trt-fp32", "hokwangchoi", {"precision": "fp32", "runtime": "TensorRT (trtexec)"}),
        ("orin-nano-trt-fp16", "hokwangchoi", {"precision": "fp16"}),
        ("orin-nano-trt-int8", "hokwangchoi", {"precision": "int8"}),
    )
    for device, source_id, where in checks:
        model = load_model(device)
        base = find_profile(device).measurements[0]
        source = replace(base, where={"source_id": source_id, **where})
        rows = load(source, model.profile.rules)
        made = model.predict(rows.terms)
        for row, name in enumerate(rows.names):
            result["independent"].append(
                {
                    "device": device,
                    "source": source_id,
                    "model": name,
                    "measured_ms": float(rows.latency_ms[row]),
                    "predicted_ms": round(float(made.latency_ms[row]), 2),
                    "low_ms": round(float(made.low_ms[row]), 2),
                    "high_ms": round(float(made.high_ms[row]), 2),
                }
            )
    return result


def input_steps() -> dict[str, Any]:
    """Compares the cost of a larger input on the Nano, measured and predicted for held-out architectures."""
    profile, parts = parts_of(NANO)
    detectors = parts[0]
    predicted = held_out_detectors(profile, parts, architecture_folds(detectors))
    table = read_latencies(profile.measurements[0]).set_index("model_name")
    row_of = {name: row for row, name in enumerate(detectors.names)}
    result = {}
    for small, large in ((224, 256), (256, 288), (384, 416), (416, 448)):
        pairs = [
            (row_of[f"{each}_{small}"], row_of[f"{each}_{large}"])
            for each in table["architecture"].unique()
            if f"{each}_{small}" in row_of and f"{each}_{large}" in row_of
        ]
        before, after = np.array(pairs).T
        growth = [100 * (np.median(ms[after] / ms[before]) - 1) for ms in (detectors.latency_ms, predicted)]
        macs = table["macs"].to_numpy(float)
        result[f"{small}_to_{large}"] = {
            "measured_percent": round(float(growth[0]), 1),
            "predicted_percent": round(float(growth[1]), 1),
            "macs_percent": round(float(100 * (np.median(macs[after] / macs[before]) - 1)), 1),
        }
    return result


def picking(draws: int) -> dict[str, Any]:
    """Picks the 10 of 200 candidates nearest below 100 ms on the Nano, and counts those that exceed it.

    The architecture of each candidate is held out of its prediction and of the error behind its upper bound.
    """
    profile, parts = parts_of(NANO)
    detectors, folds = parts[0], architecture_folds(parts[0])
    line = _peer_held_out(PEERS["line in GFLOPs"](networks_of(profile, profile.measurements[0], detectors)), folds)
    made = nested_predictions(NANO, "architectures")
    rules = {"by FLOPs": line, "by prediction": made.latency_ms, "by upper bound": made.high_ms}
    result: dict[str, Any] = {"limit_ms": LIMIT_MS, "candidates": CANDIDATES, "picks": PICKS, "draws": draws}
    for name, values in rules.items():
        over, used = [], []
        for seed in range(draws):
            drawn = np.random.default_rng(seed).choice(len(values), CANDIDATES, replace=False)
            below = drawn[values[drawn] <= LIMIT_MS]
            picked = below[np.argsort(values[below])[-PICKS:]]
            over += list(detectors.latency_ms[picked] > LIMIT_MS)
            used += list(detectors.latency_ms[picked] / LIMIT_MS)
        result[name] = {
            "over_percent": round(float(100 * np.mean(over)), 1),
            "of_limit_used_percent": round(float(100 * np.mean(used)), 1),
        }
    return result
