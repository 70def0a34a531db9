"""The accuracy of trained weights on a data set."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.arguments import from_arguments
from nas.api.bounds import check_at_least, check_fraction
from nas.api.class_notes import class_lists, taken_in_order
from nas.api.plain_score import plain_score
from nas.api.result import OnNotice, OnProgress, ProgressUpdate, Result, notify, plain
from nas.api.trained_detector import TrainedDetector, WeightsLike, load_detector
from search_space.errors import ConfigError, DataError, check_known, shortened

if TYPE_CHECKING:
    import pandas as pd

    from trainers import Score
    from trainers.bootstrap import Interval
    from trainers.confusion import Confusion
    from trainers.curves import BestF1, Curve
    from trainers.data import Dataset, DataSplits
    from trainers.data.class_selection import Merges, Names
    from trainers.evaluation import DatasetDetections
    from trainers.matching import Matches
    from trainers.tiling import Tiling

IGNORED = ("ignore", "drop")
"""What happens to ignored regions."""


@dataclass(frozen=True, kw_only=True)
class ScoreIntervals:
    """Bootstrap intervals of scores over the images; they do not include the variation between trainings."""

    resamples: int
    seed: int
    confidence: float
    values: Mapping[str, Interval]
    """By name: `ap`, `ap50`, `ap_small`, `accuracy`, `bin NAME`, `class NAME`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationResult(Result):
    """The accuracy of a detector on a data set, as fractions of 1."""

    weights: Path
    data: str
    """Description of the data set."""
    part: str
    input_hw: tuple[int, int]
    tiling: Tiling | None
    iou: float | None
    """The IoU of the suppression that was asked for; None: the usual reading of the head."""
    score: Score
    intervals: ScoreIntervals | None
    best_f1: Mapping[str, BestF1]
    """Best F1 by class."""
    confusion: Confusion
    unreadable: tuple[str, ...]
    """A message for each image that could not be read."""
    curves: tuple[Path, ...] | None
    """Files of the curves; None without `curves`."""

    @property
    def frame(self) -> pd.DataFrame:
        """The scores as a table, a row for all classes together and one for each."""
        import pandas as pd

        names = ("ap", "ap50", "ap75", "ap_small", "recall", "num_objects")
        rows = {"all": {name: getattr(self.score, name) for name in names}, **self.score.per_class}
        frame: pd.DataFrame = pd.DataFrame.from_dict(rows, orient="index")
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready data; a score without a value is None."""
        fields = {name: value for name, value in vars(self).items() if name != "curves" or value is not None}
        confusion = {
            "names": self.confusion.names,
            "counts": self.confusion.counts.tolist(),
            "score_threshold": self.confusion.score_threshold,
        }
        told: dict[str, Any] = plain({**fields, "score": plain_score(self.score), "confusion": confusion})
        return told


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How a detector is evaluated; see `evaluate`."""

    part: str
    bins: str | None
    bootstrap: int
    seed: int
    curves: Path | None
    input_hw: tuple[int, int] | None
    max_detections: int
    iou: float | None
    soft_nms: bool
    score: float
    max_per_class: int | None
    ignored: str
    batch: int
    device: str

    def __post_init__(self) -> None:
        from trainers.data.splits import PARTS
        from trainers.sizes import size_bins

        check_known("part", self.part, PARTS, ConfigError)
        check_known("--ignored", self.ignored, IGNORED, ConfigError)
        for option, value, least in (
            ("--bootstrap", self.bootstrap, 0),
            ("--seed", self.seed, 0),
            ("--max-detections", self.max_detections, 1),
            ("--max-per-class", self.max_per_class, 1),
            ("--batch", self.batch, 1),
        ):
            check_at_least(option, value, least)
        check_fraction("--iou", self.iou)
        check_fraction("--score", self.score)
        if self.bins is not None and not self.bins.startswith("quantiles"):
            size_bins(self.bins, ())  # fails before the data is read


