#!/usr/bin/env python3
"""Detects objects in pictures, videos and cameras with an exported detector. Needs Python 3.6, numpy and OpenCV.

    python3 board/detect.py DETECTOR picture.jpg pictures clip.mp4 --out drawn      # in the exported folder
    python3 board/detect.py DETECTOR 0 --frames 500                                 # a camera; Ctrl-C ends it as well

DETECTOR is the folder of a detector, or its model.onnx, which needs postprocess.py beside it, and detector.json unless
it has suppression inside. On a board it runs in TensorRT: the engine is that which `measure.py --keep` built, or is
built with trtexec and kept for the next time. Elsewhere it runs in ONNX Runtime, with the same code before and after
the network. `--json` prints what `nas predict --json` prints.
"""

import argparse
import collections
import json
import os
import sys

from engines import ENGINES, PRECISIONS, engine_file, find_trtexec
from shell import fail, say

try:
    import pictures
    from runtimes import EngineError, EngineNetwork, OnnxNetwork
except ImportError as error:
    fail("%s; next: install numpy and OpenCV for Python 3" % error)

HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULT_SCORE = 0.25
METADATA = "detector"
"""Key of the metadata of an ONNX file with suppression inside that holds the content of `detector.json`."""


def main():
    """Detects objects in all inputs; draws them and prints their number, or all of them as JSON."""
    options = arguments()
    try:
        described = description_of(options)
        sys.path[:0] = [options.detector, HERE]  # postprocess.py of the detector
        sources = pictures.list_sources(options.inputs, options.out)
        drawings = None if options.no_pictures else pictures.Drawings(options.out, sources)
        detector = LoadedDetector(options, described)
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        fail(str(error))
    printer = JsonList() if options.json else Counts()
    try:
        for source in sources:
            for number, pixels in pictures.shots(source, options.range or described.get("pixel_range"), options.frames):
                found = detector(pixels)
                picture = None
                if drawings:
                    drawn = pictures.draw(pixels, *found, classes=described["classes"])
                    picture = drawings.write(source, number, drawn)
                printer.add(entry_of(source, number, picture, found, described["classes"]))
            printer.end(source)
    except (ValueError, RuntimeError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        pass
    finally:
        if drawings:
            drawings.close()
        printer.close()


def arguments():
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("detector", help="folder of an exported detector, or its model.onnx")
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="picture, video, folder, number of a camera, or GStreamer pipeline"
    )
    parser.add_argument("--out", default="detected", help="folder of the drawn pictures and videos; default: detected")
    parser.add_argument("--no-pictures", action="store_true", help="list the detections without drawing them")
    parser.add_argument("--json", action="store_true", help="print all detections as JSON")
    parser.add_argument("--score", type=float, default=DEFAULT_SCORE, help="minimum score of a detection")
    parser.add_argument("--iou", type=float, help="maximum IoU of two boxes of a class; default: that of nas predict")
    parser.add_argument("--max-detections", type=int, default=300, help="maximum number of detections per image")
    parser.add_argument("--range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="for more than 8 bits")
    parser.add_argument("--frames", type=int, help="number of frames to read of a video or a camera")
    parser.add_argument("--runtime", choices=("auto", "tensorrt", "onnxruntime"), default="auto")
    parser.add_argument("--precision", choices=sorted(PRECISIONS), default="fp16", help="of the engine")
    parser.add_argument("--calibration", help="calibration cache for int8")
    parser.add_argument("--engine", help="engine file of model.onnx, instead of the kept one")
    parser.add_argument("--trtexec", help="path of trtexec; default: searched for")
    options = parser.parse_args()
    for name in ("score", "iou"):
        value = getattr(options, name)
        if value is not None and not 0 <= value <= 1:
            parser.error("--%s must be from 0 to 1" % name)
    for name in ("max_detections", "frames"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error("--%s must be 1 or more" % name.replace("_", "-"))
    if options.range and not options.range[0] < options.range[1]:
        parser.error("--range must be two numbers, the lower one first")
    options.file = "model.onnx"
    options.dla = None
    options.kept = os.path.join(HERE, ENGINES)
    return options


def description_of(options):
    """Returns the content of `detector.json`, or of the metadata of an ONNX file that is given alone.

    Raises:
        ValueError: There is neither, or postprocess.py is missing beside the network.
    """
    if options.detector.endswith(".onnx") and os.path.isfile(options.detector):
        options.detector, options.file = os.path.split(os.path.abspath(options.detector))
    path = os.path.join(options.detector, "detector.json")
    reader = os.path.join(options.detector, "postprocess.py")
    if os.path.isfile(os.path.join(options.detector, options.file)) and not os.path.isfile(reader):
        raise ValueError("%s is missing, which reads the outputs; copy it from the folder of the export" % reader)
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    onnx = os.path.join(options.detector, options.file)
    metadata = OnnxNetwork(onnx).metadata if os.path.isfile(onnx) and is_installed("onnxruntime") else {}
    if METADATA not in metadata:
        raise ValueError("%s has no detector.json; give the folder of an exported detector" % options.detector)
    return json.loads(metadata[METADATA])


class LoadedDetector:
    """A detector that is ready to run."""

    def __init__(self, options, described):
        """Loads the network, and the second stage if there is one."""
        self.options, self.described = options, described
        runtime = options.runtime
        if runtime == "auto":
            runtime = "tensorrt" if options.engine or is_installed("tensorrt") else "onnxruntime"
        load = load_engine if runtime == "tensorrt" else load_onnx
        self.network = load(options, options.file, described.get("output_names"), None)
        self.second_stage = None
        if described["head"] == "two_stage":
            second = load(options, "second_stage.onnx", None, described["second_stage_shape"])
            self.second_stage = lambda features: second(features)[0]

    def __call__(self, pixels):
        """Returns boxes `(N, 4)` px, scores and classes `(N,)` in an image `(H, W, 3)` uint8 RGB, best first."""
        from postprocess import detections, prepare

        feed, fit = prepare(pixels, self.described["input_hw"], self.described["fit"])
        return detections(
            self.network(feed),
            self.described,
            fit,
            threshold=self.options.score,
            iou=self.options.iou,
            most=self.options.max_detections,
            second_stage=self.second_stage,
        )


def is_installed(name):
    """Returns whether a module can be imported."""
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def load_onnx(options, name, *_):
    """Returns an ONNX file in ONNX Runtime."""
    return OnnxNetwork(os.path.join(options.detector, name))


def load_engine(options, name, names, shapes):
    """Returns an engine in TensorRT; a kept one that does not load is built again."""
    if options.engine and name == options.file:
        return EngineNetwork(options.engine, names)
    onnx = os.path.join(os.path.abspath(options.detector), name)
    trtexec = find_trtexec(options.trtexec)
    try:
        return EngineNetwork(engine_file(trtexec, onnx, options, shapes), names)
    except EngineError:
        return EngineNetwork(engine_file(trtexec, onnx, options, shapes, anew=True), names)


def entry_of(source, number, picture, found, classes):
    """Returns what was found in an image, with the fields of `nas predict --json`."""
    entry = collections.OrderedDict(image=source.path)
    if number is not None:
        entry["frame"] = number
    if picture is not None:
        entry["picture"] = picture
    entry["detections"] = [
        {
            "class": classes[int(label)],
            "score": round(float(score), 4),
            "box": [round(float(side), 2) for side in box],
        }
        for box, score, label in zip(*found)
    ]
    return entry


class JsonList:
    """Prints a list of entries while they come, so that hours of a camera need no memory."""

    def __init__(self):
        self.before = "[\n"

    def add(self, entry):
        """Prints an entry."""
        sys.stdout.write(self.before + json.dumps(entry))
        sys.stdout.flush()
        self.before = ",\n"

    def end(self, source):
        """Does nothing: the list has no line for a source."""

    def close(self):
        """Ends the list."""
        sys.stdout.write("[]\n" if self.before == "[\n" else "\n]\n")


class Counts:
    """Prints a line for each source, with the number of objects of each class."""

    def __init__(self):
        self.counts, self.frames, self.last = collections.Counter(), 0, None

    def add(self, entry):
        """Counts the objects of an entry."""
        self.counts.update(each["class"] for each in entry["detections"])
        self.frames, self.last = entry.get("frame", 0), entry

    def end(self, source):
        """Prints the line of a source."""
        if self.last is not None:
            frames = "%d frames, " % self.frames if self.frames else ""
            found = ", ".join("%d %s" % (self.counts[name], name) for name in sorted(self.counts))
            drawn = " -> %s" % self.last["picture"] if "picture" in self.last else ""
            say("%s: %s%s%s" % (source.path, frames, found or "nothing found", drawn))
        self.__init__()

    def close(self):
        """Does nothing: each source has its line already."""


if __name__ == "__main__":
    main()
