"""Position attention and the cross-stage partial blocks: SO-Det and SN2-YOLO row by row."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.cost.counting import Shape, count_module
from nas.cost.oracle import fvcore_macs
from search_space.blocks import STAGES, find_block
from search_space.blocks.conv import Conv
from search_space.blocks.csp import C3, C3k, C3k2
from search_space.blocks.psa import C2PSA, PositionAttention, PSABlock, num_heads
from search_space.errors import SpaceError


def _params(block: str, **arguments: object) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in find_block(block)(**arguments).parameters())


# SO-Det s, m and l: the rows of its table, #6 and on as nested; l has C3k on every level.
C3K2_ROWS = [
    ((128, 256, 512), (64, 128, 256), False, 0.25, (9_712, 38_368, 161_024)),
    ((256, 512, 1024), (128, 256, 512), False, 0.25, (38_368, 152_512, 641_536)),
    ((512, 1024, 2048), (128, 256, 512), True, 0.5, (136_192, 542_720, 2_166_784)),
    ((256, 512, 1024), (64, 128, 256), False, 0.5, (32_096, 127_680, 542_720)),
    ((128, 256, 512), (64, 128, 256), False, 0.5, (23_904, 94_912, 411_648)),
    ((192, 384, 768), (128, 256, 512), True, 0.5, (95_232, 378_880, 1_511_424)),
]


@pytest.mark.parametrize("variant", [0, 1, 2])
@pytest.mark.parametrize("c1,c2,nested,expansion,params", C3K2_ROWS)
def test_c3k2_rows_of_sodet(
    c1: tuple[int, ...], c2: tuple[int, ...], nested: bool, expansion: float, params: tuple[int, ...], variant: int
):
    arguments: dict[str, object] = {"in_channels": c1[variant], "out_channels": c2[variant], "expansion": expansion}
    if variant == 2:
        assert _params("stage:c3k2_nested", **arguments) == params[variant]
    else:
        assert _params("stage:c3k2", **arguments, nested=nested) == params[variant]


@pytest.mark.parametrize("c,sppf,c2psa", [(128, 41_344, 63_424), (256, 164_608, 249_728), (512, 656_896, 990_976)])
def test_context_rows_of_sodet(c: int, sppf: int, c2psa: int):
    assert _params("layer:sppf", in_channels=c, out_channels=c) == sppf
    assert _params("layer:c2psa", channels=c) == c2psa


# SN2-YOLO: backbones and necks of sn2-yolov8n, sn2-yolov5n and yolov5n-ihp.
@pytest.mark.parametrize(
    "block,c1,c2,repeats,params",
    [
        ("c3", 32, 32, 1, 6_848),
        ("c3", 64, 64, 2, 45_568),
        ("c3", 128, 128, 3, 255_232),
        ("c3", 256, 256, 1, 427_520),
        ("c3", 256, 128, 1, 123_648),
        ("c3", 128, 64, 1, 31_104),
        ("c3", 128, 128, 1, 107_264),
        ("c3", 64, 64, 1, 27_008),
        ("c3", 128, 128, 2, 181_248),
        ("c3", 256, 256, 3, 1_018_368),
        ("c2f", 384, 128, 1, 148_224),
        ("c2f", 192, 64, 1, 37_248),
        ("c2f", 1024, 256, 1, 656_896),
        ("c2f", 2048, 512, 1, 2_624_512),
        ("c2f", 256, 256, 3, 1_116_672),
    ],
)
def test_stage_rows_of_sn2_yolo(block: str, c1: int, c2: int, repeats: int, params: int):
    assert _params(f"stage:{block}", in_channels=c1, out_channels=c2, repeats=repeats) == params


@pytest.mark.parametrize(
    "channels,heads", [(32, 1), (64, 1), (128, 2), (256, 4), (152, 2), (200, 2), (196, 2), (328, 4)]
)
def test_attention_heads_divide_the_channels(channels: int, heads: int):
    assert num_heads(channels) == heads


@pytest.mark.parametrize("side,channels,products", [(40, 128, 245_760_000), (40, 256, 491_520_000)])
def test_attention_products_of_sodet(side: int, channels: int, products: int):
    """SO-Det at 640 pixels, s and m: the matrix products are what the count has beyond the convolutions."""
    with torch.device("meta"):
        block = C2PSA(channels)
    count = count_module(block, (channels, side, side))
    weights = sum(part.weight.numel() for part in block.modules() if isinstance(part, nn.Conv2d))
    assert count.macs == weights * side**2 + products


def test_attention_of_one_head_against_the_formula():
    torch.manual_seed(0)
    block = PositionAttention(128).eval()
    assert (block.num_heads, block.key_channels, block.value_channels) == (2, 32, 64)
    block.project = nn.Identity()  # type: ignore[assignment]
    x = torch.randn(1, 128, 2, 3)
    with torch.no_grad():
        out, qkv = block(x), block.qkv(x).flatten(2)
        heads = []
        for head in qkv.split(128, dim=1):
            query, key, value = head[0, :32], head[0, 32:64], head[0, 64:]
            for_position = []
            for i in range(6):
                share = torch.stack([query[:, i] @ key[:, j] / 32**0.5 for j in range(6)]).softmax(0)
                for_position.append(sum(share[j] * value[:, j] for j in range(6)))
            heads.append(torch.stack(for_position, dim=1))
        values = torch.cat([head[:, 64:] for head in qkv.split(128, dim=1)], dim=1).reshape(x.shape)
        expected = torch.cat(heads).reshape(x.shape) + block.position(values)
    assert torch.allclose(out, expected, atol=1e-5)


def test_position_attention_activates_nothing_and_its_block_one_layer():
    silent = {"attention.qkv", "attention.position", "attention.project", "feed.1"}
    layers = {name: part for name, part in PSABlock(64).named_modules() if isinstance(part, Conv)}
    assert {name for name, part in layers.items() if isinstance(part.activation, nn.Identity)} == silent
    assert set(layers) - silent == {"feed.0"}


def test_position_attention_block_adds_both_of_its_halves():
    block = PSABlock(2)
    block.attention, block.feed = nn.Threshold(1e9, 10.0), nn.Threshold(1e9, 100.0)  # type: ignore[assignment]
    assert block(torch.ones(1, 2, 1, 1)).flatten().tolist() == [111, 111]


@pytest.mark.parametrize("repeats", [1, 3])
def test_c2psa_repeats_its_blocks(repeats: int):
    assert [type(block) for block in C2PSA(16, repeats).blocks] == [PSABlock] * repeats


def test_c2psa_passes_its_first_half_by():
    block = C2PSA(8)
    block.split.conv = block.split.norm = block.split.activation = block.join = nn.Identity()  # type: ignore[assignment]
    block.blocks = nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (1, 4, 2, 2)), nn.Threshold(1e9, 0.0))
    x = torch.ones(1, 8, 2, 2)
    assert block(x).sum(dim=(2, 3)).flatten().tolist() == [4, 4, 4, 4, 0, 0, 0, 0]


CASES: list[tuple[str, dict[str, object], Shape]] = [
    ("layer:c2psa", {"channels": 16}, (16, 4, 6)),
    ("layer:c2psa", {"channels": 16, "repeats": 2}, (16, 4, 6)),
    ("stage:c3", {"in_channels": 8, "out_channels": 16, "repeats": 2, "shortcut": True}, (8, 4, 6)),
    ("stage:c3k2_nested", {"in_channels": 8, "out_channels": 16, "repeats": 2, "expansion": 0.25}, (8, 4, 6)),
]


@pytest.mark.parametrize("block,arguments,shape", CASES)
def test_block_counts_what_fvcore_counts_and_trains(block: str, arguments: dict[str, object], shape: Shape):
    with torch.device("meta"):
        count = count_module(find_block(block)(**arguments), shape)
    module = find_block(block)(**arguments)
    assert count.output_shape == (16, 4, 6)
    assert count.macs == fvcore_macs(module, shape)
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
    module.train()(x).square().sum().backward()
    assert all(t.grad is not None and torch.isfinite(t.grad).all() for t in [x, *module.parameters()])


def test_c3_joins_the_processed_branch_first():
    block = C3(2, 4)
    block.join = nn.Identity()  # type: ignore[assignment]
    block.main, block.bypass = nn.Identity(), nn.Threshold(1e9, 7.0)  # type: ignore[assignment]
    assert block(torch.ones(1, 2, 1, 1)).flatten().tolist() == [1, 1, 7, 7]


@pytest.mark.parametrize("shortcut", [False, True])
def test_c3_has_the_residual_that_is_asked_for(shortcut: bool):
    block = C3(4, 8, 2, shortcut=shortcut).eval()
    assert [inner.shortcut for inner in block.main[1:]] == [shortcut] * 2
    assert C3.options(in_backbone=shortcut, level=3) == {"shortcut": shortcut}


@pytest.mark.parametrize("in_backbone", [False, True])
@pytest.mark.parametrize("level", [2, 3, 4, 5])
def test_nested_c3k2_is_c3k2_with_c3k_everywhere(in_backbone: bool, level: int):
    nested = STAGES.get("c3k2_nested")
    options = nested.options(in_backbone, level)  # type: ignore[attr-defined]
    assert options == {"expansion": C3k2.options(in_backbone, level)["expansion"]}
    block = nested(in_channels=8, out_channels=16, repeats=2, **options)
    assert [type(inner) for inner in block.inner] == [C3k, C3k]  # type: ignore[attr-defined, arg-type]


@pytest.mark.parametrize(
    ("channels", "repeats", "params"), [(32, 1, 4800), (64, 2, 29184), (128, 3, 156928), (256, 1, 296448)]
)
def test_the_genuine_block_of_yolov5(channels: int, repeats: int, params: int):
    """The four stages of YOLOv5n as its own summary lists them."""
    block = STAGES.get("c3_light")(channels, channels, repeats, True)  # type: ignore[call-arg]
    assert sum(parameter.numel() for parameter in block.parameters()) == params
    fork = STAGES.get("c3")(channels, channels, repeats, True)  # type: ignore[call-arg]
    assert sum(parameter.numel() for parameter in fork.parameters()) > params


@pytest.mark.parametrize("name", STAGES.names())
def test_the_narrowest_stage_has_no_empty_convolution(name: str):
    block = STAGES.get(name)
    options = block.options(True, 3) if hasattr(block, "options") else {}
    try:
        stage = block(4, 4, repeats=1, **options)  # type: ignore[call-arg]
    except SpaceError:
        pytest.skip("refuses so few channels")
    assert all(weight.numel() for weight in stage.parameters())
