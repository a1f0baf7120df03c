"""A server under measurement: started on a free loopback port, waited for, and always ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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


def _is_ready(port: int) -> bool:
    try:
        with Client(port, timeout_s=2.0) as client:
            client.fetch("/readyz")
    except (OSError, Refused):
        return False
    return True


def _wait(process: subprocess.Popen[bytes], port: int, printed: Path, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not _is_ready(port):
        if process.poll() is not None or time.monotonic() > deadline:
            code = process.returncode
            ended = "is still starting" if code is None else f"ended with {code}"
            raise NeverReady(f"not ready within {within_s:.0f} s ({ended}). It printed:\n{_end_of(printed)}")
        time.sleep(POLL_S)


def _end_of(printed: Path) -> str:
    return printed.read_text(errors="replace")[-2000:]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=5)


@contextmanager
def running(
    name: str, arguments: Sequence[str], environment: Mapping[str, str], printed: Path, within_s: float = 60.0
) -> Iterator[Server]:
    """`python arguments…` as a server, ready; ended when the block is left, however it is left.

    Thread settings of our own process are not handed on: each server has its own, or its libraries' default.
    """
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    settings = {**inherited, **environment, "HOST": "127.0.0.1", "PORT": str(port)}
    started = time.monotonic()
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], env=settings, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _wait(process, port, printed, within_s)
            yield Server(name, port, process.pid, time.monotonic() - started)
        except Refused as refused:
            refused.add_note(f"The end of what {name} printed:\n{_end_of(printed)}")
            raise
        finally:
            _end(process)
