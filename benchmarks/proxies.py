"""Compares rankings by training-free proxies and by plain counts with trained accuracy.

`trained` trains random points of a small space briefly on the built-in set; rows that are in the table are not trained
again, so a long table can be made in parts. `yolobench` reads the accuracies of YOLOBench (Lazarevich et al., 2023;
repository Deeplite/deeplite-torch-zoo, Apache-2.0) as a table with the columns `model_name`, `architecture`, `input_px`
and some that end in `_map50_95`. Only its YOLOv8 architectures can be rebuilt here with exactly the same MACs.
`designs` scores all published designs at their own width, `report` prints the figures of a table.

Usage: python benchmarks/proxies.py trained [--points 16] [--images 2000] [--max-minutes 15]
       python benchmarks/proxies.py yolobench --accuracy yolobench_accuracy.csv
       python benchmarks/proxies.py designs
       python benchmarks/proxies.py report --table benchmarks/results/proxies_trained.csv --target ap
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import kendalltau

from nas.cost import cost_of
from search_space import DESIGNS, Architecture, Backbone, Detector, Head, Neck, SearchSpace, Stage, lower
from search_space.errors import SpaceError
from trainers import HEAD_TRAINING, TrainConfig, fresh_detector, train
from trainers.data import Dataset
from trainers.data.synthetic import synthetic_splits
from trainers.proxies import PROXIES, proxy_batch
from trainers.proxies.nwot import ActivationPatterns

RESULTS = Path(__file__).parent / "results"
NEEDS_LOSS = ("gradient_norm", "zico")
COUNTS = ("macs", "params", "activation_bytes", "switches", "input_px")
"""`switches` counts the inputs of activations such as SiLU, which NWOT compares between images."""
PEER = "activation_bytes"
"""The count that a proxy has to beat."""
NARROW = {
    "head": ("anchor_free",),
    "backbone": ("yolov8", "yolo11"),
    "head_levels": ("P2-P3", "P2-P4", "P3-P4", "P3-P5"),
    "topology": ("pan", "fpn", "ihp"),
    "input_size": (128, 160, 192),
    "width": (0.125, 0.25, 0.375, 0.5),
    "depth": (0.17, 0.33, 0.67),
    "stride_p1": (2,),
    "stride_p2": (2,),
    "stride_p3": (2,),
    "stride_p4": (2,),
    "stride_p5": (2,),
    **{f"downsample_{level}": ("conv",) for level in ("p2", "p3", "p4", "p5", "neck")},
    **{f"attention_{place}": ("none",) for place in ("p2", "p3", "p4", "p5", "neck")},
}
GMACS = (0.01, 0.25)
"""Limits of the trained points: small enough for a CPU."""


def counts(architecture: Architecture, num_classes: int) -> dict[str, float]:
    """Returns the plain counts that proxies are compared with."""
    cost = cost_of(architecture, num_classes=num_classes)
    side = math.sqrt(architecture.input_hw[0] * architecture.input_hw[1])
    patterns = ActivationPatterns(1)
    with torch.no_grad(), patterns:
        detector = fresh_detector(architecture, num_classes=num_classes, seed=0).eval()
        detector(torch.zeros(1, 3, *architecture.input_hw))
    return dict(zip(COUNTS, (cost.macs, cost.params, cost.activation_bytes, patterns.num_switches, side), strict=True))


def scores(detector: Detector, dataset: Dataset, *, batch_size: int, seed: int) -> dict[str, float]:
    """Returns every proxy's score of a detector and, with the suffix `_s`, the seconds that it took."""
    images, objects = proxy_batch(dataset, detector.input_hw, batch_size, seed, fit=detector.input_format.fit)
    row = {}
    for name in PROXIES:
        if name in NEEDS_LOSS and detector.head not in HEAD_TRAINING:
            continue
        started = time.perf_counter()
        row[name] = PROXIES.get(name)(detector, images, objects, seed=seed)
        row[f"{name}_s"] = time.perf_counter() - started
    return row


def random_points(count: int, seed: int) -> list[Architecture]:
    """Returns different random architectures of the narrowed space that a CPU can train."""
    space, rng = SearchSpace().narrowed(NARROW), np.random.default_rng(seed)
    found: dict[str, Architecture] = {}
    while len(found) < count:
        architecture = space.decode(space.random(rng))
        if GMACS[0] <= cost_of(architecture, num_classes=3).gmacs <= GMACS[1]:
            found.setdefault(architecture.key(), architecture)
    return list(found.values())


