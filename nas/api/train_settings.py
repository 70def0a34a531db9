"""The settings of a training: of a new one from what the user gives, of a resumed one from its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from nas.api.named_architecture import ArchitectureLike, find_architecture, shown_name
from nas.api.train_request import TRAINING, TrainingRequest, place_in_config, request_of, training_settings
from nas.setting_forms import absolute_value, is_kept, typed_value
from nas.settings import DATA_SETTINGS
from search_space.errors import ConfigError, SpaceError, unknown_name
from search_space.files import write_text
from trainers.settings import DeclaredSetting, SettingError, all_settings, format_value, value_at

if TYPE_CHECKING:
    from search_space import Architecture
    from trainers import TrainConfig

Values = dict[tuple[str, ...], Any]
"""What was given, by the place where it stands in config.yaml."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """All that decides a training; what config.yaml and architecture.yaml of its folder hold."""

    out: Path
    architecture: Architecture
    config: TrainConfig
    request: TrainingRequest
    resume: bool

    def write(self) -> None:
        """Writes architecture.yaml and config.yaml, with the versions of what computes."""
        import yaml

        from nas.config import versions

        self.out.mkdir(parents=True, exist_ok=True)
        self.architecture.to_yaml(self.out / "architecture.yaml")
        stored = {
            name: absolute_value(each, value)
            for name, each in _stored().items()
            if is_kept(each, value := getattr(self.request, name))
        }
        content = {**stored, TRAINING: self.config.to_dict(), "versions": versions()}
        write_text(self.out / "config.yaml", yaml.safe_dump(content, sort_keys=False))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The architecture that is to be trained, and what is known of where it comes from."""

    architecture: Architecture
    name: str
    """Part of the name of the default output folder."""
    place: Path | None = None
    """A file or folder; the training or the run that it lies in says which data to use."""
    file: Path | None = None
    """The file of the architecture, if there is one."""


def subject_of(architecture: ArchitectureLike, input_hw: tuple[int, int] | None) -> Subject:
    """Returns what is to be trained.

    Args:
        architecture: see `nas.api.named_architecture`; the `folder`, `path` or `weights` of an object tells its data.
        input_hw: height and width of the input; None is that of the architecture.

    Raises:
        ConfigError: there is no such architecture.
        SpaceError: the architecture is not valid, or does not take this size.
    """
    from nas.api.train_folder import no_folder

    if isinstance(architecture, (str, Path)):
        no_folder(str(architecture))
        path = Path(architecture)
        return Subject(architecture=find_architecture(architecture, input_hw), name=path.stem, place=path, file=path)
    found = find_architecture(architecture, input_hw)
    places = [getattr(architecture, name, None) for name in ("folder", "path", "weights")]
    place = next((Path(each) for each in places if isinstance(each, (str, PurePath))), None)
    given = getattr(architecture, "path", None)
    file = None if given is None else Path(given)
    return Subject(architecture=found, name=found.key() if file is None else file.stem, place=place, file=file)


def fresh(
    architecture: ArchitectureLike, given: Mapping[str, Any], on_notice: Callable[[str | None], None]
) -> TrainSettings:
    """Returns the settings of a new training.

    Args:
        architecture: see `subject_of`.
        given: settings by keyword, or by their name or path in config.yaml.
        on_notice: is told whose data is used, if none was given.

    Raises:
        ConfigError: a setting is unknown or out of range, or the folder holds a training already.
    """
    from nas.api.recipes import recipe_of
    from nas.api.train_folder import check_free
    from nas.api.train_start import start_of
    from trainers.config import TrainConfig

    values = placed(given)
    asked = request_of({name: value for (name, *_), value in values.items()})
    subject = subject_of(architecture, asked.input_hw)
    known, notice = _data_of(subject, values)
    on_notice(notice)
    content: dict[str, Any] = {TRAINING: TrainConfig().to_dict()}
    for each in training_settings().values():
        if each.about.command_default is not None:
            put(content, place_in_config(each), each.initial)
    recipe = recipe_of(asked.recipe, architecture)
    for path, value in {**placed(recipe.settings), **values, **known}.items():
        put(content, path, value)
    config = TrainConfig.from_dict(content.pop(TRAINING))
    request = request_of(content)
    _check_distillation(config, request)
    request = start_of(request, subject.file, on_notice)
    out = Path("runs") / f"train-{subject.name}" if request.out is None else Path(request.out)
    check_free(out)
    return TrainSettings(out=out, architecture=subject.architecture, config=config, request=request, resume=False)


def resumed(folder: Path, architecture: ArchitectureLike | None, given: Mapping[str, Any]) -> TrainSettings:
    """Returns the settings of the training in `folder`, changed by those given settings that may change.

    Args:
        folder: of the training.
        architecture: see `subject_of`; None is that of the training.
        given: settings by keyword, or by their name or path in config.yaml.

    Raises:
        ConfigError: the folder holds no training that can be resumed, or a setting was given that must not change.
    """
    from nas.api.train_folder import can_go_on, read_config
    from search_space import Architecture
    from trainers.config import TrainConfig

    values = placed(given)
    content = read_config(folder)
    can_go_on(folder)
    try:
        found = Architecture.from_yaml(folder / "architecture.yaml")
    except SpaceError as error:
        raise ConfigError(f"{error}; restore it from a copy, or start a new training with another --out") from None
    _check_same(folder, found, architecture, values)
    for path, value in values.items():
        _change(folder, content, path, value)
    config = TrainConfig.from_dict(content.pop(TRAINING))
    return TrainSettings(out=folder, architecture=found, config=config, request=request_of(content), resume=True)


