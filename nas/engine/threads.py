"""The threads of a search for which none are given."""

from __future__ import annotations

from dataclasses import replace

from nas import busy_machine
from nas.config import RunConfig


def with_threads(config: RunConfig) -> tuple[RunConfig, list[str]]:
    """Returns a configuration with as many threads as other programs leave cores, where none are given; and why."""
    if config.threads is not None or config.executor != "local" or (config.workers or 1) > 1:
        return config, []
    share = busy_machine.busy_share()
    threads = busy_machine.threads_left(share)
    if threads is None:
        return config, []
    return replace(config, threads=threads), [busy_machine.threads_notice(share, threads)]
