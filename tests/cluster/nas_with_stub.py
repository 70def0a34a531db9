"""The command `nas` with a stub of some seconds in the place of training.

python -m tests.cluster.nas_with_stub SECONDS WITNESS run ...
"""

from __future__ import annotations

import sys

from nas.cli import main
from nas.executors.training import TrainingSpec
from tests.cluster.witness import WitnessedSpec

if __name__ == "__main__":
    spec = WitnessedSpec(seconds=float(sys.argv[1]), witness=sys.argv[2])
    TrainingSpec.of = classmethod(lambda cls, config: spec)  # type: ignore[assignment]
    main(sys.argv[3:])
