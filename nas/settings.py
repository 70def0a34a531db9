"""The settings of a search, each declared once.

The options of `nas run`, `config.yaml` in the folder of a run, the checks at `--resume` and `--join`, the command that
the report prints, the keywords of `nas.search` and the table in docs/running.md are derived from these declarations by
`nas.setting_forms`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from nas import data_settings, data_words
from nas.trackers import track_setting
from trainers.settings import declared_settings, setting

_setting = partial(setting, identity=False)
_BUDGET, _DATA, _SEARCH, _TRAINING, _SPACE, _FOLDER, _WORKERS = (
    partial(_setting, group=each) for each in ("Budget", "Data", "Search", "Training", "Space", "Folder", "Workers")
)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What a user can say about a search."""

    budget_gflops: float | None = _BUDGET(
        None, "Upper limit on GFLOPs (= GMACs, fvcore's convention).", unit="GFLOPs", metavar="G", above=0
    )
    budget_params_m: float | None = _BUDGET(
        None, "Upper limit on trainable parameters, in millions.", unit="million", metavar="P", above=0
    )
    budget_latency_ms: float | None = _BUDGET(
        None,
        "Upper limit on the predicted latency, at the upper end of its prediction interval; needs --device.",
        unit="ms",
        metavar="MS",
        above=0,
        needs="device",
    )
    budget_memory_mb: float | None = _BUDGET(
        None,
        "Upper limit on the peak memory of the activations of one image, as 32-bit floats, in units of 1e6 bytes.",
        unit="MB",
        metavar="MB",
        above=0,
    )
    device: str | None = _BUDGET(
        None, "Board whose latency is predicted: a name from nas devices, or a YAML file.", metavar="NAME"
    )
    precision: str | None = _BUDGET(
        None,
        "Precision of the board's profile, such as fp16.",
        metavar="P",
        default_words="that of the board's default profile",
        stands_for="device",
        needs="device",
    )
    confidence: float = _BUDGET(
        0.9,
        "Confidence level of the prediction interval of the latency.",
        metavar="C",
        above=0,
        below=1,
        needs="device",
    )
    frame: tuple[int, int] | None = _BUDGET(
        None,
        "Height and width in pixels of the frames that the detector gets where it is deployed.",
        unit="px",
        metavar="H W",
        minimum=16,
        maximum=32768,
        stored_if_set=True,
    )
    end_to_end: bool = _BUDGET(
        False,
        "Latencies, those of --budget-latency-ms and --objective latency, are those of a whole frame: scaling it, the "
        "network, decoding and suppression; needs --frame.",
        needs="device",
        stored_if_set=True,
    )
    data: str | None = _DATA(
        None,
        data_words.DATA,
        metavar="PATH",
        default_words="the built-in set",
        is_path=True,
        resumable=True,
        joinable=True,
    )
    split: str | None = _DATA(None, data_words.SPLIT, metavar="NAME")
    data_format: str | None = _DATA(
        None,
        data_words.DATA_FORMAT,
        option="--format",
        metavar="NAME",
        default_words="detected",
    )
    images: str | None = _DATA(
        None,
        data_words.IMAGES,
        metavar="DIR",
        is_path=True,
        resumable=True,
        joinable=True,
    )
    select_classes: tuple[str, ...] = data_settings.select_classes()
    merge: tuple[str, ...] = data_settings.merge()
    other_classes: str | None = data_settings.other_classes()
    pixel_range: tuple[float, float] | None = data_settings.pixel_range()
    objective: tuple[str, ...] = _SEARCH(
        ("accuracy", "macs"),
        "Objective of the search; two or three in all. Accuracies: accuracy, ap, ap50, ap-small, ap-medium, ap-large, "
        "ap-LOW-HIGH (sizes in px). Costs: macs, params, latency (needs --device), memory. A single accuracy is "
        "combined with macs; costs without an accuracy are combined with accuracy.",
        metavar="NAME",
        default_words="accuracy and macs",
    )
    strategy: str = _SEARCH(
        "ehvi",
        "Search strategy: ehvi, evolution, grid, nsga2, random, tpe or one from a plug-in.",
        metavar="NAME",
    )
    trials: int | None = _SEARCH(
        None,
        "Stop after this number of trials in total. Each rung of an architecture is a trial; rejected and cached "
        "trials do not count.",
        metavar="N",
        minimum=1,
        resumable=True,
        joinable=True,
    )
    minutes: float | None = _SEARCH(
        None,
        "Stop after this time in total.",
        unit="minutes",
        metavar="M",
        default_words="8; 30 with --data; no limit with --trials",
        above=0,
        resumable=True,
        joinable=True,
    )
    hours: float | None = _SEARCH(
        None,
        "--minutes in hours.",
        unit="hours",
        metavar="H",
        above=0,
        resumable=True,
        joinable=True,
        stands_for="minutes",
    )
    finish: int = _SEARCH(
        0,
        "Members of the front, the most accurate first, that are trained on after the search, evaluated on the "
        "held-out images and exported; the time is divided between search and finish. Needs a limit of time.",
        metavar="N",
        minimum=0,
        resumable=True,
    )
    trial_minutes: float | None = _SEARCH(
        None,
        "Time limit of a trial on one rung; a trial over the limit is recorded as failed.",
        unit="minutes",
        metavar="M",
        default_words="no limit",
        above=0,
        resumable=True,
        joinable=True,
    )
    seed: int = _SEARCH(0, "Seed of the search and of the training.", metavar="S", minimum=0, maximum=2**32 - 1)
    rungs: tuple[float, ...] = _TRAINING(
        (),
        "Epochs of each rung, in addition to those of the rungs before. All candidates are trained on the first rung; "
        "the best third is promoted to the next.",
        unit="epochs",
        metavar="E,E",
        default_words="as the time allows for 24 trials or more, by the measured speed; with --trials 0.3,0.6, or "
        "0.5,1.5 with --data",
        above=0,
        separator=",",
        identity=True,
    )
    epochs: float | None = _TRAINING(
        None,
        "A single rung of this many epochs for every architecture.",
        unit="epochs",
        metavar="E",
        above=0,
        stands_for="rungs",
    )
    proxy: str | None = _TRAINING(
        None,
        "Zero-cost proxy, such as nwot, as a rung before the first.",
        metavar="NAME",
        default_words="none",
        identity=True,
    )
    pretrained: str | None = _TRAINING(
        None,
        "Weights that trials start from instead of random ones: a weights file, of nas or published by others, a "
        "training, a run, an export or a member of a front. What fits an architecture is taken over. At a resume or a "
        "join, another path to the same weights.",
        metavar="PATH",
        default_words="none",
        is_path=True,
        resumable=True,
        joinable=True,
    )
    inherit: str = _TRAINING(
        "none",
        "donor: a trial starts from the weights of a trained trial of the run, its parent or the one that shares most "
        "of its multiply-adds. none: it does not.",
        choices=("donor", "none"),
        identity=True,
    )
    repeats: int = _TRAINING(
        1,
        "Number of seeds with which each member of the front is trained; the additional trainings run at the end.",
        metavar="R",
        minimum=1,
        resumable=True,
    )
    batch: int = _TRAINING(4, "Images per training step.", metavar="B", minimum=1, identity=True)
    threads: int | None = _TRAINING(
        None,
        "CPU threads of each training.",
        metavar="N",
        default_words="those of PyTorch, or as many as other programs leave cores",
        minimum=1,
        resumable=True,
        joinable=True,
    )
    holdout: str | None = _TRAINING(
        None,
        "yes: one half of the validation images scores the trials, the other half only the detectors of the last rung, "
        "so that they are not reported on the images that chose them. no: all of them do both.",
        choices=("yes", "no"),
        default_words="yes with 200 validation images or more, else no",
        identity=True,
    )
    fix: tuple[str, ...] = _SPACE(
        (), "Fix an axis of the search space to one value. May be repeated.", metavar="AXIS=VALUE"
    )
    choices: tuple[str, ...] = _SPACE(
        (), "Restrict an axis of the search space to these choices. May be repeated.", metavar="AXIS=A,B"
    )
    space: str | None = _SPACE(
        None,
        "File that restricts axes, with lines such as 'fusion: [concat, add]'.",
        metavar="FILE.yaml",
        stands_for="choices",
        is_path=True,
    )
    auto: bool = _SPACE(
        False,
        "Restrict the axes that you do not restrict yourself by the sizes of the boxes in --data, as nas inspect "
        "advises.",
    )
    start: tuple[str, ...] = _SPACE(
        (),
        "Design or architecture with which the search starts. May be repeated.",
        metavar="DESIGN|FILE.yaml",
        default_words="one design of each of four papers; with --budget-latency-ms those predicted fastest",
    )
    from_run: str | None = _SPACE(
        None,
        "Earlier run to start from: its trials are imported if data and training are the same; otherwise the search "
        "starts with its front. Budget, space and objectives may differ.",
        option="--from",
        metavar="DIR",
        is_path=True,
    )
    name: str = _FOLDER("", "Name of the run's folder.", metavar="NAME", default_words="date and time", joinable=True)
    out: str = _FOLDER("runs", "Parent folder of the run's folder.", metavar="DIR", is_path=True, joinable=True)
    storage: str | None = _FOLDER(
        None,
        "PostgreSQL database of the study, postgresql://USER@HOST/DATABASE, for workers on several hosts.",
        metavar="URL",
        default_words="a file in the run's folder",
        joinable=True,
    )
    track: str | None = track_setting(_FOLDER)
    executor: str = _WORKERS(
        "local",
        "How trainings run: local (in this process, or in worker processes if --workers is above 1), processes, ray or "
        "one from a plug-in.",
        metavar="NAME",
        per_session=True,
        joinable=True,
    )
    workers: int | None = _WORKERS(
        None,
        "Number of trainings at the same time.",
        metavar="N",
        default_words="1; with ray, as many as fit",
        minimum=1,
        per_session=True,
        joinable=True,
    )
    address: str | None = _WORKERS(
        None,
        "Address of the Ray cluster.",
        metavar="HOST:PORT",
        default_words="a new cluster on this machine",
        per_session=True,
        joinable=True,
    )
    cpus_per_trial: float | None = _WORKERS(
        None,
        "CPUs of each training (ray only).",
        metavar="C",
        default_words="1",
        above=0,
        per_session=True,
        joinable=True,
    )
    gpus_per_trial: float | None = _WORKERS(
        None,
        "GPUs of each training, may be a fraction (ray only).",
        metavar="G",
        default_words="1 if there are GPUs, else 0",
        minimum=0,
        per_session=True,
        joinable=True,
    )


DATA_SETTINGS = tuple(name for name, each in declared_settings(RunSettings).items() if each.about.group == "Data")
"""Names of the settings that say which data is used and how it is read."""