def evaluate(
    weights: WeightsLike,
    *,
    data: str | Path | None = None,
    format: str | None = None,
    images: str | Path | None = None,
    split: str | None = None,
    classes: Names = None,
    merge: Merges = None,
    other_classes: str | None = None,
    range: tuple[float, float] | None = None,
    part: str = "val",
    bins: str | None = None,
    tile: str | int | tuple[int, int] | None = None,
    overlap: float | None = None,
    tile_whole: bool = False,
    bootstrap: int = 1000,
    seed: int = 0,
    curves: str | Path | None = None,
    input_hw: tuple[int, int] | None = None,
    max_detections: int = 100,
    iou: float | None = None,
    soft_nms: bool = False,
    score: float = 0.001,
    max_per_class: int | None = None,
    ignored: str = "ignore",
    batch: int = 8,
    device: str = "auto",
    threads: int | None = None,
    on_notice: OnNotice | None = None,
    on_progress: OnProgress | None = None,
) -> EvaluationResult:
    """Measures the average precision and more of trained weights on a data set, by the COCO rules.

    Args:
        weights: a weights file, the folder of a training, a run or an export, or an object with `weights`.
        data: the data set; None: that of the training or the run of the weights, else the built-in set.
        format: one of the formats in docs/data.md, such as `coco`, or that of a plug-in; None: detected.
        images: folder of the images, if they are not beside the annotations.
        split: which pair of annotation files to use, if the folder holds several.
        classes: names of the classes to use, in this order; None: all, or as the weights were trained.
        merge: classes that become one: `NAME=CLASS,CLASS`, several of these, or a mapping.
        other_classes: what the boxes of other classes become: `background` or `ignore`; None: `background`.
        range: the values that become 0 and 255 in images of more than 8 bits; None: those of the weights, else
            percentiles of a sample of the training images.
        part: `val`, `train`, `test`, or `all` for every image of the data set.
        bins: object sizes to report AP for: `coco`, `tinyperson`, `quantiles`, or edges in pixels such as `0,8,16,inf`.
        tile: size of the tiles in pixels, one number or `(H, W)`; None: no tiles.
        overlap: overlap of neighbouring tiles, as a share of a tile; None: 0.2.
        tile_whole: whether to detect in the whole image too.
        bootstrap: bootstrap resamples of the images for the 95 % intervals; 0: no intervals.
        seed: seed of the bootstrap.
        curves: folder to write curves to.
        input_hw: input size `(H, W)` in pixels; None: that of the detector.
        max_detections: maximum number of detections per image.
        iou: maximum IoU of two boxes of a class; None: 0.6, or no suppression for a one-to-one head.
        soft_nms: whether boxes with a higher IoU get lower scores instead of being dropped; always so for a two-stage
            head.
        score: lowest score that counts.
        max_per_class: maximum number of detections per image and class; None: no limit.
        ignored: `ignore`: detections in ignored regions do not count; `drop`: there are no such regions.
        batch: images per batch.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads; None: all.
        on_notice: is called with lines on the data that is used.
        on_progress: is called after each batch.

    Raises:
        UserError: the weights or the data cannot be used, or an option is wrong.
    """
    options = from_arguments(EvaluationOptions, locals(), curves=None if curves is None else Path(curves))
    check_at_least("--threads", threads, 1)
    tiling = tiling_from(tile, overlap, tile_whole)
    loaded = load_detector(weights)
    loaded.content.check_input(input_hw or loaded.input_hw)
    selection = {"select_classes": classes or None, "merge": merge or None, "other_classes": other_classes}
    places = {"data": data, "data_format": format, "images": images, "split": split}
    given = {**places, **selection, "pixel_range": range or loaded.content.pixel_range}
    place = Path(weights) if isinstance(weights, (str, Path)) else loaded.weights
    splits = _with_trained_classes(_open(given, place, part, on_notice), loaded, given, place, on_notice)
    return _evaluate(loaded, splits, options, tiling, threads, (on_notice, on_progress))


def tiling_from(tile: str | int | tuple[int, int] | None, overlap: float | None, tile_whole: bool) -> Tiling | None:
    """Returns the tiling that a caller asks for; None for the whole image.

    Args:
        tile: side of a tile in pixels, or `(H, W)`, or either as text.
        overlap: overlap of neighbouring tiles, as a share of a tile.
        tile_whole: whether to detect in the whole image too.

    Raises:
        ConfigError: the size is invalid, or another option was given without it.
    """
    from nas.api.tiling import tiling_of

    if isinstance(tile, tuple):
        tile = "x".join(map(str, tile))
    return tiling_of(None if tile is None else str(tile), overlap, tile_whole)


def _open(given: dict[str, Any], weights: Path, part: str, on_notice: OnNotice | None) -> DataSplits:
    from nas.api.data_of_run import with_known_data
    from nas.api.opening import open_for_user

    texts = {name: str(each) if isinstance(each, Path) else each for name, each in given.items()}
    known = with_known_data(texts, weights)
    notify(on_notice, known.notice)
    splits = open_for_user(**known.options, seed=known.seed, part=part, on_notice=on_notice)
    if part == "val" and splits.undivided_notice is not None:
        notify(on_notice, f"note: --part all evaluates all {len(splits.part('all'))} images")
    return splits


def _with_trained_classes(
    splits: DataSplits, loaded: TrainedDetector, given: dict[str, Any], weights: Path, on_notice: OnNotice | None
) -> DataSplits:
    """Applies the selection of classes that weights were trained with to data of all classes, if none was given."""
    from nas.api.data_of_run import is_selected, known_selection
    from trainers.data.class_selection import ClassSelection

    known = None if is_selected(given) or loaded.classes == splits.val.classes else known_selection(weights)
    if known is None:
        return splits
    selection = ClassSelection.of(known["select_classes"], known["merge"], known["other_classes"])
    try:
        selected = splits.selected(selection)
    except DataError as error:
        words, classes = shlex.join(selection.words()), shortened(splits.val.classes)
        raise DataError(
            f"{weights} was trained with {words}, which does not suit the data ({error}); next: data with these "
            f"classes, or --merge NAME=CLASS,CLASS for each class of the weights ({shortened(loaded.classes)}), "
            f"with CLASS one of {classes}"
        ) from None
    notify(on_notice, f"note: the weights were trained with {shlex.join(selection.words())}; it is applied to the data")
    for notice in selected.notices[len(splits.notices) :]:
        notify(on_notice, f"note: {notice}")
    return selected