def placed(given: Mapping[str, Any]) -> Values:
    """Returns given settings by the place where they stand in config.yaml; paths become texts.

    Raises:
        ConfigError: a name is unknown, or a setting is given by two names.
    """
    settings = training_settings()
    words = {word: each for each in settings.values() for word in (each.name, each.path, each.keyword)}
    values: Values = {}
    for word, value in given.items():
        path: tuple[str, ...] = (TRAINING, *word.split("."))
        if word in words:
            path = place_in_config(words[word])
        elif "." not in word and word not in {parent for each in settings.values() for parent in each.parents}:
            raise ConfigError(unknown_name("training setting", word, [each.keyword for each in settings.values()]))
        if word in words and value is not None and words[word].is_list and words[word].count is None:
            value = typed_value(words[word], value)
        if path in values:
            raise ConfigError(f"{word} is given twice; give it once")
        values[path] = str(value) if isinstance(value, PurePath) else value
    return values


@contextmanager
def settings_called(name: Callable[[DeclaredSetting], str]) -> Iterator[None]:
    """Within the block the message of a SettingError calls the setting as the user does.

    Args:
        name: returns the keyword or the option of a setting; an empty text stands for its path in config.yaml.

    Raises:
        SettingError: the one of the block, with another name at the beginning of its message.
    """
    try:
        yield
    except SettingError as error:
        known = training_settings().values()
        last = error.setting.rpartition(".")[2]
        found = next((each for each in known if last in (each.name, each.keyword)), None)
        if found is None or not str(error).startswith(error.setting):
            raise
        word = name(found) or found.path
        raise SettingError(f"{word}{str(error)[len(error.setting) :]}", word) from None


def put(content: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Sets a value in nested dictionaries.

    Raises:
        ConfigError: a part of the path is one value.
    """
    *parents, last = path
    for name in parents:
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise ConfigError(f"{'.'.join(path[1:])}: {name} is one value and has no {last}")
    content[last] = value


def _stored() -> dict[str, DeclaredSetting]:
    return {name: each for name, each in all_settings(TrainingRequest).items() if each.about.is_stored}


def _check_distillation(config: TrainConfig, request: TrainingRequest) -> None:
    """Raises SettingError where a setting of distillation is given without a teacher."""
    from trainers.loss_settings import DistillationOptions

    options, default = config.distillation, DistillationOptions()
    for name, value in vars(options).items():
        if request.teacher is None and value != getattr(default, name):
            raise SettingError(f"{name} is {value}, but there is no teacher; give one, or omit {name}", name)


def _data_of(subject: Subject, values: Values) -> tuple[Values, str | None]:
    """Returns the settings of the data, as given or as of the run of the architecture, and a notice of the latter."""
    from nas.api.data_of_run import with_known_data

    given = {name: values.get((name,)) for name in DATA_SETTINGS}
    if subject.place is None:
        return {}, None
    known = with_known_data(given, subject.place)
    return {(name,): value for name, value in known.options.items() if value is not None}, known.notice


def _check_same(folder: Path, found: Architecture, named: ArchitectureLike | None, values: Values) -> None:
    request = request_of({name: value for (name, *_), value in values.items()})
    if request.out is not None and Path(request.out).resolve() != folder.resolve():
        raise ConfigError(f"--out is {request.out}, but {folder} is resumed; omit --out")
    if request.input_hw is not None and request.input_hw != tuple(found.input_hw):
        height, width = found.input_hw
        raise ConfigError(
            f"{folder} was started with --input {height} {width}; omit --input, or start a new training with another "
            "--out"
        )
    if named is not None and subject_of(named, found.input_hw).architecture.key() != found.key():
        raise ConfigError(
            f"{folder} has a training of another architecture than {shown_name(named)}; omit the architecture, or "
            "start a new training with another --out"
        )


def _change(folder: Path, content: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Sets a value that is given at a resume."""
    setting = next((each for each in training_settings().values() if place_in_config(each) == path), None)
    if setting is not None:
        if not setting.about.is_stored:
            return
        value = absolute_value(setting, value)
    before = value_at(content, path, None if setting is None else setting.default)
    if isinstance(before, list):  # as YAML has it
        before = tuple(before)
    if before != value and not (setting is not None and setting.about.resumable):
        name = ".".join(path).removeprefix(f"{TRAINING}.")
        now = "given" if value is True else _as_typed(setting, value)
        begun = "without it" if before in (None, False, ()) else "with it" if before is True else ""
        begun = begun or f"with {_as_typed(setting, before)}"
        raise SettingError(
            f"{name} is {now}, but {folder} was started {begun}; omit it, or start a new training with another output "
            "folder",
            name,
        )
    put(content, path, value)


def _as_typed(declared: DeclaredSetting | None, value: Any) -> str:
    """Returns a value as it is typed on a command line; several are joined by spaces if their number is fixed."""
    if not isinstance(value, tuple):
        return format_value(value)
    return (" " if declared is not None and declared.count else ",").join(map(format_value, value))
