"""Hosts on one machine: namespaces of network, mounts, processes and host name, joined by cables to a switch.

All processes of a host are below its first process, which ends with this one, even if that is killed. The namespaces
have no names, so the system removes them, their cables and their mounts with the last process in them.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

NETWORK = "10.77.0"
FIRST_PROCESS = "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nwhile True: signal.pause()"
"""Waits; Linux removes the processes that ended and have no other parent."""
SECONDS = 300.0


def may_make_hosts() -> bool:
    """Whether this process may make namespaces and cables."""
    if os.geteuid() != 0:
        return False
    probe = "ip link add veth-probe type veth peer name veth-end && mount -t tmpfs none /tmp"
    words = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "sh", "-c", probe]
    try:
        return subprocess.run(words, capture_output=True).returncode == 0
    except OSError:
        return False


@dataclass(kw_only=True)
class HostProcess:
    """A command under way on a host."""

    popen: subprocess.Popen[bytes]
    log: Path
    """All that it prints."""

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait(self, seconds: float = SECONDS) -> int | None:
        """Returns the exit code, or None if it does not end in time."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


class ClusterHost:
    """One host, with an address, a disk of its own under `/tmp` and a cable.

    Args:
        name: The host's name; also the name of its end of the cable at the switch.
        number: The last part of its address.
        switch: The first process of the switch.
        logs: Where the output of its processes goes.
        disk_mb: Size of the disk under `/tmp`.
    """

    def __init__(self, name: str, number: int, *, switch: int, logs: Path, disk_mb: int = 512) -> None:
        self.name, self.address = name, f"{NETWORK}.{number}"
        self._switch, self._logs = switch, logs
        self._started: list[HostProcess] = []
        self._outer, self.pid = _first_process("--uts", "--mount", "--mount-proc")
        in_namespace(self.pid, f"hostname {name} && mount -t tmpfs -o size={disk_mb}m none /tmp")
        at_switch(switch, f"ip link add {name} type veth peer name eth0 netns {self.pid}")
        at_switch(switch, f"ip link set {name} master bridge up")
        in_namespace(self.pid, f"ip link set lo up && ip addr add {self.address}/24 dev eth0 && ip link set eth0 up")

    def start(self, *words: object, user: str | None = None, **environment: str) -> HostProcess:
        """Starts a command on this host."""
        log = self._logs / f"{self.name}-{len(self._started)}.log"
        as_user = ["setpriv", f"--reuid={user}", "--regid=nogroup", "--clear-groups"] if user else []
        command = [*_enter(self.pid), *as_user, *(str(word) for word in words)]
        with log.open("wb") as file:
            popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env={**os.environ, **environment}
            )
        self._started.append(HostProcess(popen=popen, log=log))
        return self._started[-1]

    def run(self, *words: object, user: str | None = None, **environment: str) -> str:
        """Runs a command on this host to its end; returns what it printed."""
        process = self.start(*words, user=user, **environment)
        code = process.wait(120)
        if code != 0:
            raise RuntimeError(
                f"{shlex.join(map(str, words))} on {self.name}: exit code {code}: {process.text[-2000:]}"
            )
        return process.text

    def unplug(self) -> None:
        """Takes the cable out of the switch."""
        at_switch(self._switch, f"ip link set {self.name} down")

    def plug_in(self) -> None:
        """Puts the cable back."""
        at_switch(self._switch, f"ip link set {self.name} up")

    def stop(self) -> None:
        """Stops all processes of the host but the first."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Lets the processes go on, and `nsenter`, which stops with its child."""
        self._signal(signal.SIGCONT)
        for each in self._started:
            if each.popen.poll() is None:
                each.popen.send_signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in set(processes_beside(self.pid)) - {self.pid}:
            os.kill(pid, number)

    def fill_disk(self, folder: str = "/tmp") -> None:
        """Fills the disk under `/tmp`."""
        in_namespace(self.pid, f"cat /dev/zero > {folder}/filler 2>/dev/null || true")

    def cpu_seconds(self) -> float:
        """Returns the CPU time of the processes that are there now and of the children that they waited for."""
        return sum(_cpu_seconds(pid) for pid in processes_beside(self.pid))

    def close(self) -> None:
        """Ends all processes of the host."""
        _end(self._outer)


