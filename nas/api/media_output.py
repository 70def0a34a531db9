"""Detections as files: pictures and videos with boxes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nas.api.media_input import VIDEOS, Shot, Source
from search_space.errors import ConfigError
from search_space.files import write_bytes

if TYPE_CHECKING:
    import numpy as np

CODECS = ((".mp4", "mp4v"), (".avi", "MJPG"))
"""Tried in this order."""


@dataclass(kw_only=True)
class Pictures:
    """Writes pictures and videos; the frames so far of a video are kept when it is closed."""

    targets: Mapping[Path, Path]
    """Where each source's result goes, without the ending."""
    video: VideoFile | None = None

    @classmethod
    def into(cls, out: Path, sources: Sequence[Source]) -> Pictures:
        """Gives each source its place in the folder `out`; equal names from different folders get a number."""
        targets: dict[Path, Path] = {}
        for path in dict.fromkeys(source.path for source in sources):
            stem = path.stem if path.stem.strip(".") else "picture"  # of "..png" it is "."
            target, number = out / stem, 1
            while target in targets.values():
                number += 1
                target = out / f"{stem}-{number}"
            targets[path] = target
        return cls(targets=targets)

    def files(self) -> list[Path]:
        """Returns every file that may be written, and the folders that may receive the frames of a video."""
        of_video = ("", *(ending for ending, _ in CODECS))
        return [
            target.with_name(target.name + ending)
            for source, target in self.targets.items()
            for ending in (of_video if source.suffix.lower() in VIDEOS else (".png",))
        ]

    def write(self, shot: Shot, drawn: np.ndarray) -> Path:
        """Writes one image and returns the file, or the folder of frames, that it is in."""
        if shot.frame is None:
            self.close()
            target = self.targets[shot.source.path].with_name(self.targets[shot.source.path].name + ".png")
            write_png(target, drawn)
            return target
        if self.video is None or self.video.source is not shot.source:
            self.close()
            self.video = VideoFile(source=shot.source, target=self.targets[shot.source.path], size=drawn.shape[1::-1])
        self.video.write(drawn)
        return self.video.path

    def close(self) -> None:
        """Finishes the video that is being written."""
        if self.video is not None:
            video, self.video = self.video, None
            video.close()


def check_not_inputs(option: str, written: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raises ConfigError if something that is to be written is an input, by whatever name, or the folder of one."""

    known = {_file_id(place): path for path in inputs for place in (path.parent, path)}
    for target in written:
        if target.exists() and (path := known.get(_file_id(target))) is not None:
            raise ConfigError(f"{target} would be written over, but {path} is an input; give another {option}")


def _file_id(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


@dataclass(kw_only=True)
class VideoFile:
    """A video under a temporary name until it is closed; a folder of pictures where no codec is there."""

    source: Source
    target: Path
    """Without the ending."""
    size: tuple[int, ...]
    """Width and height in pixels."""
    path: Path = field(init=False)
    num_frames: int = 0

    def __post_init__(self) -> None:
        import cv2

        self.writer = None
        self.path = self.target
        for ending, codec in CODECS:
            self.path = self.target.with_name(self.target.name + ending)
            self.temporary = self.target.with_name(f".{self.target.name}.{os.getpid()}.tmp{ending}")
            code = cv2.VideoWriter.fourcc(*codec)
            writer = cv2.VideoWriter(str(self.temporary), code, self.source.frames_per_second, self.size)
            if writer.isOpened():
                self.writer = writer
                return
            self.temporary.unlink(missing_ok=True)
        self.path = self.target
        self.path.mkdir(parents=True, exist_ok=True)

    def write(self, image: np.ndarray) -> None:
        """Adds a frame `(H, W, 3)` RGB."""
        import cv2

        self.num_frames += 1
        if self.writer is None:
            write_png(self.path / f"{self.num_frames:06d}.png", image)
        else:
            self.writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finishes the file and gives it its name."""
        if self.writer is not None:
            self.writer.release()
            os.replace(self.temporary, self.path)


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes an image `(H, W, 3)` RGB atomically."""
    import cv2

    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    write_bytes(path, encoded.tobytes())
