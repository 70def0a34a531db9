"""Check the required packages and those of the optional extras."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Mapping
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from nas.doctor.machine_check import Check
from nas.trackers import disable_telemetry

DISTRIBUTION = "pyramidnas"
FOR_DEVELOPERS = ("dev", "docs")
APT_PACKAGES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libpq.so.5": "libpq5",
    "libstdc++.so.6": "libstdc++6",
}
"""The package of Debian and Ubuntu that has a shared library."""


def check_packages() -> list[Check]:
    """Checks the requirements of the distribution and each of its extras."""
    try:
        requirements = [Requirement(each) for each in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        advice = "next: pip install . in the folder of pyproject.toml"
        return [Check(name=DISTRIBUTION, found=f"not installed, run from {_home()}", state="fault", advice=advice)]
    needed = [each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    extras = metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    modules = _modules()
    return [
        Check(name=DISTRIBUTION, found=f"{metadata.version(DISTRIBUTION)} at {_home()}"),
        *(_needed(each, modules) for each in needed),
        *(
            _extra(extra, [each for each in requirements if each not in needed and _is_of(each, extra)], modules)
            for extra in sorted(set(extras) - set(FOR_DEVELOPERS))
        ),
    ]


def _needed(requirement: Requirement, modules: Mapping[str, str]) -> Check:
    found, fault = _state(requirement, modules)
    advice = f"next: {_apt_command(found) or _pip_command(str(requirement))}"
    return Check(name=requirement.name, found=found, state="fault" if fault else "ok", advice=advice if fault else "")


def _extra(extra: str, requirements: list[Requirement], modules: Mapping[str, str]) -> Check:
    states = [(each.name, *_state(each, modules)) for each in requirements]
    found = ", ".join(f"{name} {what}" for name, what, _ in states)
    if any(fault for _, _, fault in states):
        command = _apt_command(found) or _pip_command(f"{DISTRIBUTION}[{extra}]")
        advice = f"next, where you need it: {command}"
        return Check(name=f"extra {extra}", found=found, state="note", advice=advice)
    return Check(name=f"extra {extra}", found=found)


def _state(requirement: Requirement, modules: Mapping[str, str]) -> tuple[str, bool]:
    """Returns the state of a package and whether it is a fault; an installed package must be importable."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return "not installed", True
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{version}, which is not {requirement.specifier}", True
    module = modules.get(canonicalize_name(requirement.name))
    disable_telemetry()
    try:
        if module is not None:
            importlib.import_module(module)
    except Exception as error:  # any error of an import is a finding and must not end the checks
        return f"{version}, which cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})", True
    return version, False


def _pip_command(requirement: str) -> str:
    return f"pip install '{requirement}'"


def _apt_command(found: str) -> str:
    """Returns the command that installs the shared libraries that an import missed; empty where none is known."""
    missing = sorted({package for library, package in APT_PACKAGES.items() if f"{library}:" in found})
    return f"sudo apt install {' '.join(missing)}" if missing else ""


def _is_of(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is not None and requirement.marker.evaluate({"extra": extra})


def _modules() -> dict[str, str]:
    """Returns the shortest module name of each installed distribution."""
    found = defaultdict(list)
    for module, distributions in metadata.packages_distributions().items():
        for distribution in distributions:
            if module.isidentifier() and not module.startswith("_"):
                found[canonicalize_name(distribution)].append(module)
    return {name: min(modules, key=len) for name, modules in found.items()}


def _home() -> str:
    import nas

    return str(nas.__path__[0])
