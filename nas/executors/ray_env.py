"""The environment of Ray in this process: signal handlers, import path, temporary folder, messages, error files."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.process_control import is_running

FOLDER = "nas-ray-"


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Restores the handlers of Ctrl-C and SIGTERM that a library may replace."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # None: not set from Python
                signal.signal(number, handler)


@contextmanager
def path_handed_on() -> Iterator[None]:
    """Passes the import path of this process to workers that are started meanwhile."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(each for each in sys.path if each)
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        os.environ.update({} if before is None else {"PYTHONPATH": before})


def short_folder() -> str:
    """Makes a temporary folder with a short path, because the paths of the sockets in it have a length limit.

    Folders that killed processes left behind are removed.
    """
    usual, short = Path(tempfile.gettempdir()), Path("/", "tmp")
    parent = short if len(str(usual)) > 25 and short.is_dir() else usual
    for left in parent.glob(f"{FOLDER}*-*"):
        pid = left.name.removeprefix(FOLDER).partition("-")[0]
        if pid.isdigit() and not is_running(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-", dir=parent)


def silence_ray() -> None:
    """Suppresses Ray's messages in the output of this process. The reason of a trial says that its worker died."""
    for name in ("ray.tune", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    module = sys.modules.get("ray._private.worker")
    if hasattr(module, "print_to_stdstream"):  # prints to stdout when a worker dies, and has no option
        setattr(module, "print_to_stdstream", lambda *_, **__: None)  # noqa: B010


def cause_of_death(error_file: str | None) -> str:
    """Returns one line of Ray's error file on a dead worker; if it could not be created, the innermost error."""
    try:
        lines = Path(error_file or "").read_text(encoding="utf-8").strip().splitlines()[1:]
    except OSError:
        lines = []
    return "no reason is known" if not lines else lines[-1 if "creation task" in lines[0] else 0].strip()
