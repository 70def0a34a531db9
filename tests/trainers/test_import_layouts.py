"""Published networks: from the names and shapes of the file alone to the outputs of the authors' modules."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from published_networks import (
    CASES,
    FOLDER,
    NAMES,
    TOLERANCE,
    Vectors,
    detector_of,
    foreign,
    meta,
    rows,
)

from search_space import DESIGNS, Detector, lower
from search_space.designs.references import REFERENCES
from search_space.heads.ps_roi_align import assign_levels, ps_roi_align
from search_space.tables import IMAGENET_INPUT
from trainers.importing.convert import ImportedWeights, convert

STOCK = "yolov8n-p2-stock"
FOUND = {STOCK: "yolov8n-p2 (16, 32, 64, 128, 256)"}
"""What is found for networks that are no design of ours."""
LARGE = ("ssd-vgg16-s1l2", "vgg16-features", "yolov8s-nc4", "yolov8s-nc80")
SMALL = [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in NAMES]


def _converted(name: str) -> ImportedWeights:
    return convert(foreign(name))


def test_all_networks_are_here():
    assert len(NAMES) == 18 and (FOLDER / "inputs.npz").is_file()


@pytest.mark.parametrize("name", SMALL)
def test_a_published_network_gives_its_outputs(name: str):
    weights, known, vectors = _converted(name), meta(name), Vectors(name)
    assert weights.design == FOUND.get(name, known["design"])
    assert weights.num_classes == known["num_classes"]
    worst = {}
    for case in CASES:
        image = vectors.image(case)
        detector = detector_of(weights, tuple(known.get("input_hw", image.shape[2:])))
        nodes = known.get("nodes") or dict(zip(vectors.names(case), detector.graph.outputs, strict=True))
        with torch.no_grad():
            maps = dict(zip(nodes, detector.maps(image, tuple(nodes.values())), strict=True))
        worst |= {f"{each}{case}": vectors.difference(output, case, each) for each, output in maps.items()}
    assert len(worst) >= 4 and max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize("name", SMALL)
def test_names_and_values_are_those_of_the_reference(name: str):
    file, weights = foreign(name), _converted(name)
    named = {row.ours: row.key for row in rows(name) if row.ours}
    assert set(weights.state) == set(named)
    wrong = [ours for ours, key in named.items() if not torch.equal(weights.state[ours], file.state[key])]
    assert not wrong
    assert not weights.unused, "counters and bins are not told"
    detector = Detector(lower(weights.architecture, num_classes=weights.num_classes))
    counters = {each for each in detector.state_dict() if each.endswith("num_batches_tracked")}
    assert {*weights.state, *weights.missing} | counters == set(detector.state_dict())


def test_a_backbone_names_what_is_missing():
    weights = _converted("vgg16-features")
    assert weights.layout == "VGG16 backbone" and weights.classes[0] == "class_0"
    assert weights.architecture.input_format == IMAGENET_INPUT, "the design itself takes BGR of 0 to 255"
    assert {name.split(".")[1] for name in weights.missing if ".p5_" in name} == {"p5_unit5", "p5_unit6"}
    assert "blocks.l2_scale.gain" in weights.missing and "blocks.stem.conv.weight" not in weights.missing


def test_the_stage_of_boxes_of_tinydet():
    weights, vectors = _converted("tinydet-m"), Vectors("tinydet-m")
    for case in CASES:
        image, boxes = vectors.image(case), vectors.extra(f"boxes{case}")
        detector = detector_of(weights, tuple(image.shape[2:]))
        head = detector.blocks["roi"]
        with torch.no_grad():
            maps = detector.maps(image, ("smooth2", "smooth3", "smooth4"))
            levels = assign_levels(boxes, head.roi_scale, len(maps))
            features = ps_roi_align(tuple(maps), boxes, levels, strides=head.strides, bins=head.bins)
            table = head(boxes, *maps)
        assert torch.equal(levels.flatten(), vectors.extra(f"box_levels{case}").to(levels.dtype))
        assert vectors.difference(features, case, "roi_features") < TOLERANCE
        assert vectors.difference(table, case, "roi") < TOLERANCE


@pytest.mark.parametrize("name", ["yolo11n-nc4", "ssd-mobilenetv1-s1l0-dualpath"])
def test_two_tensors_in_the_wrong_place_are_seen(name: str):
    weights, vectors = _converted(name), Vectors(name)
    shapes: dict[tuple[int, ...], str] = {}
    for own, value in weights.state.items():
        if value.ndim == 4 and value.shape in shapes:
            other = shapes[tuple(value.shape)]
            break
        shapes[tuple(value.shape)] = own
    swapped = {**weights.state, own: weights.state[other], other: weights.state[own]}
    image = vectors.image("")
    detector = detector_of(dataclasses.replace(weights, state=swapped), tuple(image.shape[2:]))
    with torch.no_grad():
        outputs = detector(image)
    assert max(vectors.difference(output, "", str(at)) for at, output in enumerate(outputs)) > 10 * TOLERANCE


def test_designs_and_scales_have_their_architectures():
    assert _converted("yolo11n-nc4").architecture == REFERENCES["yolo11n"]
    assert _converted("sodet-s").architecture == DESIGNS.get("sodet-s").architecture
    stock, p2 = _converted(STOCK).architecture, DESIGNS.get("yolov8n-p2").architecture
    assert stock.head == p2.head and stock.backbone == DESIGNS.get("yolov8n").architecture.backbone
    assert stock.neck == DESIGNS.get("yolov8n").architecture.neck
