"""Detect objects in images, videos and arrays with trained weights: `nas.predict`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from nas.api.arguments import from_arguments
from nas.api.exported_detector import ExportedDetector, RunnableDetector, open_detector
from nas.api.prediction_options import PredictionOptions
from nas.api.result import OnNotice, OnProgress, ProgressUpdate, Result, notify, table_of
from nas.api.tiling import grid_note
from nas.api.trained_detector import WeightsLike
from search_space.errors import ConfigError, DataError
from search_space.files import write_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from PIL.Image import Image as PILImage

    from nas.api.coco_ids import CocoIds
    from nas.api.media_input import Shot, Source
    from nas.api.media_output import Pictures
    from trainers import Detections
    from trainers.detect import AnyDetector

Image: TypeAlias = "np.ndarray"
"""An image `(H, W, 3)` of uint8 RGB."""
Input: TypeAlias = "str | Path | Image"
BOX_ENDS = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One object that was found."""

    class_name: str
    label: int
    """Number of the class, from 0."""
    score: float
    box: tuple[float, float, float, float]
    """Ends x1, y1, x2, y2 in pixels of the image."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction(Result):
    """What was found in one image, or in one frame of a video."""

    image: Path | None
    """The file; None for an array."""
    frame: int | None
    """Number in its video from 1; None for a picture."""
    picture: Path | None
    """The file, or the folder of frames, that it was drawn into."""
    detections: tuple[Detection, ...]
    classes: tuple[str, ...] = field(repr=False)
    source: Source = field(repr=False)
    found: Detections = field(repr=False)

    def pixels(self) -> np.ndarray:
        """Reads the image again; returns `(H, W, 3)` of uint8 RGB.

        Raises:
            DataError: the file cannot be read any more.
        """
        from nas.api.media_input import shots

        for shot in shots(self.source, on_broken=lambda note: None):
            if shot.frame == self.frame:
                return shot.pixels
        raise DataError(f"{self.source.path} cannot be read any more; next: put it back")

    def draw(self) -> PILImage:
        """Returns the image with boxes, classes and scores, which a notebook shows.

        Raises:
            DataError: the file cannot be read any more.
        """
        from PIL import Image as pillow

        from nas.box_drawing import draw

        return pillow.fromarray(draw(self.pixels(), self.found, self.classes))

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready data; boxes are in pixels of the image."""
        detections = [
            {"class": each.class_name, "score": round(each.score, 4), "box": [round(side, 2) for side in each.box]}
            for each in self.detections
        ]
        frame = {} if self.frame is None else {"frame": self.frame}
        picture = {} if self.picture is None else {"picture": str(self.picture)}
        return {"image": str(self.source.path), **frame, **picture, "detections": detections}

    def _repr_png_(self) -> Any:
        return self.draw()._repr_png_()

    def _repr_html_(self) -> None:
        return None


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictionList(Result, Sequence[Prediction]):
    """What was found in all inputs, an entry for each image and each frame."""

    weights: Path
    classes: tuple[str, ...]
    images: tuple[Prediction, ...]

    @overload
    def __getitem__(self, index: int) -> Prediction: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Prediction]: ...

    def __getitem__(self, index: int | slice) -> Prediction | Sequence[Prediction]:
        return self.images[index]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def frame(self) -> pd.DataFrame:
        """All detections as a table, a row each; boxes are in pixels of the image."""
        rows = (
            {
                "image": str(each.source.path),
                "frame": each.frame,
                "class": found.class_name,
                "score": found.score,
                **dict(zip(BOX_ENDS, found.box, strict=True)),
            }
            for each in self.images
            for found in each.detections
        )
        return table_of(rows, ("image", "frame", "class", "score", *BOX_ENDS))


