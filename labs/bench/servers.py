"""A server under measurement: started on a free loopback port, waited for, and always ended."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from feature_repo.places import Run
from labs.bench.clients import Client, Refused

POLL_S = 0.1


class NeverReady(Exception):
    """The server did not answer /readyz in time, or ended; the message carries the end of what it printed."""


@dataclass(frozen=True)
class Server:
    """A running server and how long it took from start to ready."""

    name: str
    port: int
    pid: int
    ready_s: float


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_ready(port: int) -> bool:
    """Whether somebody on this port says so now."""
    try:
        with Client(port, timeout_s=2.0) as client:
            client.fetch("/readyz")
    except (OSError, Refused):
        return False
    return True


def _wait(process: subprocess.Popen[bytes], port: int, printed: Path, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not is_ready(port):
        if process.poll() is not None or time.monotonic() > deadline:
            code = process.returncode
            ended = "is still starting" if code is None else f"ended with {code}"
            raise NeverReady(f"not ready within {within_s:.0f} s ({ended}). It printed:\n{end_of(printed)}")
        time.sleep(POLL_S)


def cpu_seconds(pid: int) -> float:
    """What a running process has computed so far, in all its threads; NaN where /proc does not say."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return math.nan
    user, system = stat.read_text("ascii").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def family_cpu_seconds(pid: int) -> float:
    """The same of a process and its living children."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    others = [int(child) for child in children.read_text("ascii").split()] if children.exists() else []
    return sum(cpu_seconds(each) for each in (pid, *others))


def end_of(printed: Path) -> str:
    return printed.read_text(errors="replace")[-2000:]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=5)


def settings_of(run: Run, var: Path) -> dict[str, str]:
    """The environment in which a server serves this run's copy under `var`."""
    return {"LOGS": run.logs, "SCALE": run.scale, "SEED": str(run.seed), "VAR": str(var)}


def end_servers_with_us() -> None:
    """Ended from outside, a drill leaves its blocks as it does on Ctrl-C, and with them its servers end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@contextmanager
def started(
    arguments: Sequence[str], environment: Mapping[str, str], printed: Path, port: int
) -> Iterator[subprocess.Popen[bytes]]:
    """`python arguments…` told to serve on this port, not waited for; ended however the block is left.

    Thread settings of our own process are not handed on: each server has its own, or its libraries' default.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    settings = {**inherited, **environment, "HOST": "127.0.0.1", "PORT": str(port)}
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], env=settings, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield process
        except Refused as refused:
            refused.add_note(f"The end of what the server printed:\n{end_of(printed)}")
            raise
        finally:
            _end(process)


@contextmanager
def running(
    name: str, arguments: Sequence[str], environment: Mapping[str, str], printed: Path, within_s: float = 60.0
) -> Iterator[Server]:
    """`python arguments…` as a server on a free port, ready; ended however the block is left."""
    port, began = free_port(), time.monotonic()
    with started(arguments, environment, printed, port) as process:
        _wait(process, port, printed, within_s)
        yield Server(name, port, process.pid, time.monotonic() - began)