@contextmanager
def network(logs: Path) -> Iterator[Network]:
    """Makes a switch without hosts; ends it and all its hosts."""
    outer, switch = _first_process()
    with ExitStack() as closing:
        closing.callback(_end, outer)
        at_switch(switch, "ip link add bridge type bridge && ip link set bridge up")
        yield Network(switch=switch, logs=logs, closing=closing, hosts=[])


@dataclass(kw_only=True)
class Network:
    """A switch and the hosts at it."""

    switch: int
    logs: Path
    closing: ExitStack
    hosts: list[ClusterHost]

    def host(self, name: str, *, disk_mb: int = 512) -> ClusterHost:
        """Adds a host."""
        host = ClusterHost(name, len(self.hosts) + 1, switch=self.switch, logs=self.logs, disk_mb=disk_mb)
        self.closing.callback(host.close)
        self.hosts.append(host)
        return host

    def cpu_seconds(self) -> float:
        """Returns the CPU time of all hosts, as `ClusterHost.cpu_seconds`."""
        return sum(host.cpu_seconds() for host in self.hosts)


def in_namespace(pid: int, script: str) -> None:
    """Runs a shell script in the namespaces of a process."""
    _run([*_enter(pid), "sh", "-c", script])


def at_switch(pid: int, script: str) -> None:
    """Runs a shell script in the network of a process."""
    _run(["nsenter", f"--target={pid}", "--net", "--", "sh", "-c", script])


def _run(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(words)}: {done.stderr.strip()}")


def processes_beside(pid: int) -> list[int]:
    """Returns the processes in the process namespace of one of them, by their numbers in this one."""
    wanted = os.readlink(f"/proc/{pid}/ns/pid")
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                if os.readlink(path / "ns/pid") == wanted:
                    found.append(int(path.name))
            except OSError:  # it has ended
                continue
    return found


def _enter(pid: int) -> list[str]:
    return ["nsenter", f"--target={pid}", "--net", "--uts", "--mount", "--pid", f"--wd={os.getcwd()}", "--"]


def _first_process(*namespaces: str) -> tuple[subprocess.Popen[bytes], int]:
    """Starts the first process of new namespaces; returns the process around it, and its number in this namespace."""
    ends_with_us = ["setpriv", "--pdeathsig=KILL"]
    apart = ["unshare", "--net", "--pid", "--fork", "--kill-child", *namespaces]
    outer = subprocess.Popen(
        [*ends_with_us, *apart, sys.executable, "-S", "-c", FIRST_PROCESS], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and outer.poll() is None:
        inner = _children(outer)
        if inner and b"signal.pause" in Path(f"/proc/{inner[0]}/cmdline").read_bytes():
            return outer, int(inner[0])
        time.sleep(0.01)
    _end(outer)
    raise RuntimeError("a namespace cannot be made here")


def _end(outer: subprocess.Popen[bytes]) -> None:
    """Ends the first process of namespaces, and with it all that are in them; then the one around it ends."""
    for pid in _children(outer):
        os.kill(int(pid), signal.SIGKILL)
    try:
        outer.wait(10)
    except subprocess.TimeoutExpired:
        outer.kill()
        outer.wait()


def _children(outer: subprocess.Popen[bytes]) -> list[str]:
    try:
        return Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
    except OSError:  # it has ended
        return []


def _cpu_seconds(pid: int) -> float:
    try:
        numbers = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(int(each) for each in numbers[11:15]) / os.sysconf("SC_CLK_TCK")