def predict(
    weights: WeightsLike | ExportedDetector,
    inputs: Input | Sequence[Input],
    *,
    out: str | Path | None = None,
    score: float = 0.25,
    iou: float | None = None,
    agnostic: bool = False,
    max_detections: int = 300,
    tile: str | int | tuple[int, int] | None = None,
    overlap: float | None = None,
    tile_whole: bool = False,
    input_hw: tuple[int, int] | None = None,
    batch: int = 8,
    device: str = "auto",
    threads: int | None = None,
    save_json: str | Path | None = None,
    ids: str | Path | None = None,
    range: tuple[float, float] | None = None,
    on_notice: OnNotice | None = None,
    on_progress: OnProgress | None = None,
) -> PredictionList:
    """Detects objects in images, videos, folders of both, and arrays `(H, W, 3)` of uint8 RGB.

    Args:
        weights: as `nas.evaluate` takes them: trained weights, or an exported ONNX file or its folder.
        inputs: one input or several, folders with their subfolders; videos are read frame by frame.
        out: folder for images and videos with boxes, in the subfolders of the inputs; None: nothing is drawn. Inputs
            are never replaced.
        score: minimum score of a detection.
        iou: maximum IoU of two boxes of a class; of boxes that overlap more, the best is kept. None: 0.6, or any
            overlap for a one-to-one head, which needs no suppression.
        agnostic: whether boxes of different classes suppress each other, too.
        max_detections: maximum number of detections per image.
        tile: size of the tiles in pixels, one number or `(H, W)`; None: no tiles.
        overlap: overlap of neighbouring tiles, as a share of a tile; None: 0.2.
        tile_whole: whether to detect in the whole image too.
        input_hw: input size `(H, W)` in pixels; None: that of the detector.
        batch: frames or tiles per batch.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads; None: all.
        save_json: file for the detections, in the COCO result format.
        ids: COCO annotation file with the image and class ids for `save_json`. An image is found by the longest end of
            its path.
        range: the values that become 0 and 255 in images of more than 8 bits; None: those of the weights, else
            percentiles of a sample of the inputs.
        on_notice: is called with a note on each file of a folder that cannot be read, and on the range.
        on_progress: is called after each batch.

    Raises:
        UserError: the weights or an input cannot be read, or an option is wrong.
    """
    options = from_arguments(PredictionOptions, locals())
    given = _as_list(inputs)
    with PredictionStream.open(weights, given, options, on_notice=on_notice, on_progress=on_progress) as stream:
        images = tuple(each for source in stream.sources for each in stream.look(source))
    return PredictionList(weights=stream.loaded.weights, classes=stream.loaded.classes, images=images)


def _as_list(inputs: Input | Sequence[Input]) -> list[Input]:
    from numpy import ndarray

    if isinstance(inputs, (str, Path, ndarray)) or not isinstance(inputs, Iterable):
        return [inputs]
    return list(inputs)


