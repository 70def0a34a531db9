"""Cases for the readers of data sets, their check, the converter, and the readers of images and videos."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import PIL.Image
import yaml

from nas.api.coco_ids import CocoIds
from nas.api.media_input import list_sources, shots
from tests.fuzz.mutations import (
    WORDS,
    dumped,
    encoded,
    spoil_bytes,
    spoil_plain,
    spoil_text,
    spoil_yaml,
)
from tests.trainers.data_sets import (
    coco_content,
    labelme_content,
    labelme_shape,
    voc_object,
    voc_text,
    write_coco_set,
    write_image,
    write_labelme_set,
    write_mot_set,
    write_uavdt_set,
    write_vid_set,
    write_visdrone_set,
    write_voc_set,
    write_yolo_set,
)
from trainers.data import DataSplits, open_data
from trainers.data.check import DataReport, check_data
from trainers.data.convert import convert_data
from trainers.data.formats import FORMATS
from trainers.data.images import image_header, read_image

Act = Callable[[], object]
Cases = Callable[[Random], Act]
"""Prepares one case from a generator of random numbers; what it returns runs it."""

XML_WORDS = (
    *WORDS,
    *(
        "<object>",
        "</object>",
        "<bndbox>",
        "&lt;",
        "&x;",
        "&#0;",
        "&#xD800;",
        "<![CDATA[",
        "<!--",
        "<?xml?>",
        "<name/>",
    ),
    *(
        '<!DOCTYPE a [<!ENTITY x "xx">]>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
        "dontcare",
        "<size>",
        "</annotation>",
    ),
)
YAML = "path: .\ntrain: images\nval: images\nnames:\n  0: person\n  1: car\n"
TINY_MARKS = {"ignore": False, "uncertain": False, "logo": False, "in_dense_image": False}


def opened(path: Path, **options: Any) -> DataSplits:
    """Opens a data set and makes sure that what it holds can be trained on."""
    splits = open_data(path, **options)
    for dataset in (splits.train, splits.val):
        assert len(dataset.fingerprint()) == 16
        for record in dataset.records:
            assert np.isfinite(record.boxes).all() and np.isfinite(record.ignored).all()
            assert (0 <= record.labels).all() and (record.labels < len(dataset.classes)).all()
            assert record.height > 0 and record.width > 0 and record.path is not None
    return splits


def checked(path: Path, **options: Any) -> DataReport:
    """Checks a data set and makes sure that the report can be printed."""
    report = check_data(path, **options)
    assert report.num_images >= 0 and str(report.to_dict())
    return report


def _coco(rng: Random, folder: Path, tiny: bool) -> Path:
    path, plain = folder / "set.json", coco_content()
    if tiny:
        plain["annotations"] = [each | TINY_MARKS for each in plain["annotations"]]
        plain["images"][1]["corner"] = [0, 0, 32, 24]
    act = rng.randrange(10)
    if act < 6:
        path.write_bytes(encoded(rng, dumped(rng, spoil_plain(rng, plain))))
    elif act < 9:
        path.write_bytes(encoded(rng, spoil_text(rng, dumped(rng, plain))))
    else:
        deep = ("[", '{"a":')[rng.randrange(2)] * rng.choice((100, 900, 100_000))
        path.write_bytes(rng.choice((deep.encode(), b'{"images": ' + deep.encode(), b"", b"null", b"[1]")))
    return path


def _yolo(rng: Random, folder: Path) -> Path:
    labels = "0 0.25 0.5 0.2 0.4\n1 0.6 0.3 0.3 0.3\n"
    files = {"labels/a.txt": labels, "classes.txt": "person\ncar\n", "list.txt": "images/a.png\nimages/b.png\n"}
    for name, text in files.items():
        (folder / name).write_text(text)
    kind = rng.randrange(4)
    if kind < 2:
        name = ("labels/a.txt", "classes.txt")[kind]
        (folder / name).write_bytes(encoded(rng, spoil_text(rng, files[name])))
        return folder
    (folder / "data.yaml").write_text(YAML.replace("train: images", "train: list.txt"))
    if kind == 2:
        (folder / "data.yaml").write_bytes(spoil_yaml(rng, YAML, yaml.safe_load(YAML)))
    else:
        (folder / "list.txt").write_bytes(encoded(rng, spoil_text(rng, files["list.txt"])))
    return folder / "data.yaml"


def _visdrone(rng: Random, folder: Path) -> Path:
    text = "10,10,10,20,1,1,0,0\n30,5,20,20,1,4,0,0\n"
    (folder / "annotations" / "a.txt").write_bytes(encoded(rng, spoil_text(rng, text)))
    if rng.random() < 0.2:
        (folder / "classes.txt").write_bytes(encoded(rng, spoil_text(rng, "person\ncar\n")))
    else:
        (folder / "classes.txt").unlink(missing_ok=True)
    return folder


def _voc(rng: Random, folder: Path) -> Path:
    objects = voc_object("person", 10, 10, 20, 30) + "\n" + voc_object("car", 30, 5, 50, 25, difficult=1)
    text = voc_text("a.png", objects, database=rng.choice(("", "The VOC2007 Database")))
    (folder / "Annotations" / "a.xml").write_bytes(encoded(rng, spoil_text(rng, text, XML_WORDS)))
    lists = folder / "ImageSets" / "Main"
    shutil.rmtree(folder / "ImageSets", ignore_errors=True)
    if rng.random() < 0.2:
        lists.mkdir(parents=True)
        (lists / "train.txt").write_bytes(encoded(rng, spoil_text(rng, "a\nb\n")))
        (lists / "val.txt").write_text("c\n")
    return folder


def _sequences(rng: Random, folder: Path, files: dict[str, str]) -> Path:
    """Spoils one of the texts of a video data set, and restores the others."""
    spoilt = rng.choice(list(files))
    for name, content in files.items():
        (folder / name).write_bytes(encoded(rng, spoil_text(rng, content)) if name == spoilt else content.encode())
    return folder


SEQUENCE_FILES = {
    "visdrone-vid": {"annotations/a.txt": "1,0,10,10,10,20,1,1,0,0\n1,1,30,5,20,20,0,11,0,0\n"},
    "uavdt": {
        "GT/a_gt_whole.txt": "1,1,10,10,10,20,1,1,1\n1,2,30,5,20,20,1,1,3\n",
        "GT/a_gt_ignore.txt": "1,-1,1,40,20,20,1,-1,-1\n",
    },
    "mot": {
        "a/gt/gt.txt": "1,1,10,10,10,20,1,1,1\n1,2,30,5,20,20,0,7,0.5\n",
        "a/seqinfo.ini": "[Sequence]\nimDir=img1\nimWidth=64\nimHeight=48\n",
    },
}
"""The texts of the first sequence, by format."""


def _labelme(rng: Random, folder: Path) -> Path:
    outline = labelme_shape("car", [1, 1], [9, 1], [5, 7], kind="polygon", group_id=1)
    circle = labelme_shape("__ignore__", [20, 20], [24, 20], kind="circle")
    plain = labelme_content("a.png", labelme_shape("person", [10, 10], [20, 30]), outline, outline, circle)
    if rng.random() < 0.7:
        (folder / "a.json").write_bytes(encoded(rng, dumped(rng, spoil_plain(rng, plain))))
    else:
        (folder / "a.json").write_bytes(encoded(rng, spoil_text(rng, dumped(rng, plain))))
    return folder


WRITE: dict[str, Callable[[Path], object]] = {
    "coco": write_coco_set,
    "tinyperson": write_coco_set,
    "yolo": write_yolo_set,
    "visdrone": write_visdrone_set,
    "voc": write_voc_set,
    "visdrone-vid": write_vid_set,
    "uavdt": write_uavdt_set,
    "mot": write_mot_set,
    "labelme": write_labelme_set,
}
SPOIL: dict[str, Callable[[Random, Path], Path]] = {
    "coco": lambda rng, folder: _coco(rng, folder, tiny=False),
    "tinyperson": lambda rng, folder: _coco(rng, folder, tiny=True),
    "yolo": _yolo,
    "visdrone": _visdrone,
    "voc": _voc,
    "visdrone-vid": lambda rng, folder: _sequences(rng, folder, SEQUENCE_FILES["visdrone-vid"]),
    "uavdt": lambda rng, folder: _sequences(rng, folder, SEQUENCE_FILES["uavdt"]),
    "mot": lambda rng, folder: _sequences(rng, folder, SEQUENCE_FILES["mot"]),
    "labelme": _labelme,
}


def data_cases(format: str, act: Callable[..., object]) -> Callable[[Path], Cases]:
    """Returns cases for opening, or checking, spoilt data sets of a format."""

    def prepare(folder: Path) -> Cases:
        WRITE[format](folder)

        def case(rng: Random) -> Act:
            path = SPOIL[format](rng, folder)
            named = format if rng.random() < 0.5 else None
            return lambda: act(path, format=named)

        return case

    return prepare


def convert_cases(folder: Path) -> Cases:
    """Cases for the converter: names of classes and files that lead elsewhere, and any format to any other."""
    sets = {name: folder / name for name in WRITE}
    for name, place in sets.items():
        place.mkdir()
        WRITE[name](place)

    def case(rng: Random) -> Act:
        format, out = rng.choice(list(sets)), folder / "out" / "converted"
        path, to = SPOIL[format](rng, sets[format]), rng.choice(list(FORMATS))
        shutil.rmtree(folder / "out", ignore_errors=True)
        return lambda: _converted(path, out, to, format)

    return case


def _converted(path: Path, out: Path, to: str, format: str) -> None:
    before = sorted(os.listdir(out.parent.parent))
    try:
        convert_data(path, out, to=to, format=format)
        assert sorted(os.listdir(out.parent)) == [out.name], "something was written beside the folder"
        written = [place for place in out.rglob("*") if place.is_symlink() or not place.resolve().is_relative_to(out)]
        assert not written, f"{written} lead out of the folder"
    finally:
        after = sorted(each for each in os.listdir(out.parent.parent) if each != out.parent.name)
        assert after == [each for each in before if each != out.parent.name]


def images() -> list[tuple[str, bytes]]:
    """Returns a small valid image in every form that is read, with their endings."""
    rng = np.random.default_rng(0)
    colour, deep = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), rng.integers(0, 65536, (12, 16), dtype=np.uint16)
    made = [(each, cv2.imencode(each, colour)[1].tobytes()) for each in (".png", ".jpg", ".bmp", ".tiff", ".webp")]
    made += [(each, cv2.imencode(each, deep)[1].tobytes()) for each in (".png", ".tiff")]
    turned = PIL.Image.Exif()
    turned[0x0112] = 6
    for mode, format, options in (
        ("P", "PNG", {}),
        ("1", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("LA", "PNG", {}),
        ("P", "GIF", {"save_all": True, "append_images": [PIL.Image.new("P", (16, 12), 3)] * 3}),
        ("RGB", "JPEG", {"exif": turned}),
        ("CMYK", "JPEG", {}),
        ("F", "TIFF", {}),
        ("RGB", "WEBP", {"save_all": True, "append_images": [PIL.Image.new("RGB", (16, 12))] * 2}),
    ):
        buffer = io.BytesIO()
        PIL.Image.fromarray(colour).convert(mode).save(buffer, format, **options)
        made.append((f".{format.lower()}", buffer.getvalue()))
    return made


def huge_png(width: int, height: int) -> bytes:
    """Returns a PNG of a few bytes that says it is of any size."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(100))
    chunks = (
        struct.pack(">I", len(each) - 4) + each + struct.pack(">I", zlib.crc32(each)) for each in (head, data, b"IEND")
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def image_cases(folder: Path) -> Cases:
    """Cases for the readers of images."""
    made, sizes = images(), (0, 1, 100_000, 2**31 - 1, 13_000)

    def case(rng: Random) -> Act:
        ending, raw = rng.choice(made)
        path = folder / f"a{ending}"
        raw = huge_png(rng.choice(sizes), rng.choice(sizes)) if rng.random() < 0.02 else spoil_bytes(rng, raw)
        path.write_bytes(raw)
        return lambda: _looked_at(path)

    return case


def _looked_at(path: Path) -> None:
    header = image_header(path)
    pixels = read_image(path)
    assert pixels.dtype == np.uint8 and pixels.shape[:2] == (header.height, header.width)


def video_cases(folder: Path) -> Cases:
    """Cases for the reader of videos: a short one whose header and frames are spoilt."""
    path = folder / "good.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (32, 24))
    for _ in range(3):
        writer.write(np.zeros((24, 32, 3), np.uint8))
    writer.release()
    raw = path.read_bytes()

    def case(rng: Random) -> Act:
        target = folder / rng.choice(("a.avi", "a.mp4", "a.webm"))
        head = raw[:400] if rng.random() < 0.7 else raw
        target.write_bytes(spoil_bytes(rng, head) + raw[len(head) :])
        return lambda: [len(list(shots(each, lambda note: None))) for each in list_sources([target])]

    return case


def id_cases(folder: Path) -> Cases:
    """Cases for the annotation file from which the command that predicts takes its ids."""
    path = folder / "ids.json"
    source = list_sources([write_image(folder / "a.png")])

    def case(rng: Random) -> Act:
        path.write_bytes(_coco(rng, folder, tiny=False).read_bytes())
        return lambda: CocoIds.read(path, ("person", "car"), source)

    return case
