"""One thread a process: the suite runs in two, and what is compared bit by bit must not depend on the machine.

Ctrl-C works in tests, also where a shell that started them in the background has switched it off.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402  after the setting above, which child processes inherit

torch.set_num_threads(1)
hypothesis.settings.register_profile(  # without a deadline: a busy machine must not fail a test
    "suite", deadline=None, max_examples=int(os.environ.get("NAS_HYPOTHESIS_EXAMPLES", "100"))
)
hypothesis.settings.load_profile("suite")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps cases in the fast subset: those whose id stands in `@pytest.mark.slow(but=(...))`."""
    for item in items:
        for mark in [each for each in item.own_markers if each.name == "slow" and each.kwargs]:
            if isinstance(item, pytest.Function) and item.callspec.id in mark.kwargs["but"]:
                item.own_markers.remove(mark)


def pytest_collectstart() -> None:
    """Collects no garbage while tests are collected, which makes millions of objects that stay."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Takes those objects out of each later garbage collection."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def no_front_is_allowed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `nas run` end with exit code 0 where it found nothing: searches of tests are that short."""
    if request.node.get_closest_marker("no_front") is None:
        monkeypatch.setattr("nas.commands.run.has_no_front", lambda run: False)


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides the other worker of the suite from searches, which would choose their threads by it."""
    monkeypatch.setattr("nas.busy_machine.busy_share", lambda: 0.0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Undoes what a command did to the number of threads."""
    yield
    torch.set_num_threads(1)
