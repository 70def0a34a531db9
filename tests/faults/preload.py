"""Imports all that children need before they are forked, and all kinds of faults."""

import importlib
import pkgutil

import torch
import torch._dynamo  # noqa: F401  imported by the first step of an optimizer

import nas.commands
import nas.engine.strategies
import tests.faults.kinds_disks  # noqa: F401
import tests.faults.kinds_donors  # noqa: F401
import tests.faults.kinds_files  # noqa: F401
import tests.faults.kinds_signals  # noqa: F401
import tests.faults.kinds_trials  # noqa: F401
from nas.engine import session  # noqa: F401

torch.set_num_threads(1)
for package in (nas.commands, nas.engine.strategies):
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
