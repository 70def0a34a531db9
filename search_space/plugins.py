"""Plug-ins: Python files of a user that register blocks, designs or other things in the registries.

A plug-in is code and is executed. It is loaded only where the user names it, never because a file names it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from search_space.blocks import ROLES
from search_space.errors import PluginError
from search_space.registry import Addition, additions

MODULE_PREFIX = "nas_plugin_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
"""Valid names of registered things; they appear in tables, on command lines and in pages."""
PACKAGES = ("nas", "results", "search_space", "trainers")


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A loaded plug-in file."""

    path: Path
    digest: str
    """Hash of the content of the file when it was loaded, 12 hexadecimal digits."""
    added: tuple[tuple[str, str], ...]
    """The registered things as (kind, name), such as ("stage block", "ghost")."""
    blocks: tuple[str, ...]
    """The registered blocks as `role:name`."""

    @property
    def label(self) -> str:
        """File name and digest, as a run stores them."""
        return f"{self.path.name} {self.digest}"


_LOADED: dict[Path, Plugin] = {}


def loaded() -> tuple[Plugin, ...]:
    """Returns the plug-ins of this process in loading order."""
    return tuple(_LOADED.values())


def load_plugins(paths: Iterable[str | Path]) -> tuple[Plugin, ...]:
    """Loads several plug-ins; see `load_plugin`."""
    return tuple(load_plugin(path) for path in paths)


def load_plugin(path: str | Path) -> Plugin:
    """Runs a Python file that registers things, once per process.

    Raises:
        PluginError: The file is missing, fails, or registers nothing valid. Nothing of it stays registered.
    """
    if "\0" in str(path) or not Path(path).name.isprintable():
        raise PluginError(f"plug-in {path!r} has an invalid file name; rename it")
    file = Path(path).resolve()
    if file in _LOADED:
        return _LOADED[file]
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise PluginError(f"plug-in {path} cannot be read: {error.strerror}; give a Python file") from None
    if file.suffix != ".py":
        raise PluginError(f"plug-in {path} is not a Python file; give one that ends in .py")
    before = len(additions())
    try:
        _run(file, f"{MODULE_PREFIX}{file.stem}_{digest}")
        added = _added(before)
        if not added:
            raise PluginError(f"plug-in {path} registers nothing; next: decorate a block with @STAGES.register('name')")
        for each in added:
            if not isinstance(each.name, str) or not NAME.fullmatch(each.name):
                raise PluginError(
                    f"plug-in {path} registers the {each.registry.kind} {each.name!r}; next: use a name that begins "
                    "with a letter or digit and contains only these and '.', '_', '+', '-'"
                )
    except BaseException:
        for each in reversed(_added(before)):
            each.registry.remove(each.name)
        raise
    kinds = tuple((each.registry.kind, each.name) for each in added)
    blocks = tuple(f"{role}:{each.name}" for each in added for role in ROLES if ROLES[role] is each.registry)
    _LOADED[file] = Plugin(path=file, digest=digest, added=kinds, blocks=blocks)
    return _LOADED[file]


def forget_plugin(plugin: Plugin) -> None:
    """Unregisters a plug-in; modules already built from its blocks stay usable."""
    del _LOADED[plugin.path]
    for each in additions():
        if (each.registry.kind, each.name) in plugin.added:
            each.registry.remove(each.name)


def _run(file: Path, name: str) -> None:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None, "the file ends in .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look it up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise PluginError(f"plug-in {file} fails{_where(error, file)}: {said}; correct it") from error


def _added(before: int) -> list[Addition]:
    """Returns what a plug-in registered, without the modules of this project that it was the first to import."""
    return [each for each in additions()[before:] if each.module.partition(".")[0] not in PACKAGES]


def _where(error: BaseException, file: Path) -> str:
    """Returns ` in line N` where an error comes from a line of the plug-in, or an empty string."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f" in line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f" in line {lines[-1]}" if lines else ""
