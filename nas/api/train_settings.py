"""What a training was asked for: from the options, and from the folder when it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from search_space import Architecture
    from trainers import TrainConfig

COMMAND = ("data", "data_format", "images", "split", "weights", "pretrained", "threads", "tensorboard")
"""Settings of the command; all others are settings of the training."""
TRAINING = (
    "epochs",
    "batch_size",
    "accumulate",
    "learning_rate",
    "optimizer",
    "seed",
    "nwd",
    "eval_every",
    "eval_tile",
    "patience",
    "precision",
    "device",
    "num_readers",
)
AUGMENTATION = ("mosaic", "copy_paste", "tile", "flip_vertical", "turn", "hue", "saturation")
PATHS = ("data", "images", "weights", "pretrained")
FREE_COMMAND = ("threads", "tensorboard", "data", "data_format", "images", "split")
"""May differ when a training goes on; that the data is still the same is seen by its fingerprint, not by its place."""
FLAGS = {
    "data_format": "--format",
    "batch_size": "--batch",
    "learning_rate": "--lr",
    "num_readers": "--workers",
    "tile": "--tile-chance",
}
"""Options that are not called like their setting."""


class Entry(NamedTuple):
    """A setting as it was given."""

    flag: str
    path: tuple[str, ...]
    """Where it stands in config.yaml."""
    value: Any


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that decides a training; what config.yaml and architecture.yaml of its folder hold."""

    out: Path
    architecture: Architecture
    config: TrainConfig
    command: dict[str, Any]
    """See `COMMAND`."""
    resume: bool

    def write(self) -> None:
        """Writes architecture.yaml and config.yaml, with the versions of what computes."""
        import yaml

        from nas.config import versions
        from search_space.files import write_text

        self.out.mkdir(parents=True, exist_ok=True)
        self.architecture.to_yaml(self.out / "architecture.yaml")
        command = {name: _absolute(name, value) for name, value in self.command.items()}
        content = {**command, "training": self.config.to_dict(), "versions": versions()}
        write_text(self.out / "config.yaml", yaml.safe_dump(content, sort_keys=False))


def _absolute(name: str, value: Any) -> Any:
    """Makes paths absolute, so that the training can go on from another folder."""
    return str(Path(value).resolve()) if name in PATHS and value is not None else value


def entries(options: dict[str, Any], names: Iterable[str]) -> list[Entry]:
    """Returns those of the options called `names` that have a value, and what was given by --set.

    Raises:
        ConfigError: --set is not given as NAME=VALUE.
    """
    found = []
    for name in names:
        value = options.get(name)
        if value is None or name == "assignments":
            continue
        path = (name,) if name in COMMAND else ("training", *(("augmentation",) * (name in AUGMENTATION)), name)
        if name in COMMAND + TRAINING + AUGMENTATION:
            found.append(Entry(flag_of(name), path, value))
    return found + [_assignment(text) for text in options["assignments"] if "assignments" in set(names)]


def flag_of(name: str) -> str:
    """Returns the option that sets a setting."""
    return FLAGS.get(name, f"--{name.replace('_', '-')}")


@contextmanager
def options_named() -> Iterator[None]:
    """Calls a setting that is wrong as the user gives it, `--batch` rather than `batch_size`; raises ConfigError."""
    from search_space.errors import ConfigError
    from trainers.settings import SettingError

    try:
        yield
    except SettingError as error:
        name = error.setting.removeprefix("augmentation.")
        if name not in TRAINING + AUGMENTATION:
            raise
        raise ConfigError(str(error).replace(error.setting, flag_of(name), 1)) from None


def _assignment(text: str) -> Entry:
    from search_space.errors import ConfigError
    from search_space.yaml_text import YamlError, parse_yaml

    name, equals, value = text.partition("=")
    equals = equals if all(part.isidentifier() for part in name.split(".")) else ""
    try:
        parsed = parse_yaml(value)
    except YamlError:
        equals = ""
    if not equals:
        given = " ".join(text.split())[:80]
        raise ConfigError(f"--set {given} cannot be read; give NAME=VALUE, such as --set ema_decay=0.999")
    return Entry(f"--set {name}", ("training", *name.split(".")), _number(parsed))