@dataclass(kw_only=True, eq=False)
class PredictionStream:
    """The predictions one by one; a context manager that keeps what was written, also after an error."""

    loaded: RunnableDetector
    detector: AnyDetector
    sources: Sequence[Source]
    options: PredictionOptions
    pictures: Pictures | None
    ids: CocoIds
    on_notice: OnNotice | None
    on_progress: OnProgress | None
    results: list[dict[str, Any]] = field(default_factory=list)
    """In COCO's result format, where they are to be written."""
    num_done: int = 0

    @classmethod
    def open(
        cls,
        weights: WeightsLike | ExportedDetector,
        inputs: Sequence[Input],
        options: PredictionOptions,
        *,
        on_notice: OnNotice | None = None,
        on_progress: OnProgress | None = None,
    ) -> PredictionStream:
        """Opens and checks everything, and makes the folders that are written to.

        Args:
            weights: as `predict` takes them.
            inputs: several.
            options: how objects are found.
            on_notice: is called with notes.
            on_progress: is called after each batch.

        Raises:
            UserError: the weights or an input cannot be read, or an input would be replaced.
        """
        from nas.api.coco_ids import CocoIds
        from nas.api.media_input import list_sources, with_range
        from nas.api.media_output import Pictures
        from nas.api.opening import set_threads

        set_threads(options.threads)
        tiling = options.tiling  # a typing error is told before anything is read
        loaded = open_detector(weights)
        if options.input_hw is not None:
            loaded.check_input(options.input_hw)
        notify(on_notice, grid_note(loaded.tiles, tiling))
        out = None if options.out is None else Path(options.out)
        found = list_sources([Path(each) if isinstance(each, str) else each for each in inputs], out=out)
        sources = with_range(found, options.range, loaded.pixel_range, on_notice)
        written = sources if options.save_json is not None else []
        ids = CocoIds.read(None if options.ids is None else Path(options.ids), loaded.classes, written)
        detector = loaded.runner(options.device, options.threads)
        pictures = None if out is None else Pictures.into(out, sources)
        _make_ready(pictures, options, [loaded.weights, *(each.path for each in sources if each.array is None)])
        return cls(
            loaded=loaded,
            detector=detector,
            sources=sources,
            options=options,
            pictures=pictures,
            ids=ids,
            on_notice=on_notice,
            on_progress=on_progress,
        )

    def __enter__(self) -> PredictionStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.pictures:
            self.pictures.close()
        if self.options.save_json is not None:
            write_text(Path(self.options.save_json), json.dumps(self.results) + "\n")

    def look(self, source: Source) -> Iterator[Prediction]:
        """Yields the predictions for the images of a picture or a video, in turn."""
        from itertools import islice

        from nas.api.media_input import shots
        from trainers.detect import evaluation_mode
        from trainers.heads import DetectionLimits
        from trainers.tiling import detect_all

        options = self.options
        limits = DetectionLimits(
            score_threshold=options.score,
            iou_threshold=options.iou,
            max_detections=options.max_detections,
            one_class=True,
            agnostic=options.agnostic,
        )
        images = shots(source, on_broken=lambda note: notify(self.on_notice, f"note: {note}"))
        while chunk := list(islice(images, options.batch)):
            with evaluation_mode(self.detector):
                found = detect_all(
                    self.detector,
                    [shot.pixels for shot in chunk],
                    input_hw=options.input_hw or self.detector.input_hw,
                    limits=limits,
                    tiling=options.tiling,
                    batch_size=options.batch,
                )
            yield from (self._predicted(shot, each) for shot, each in zip(chunk, found, strict=True))
            self._advance(len(chunk))
        if self.pictures:
            self.pictures.close()

    def _predicted(self, shot: Shot, found: Detections) -> Prediction:
        from nas.box_drawing import draw

        classes = self.loaded.classes
        picture = self.pictures.write(shot, draw(shot.pixels, found, classes)) if self.pictures else None
        if self.options.save_json is not None:
            self.results += self.ids.results(shot, found)
        detections = []
        for box, score, label in zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True):
            detections.append(Detection(class_name=classes[label], label=label, score=score, box=tuple(box)))
        return Prediction(
            image=None if shot.source.array is not None else shot.source.path,
            frame=shot.frame,
            picture=picture,
            detections=tuple(detections),
            classes=classes,
            source=shot.source,
            found=found,
        )

    def _advance(self, number: int) -> None:
        self.num_done += number
        if self.on_progress is not None:
            total = max(sum(source.num_frames or 1 for source in self.sources), self.num_done)
            self.on_progress(ProgressUpdate(task="images", done=self.num_done, total=total))


def _make_ready(pictures: Pictures | None, options: PredictionOptions, inputs: list[Path]) -> None:
    """Makes the folders that are written to; raises ConfigError if an input would be replaced."""
    from nas.api.folders import make_folder
    from nas.api.media_output import check_not_inputs

    inputs = inputs if options.ids is None else [*inputs, Path(options.ids)]
    if pictures:
        check_not_inputs("--out", pictures.files(), inputs)
    if options.save_json is not None:
        results = Path(options.save_json)
        if results.is_dir():
            raise ConfigError(f"--save-json {results} is a folder; give a file")
        check_not_inputs("--save-json", [results], inputs)
        make_folder(results.parent, "--save-json")
    if pictures:
        make_folder(Path(str(options.out)), "--out")
