"""Advice beyond the search space: on the split, rare classes and crowded images."""

from __future__ import annotations

from nas.advice.contents import MAX_SHOWN, Contents
from nas.advice.leaks import CHANCE, Leaks
from nas.advice.recommendation import Recommendation, percent

NOTABLE = 2 * CHANCE
"""Smallest share of near-duplicates that is reported."""
RARE = 0.01
"""A class with a smaller share of the training boxes is rare."""
FEW_MEASURED = 20
"""With fewer validation boxes the accuracy of a class is unreliable."""


def notes(parts: list[Contents], leaks: Leaks) -> tuple[Recommendation, ...]:
    """Returns the advice on a training and a validation split, in this order, and on leaks between all splits."""
    train, val = parts[0], parts[1]
    return (*_about_split(leaks), *_about_classes(train, val), *_about_crowds(val))


def _about_split(leaks: Leaks) -> list[Recommendation]:
    leaking = [pair for pair in leaks.pairs if pair.share >= NOTABLE]
    return [
        Recommendation(
            topic="split",
            flags=(),
            reason=f"{percent(pair.share)} of the {pair.part} images show what an image of {pair.other} shows, "
            f"{percent(CHANCE)} would by chance: split by flight, video or place; otherwise {pair.part} scores do not "
            "tell how well a detector works in new places",
            numbers={"part": pair.part, "other": pair.other, "share": pair.share, "chance": CHANCE},
        )
        for pair in leaking
    ]


def _about_classes(train: Contents, val: Contents) -> list[Recommendation]:
    found = []
    for name, count in train.by_class.items():
        measured = val.by_class[name]
        share = count / train.num_boxes
        if share < RARE or measured < FEW_MEASURED:
            found.append(
                Recommendation(
                    topic="classes",
                    flags=(),
                    reason=f"{name} is {percent(share)} of the training boxes ({count}) and has {measured} in "
                    "validation: its accuracy will be noisy",
                    numbers={"name": name, "num_train": count, "num_val": measured, "share": share},
                )
            )
    return found


def _about_crowds(val: Contents) -> list[Recommendation]:
    if not val.num_crowded:
        return []
    most = val.objects["max"]
    return [
        Recommendation(
            topic="max_detections",
            flags=("--max-detections", str(most)),
            reason=f"{val.num_crowded} of {val.num_images} validation images contain more than {MAX_SHOWN} objects, up "
            f"to {most}; by default nas val counts {MAX_SHOWN} detections per image",
            numbers={"num_images": val.num_crowded, "max_objects": most},
        )
    ]
