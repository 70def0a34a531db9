"""Compare the image sizes that annotations state with those of the files."""

from __future__ import annotations

from search_space.errors import DataError
from trainers.data.dataset import Dataset, Record, size_mismatch, stated_hw
from trainers.data.defects import IMAGES_LEFT_OUT
from trainers.data.images import ImageError, ImageHeader, image_header

CONTRADICTED = "have another size than their annotations state"


def header_mismatch(record: Record, header: ImageHeader) -> str | None:
    """Returns how the header of an image file contradicts its annotation, or None."""
    hw = header.height, header.width
    return size_mismatch(record, hw[::-1] if header.is_shown_as_stored(stated_hw(record)) else hw)


def compare_sizes(
    datasets: dict[str, Dataset], source: str, *, keep_unreadable: bool = False
) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    """Leaves out images whose file has another size than the annotation states, or has no readable header.

    Coordinates relative to a wrong size would be wrong. Only the headers of the files are read.

    Args:
        datasets: by split.
        source: description of the data set, for the notices.
        keep_unreadable: whether images without a readable header are kept.

    Returns:
        The data sets, and a notice for each reason with the number of images and the first of them.

    Raises:
        DataError: no image of a split is left.
    """
    wrong: dict[str, tuple[str, str]] = {}
    kept = {}
    for name, dataset in datasets.items():
        indices = []
        for index, record in enumerate(dataset.records):
            problem = wrong.get(record.key) or _problem(record, keep_unreadable)
            if problem is None:
                indices.append(index)
            else:
                wrong[record.key] = problem
        kept[name] = dataset if len(indices) == len(dataset) else dataset.taking(indices)
    total = len({record.key for dataset in datasets.values() for record in dataset.records})
    reasons = _reasons(list(wrong.values()), total)
    for name, dataset in kept.items():
        if not len(dataset):
            what = "" if name == "all" else f" of its {name} split"
            message = "; ".join((f"{source}: no image{what} is usable", *reasons))
            raise DataError(f"{message}; run nas data check for all reasons")
    return kept, tuple(f"{source}: {reason}" for reason in reasons)


def _problem(record: Record, keep_unreadable: bool) -> tuple[str, str] | None:
    """Returns why an image cannot be used, as words and as a message."""
    if record.path is None:
        return None
    try:
        mismatch = header_mismatch(record, image_header(record.path))
    except ImageError as error:
        return None if keep_unreadable else (IMAGES_LEFT_OUT[error.kind], str(error))
    return None if mismatch is None else (CONTRADICTED, f"{record.path}: {mismatch}")


def _reasons(problems: list[tuple[str, str]], total: int) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for words, message in problems:
        by_reason.setdefault(words, []).append(message)
    return [
        f"{len(messages)} of {total} images {words} and are left out; first: {messages[0]}"
        for words, messages in by_reason.items()
    ]
