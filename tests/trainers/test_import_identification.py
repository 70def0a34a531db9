"""Which detector a file belongs to: designs, scales, refitted widths, other layouts, and what is told if none fits."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from published_networks import Vectors, foreign, meta, of_state, rows, uniform
from torch import Tensor, nn

from search_space import DESIGNS, Architecture, Detector, Stage, lower
from search_space.designs.references import REFERENCES
from search_space.errors import ConfigError
from trainers.importing.convert import convert
from trainers.importing.fitting import MisfitError, best_pairs
from trainers.importing.layouts import MMDET, SSDS, ULTRALYTICS, Layout
from trainers.importing.thinning import thinned, with_thinned_classifier
from trainers.weights import load_state


def _file(layout: Layout, architecture: Architecture, num_classes: int, *, folded: bool = False) -> dict[str, Tensor]:
    """The tensors of an architecture as a file of a layout has them, on the meta device."""
    prefix = {"layer": "model.", "norm": "norm.", "rpn_head": "rpn_head.", "bbox_head": "bbox_head."}
    state = {}
    for place, owns in layout.places(lower(architecture, num_classes=num_classes), norms_folded=folded).items():
        number = "" if place.section in ("norm", "rpn_head", "bbox_head") else f"{place.layer}."
        section = prefix.get(place.section, f"{place.section}.")
        state[f"{section}{number}{place.name}"] = torch.zeros(owns[0].tensor.shape, device="meta")
    return state


PUBLISHED = [each.name for each in map(DESIGNS.get, DESIGNS) if not (each.derived or each.reference or each.by_name)]


@pytest.mark.parametrize("name", sorted({*REFERENCES, *PUBLISHED}))
@pytest.mark.parametrize("num_classes", [1, 7])
def test_every_design_and_scale_is_found_by_its_shapes_and_the_name_of_the_file(name: str, num_classes: int):
    architecture = REFERENCES[name] if name in REFERENCES else DESIGNS.get(name).architecture
    layout = {"anchor_free": ULTRALYTICS, "ssd": SSDS, "two_stage": MMDET}[architecture.head.kind]
    found = convert(of_state(_file(layout, architecture, num_classes), f"{name}.pth"))
    assert (found.design, found.num_classes, found.missing, found.unused) == (name, num_classes, (), ())
    assert found.architecture == architecture and found.layout == layout.name


@pytest.mark.parametrize(
    ("path", "design"),
    [
        ("ssd_lite_dual_mobilenetv1_train_coco_S1L0_Split.pth", "ssd-mobilenetv1-s1l0-dualpath"),
        ("ssd_mobilenetv1_S1L0.pth", "ssd-mobilenetv1-s1l0"),
        ("weights.pth", None),
    ],
)
def test_what_has_no_weights_is_known_by_the_name_of_the_file_or_not_at_all(path: str, design: str | None):
    file = of_state(_file(SSDS, DESIGNS.get("ssd-mobilenetv1-s1l0").architecture, 80), path)
    if design is not None:
        assert convert(file).design == design
        return
    with pytest.raises(
        ConfigError,
        match=r"fits ssd-mobilenetv1-s1l0, ssd-mobilenetv1-s1l0-dualpath, which differ .*; "
        "next: nas weights import weights.pth --as ssd-mobilenetv1-s1l0 or --as ssd-mobilenetv1-s1l0-dualpath",
    ):
        convert(file)
    given = DESIGNS.get("ssd-mobilenetv1-s1l0").architecture
    assert convert(file, given.resized((320, 320))).design == "ssd-mobilenetv1-s1l0"


@pytest.mark.parametrize("name", ["yolov8n", "sn2-yolov8n"])
def test_a_design_with_a_published_file_comes_before_one_derived_from_it(name: str):
    architecture = DESIGNS.get(name).architecture
    assert convert(of_state(_file(ULTRALYTICS, architecture, 2), "best.pt")).design == name


def _narrow(depth: int = 1) -> Architecture:
    base, widths = REFERENCES["yolov8n"], {2: 8, 3: 16, 4: 32, 5: 64}
    stages = tuple(Stage(level=level, channels=width, repeats=depth) for level, width in widths.items())
    return dataclasses.replace(base, backbone=dataclasses.replace(base.backbone, stem_channels=8, stages=stages))


def test_other_widths_and_repeats_of_a_known_layer_list_are_read_from_the_shapes():
    found = convert(of_state(_file(ULTRALYTICS, _narrow(), 3), classes=("ant", "bee", "fly")))
    assert found.architecture == _narrow() and found.design == "yolov8 (8, 8, 16, 32, 64)"
    assert found.classes == ("ant", "bee", "fly")
    deep = dataclasses.replace(_narrow(3), neck=dataclasses.replace(_narrow().neck, repeats=2, channels=(24, 40, 48)))
    assert convert(of_state(_file(ULTRALYTICS, deep, 3))).architecture == deep
    large = REFERENCES["yolo11l"]
    wide = dataclasses.replace(large, backbone=dataclasses.replace(large.backbone, stem_channels=48, context_repeats=3))
    assert convert(of_state(_file(ULTRALYTICS, wide, 2))).architecture == wide


def test_what_differs_is_told_tensor_by_tensor():
    state = _file(ULTRALYTICS, REFERENCES["yolov8n"], 80)
    state["model.1.conv.weight"] = torch.zeros(32, 16, 5, 5, device="meta")
    del state["model.2.cv2.bn.bias"]
    state["model.2.extra.weight"] = torch.zeros(3, device="meta")
    with pytest.raises(MisfitError) as told:
        convert(of_state(state))
    assert {(each.key, each.own) for each in told.value.misfits} == {
        ("model.1.conv.weight", "blocks.p2_down.conv.weight"),
        (None, "blocks.p2_block.join.norm.bias"),
        ("model.2.extra.weight", None),
    }
    message = str(told.value)
    assert "of yolov8n 3 tensors differ: model.1.conv.weight is 32x16x5x5" in message
    assert "blocks.p2_down.conv.weight needs 32x16x3x3" in message and "\n" not in message


def test_two_keys_of_one_place_are_told():
    state = _file(ULTRALYTICS, REFERENCES["yolov8n"], 2)
    twice = {**state, "model.model.0.conv.weight": state["model.0.conv.weight"]}
    with pytest.raises(
        MisfitError, match=r"1 tensor differs: model.model.0.conv.weight .* has no place; next: give a file without"
    ):
        convert(of_state(twice))


def test_a_given_architecture_is_the_only_one_that_is_tried():
    file = of_state(_file(ULTRALYTICS, REFERENCES["yolov8s"], 2))
    assert convert(file, REFERENCES["yolov8s"]).design == "yolov8s"
    with pytest.raises(
        MisfitError, match="model.0.conv.weight is 32x3x3x3, blocks.stem.conv.weight needs 16x3x3x3"
    ) as told:
        convert(file, REFERENCES["yolov8n"])
    assert len(told.value.misfits) > 200 and re.search(r"and \d+ more", str(told.value))
    assert told.value.fits == "yolov8s" and "; the file fits yolov8s; next: " in str(told.value)
    with pytest.raises(
        MisfitError, match="of detectors with the head anchor_free; got an architecture with two_stage"
    ) as told:
        convert(file, DESIGNS.get("tinydet-m").architecture)
    assert told.value.fits == "yolov8s" and told.value.misfits == ()
    again = told.value.with_remedy("omit --as")
    assert str(again).endswith("the file fits yolov8s; next: omit --as") and again.fits == "yolov8s"


def test_what_has_no_place_alone_is_the_reason():
    state = _file(ULTRALYTICS, REFERENCES["yolov8n"], 2)
    with pytest.raises(MisfitError, match="next: give a file without the tensors that have no place") as told:
        convert(of_state({**state, "model.2.extra.w": torch.zeros(3)}), REFERENCES["yolov8n"])
    assert "1 tensor differs: model.2.extra.w (3) has no place" in str(told.value) and told.value.fits is None
    with pytest.raises(MisfitError, match="weights import weights.pth --as ARCH.yaml"):
        convert(of_state({key: value for key, value in state.items() if "model.2." not in key}))


def test_files_that_hold_something_else_are_refused():
    with pytest.raises(ConfigError, match="its 1 tensor is named fc.weight; next: give a detector of Ultralytics"):
        convert(of_state({"fc.weight": torch.zeros(2, 2)}))
    headless = {
        key: value for key, value in _file(ULTRALYTICS, REFERENCES["yolov8n"], 2).items() if ".cv3.0.2" not in key
    }
    with pytest.raises(ConfigError, match="no head with class logits"):
        convert(of_state(headless))
    with pytest.raises(ConfigError, match="states 1 class name, but its head has 2 classes"):
        convert(of_state(_file(ULTRALYTICS, REFERENCES["yolov8n"], 2), classes=("one",)))
    with pytest.raises(MisfitError, match="ssds.pytorch and fits no known design"):
        convert(of_state({"loc.0.bias": torch.zeros(24), "conf.0.bias": torch.zeros(18)}))


def _seeded(architecture: Architecture, num_classes: int) -> Detector:
    torch.manual_seed(0)
    detector = Detector(lower(architecture, num_classes=num_classes, input_hw=(64, 64)))
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, -0.1, 0.1)
        elif isinstance(module, nn.Conv2d):  # large, so that errors are not lost on the way to the outputs
            bound = (7 / module.weight[0].numel()) ** 0.5
            nn.init.uniform_(module.weight, -bound, bound)
    return detector.eval()


def _folded(detector: Detector, architecture: Architecture, num_classes: int) -> dict[str, Tensor]:
    """The tensors of a detector as an exporter writes them: norms multiplied into their convolutions."""
    own, state = detector.state_dict(), {}
    graph = lower(architecture, num_classes=num_classes)
    plain = {tensor.name: place for place, owns in ULTRALYTICS.places(graph).items() for tensor in owns}
    for name, value in own.items():
        norm = re.sub(r"(conv|project)\.weight$", "norm", name)
        if norm != name and f"{norm}.running_var" in own:
            place = plain[name]
            gain = own[f"{norm}.weight"] / (own[f"{norm}.running_var"] + 1e-3).sqrt()
            bias = own[f"{norm}.bias"] - own[f"{norm}.running_mean"] * gain
            state[f"model.{place.layer}.{place.name}"] = value * gain.reshape(-1, *(1,) * (value.ndim - 1))
            state[f"model.{place.layer}.{place.name.removesuffix('weight')}bias"] = bias
        elif ".norm." not in name:
            state[f"model.{plain[name].layer}.{plain[name].name}"] = value
    return state


@pytest.mark.parametrize("name", ["yolov8n", "yolo11n", "sodet-s", "yolov8n-p2-nop5-bidir-cbam", "sn2-yolov5n"])
@pytest.mark.parametrize("named", [True, False])
def test_folded_norms_give_the_same_outputs(name: str, named: bool):
    architecture = REFERENCES[name] if name in REFERENCES else DESIGNS.get(name).architecture
    detector = _seeded(architecture, 4)
    state = _folded(detector, architecture, 4)
    state |= {"dfl.conv.weight" if named else "bins": torch.zeros(1, 16, 1, 1)}
    if not named:
        state = {f"onnx::Conv_{number}": value for number, value in enumerate(state.values())}
        state["onnx::Reshape_9"] = torch.tensor([1, 4, 16, -1])
    found = convert(of_state(state, "model.onnx", kind="onnx", norms_folded=True))
    assert found.design == name and found.num_classes == 4 and not found.missing
    again = _seeded(architecture, 4)
    load_state(again, found.state)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(again(image), detector(image), strict=True):
            assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_an_onnx_file_without_names_needs_a_known_network():
    state = _file(ULTRALYTICS, _narrow(), 3, folded=True)
    unnamed = {f"onnx::Conv_{number}": value for number, value in enumerate(state.values())}
    file = of_state(unnamed, "model.onnx", kind="onnx", norms_folded=True)
    with pytest.raises(
        ConfigError, match="tensors are named onnx::Conv_0, onnx::Conv_1, onnx::Conv_2, …; .* weights import --as"
    ):
        convert(file)
    assert convert(file, _narrow()).num_classes == 3


def test_names_of_our_own_and_a_file_in_any_order():
    name = "yolov8n-p2-nop5"
    file = foreign(name)
    wanted = convert(file).state
    own = convert(of_state(dict(sorted(wanted.items()))))
    assert own.design == name and own.layout == "names of this program" and own.num_classes == 10
    shuffled = convert(of_state(dict(sorted(file.state.items()))))
    assert list(file.state) != sorted(file.state)
    for found in (own, shuffled):
        assert found.state.keys() == wanted.keys()
        assert all(torch.equal(found.state[each], value) for each, value in wanted.items())


def test_half_precision_and_missing_counters_are_no_matter():
    file = foreign("yolov8n-nc4")
    halves = {key: value.half() for key, value in file.state.items() if not key.endswith("num_batches_tracked")}
    found = convert(of_state(halves))
    assert {value.dtype for value in found.state.values()} == {torch.float32, torch.int64}
    assert not found.missing and len(found.state) == len(convert(file).state)


def test_the_class_of_sodet_may_name_its_layers_otherwise():
    state, names = {}, {0: "backbone.0", 21: "EAFusion", 22: "detect", 16: "wconcat", 15: "conv1", 17: "c3k2_1"}
    for key, value in foreign("sodet-s").state.items():
        number, rest = key.removeprefix("model.").split(".", 1)
        rest = rest.replace("SWS.", "sws.").replace("pa.pa2", "pixel.conv") if number == "21" else rest
        state[f"{names.get(int(number), f'backbone.{number}')}.{'weights' if rest == 'w' else rest}"] = value
    found, wanted = convert(of_state(state)), convert(foreign("sodet-s"))
    assert found.design == "sodet-s"
    assert all(torch.equal(found.state[name], value) for name, value in wanted.state.items())


def test_names_are_guessed_only_where_they_are_uncertain():
    state = {key.replace("model.1.conv.", "model.1.dense."): each for key, each in foreign("yolov8n-nc4").state.items()}
    with pytest.raises(MisfitError, match=r"blocks.p2_down.conv.weight \(32x16x3x3\) is not in the file"):
        convert(of_state(state))


@pytest.mark.parametrize("prefix", ["backbone.", ""])
def test_a_backbone_file_of_tinydet(prefix: str):
    whole = foreign("tinydet-m").state
    state = {key.replace("backbone.", prefix, 1): each for key, each in whole.items() if key.startswith("backbone.")}
    found = convert(of_state({**state, "classifier.weight": torch.zeros(1000, 960)}))
    assert found.design == "tinydet-m" and found.unused == ("classifier.weight",)
    wanted = {row.ours: whole[row.key] for row in rows("tinydet-m") if row.key.startswith("backbone.")}
    assert found.state.keys() == wanted.keys()
    assert all(torch.equal(found.state[name], value) for name, value in wanted.items())
    assert {name.split(".")[1].rstrip("23456") for name in found.missing} == {"lateral", "smooth", "rpn", "roi"}


def test_vgg16_without_a_prefix_has_all_layers_of_the_base():
    gain = float(meta("ssd-vgg16-s1l2")["gain"])
    base = [row for row in rows("ssd-vgg16-s1l2") if row.key.startswith("base.")]
    state = {row.key.removeprefix("base."): torch.full(row.shape, gain) for row in base}
    found = convert(of_state(state, "vgg16_reducedfc.pth"))
    assert found.design == "ssd-vgg16" and found.state.keys() == {row.ours for row in base}
    assert convert(of_state(state), DESIGNS.get("ssd-vgg16-s1l2").architecture).design == "ssd-vgg16-s1l2"


def test_the_classifier_of_vgg16_is_thinned():
    weight = torch.arange(8 * 2 * 49.0).reshape(8, 98)
    kept = thinned(weight, 7)
    assert kept.shape == (2, 2, 3, 3)
    assert kept[1, 1, 2, 0] == weight[4, 49 + 6 * 7] and kept[0, 0, 1, 2] == weight[0, 3 * 7 + 6]
    square = uniform(0, (8, 8))
    assert torch.equal(thinned(square, 1)[:, :, 0, 0], square[::4, ::4])
    with torch.device("meta"):
        layers = {"classifier.0": (4096, 25088), "classifier.3": (4096, 4096), "classifier.6": (1000, 4096)}
        state = {f"{name}.weight": torch.zeros(shape) for name, shape in layers.items()}
        state |= {f"{name}.bias": torch.zeros(shape[0]) for name, shape in layers.items()}
    added = with_thinned_classifier(of_state(state)).state
    assert {key: tuple(added[key].shape) for key in added if "classifier" not in key} == {
        "features.31.weight": (1024, 512, 3, 3),
        "features.31.bias": (1024,),
        "features.33.weight": (1024, 1024, 1, 1),
        "features.33.bias": (1024,),
    }
    assert set(added) >= {"classifier.6.weight"} and "classifier.0.weight" not in added


MOBILENETV3_ROWS = (
    *((16, 3, 16, 16, 0), (16, 3, 64, 24, 0), (24, 3, 72, 24, 0), (24, 5, 72, 40, 24)),
    *((40, 5, 120, 40, 32), (40, 5, 120, 40, 32), (40, 3, 240, 80, 0), (80, 3, 200, 80, 0)),
    *((80, 3, 184, 80, 0), (80, 3, 184, 80, 0), (80, 3, 480, 112, 120), (112, 3, 672, 112, 168)),
    *((112, 5, 672, 160, 168), (160, 5, 960, 160, 240), (160, 5, 960, 160, 240)),
)
"""Units of the large MobileNetV3 of torchvision: input, kernel, expanded, output and squeezed channels."""


def _normed(name: str, shape: tuple[int, ...], number: int) -> dict[str, Tensor]:
    norm = {part: torch.full(shape[:1], number + 0.5) for part in ("weight", "bias", "running_mean", "running_var")}
    named = {f"{name}.1.{part}": value for part, value in norm.items()}
    return {
        f"{name}.0.weight": torch.full(shape, float(number)),
        **named,
        f"{name}.1.num_batches_tracked": torch.tensor(0),
    }


def _mobilenetv3() -> dict[str, Tensor]:
    state = _normed("features.0", (16, 3, 3, 3), 0)
    for number, (channels, kernel, expanded, out, squeezed) in enumerate(MOBILENETV3_ROWS, start=1):
        layers = [] if expanded == channels else [(expanded, channels, 1, 1)]
        layers += [(expanded, 1, kernel, kernel), *([()] if squeezed else []), (out, expanded, 1, 1)]
        for at, shape in enumerate(layers):
            name = f"features.{number}.block.{at}"
            state |= (
                _normed(name, shape, number)
                if shape
                else {
                    f"{name}.fc1.weight": torch.zeros(squeezed, expanded, 1, 1),
                    f"{name}.fc1.bias": torch.zeros(squeezed),
                    f"{name}.fc2.weight": torch.zeros(expanded, squeezed, 1, 1),
                    f"{name}.fc2.bias": torch.zeros(expanded),
                }
            )
    return state | _normed("features.16", (960, 160, 1, 1), 16)


def test_what_fits_of_the_mobilenetv3_of_torchvision_is_taken_and_the_rest_is_told():
    file = of_state(_mobilenetv3(), "mobilenet_v3_large.pth")
    found = convert(file, DESIGNS.get("tinydet-m").architecture)
    assert found.layout == "MobileNetV3 of torchvision" and convert(file).design == "tinydet-m"
    whole = {f"p4_unit{number}" for number in range(2, 7)} | {f"p5_unit{number}" for number in (1, 2, 3)}
    nodes = {name.split(".")[1] for name in found.state}
    assert nodes == whole | {"p2_unit1", "p4_unit1"}
    assert not [name for name in found.missing if name.split(".")[1] in whole]
    assert found.state["blocks.p4_unit2.expand.0.0.weight"].unique().tolist() == [8.0], "features.8 has this shape"
    variance = found.state["blocks.p4_unit2.expand.0.1.running_var"]
    assert torch.allclose(variance, torch.tensor(8.5 + 1e-3 - 1e-5)), "the eps of its norms is 1e-3, ours 1e-5"
    assert {"features.0.0.weight", "features.11.block.2.fc1.bias", "features.16.1.bias"} <= set(found.unused)
    taken = {own for own in found.state if not own.endswith("num_batches_tracked")}
    assert len(taken) + len(found.unused) == len([key for key in file.state if not key.endswith("num_batches_tracked")])
    with pytest.raises(MisfitError, match="does not fit the architecture"):
        convert(of_state({"features.0.0.weight": torch.zeros(7, 3, 3, 3)}), DESIGNS.get("tinydet-m").architecture)


def test_layers_are_aligned_so_that_most_fits():
    assert best_pairs([[2, 0, 0], [0, 0, 3], [0, 2, 0]]) == [(0, 0), (1, 2)]
    assert best_pairs([[0, 1], [2, 0]]) == [(1, 0)] and best_pairs([]) == []


def test_vectors_are_compared_with_their_own_scale():
    vectors = Vectors("yolov8n-nc4")
    zeros = torch.zeros(1, 68, 8, 8)
    assert vectors.names("") == vectors.names("_wide") == ["0", "1", "2"]
    assert 0.9 < vectors.difference(zeros, "", "0") <= 1