def _evaluate(
    loaded: TrainedDetector,
    splits: DataSplits,
    options: EvaluationOptions,
    tiling: Tiling | None,
    threads: int | None,
    callbacks: tuple[OnNotice | None, OnProgress | None],
) -> EvaluationResult:
    from nas.api.folders import make_folder
    from nas.api.opening import set_threads
    from nas.api.tiling import grid_note, small_images_note
    from trainers.confusion import confuse
    from trainers.curves import all_curves
    from trainers.sizes import size_bins

    on_notice, on_progress = callbacks
    dataset = splits.part(options.part)
    dataset = dataset.without_ignored() if options.ignored == "drop" else dataset
    if tiling is not None:
        notify(on_notice, small_images_note("--tile", options.part, dataset, tiling.tile_hw))
    notify(on_notice, grid_note(loaded.architecture.tiles, tiling))
    _check_classes(loaded, dataset.classes, on_notice)
    set_threads(threads)
    if options.curves is not None:
        make_folder(options.curves, "--curves")
    findings = _find(loaded, dataset, options, tiling, on_progress)
    matches = findings.match(None if options.bins is None else size_bins(options.bins, dataset.records))
    score, curves = findings.score(matches), all_curves(matches, dataset.classes)
    threshold = score.f1_score_threshold
    confusion = confuse(matches, dataset.classes, score_threshold=threshold if threshold == threshold else 0.0)
    return EvaluationResult(
        weights=loaded.weights,
        data=splits.source,
        part=options.part,
        input_hw=options.input_hw or loaded.input_hw,
        tiling=tiling,
        iou=options.iou,
        score=score,
        intervals=_intervals(matches, dataset.classes, options),
        best_f1={each.name: each.best_f1() for each in curves[1:]},
        confusion=confusion,
        unreadable=tuple(findings.unreadable),
        curves=None if options.curves is None else _write_curves(options.curves, curves, confusion, on_notice),
    )


def _check_classes(loaded: TrainedDetector, classes: tuple[str, ...], on_notice: OnNotice | None) -> None:
    """Raises DataError where a detector has other classes than the data; without names, only their number counts."""
    for note in loaded.content.notes:
        notify(on_notice, f"note: {note}")
    in_order = taken_in_order(loaded.weights, loaded.content, classes)
    notify(on_notice, in_order)
    if loaded.classes != classes and in_order is None:
        raise DataError(
            f"{loaded.weights} {class_lists(loaded.classes, classes)}; next: {_next_classes(loaded.classes, classes)}"
        )


def _next_classes(weights: tuple[str, ...], data: tuple[str, ...]) -> str:
    """Returns what makes the classes of the data those of weights."""
    if set(weights) <= set(data):
        return shlex.join(["--classes", ",".join(weights)])
    return "--data with the same classes in the same order, or --classes and --merge"


def _find(
    loaded: TrainedDetector,
    dataset: Dataset,
    options: EvaluationOptions,
    tiling: Tiling | None,
    on_progress: OnProgress | None,
) -> DatasetDetections:
    from trainers.evaluation import detect_dataset

    def on_images(number: int) -> None:
        if on_progress is not None:
            on_progress(ProgressUpdate(task="images", done=number, total=len(dataset)))

    return detect_dataset(
        loaded.module(options.device),
        dataset,
        input_hw=options.input_hw or loaded.input_hw,
        batch_size=options.batch,
        tiling=tiling,
        max_detections=options.max_detections,
        iou_threshold=options.iou,
        score_threshold=options.score,
        soft_nms=options.soft_nms,
        max_per_class=options.max_per_class,
        on_images=on_images,
    )


def _intervals(matches: Matches, classes: tuple[str, ...], options: EvaluationOptions) -> ScoreIntervals | None:
    from trainers.bootstrap import CONFIDENCE, intervals, resample
    from trainers.precision import measure

    if not options.bootstrap or matches.num_images < 2:
        return None
    drawn = resample(matches, num_resamples=options.bootstrap, seed=options.seed)
    return ScoreIntervals(
        resamples=options.bootstrap,
        seed=options.seed,
        confidence=CONFIDENCE,
        values=intervals(measure(matches), drawn, classes),
    )


def _write_curves(
    folder: Path, curves: list[Curve], confusion: Confusion, on_notice: OnNotice | None
) -> tuple[Path, ...]:
    from nas.api.curve_files import write_curves, write_plots

    paths = write_curves(folder, curves, confusion)
    try:
        paths += write_plots(folder, curves, confusion)
    except ConfigError as error:  # the numbers are written; the pictures are an extra
        notify(on_notice, f"note: {error}")
    return tuple(paths)
