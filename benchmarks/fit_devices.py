"""Fits all profiles in nas/cost/devices to their measurements and writes them back.

Run it after a change of the latency model or of the data: `python benchmarks/fit_devices.py [NAME ...]`.
"""

from __future__ import annotations

import sys
import time

from nas.cost.calibration import calibrated
from nas.cost.measurements import joined, load
from nas.cost.profile import DEVICES, device_names, read_profile, write_profile
from nas.cost.residual import write_residual


def fit(name: str) -> None:
    """Fits one profile and writes it and its residual."""
    began = time.perf_counter()
    path = DEVICES / f"{name}.yaml"
    profile = read_profile(path)
    if not profile.measurements:
        print(f"{name}: nothing measured, the data sheet stands")
        return
    measurements = joined([load(source, profile.rules) for source in profile.measurements])
    fitted, residual = calibrated(profile, measurements, [source.what for source in profile.measurements])
    write_profile(fitted, path)
    residual_path = path.with_suffix(".residual.csv.gz")
    residual_path.unlink(missing_ok=True)
    if residual is not None:
        write_residual(residual, measurements.names, residual_path)
    figures = fitted.error.figures if fitted.error else {}
    print(f"{name}: {len(measurements)} networks, {figures}, {time.perf_counter() - began:.1f} s", flush=True)


if __name__ == "__main__":
    chosen = sys.argv[1:] or sorted(device_names(), key=lambda each: read_profile(DEVICES / f"{each}.yaml").like or "")
    for each in chosen:
        fit(each)