def read_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def write_table(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    table.to_csv(temporary, index=False, float_format="%.8g")
    temporary.replace(path)


def train_points(options: argparse.Namespace) -> None:
    """Trains and scores the points that the table lacks, within the time limit, and reports."""
    train_set, val_set = synthetic_splits(seed=options.seed, num_train=1000, num_val=150)
    started, table = time.perf_counter(), read_table(options.table)
    for architecture in random_points(options.points, options.seed):
        known = set() if table.empty else set(zip(table["key"], table["images"], table["seed"], strict=True))
        minutes = (time.perf_counter() - started) / 60
        if (architecture.key(), options.images, options.seed) in known or minutes > options.max_minutes:
            continue
        detector = fresh_detector(architecture, num_classes=3, seed=options.seed)
        row = {"key": architecture.key(), "images": options.images, "seed": options.seed, **counts(architecture, 3)}
        row |= scores(detector, train_set, batch_size=options.batch, seed=options.seed)
        config = TrainConfig(epochs=options.images / len(train_set), batch_size=4, seed=options.seed)
        result = train(detector, train_set, val_set, config=config)
        assert result.score is not None
        row |= {"ap": result.score.ap, "ap50": result.score.ap50, "train_s": result.seconds}
        table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
        write_table(table, options.table)
        print(f"{len(table)} rows: {row['key']} ap {row['ap']:.3f} in {result.seconds:.0f} s", flush=True)
    report(table, ["ap", "ap50"], cluster="key", options=options)


def yolov8(depth: float, width: float) -> Architecture:
    """Returns YOLOv8 at other multiples; the width limit of its last stage depends on the depth."""
    cap = {0.33: 1024, 0.67: 768, 1.0: 512}[depth]
    channels = {level: math.ceil(min(2 ** (level + 5), cap) * width / 8) * 8 for level in (2, 3, 4, 5)}
    repeats = {level: max(1, round(count * depth)) for level, count in {2: 3, 3: 6, 4: 6, 5: 3}.items()}
    return Architecture(
        input_hw=(640, 640),
        backbone=Backbone(
            stem_channels=math.ceil(64 * width / 8) * 8,
            stages=tuple(Stage(level=level, channels=channels[level], repeats=repeats[level]) for level in channels),
        ),
        neck=Neck(repeats=repeats[2], downsample="conv"),
        head=Head(finest_level=3, coarsest_level=5),
    )


def yolobench_name(name: str) -> Architecture | None:
    """Returns the architecture of a YOLOBench name such as `yolo8n` or `yolo8d67w25`; None for other families."""
    multiples = {"n": (0.33, 0.25), "s": (0.33, 0.5), "m": (0.67, 0.75), "l": (1.0, 1.0)}
    if not name.startswith("yolo8"):
        return None
    rest = name.removeprefix("yolo8")
    if rest in multiples:
        return yolov8(*multiples[rest])
    depth, width = rest.removeprefix("d").split("w")
    fractions = {"1": 1.0, "33": 0.33, "67": 0.67, "25": 0.25, "5": 0.5, "75": 0.75}
    return yolov8(fractions[depth], fractions[width])


def score_yolobench(options: argparse.Namespace) -> None:
    """Scores the YOLOBench architectures that can be built here; reports per data set, within and over input sizes."""
    accuracy, table = pd.read_csv(options.accuracy), read_table(options.table)
    targets = [name for name in accuracy.columns if name.endswith("_map50_95")]
    dataset = synthetic_splits(seed=options.seed, num_train=64)[0]
    for row in accuracy.itertuples():
        known = set() if table.empty else set(table["model"])
        architecture = yolobench_name(str(row.architecture))
        if architecture is None or row.input_px not in options.sizes or row.model_name in known:
            continue
        sized = architecture.resized((int(row.input_px), int(row.input_px)))
        detector = fresh_detector(sized, num_classes=20, seed=options.seed)
        found = {"model": row.model_name, "key": row.architecture, **counts(sized, 20)}
        found |= scores(detector, dataset, batch_size=options.batch, seed=options.seed)
        found |= {target: getattr(row, target) for target in targets}
        table = pd.concat([table, pd.DataFrame([found])], ignore_index=True)
        write_table(table, options.table)
    report(table, targets, cluster="key", options=options)


def tau(table: pd.DataFrame, column: str, target: str, *, within: str | None = None) -> float:
    """Returns Kendall's tau-b of two columns; `within` a column: the mean over the groups of equal values in it."""
    groups = [table] if within is None else [group for _, group in table.groupby(within)]
    found = [kendalltau(group[column], group[target]).statistic for group in groups if len(group) > 2]
    return float(np.nanmean(found)) if found and not np.all(np.isnan(found)) else math.nan


def partial(table: pd.DataFrame, column: str, target: str, *, within: str | None = None) -> float:
    """Returns Kendall's partial tau of a column and the target, given the peer."""
    pairs = ((column, target), (column, PEER), (PEER, target))
    direct, to_peer, of_peer = (tau(table, *pair, within=within) for pair in pairs)
    spread = math.sqrt(max(0.0, (1 - to_peer**2) * (1 - of_peer**2)))
    return (direct - to_peer * of_peer) / spread if spread > 1e-9 else 0.0


def resampled(table: pd.DataFrame, cluster: str, seed: int, repeats: int) -> list[pd.DataFrame]:
    """Draws whole clusters, such as all sizes of an architecture, with replacement."""
    rng, groups = np.random.default_rng(seed), [group for _, group in table.groupby(cluster)]
    return [pd.concat([groups[index] for index in rng.integers(len(groups), size=len(groups))]) for _ in range(repeats)]


def interval(values: list[float]) -> str:
    kept = [value for value in values if not math.isnan(value)]
    low, high = np.percentile(kept, [2.5, 97.5]) if kept else (math.nan, math.nan)
    return f"{low:+.2f} … {high:+.2f}"


def report(table: pd.DataFrame, targets: list[str], *, cluster: str, options: argparse.Namespace) -> None:
    """Prints a Markdown table for each target: tau, its interval, partial tau given the peer, and the time."""
    for target in targets:
        rows = table.dropna(subset=[target])
        for within in (None, "input_px"):
            if rows.empty or (within and rows.groupby(within).size().max() < 4):
                continue
            where = "at equal input sizes" if within else "over all"
            print(f"\n{target}, {where}: {len(rows)} detectors, {rows[cluster].nunique()} architectures\n")
            print(f"| ranks by | tau | 95 % | tau less that of {PEER}, 95 % | beyond {PEER} | s a detector |")
            print("|---" * 6 + "|")
            draws = resampled(rows, cluster, options.seed, options.bootstrap)
            peers = [tau(draw, PEER, target, within=within) for draw in draws]
            for name in (*COUNTS, *(name for name in PROXIES if name in rows)):
                if name == within:
                    continue
                taus = [tau(draw, name, target, within=within) for draw in draws]
                gains = [mine - peer for mine, peer in zip(taus, peers, strict=True)]
                time_s = f"{rows[name + '_s'].median():.2f}" if name + "_s" in rows else "0"
                print(
                    f"| {name} | {tau(rows, name, target, within=within):+.2f} | {interval(taus)} "
                    f"| {interval(gains) if name != PEER else ''} "
                    f"| {partial(rows, name, target, within=within) if name != PEER else 0:+.2f} | {time_s} |",
                    flush=True,
                )


def score_designs(options: argparse.Namespace) -> None:
    """Prints the scores of all designs, at a small input if possible; all must be finite."""
    dataset, failed = synthetic_splits(seed=options.seed, num_train=32)[0], 0
    for name in DESIGNS:
        architecture = smallest(DESIGNS.get(name).architecture)
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            detector = Detector(lower(architecture, num_classes=3))
        row = scores(detector, dataset, batch_size=min(4, options.batch), seed=options.seed)
        values = {key: value for key, value in row.items() if not key.endswith("_s")}
        failed += not all(math.isfinite(value) for value in values.values())
        print(name, architecture.input_hw, *(f"{key} {value:.5g}" for key, value in values.items()), flush=True)
    raise SystemExit(failed > 0)


def smallest(architecture: Architecture) -> Architecture:
    """Returns the architecture at 64 or 288 pixels if it accepts that."""
    for side in (64, 288):
        try:
            small = replace(architecture, input_hw=(side, side))
            lower(small, num_classes=3)
            return small
        except SpaceError:
            pass
    return architecture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands: dict[str, Callable[[argparse.Namespace], None]] = {
        "trained": train_points,
        "yolobench": score_yolobench,
        "designs": score_designs,
        "report": lambda given: report(read_table(given.table), given.target, cluster="key", options=given),
    }
    parser.add_argument("command", choices=commands)
    parser.add_argument("--table", type=Path, help="where rows are kept; default: by the command, under results/")
    parser.add_argument("--points", type=int, default=16, help="architectures to train")
    parser.add_argument("--images", type=int, default=2000, help="images that each is trained on")
    parser.add_argument("--max-minutes", type=float, default=math.inf, help="start no training after this many minutes")
    parser.add_argument("--accuracy", type=Path, help="table of YOLOBench's accuracies")
    parser.add_argument("--sizes", type=int, nargs="+", default=[160, 256], help="input sizes of YOLOBench")
    parser.add_argument("--target", nargs="+", default=["ap"], help="columns to report on")
    parser.add_argument("--batch", type=int, default=16, help="images that a proxy sees")
    parser.add_argument("--bootstrap", type=int, default=500, help="draws behind each interval")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.table = options.table or RESULTS / f"proxies_{options.command}.csv"
    torch.set_num_threads(options.threads)
    commands[options.command](options)


if __name__ == "__main__":
    main()
