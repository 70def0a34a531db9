"""Trackers in threads of their own, so that none of them delays or ends what it tracks."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from nas.trackers.tracker import TrackedEnding, TrackedRun, Tracker
from search_space.files import read_bytes, write_text

Call: TypeAlias = "Callable[[Tracker], object]"

TRACKING_JSON = "tracking.json"
"""In the folder of a run or a training: the id under which each tracker has it."""
MAX_BYTES = 100_000
MAX_WAITING = 10_000
"""Calls that may wait for a tracker before it is turned off."""
PATIENCE_S = 10.0
"""How long the end waits for a tracker."""


class BackgroundTracker:
    """Calls a tracker in a daemon thread. After its first error it is off, and `on_notice` is told once.

    Args:
        name: Of the tracker.
        tracker: Is only used in the thread.
        on_notice: Is called in the thread of the caller, during `call` and `close`.
    """

    def __init__(self, name: str, tracker: Tracker, on_notice: Callable[[str], None]) -> None:
        self._name, self._tracker, self._notify = name, tracker, on_notice
        self.step_interval = tracker.step_interval
        self._waiting: queue.Queue[Call | None] = queue.Queue(MAX_WAITING)
        self._error = ""
        self._is_off = False
        self._thread = threading.Thread(target=self._work, name=f"tracker-{name}", daemon=True)

    def start(self, run: TrackedRun) -> None:
        """Begins or continues the tracking; the id of the tracker is kept in the folder of the run."""

        def begin(tracker: Tracker) -> None:
            path = run.folder / TRACKING_JSON
            ids = read_ids(path)
            found = tracker.start(replace(run, tracked_id=ids.get(self._name)))
            if found and found != ids.get(self._name):
                write_text(path, json.dumps({**ids, self._name: found}, indent=2) + "\n")

        try:
            self._thread.start()
        except RuntimeError as error:  # there are too many threads
            self._error = str(error)
        self.call(begin)

    def call(self, call: Call) -> None:
        """Calls the tracker later, in the order of the calls; does nothing where it is off."""
        self._tell_error()
        if self._is_off:
            return
        try:
            self._waiting.put_nowait(call)
        except queue.Full:
            self._turn_off(f"{MAX_WAITING} records wait for it")

    def close(self, ending: TrackedEnding) -> None:
        """Ends the session, and waits up to `PATIENCE_S` until all is written."""
        self.call(lambda tracker: tracker.close(ending))
        if not self._is_off:
            self._waiting.put(None)
            self._thread.join(PATIENCE_S)
            self._tell_error()
            if self._thread.is_alive() and not self._is_off:
                self._turn_off(f"it has not answered for {PATIENCE_S:g} s")

    def _work(self) -> None:
        while not self._is_off and (call := self._waiting.get()) is not None:
            try:
                call(self._tracker)
            except BaseException as error:  # whatever it is, it is the tracker's
                self._error = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                return

    def _tell_error(self) -> None:
        if self._error and not self._is_off:
            self._turn_off(self._error)

    def _turn_off(self, reason: str) -> None:
        self._is_off = True
        with suppress(queue.Full):  # then the thread waits for nothing, and finds that it is off
            self._waiting.put_nowait(None)
        self._notify(f"note: tracking by {self._name} has ended ({reason}); the rest goes on without it")


class Tracking:
    """The trackers of one session of a run or a training. Its context closes them.

    Args:
        trackers: By name.
        on_notice: Is told of a tracker that fails.
    """

    def __init__(self, trackers: Mapping[str, Tracker], on_notice: Callable[[str], None]) -> None:
        self._threads = [BackgroundTracker(name, each, on_notice) for name, each in trackers.items()]
        self._is_started = False
        self.ending = TrackedEnding.FINISHED
        """How the session ended, where no exception says so."""

    def __bool__(self) -> bool:
        return bool(self._threads)

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            interrupted = issubclass(kind, KeyboardInterrupt)
            self.ending = TrackedEnding.INTERRUPTED if interrupted else TrackedEnding.FAILED
        if self._is_started:
            for each in self._threads:
                each.close(self.ending)

    def start(self, run: Callable[[], TrackedRun]) -> None:
        """Begins or continues the tracking, unless it has begun."""
        if self._threads and not self._is_started:
            self._is_started = True
            for each in self._threads:
                each.start(run())

    def call(self, call: Call, takes: Callable[[int | None], bool] = lambda step_interval: True) -> None:
        """Calls each tracker later, once the tracking has begun.

        Args:
            call: What is called with the tracker.
            takes: Returns whether a tracker of this `step_interval` is called.
        """
        if self._is_started:
            for each in self._threads:
                if takes(each.step_interval):
                    each.call(call)


def read_ids(path: Path) -> dict[str, str]:
    """Returns the ids in a file by tracker; none where there is no file that can be read."""
    try:
        content = json.loads(read_bytes(path, MAX_BYTES))
    except (OSError, OverflowError, ValueError, RecursionError):
        return {}
    pairs = content.items() if isinstance(content, dict) else ()
    return {name: value for name, value in pairs if isinstance(value, str)}
