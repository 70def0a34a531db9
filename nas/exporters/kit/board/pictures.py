"""Reads pictures, videos and cameras, and draws boxes. For `detect.py`; needs Python 3.6, numpy and OpenCV.

Names of files, order, colours and text are those of `nas predict`.
"""

import os
import re

import cv2
import numpy as np
from shell import note

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
CODECS = ((".mp4", "mp4v"), (".avi", "MJPG"))
COLORS = ((230, 60, 60), (60, 160, 240), (70, 200, 90), (250, 190, 40), (190, 90, 220), (60, 210, 210))
DEFAULT_RATE = 25.0
FONT_SCALE = 0.4
LARGEST_LOSS = 0.1
"""Share of the frames of a video's header that may be missing without a note."""


class Source:
    """A picture, a video, or a camera."""

    def __init__(self, path, kind, folder="", named=True):
        """Sets what is known of it.

        Args:
            path: The file; of a camera its number, its address, or a GStreamer pipeline.
            kind: `picture`, `video` or `camera`.
            folder: Where the file lies in the folder that was given.
            named: The user gave the file itself, not its folder.
        """
        self.path, self.kind, self.folder, self.named = path, kind, folder, named
        self.rate = DEFAULT_RATE

    @property
    def stem(self):
        """Returns the name of its results."""
        if self.kind == "camera":
            return "camera-%s" % self.path if self.path.isdigit() else "camera"
        stem = os.path.splitext(os.path.basename(self.path))[0]
        return stem if stem.strip(".") else "picture"


def list_sources(inputs, out=None):
    """Returns all sources; those of a folder and its subfolders come by path.

    Args:
        inputs: Files, folders and cameras.
        out: Folder of results; as a subfolder of an input it is left out.

    Raises:
        ValueError: A path does not exist, or a folder has no pictures and videos.
    """
    found = []
    for each in inputs:
        if is_camera(each):
            found.append(Source(each, "camera"))
        elif os.path.isdir(each):
            found += in_folder(each, out)
        elif os.path.isfile(each):
            found.append(Source(each, kind_of(each) or "picture"))
        else:
            raise ValueError("%s does not exist; give a picture, a video, a folder or a camera" % each)
    return found


def is_camera(text):
    """Returns whether an input is a camera: a number, an address such as rtsp://, or a pipeline with `!`."""
    return not os.path.exists(text) and bool(re.match(r"[0-9]+$|\w+://", text) or "!" in text)


def kind_of(name):
    """Returns `picture` or `video` by the ending of a name, otherwise None."""
    suffix = os.path.splitext(name)[1].lower()
    return "video" if suffix in VIDEOS else "picture" if suffix in SUFFIXES else None


def in_folder(folder, out):
    """Returns the pictures and videos of a folder; hidden subfolders, links to folders and `out` are left out."""
    found = []
    avoided = os.path.realpath(out) if out else None
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = [
            each for each in subfolders if each[0] != "." and os.path.realpath(os.path.join(place, each)) != avoided
        ]
        for name in names:
            if kind_of(name) and not name.startswith("._"):  # those are of macOS, with further data of a file
                found.append(Source(os.path.join(place, name), kind_of(name), os.path.relpath(place, folder), False))
    if not found:
        raise ValueError("%s has no pictures or videos (%s)" % (folder, ", ".join(sorted(SUFFIXES + VIDEOS))))
    return sorted(found, key=lambda each: each.path.split(os.sep))


def shots(source, pixel_range=None, most=None):
    """Yields (number of the frame from 1, or None of a picture, pixels `(H, W, 3)` uint8 RGB) of a source.

    What is broken in a folder is left out with a note.

    Args:
        source: Where they come from.
        pixel_range: The values that become 0 and 255 in pictures of more than 8 bits.
        most: Number of frames to read of a video or a camera; None: all.

    Raises:
        ValueError: A source that was given by name cannot be read.
    """
    if source.kind != "picture":
        for number, pixels in frames(source, most):
            yield number, pixels
        return
    try:
        pixels = read_picture(source.path, pixel_range)
    except ValueError as error:
        if source.named:
            raise
        note("note: left out: %s" % error)
        return
    yield None, pixels


def read_picture(path, pixel_range=None):
    """Returns a picture file upright as `(H, W, 3)` uint8 RGB. Raises ValueError if it cannot be decoded."""
    from postprocess import in_8_bits

    try:
        raw = np.fromfile(path, np.uint8)
        turned = raw[:2].tobytes() == b"\xff\xd8"  # OpenCV turns a JPEG upright only if it also converts its pixels
        pixels = cv2.imdecode(raw, cv2.IMREAD_COLOR if turned else cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error):
        pixels = None
    if pixels is None:
        raise ValueError("cannot read the picture %s; replace or remove it" % path)
    if pixels.dtype != np.uint8 and pixel_range is None:
        raise ValueError("%s has %s values; give the range with --range LOW HIGH" % (path, pixels.dtype))
    if pixels.ndim == 3:
        pixels = pixels[:, :, 0] if pixels.shape[2] < 3 else pixels[:, :, 2::-1]
    return np.ascontiguousarray(in_8_bits(pixels, pixel_range))


