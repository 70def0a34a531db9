"""Load plug-ins, try their blocks, heads and designs, and check that a run keeps its plug-ins."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from nas.config import RunConfig
from nas.cost import forget_blocks, node_costs
from search_space import DESIGNS, Architecture, SearchSpace, lower
from search_space.blocks import find_block
from search_space.errors import ConfigError, PluginError, SpaceError
from search_space.graph import IMAGE
from search_space.head_kind import HEAD_KINDS
from search_space.plugins import Plugin, forget_plugin, load_plugins, loaded

Shape = tuple[int, ...]
DRAWS = 200
"""Random points per axis to find some that contain a block."""
TRIES = 8
"""Points per axis to try before a block is rejected."""


def use_plugins(paths: Iterable[str]) -> tuple[Plugin, ...]:
    """Loads plug-ins and counts detectors with each of their blocks, heads and designs.

    Raises:
        PluginError: A file cannot be loaded, or one of its parts works in none of the tried detectors. Nothing of the
            file stays registered.
    """
    known = set(loaded())
    plugins = load_plugins(paths)
    for plugin in plugins:
        if plugin not in known:
            try:
                _try_blocks(plugin)
                _try_heads(plugin)
                _try_designs(plugin)
            except BaseException:
                forget_plugin(plugin)
                forget_blocks()
                raise
    return plugins


def labels() -> tuple[str, ...]:
    """Returns file names and digests of the loaded plug-ins, as a run stores them."""
    return tuple(sorted(plugin.label for plugin in loaded()))


def paths() -> tuple[str, ...]:
    """Returns the files of the loaded plug-ins, for worker processes."""
    return tuple(str(plugin.path) for plugin in loaded())


def options() -> str:
    """Returns the options, each after a space, with which another command loads the same plug-ins."""
    return "".join(f" --plugin {shlex.quote(path)}" for path in paths())


def check_plugins(config: RunConfig) -> None:
    """Checks that the loaded plug-ins are those that a run was started with.

    Raises:
        ConfigError: A plug-in is missing, has changed, or is new.
    """
    if labels() == config.plugins:
        return
    with_them = " ".join(config.plugin_words()) or "no --plugin"
    raise ConfigError(
        f"the run {config.name} was started with {', '.join(config.plugins) or 'no plug-in'}, "
        f"got {', '.join(labels()) or 'none'}; next: the same command with {with_them}, and the files as they were"
    )


def _try_blocks(plugin: Plugin) -> None:
    for block in plugin.blocks:
        role, _, name = block.partition(":")
        if role != "head":  # blocks of heads are tried with their kind of head
            _try(plugin, block, _architectures_with(name), partial(_contains, block))


def _try_heads(plugin: Plugin) -> None:
    for kind, name in plugin.added:
        if kind == HEAD_KINDS.kind:
            _try(plugin, f"the head {name}", _architectures_with(name, "head"), _is_encoded)


def _try_designs(plugin: Plugin) -> None:
    for kind, name in plugin.added:
        if kind == DESIGNS.kind:
            _try(plugin, f"the design {name}", (DESIGNS.get(name).architecture,), _is_counted)


def _try(
    plugin: Plugin, what: str, architectures: Iterable[Architecture], passes: Callable[[Architecture], bool]
) -> None:
    """Raises PluginError with the last error if a part fails in every architecture that contains it."""
    refusal: Exception | None = None
    try:
        for architecture in architectures:
            try:
                if passes(architecture):
                    return
            except Exception as error:
                refusal = error
    except Exception as error:
        refusal = error
    if refusal is not None:
        words = str(refusal) if isinstance(refusal, SpaceError) else f"{type(refusal).__name__}: {refusal}"
        raise PluginError(
            f"plug-in {plugin.path}: {what} cannot be used: {words}; next: see docs/own-block.md for the requirements"
        )


def _is_counted(architecture: Architecture) -> bool:
    return bool(list(node_costs(lower(architecture, num_classes=3))))


def _is_encoded(architecture: Architecture) -> bool:
    """Counts an architecture; raises SpaceError if it changes when written as plain data or encoded as a point."""
    space = SearchSpace()
    if Architecture.from_dict(architecture.to_dict()) != architecture:
        raise SpaceError("its plain data reads back as another head")
    if space.decode(space.encode(architecture)) != architecture:
        raise SpaceError(
            "its axes do not describe all its options; give each option an axis of its name, or define decode and read"
        )
    return _is_counted(architecture)


def _contains(block: str, architecture: Architecture) -> bool:
    """Counts an architecture; returns whether it contains a block.

    Raises:
        SpaceError: The block cannot be built or run, or its output has another shape than its role requires.
    """
    graph = lower(architecture, num_classes=3)
    shapes: dict[str, Shape] = {IMAGE: (3, *graph.input_hw)}
    found = False
    for node, count in node_costs(graph):
        shapes[node.name] = count.output_shape
        if node.block == block:
            found, taken = True, shapes[node.inputs[-1]]
            expected = _expected(block, dict(node.arguments), taken)
            if expected is not None and count.output_shape != expected:
                raise SpaceError(f"its output for {taken} (C, H, W) is {count.output_shape}, expected {expected}")
    return found


def _expected(block: str, arguments: dict[str, Any], taken: Shape) -> Shape | None:
    """Returns the output shape `(C, H, W)` that a block's role requires for its last input, or None for any."""
    role, cls = block.partition(":")[0], find_block(block)
    channels, height, width = taken
    match role:
        case "attention" | "smooth":
            return taken
        case "stage":
            return (arguments["out_channels"], height, width)
        case "downsample":
            return (arguments["out_channels"] * int(getattr(cls, "channel_factor", 1)), height // 2, width // 2)
        case "upsample":
            return (channels, 2 * height, 2 * width)
        case "fusion":
            return (cls.output_channels(arguments["in_channels"]), height, width)  # type: ignore[attr-defined]
        case "transform":
            stride = arguments["stride"]
            return (arguments["out_channels"], -(-height // stride), -(-width // stride))
    return None


def _architectures_with(choice: str, only: str | None = None) -> Iterator[Architecture]:
    """Yields random architectures with a choice on any axis, or on the axis `only`; none if no axis has the choice."""
    rng, space = np.random.default_rng(0), SearchSpace()
    for axis in space.axes:
        if choice not in axis.choices or only not in (None, axis.name):
            continue
        narrowed, tries = space.narrowed({axis.name: [choice]}), 0
        for _ in range(DRAWS):
            params = narrowed.random(rng)
            if axis.name in params and tries < TRIES:
                tries += 1
                yield narrowed.decode(params)
