"""Compare the image sizes that annotations state with those of the files."""

from __future__ import annotations

from trainers.data.dataset import Dataset, Record, size_mismatch, stated_hw
from trainers.data.defects import IMAGES_LEFT_OUT
from trainers.data.images import ImageError, ImageHeader, image_header

CONTRADICTED = "have another size than their annotations state"


def header_mismatch(record: Record, header: ImageHeader) -> str | None:
    """Returns how the header of an image file contradicts its annotation, or None."""
    hw = header.height, header.width
    return size_mismatch(record, hw[::-1] if header.is_shown_as_stored(stated_hw(record)) else hw)


def compare_sizes(datasets: dict[str, Dataset], source: str) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    """Leaves out images whose file has another size than the annotation states, or has no readable header.

    Coordinates relative to a wrong size would be wrong. Only the headers of the files are read.

    Args:
        datasets: by split.
        source: description of the data set, for the notices.

    Returns:
        The data sets, and a notice for each reason with the number of images and the first of them.
    """
    wrong: dict[str, tuple[str, str]] = {}
    kept = {}
    for name, dataset in datasets.items():
        indices = []
        for index, record in enumerate(dataset.records):
            problem = wrong.get(record.key) or _problem(record)
            if problem is None:
                indices.append(index)
            else:
                wrong[record.key] = problem
        kept[name] = dataset if len(indices) == len(dataset) else dataset.taking(indices)
    total = len({record.key for dataset in datasets.values() for record in dataset.records})
    return kept, tuple(_notices(list(wrong.values()), source, total))


def _problem(record: Record) -> tuple[str, str] | None:
    """Returns why an image cannot be used, as words and as a message."""
    if record.path is None:
        return None
    try:
        mismatch = header_mismatch(record, image_header(record.path))
    except ImageError as error:
        return IMAGES_LEFT_OUT[error.kind], str(error)
    return None if mismatch is None else (CONTRADICTED, f"{record.path}: {mismatch}")


def _notices(problems: list[tuple[str, str]], source: str, total: int) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for words, message in problems:
        by_reason.setdefault(words, []).append(message)
    return [
        f"{source}: {len(messages)} of {total} images {words} and are left out; first: {messages[0]}"
        for words, messages in by_reason.items()
    ]