def _number(value: Any) -> Any:
    """Returns what is a number in Python but a word in YAML, such as 1e-3, as a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _check_once(given: Iterable[Entry]) -> None:
    from search_space.errors import ConfigError

    flags: dict[tuple[str, ...], str] = {}
    for entry in given:
        if entry.path in flags:
            raise ConfigError(f"{flags[entry.path]} and {entry.flag} are the same setting; give one of them")
        flags[entry.path] = entry.flag


def fresh(
    architecture: str, options: dict[str, Any], given: set[str], on_notice: Callable[[str | None], None]
) -> Settings:
    """Returns the settings of a training that begins.

    Args:
        given: names of the options on the command line; the others are at their defaults.
        on_notice: is told whose data is used, where none was named.

    Raises:
        ConfigError: a setting is unknown or out of range, or the folder holds a training already.
    """
    from nas.api.data_of_run import with_known_data
    from nas.api.train_folder import check_free, no_folder
    from nas.architectures import load_architecture
    from search_space.errors import ConfigError
    from trainers import TrainConfig

    no_folder(architecture)
    arch = load_architecture(architecture, options["input_hw"])
    content: dict[str, Any] = {**dict.fromkeys(COMMAND), "training": TrainConfig().to_dict()}
    known = with_known_data(options, Path(architecture))
    on_notice(known.notice)
    options, given = (
        {**options, **known.options},
        given | {name for name, it in known.options.items() if it is not None},
    )
    chosen = entries(options, given)
    _check_once(chosen)
    for entry in (*entries({**options, "assignments": ()}, options.keys() - given), *chosen):
        _put(content, entry)
    if None not in (content["weights"], content["pretrained"]):
        raise ConfigError("--weights and --pretrained both say what to begin with; give one of them")
    out = options["out"] or Path("runs") / f"train-{Path(architecture).stem}"
    check_free(out)
    config = TrainConfig.from_dict(content.pop("training"))
    return Settings(out=out, architecture=arch, config=config, command=content, resume=False)


def resumed(folder: Path, architecture: str | None, options: dict[str, Any], given: set[str]) -> Settings:
    """Returns the settings of the training in `folder`, changed by those given options that may change.

    Args:
        given: names of the options on the command line.

    Raises:
        ConfigError: the folder holds no training that can go on, or something was given that must not change.
    """
    from nas.api.train_folder import can_go_on, read_config
    from search_space import Architecture
    from search_space.errors import ConfigError, SpaceError
    from trainers import TrainConfig

    content = {**dict.fromkeys(COMMAND), **read_config(folder)}
    can_go_on(folder)
    try:
        arch = Architecture.from_yaml(folder / "architecture.yaml")
    except SpaceError as error:
        raise ConfigError(f"{error}; put a copy of it back, or begin anew with another --out") from None
    _check_same(folder, arch, architecture, options)
    changes = entries(options, given)
    _check_once(changes)
    for entry in changes:
        _change(folder, content, entry)
    config = TrainConfig.from_dict(content.pop("training"))
    return Settings(out=folder, architecture=arch, config=config, command=content, resume=True)


def _check_same(folder: Path, arch: Architecture, named: str | None, options: dict[str, Any]) -> None:
    from nas.architectures import load_architecture
    from search_space.errors import ConfigError

    if options["out"] is not None and options["out"].resolve() != folder.resolve():
        raise ConfigError(f"--out is {options['out']}, but {folder} is resumed; leave --out out")
    if options["input_hw"] is not None and tuple(options["input_hw"]) != tuple(arch.input_hw):
        height, width = arch.input_hw
        raise ConfigError(f"{folder} was begun with --input {height} {width}; leave --input out or start anew")
    if named is not None and load_architecture(named, arch.input_hw).key() != arch.key():
        raise ConfigError(f"{folder} holds a training of another architecture than {named}; leave it out or start anew")


def _change(folder: Path, content: dict[str, Any], entry: Entry) -> None:
    from search_space.errors import ConfigError
    from trainers.checkpoint import FREE_TO_CHANGE

    before: Any = content
    for key in entry.path:
        before = before.get(key) if isinstance(before, dict) else None
    free = entry.path[-1] in (FREE_COMMAND if len(entry.path) == 1 else FREE_TO_CHANGE)
    value = _absolute(entry.path[-1], entry.value)
    if before != value and not free:
        begun = f"without {entry.flag}" if before is None else f"with {entry.flag} {before}"
        raise ConfigError(
            f"{folder} was begun {begun}, now it is {value}; leave the option out, or start anew with another --out"
        )
    _put(content, entry._replace(value=value))


def _put(content: dict[str, Any], entry: Entry) -> None:
    *folders, last = entry.path
    for key in folders:
        content = content.setdefault(key, {})
        if not isinstance(content, dict):
            from search_space.errors import ConfigError

            raise ConfigError(f"{entry.flag}: {key} is one value and has no {last}")
    content[last] = entry.value