def frames(source, most):
    """Yields the frames of a video or a camera with their numbers from 1. Raises ValueError if there is none."""
    capture = opened(source)
    number = 0
    try:
        while most is None or number < most:
            good, pixels = capture.read()
            if not good:
                break
            number += 1
            yield number, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
        stated = capture.get(cv2.CAP_PROP_FRAME_COUNT) if source.kind == "video" else 0
    finally:
        capture.release()
    if number == 0 and source.named:
        raise ValueError("cannot read a frame of the %s %s" % (source.kind, source.path))
    if most is None and number < (1 - LARGEST_LOSS) * stated:
        note("note: %s: only %d of about %d frames can be read" % (source.path, number, stated))


def opened(source):
    """Returns OpenCV's reader of a video or a camera, and sets the frames per second of the source."""
    if "!" in source.path and source.kind == "camera":
        capture = cv2.VideoCapture(source.path, cv2.CAP_GSTREAMER)
    else:
        capture = cv2.VideoCapture(int(source.path) if source.path.isdigit() else source.path)
    rate = capture.get(cv2.CAP_PROP_FPS)
    source.rate = rate if 0 < rate < 1000 else DEFAULT_RATE
    return capture


def draw(pixels, boxes, scores, labels, classes):
    """Returns a copy of `(H, W, 3)` uint8 RGB pixels with boxes, classes and scores."""
    canvas = pixels.copy()
    width = max(1, round(max(pixels.shape[:2]) / 1000))
    for box, score, label in zip(boxes, scores, labels):
        x1, y1, x2, y2 = (int(round(float(side))) for side in box)
        color = COLORS[int(label) % len(COLORS)]
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, width)
        write_label(canvas, "%s %.2f" % (classes[int(label)], score), (x1, y1, y2), color, width)
    return canvas


def write_label(canvas, text, edges, color, thickness):
    """Writes a text on a background of a color, above a box, or below it where there is no room above.

    Args:
        canvas: `(H, W, 3)`, drawn on.
        text: What is written.
        edges: The left, upper and lower edge of the box in pixels.
        color: RGB.
        thickness: Of the strokes, in pixels.
    """
    left, top, bottom = edges
    font, scale, margin = cv2.FONT_HERSHEY_SIMPLEX, FONT_SCALE * thickness, 1 + thickness
    (width, height), below = cv2.getTextSize(text, font, scale, thickness)
    width, height = width + 2 * margin, height + below + 2 * margin
    x = max(0, min(left, canvas.shape[1] - width))
    y = max(0, top - height if top >= height else min(bottom + 1, canvas.shape[0] - height))
    cv2.rectangle(canvas, (x, y), (x + width - 1, y + height - 1), color, cv2.FILLED)
    red, green, blue = color
    readable = (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 127 else (255, 255, 255)
    cv2.putText(canvas, text, (x + margin, y + height - margin - below), font, scale, readable, thickness, cv2.LINE_AA)


class Drawings:
    """Writes drawn pictures as PNG and drawn frames as videos into a folder. Inputs are never replaced."""

    def __init__(self, out, sources):
        """Gives each source its file.

        Raises:
            ValueError: A file that would be written is an input.
        """
        self.targets, self.writer, taken = {}, None, set()
        for source in sources:
            if source.path in self.targets:
                continue
            target, number = os.path.join(out, source.folder, source.stem), 1
            while os.path.normpath(target) in taken:
                number += 1
                target = os.path.join(out, source.folder, "%s-%d" % (source.stem, number))
            taken.add(os.path.normpath(target))
            self.targets[source.path] = os.path.normpath(target)
        inputs = [os.path.realpath(each.path) for each in sources]
        for target in self.targets.values():
            for ending in (".png",) + tuple(each for each, _ in CODECS):
                if os.path.realpath(target + ending) in inputs:
                    raise ValueError(
                        "%s would be written over, but is an input; give another --out" % (target + ending)
                    )

    def write(self, source, number, drawn):
        """Writes one image `(H, W, 3)` RGB; returns the file that it is in."""
        target, pixels = self.targets[source.path], cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
        folder = os.path.dirname(target)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if number is None:
            return write_png(target + ".png", pixels)
        if self.writer is None or number == 1:
            self.close()
            self.open_video(target, source.rate, (drawn.shape[1], drawn.shape[0]))
        self.writer.write(pixels)
        return self.path

    def open_video(self, target, rate, size):
        """Opens a video for writing, under another name until it is closed. Raises ValueError without a codec."""
        for ending, codec in CODECS:
            self.path, self.part = target + ending, target + ".part" + ending
            self.writer = cv2.VideoWriter(self.part, cv2.VideoWriter_fourcc(*codec), rate, size)
            if self.writer.isOpened():
                return
        self.writer = None
        raise ValueError("this OpenCV cannot write videos; give --no-pictures")

    def close(self):
        """Finishes the video that is being written; the frames so far are kept."""
        if self.writer is not None:
            self.writer.release()
            self.writer = None
            os.replace(self.part, self.path)


def write_png(path, pixels):
    """Writes BGR pixels atomically; returns the path."""
    with open(path + ".part", "wb") as file:
        file.write(cv2.imencode(".png", pixels)[1].tobytes())
    os.replace(path + ".part", path)
    return path
