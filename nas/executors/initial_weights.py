"""The weights that a job starts from, and the peak learning rate that suits them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from nas.executors import Donor, Evaluation, Job
from nas.executors.scoring import score
from nas.transfer import TransferReport, transfer
from search_space import Architecture, Detector
from search_space.errors import ConfigError, UserError
from trainers import TrainConfig, load_weights
from trainers.batch_statistics import estimate_statistics
from trainers.data import DataSplits
from trainers.optimizer import device_for
from trainers.weights import Weights, load_state

NUM_SCORED = 100
"""The validation images that a detector with inherited weights is scored on before it is trained."""
LOWEST_RATE = 0.2
"""The peak learning rate of a detector that is as good as its donor before it is trained, as a share of the usual one:
the usual one costs such weights a third of their AP50, while weights that a large change has broken need it."""
NOTHING = TransferReport(parameters=0.0, macs=0.0, usable_macs=0.0, by_node={})


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """What a detector starts from."""

    pretrained: TransferReport | None = None
    """What it took from pretrained weights; None where it was given none."""
    inherited: TransferReport | None = None
    """What it took from a donor; None where it was given none."""
    peak_learning_rate: float | None = None
    """Of the training of a detector with a donor; None: the usual one."""
    note: str = ""
    """Why it took nothing."""

    def told(self, evaluation: Evaluation) -> Evaluation:
        """Returns the evaluation of the detector with what it started from."""
        reason = evaluation.reason
        if self.note:
            why = reason or (evaluation.cause.text if evaluation.cause is not None else "")
            reason = f"{why}; {self.note}" if why else self.note
        return replace(
            evaluation,
            reason=reason,
            pretrained_params=None if self.pretrained is None else self.pretrained.parameters,
            pretrained_macs=None if self.pretrained is None else self.pretrained.macs,
            inherited_macs=None if self.inherited is None else self.inherited.usable_macs,
            peak_learning_rate=self.peak_learning_rate,
        )


def initialise(detector: Detector, job: Job, splits: DataSplits, config: TrainConfig) -> InitialWeights:
    """Fills a detector, in place, with the weights that a job starts from.

    Pretrained weights and weights of a donor that cannot be read leave the detector as it is.

    Raises:
        ConfigError: The weights of the rung below are missing or are those of another architecture.
        DataError: None of the images that tell the peak learning rate can be read.
    """
    if job.start_weights is not None:
        load_state(detector, load_weights(job.start_weights).state)
        return InitialWeights()
    if job.donor is not None:
        return _inherited(detector, job, job.donor, splits, config)
    if job.pretrained is None:
        return InitialWeights()
    try:
        donor = load_weights(job.pretrained)
    except ConfigError as error:
        return InitialWeights(pretrained=NOTHING, note=f"trained from random weights: {error}")
    report = transfer(detector, donor, classes=splits.train.classes)
    return InitialWeights(pretrained=report, note="" if report.macs else "nothing of the pretrained weights fits")


def _inherited(detector: Detector, job: Job, donor: Donor, splits: DataSplits, config: TrainConfig) -> InitialWeights:
    """Fills a detector with what fits of the weights of its donor."""
    usual = config.peak_learning_rate
    try:
        report = transfer(detector, _weights_of(donor), classes=splits.train.classes)
    except UserError as error:
        note = f"trained from random weights, without its donor, trial {donor.number}: {error}"
        return InitialWeights(inherited=NOTHING, peak_learning_rate=usual, note=note)
    if not report.macs:
        note = f"trained from random weights: nothing of its donor, trial {donor.number}, fits"
        return InitialWeights(inherited=report, peak_learning_rate=usual, note=note)
    detector.to(device_for(config.device))
    estimate_statistics(detector, splits.train, seed=job.seed)
    child = score(detector, splits.val.limited(NUM_SCORED), batch_size=config.batch_size).values["accuracy"]
    return InitialWeights(inherited=report, peak_learning_rate=usual * rate_share(child, donor.accuracy))


def _weights_of(donor: Donor) -> Weights:
    """Reads the weights of a donor.

    Raises:
        ConfigError: They cannot be read, or are those of another architecture.
        SpaceError: Their architecture is invalid.
    """
    weights = load_weights(donor.weights)
    key = Architecture.from_dict(weights.architecture).key()
    if key != donor.key:
        raise ConfigError(
            f"{donor.weights} must have weights of the architecture {donor.key}, got {key}; restore it from a copy"
        )
    return weights


def rate_share(child: float, donor: float | None) -> float:
    """Returns the peak learning rate of a detector with inherited weights, as a share of the usual one.

    It rises linearly with the damage, 1 - child / donor, from `LOWEST_RATE` to 1.

    Args:
        child: Accuracy of the detector before it is trained.
        donor: Accuracy of its donor; where it is 0 or unknown, the share is 1.
    """
    known = donor is not None and math.isfinite(donor) and donor > 0
    if donor is None or not known or not math.isfinite(child):
        return 1.0
    damage = 1.0 - min(1.0, max(child, 0.0) / donor)
    return LOWEST_RATE + (1.0 - LOWEST_RATE) * damage
