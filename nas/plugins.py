"""What commands do with plug-ins: load them, try their blocks at once, and hold a run to those that it began with."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.config import RunConfig
    from search_space import Architecture
    from search_space.plugins import Plugin

Shape = tuple[int, ...]
DRAWS = 200
"""Random points that are drawn on an axis to find some with a block in them."""
TRIES = 8
"""Points of an axis that are costed before a block is given up."""


def use_plugins(paths: Iterable[str]) -> tuple[Plugin, ...]:
    """Loads plug-ins and counts a detector with each of their blocks and heads and each of their designs.

    Raises:
        PluginError: A file cannot be loaded, or one of these cannot be part of any detector that was tried; then
            nothing of it stays registered.
    """
    from nas.cost import forget_blocks
    from search_space.plugins import forget_plugin, load_plugins, loaded

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
    """Returns what a run remembers of the plug-ins of this process: file names and digests."""
    from search_space.plugins import loaded

    return tuple(sorted(plugin.label for plugin in loaded()))


def paths() -> tuple[str, ...]:
    """Returns the files of the plug-ins of this process, for its workers."""
    from search_space.plugins import loaded

    return tuple(str(plugin.path) for plugin in loaded())


def options() -> str:
    """Returns the options, each after a space, by which another command loads the plug-ins of this process."""
    return "".join(f" --plugin {shlex.quote(path)}" for path in paths())


def check_plugins(config: RunConfig) -> None:
    """Makes sure that a run goes on with the plug-ins that it began with.

    Raises:
        ConfigError: One is missing, was changed, or was not there.
    """
    from search_space.errors import ConfigError

    if labels() == config.plugins:
        return
    names = [label.rpartition(" ")[0] for label in config.plugins]
    with_them = " ".join(f"--plugin {name}" for name in names) or "no --plugin"
    raise ConfigError(
        f"the run {config.name} was started with {', '.join(config.plugins) or 'no plug-in'}, "
        f"got {', '.join(labels()) or 'none'}; next: the same with {with_them}, as the files were then"
    )


def _try_blocks(plugin: Plugin) -> None:
    for block in plugin.blocks:
        role, _, name = block.partition(":")
        if role != "head":  # which are tried with the kind of head that they are parts of
            _try(plugin, block, _architectures_with(name), partial(_is_met, block))


def _try_heads(plugin: Plugin) -> None:
    from search_space.head_kind import HEAD_KINDS

    for kind, name in plugin.added:
        if kind == HEAD_KINDS.kind:
            _try(plugin, f"the head {name}", _architectures_with(name, "head"), _is_said_by_its_point)


def _try_designs(plugin: Plugin) -> None:
    from search_space import DESIGNS

    for kind, name in plugin.added:
        if kind == DESIGNS.kind:
            _try(plugin, f"the design {name}", (DESIGNS.get(name).architecture,), _is_counted)


def _try(
    plugin: Plugin, what: str, architectures: Iterable[Architecture], is_met: Callable[[Architecture], bool]
) -> None:
    """Raises PluginError, with the last refusal, where a thing was refused by every architecture that asked for it."""
    from search_space.errors import PluginError, SpaceError

    refusal: Exception | None = None
    try:
        for architecture in architectures:
            try:
                if is_met(architecture):
                    return
            except Exception as error:
                refusal = error
    except Exception as error:
        refusal = error
    if refusal is not None:
        words = str(refusal) if isinstance(refusal, SpaceError) else f"{type(refusal).__name__}: {refusal}"
        raise PluginError(
            f"plug-in {plugin.path}: {what} cannot be used: {words}; next: docs/own-block.md says what it must do"
        )


def _is_counted(architecture: Architecture) -> bool:
    from nas.cost import node_costs
    from search_space import lower

    return bool(list(node_costs(lower(architecture, num_classes=3))))


def _is_said_by_its_point(architecture: Architecture) -> bool:
    """Counts an architecture, reads it back from plain data and from its point; raises SpaceError where it differs."""
    from search_space import Architecture, SearchSpace
    from search_space.errors import SpaceError

    space = SearchSpace()
    if Architecture.from_dict(architecture.to_dict()) != architecture:
        raise SpaceError("what is written of it reads as another head")
    if space.decode(space.encode(architecture)) != architecture:
        raise SpaceError("its axes do not say all of it; give each option an axis of its name, or decode and read")
    return _is_counted(architecture)


def _is_met(block: str, architecture: Architecture) -> bool:
    """Counts an architecture; returns whether a block is in it.

    Raises:
        SpaceError: The block cannot be built or run, or what it gives has another shape than its role asks for.
    """
    from nas.cost import node_costs
    from search_space import lower
    from search_space.errors import SpaceError
    from search_space.graph import IMAGE

    graph = lower(architecture, num_classes=3)
    shapes: dict[str, Shape] = {IMAGE: (3, *graph.input_hw)}
    is_met = False
    for node, count in node_costs(graph):
        shapes[node.name] = count.output_shape
        if node.block == block:
            is_met, taken = True, shapes[node.inputs[-1]]
            expected = _expected(block, dict(node.arguments), taken)
            if expected is not None and count.output_shape != expected:
                raise SpaceError(f"it makes {count.output_shape} (C, H, W) of {taken}, and {expected} is asked for")
    return is_met


def _expected(block: str, arguments: dict[str, Any], taken: Shape) -> Shape | None:
    """Returns the shape `(C, H, W)` that a block must make of its last input; None where its role leaves that open."""
    from search_space.blocks import find_block

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
    """Yields random architectures with a choice on some axis, or on one; none where no axis offers it."""
    import numpy as np

    from search_space import SearchSpace

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
