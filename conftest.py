"""One thread a process: the suite runs in two, and what is compared bit by bit must not depend on the machine."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # noqa: E402  after the setting above, which child processes inherit

torch.set_num_threads(1)
