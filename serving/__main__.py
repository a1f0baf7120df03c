"""`make serve`: ranked feeds over HTTP on this machine, from the champion of this run."""

from __future__ import annotations

import argparse
import errno
import gc
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from serving.clocks import MOST_SPEED

if TYPE_CHECKING:
    from feature_repo.places import Run
    from serving.live import Live

DEFAULT_PORT = 8000
LARGEST_PORT = 65_535


def main(argv: Sequence[str]) -> int:
    """Serve until interrupted; 1 with a sentence when that cannot be."""
    arguments = parser().parse_args(argv)
    _quiet_environment()
    from feature_repo.places import BadSetting
    from feature_repo.schemas import BadLog

    try:
        return _served(arguments.host, arguments.port, arguments.speed)
    except (BadSetting, BadLog) as wrong:
        print(f"serve: {wrong}", file=sys.stderr)
        return 1


def _served(host: str, port: int, speed: float) -> int:
    from feature_repo.places import run_from_environment

    run, listening = run_from_environment(), _listening(host, port)
    if listening is None:
        return 1
    with listening, suppress(KeyboardInterrupt):  # before uvicorn listens to signals, or after
        _serve(run, listening, f"http://{host}:{listening.getsockname()[1]}", speed)
    print("stopped", flush=True)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m serving", description=__doc__)
    made.add_argument("--host", default=os.environ.get("HOST") or "127.0.0.1", help="address to bind (HOST)")
    port = os.environ.get("PORT") or str(DEFAULT_PORT)
    made.add_argument("--port", type=_port, default=port, help="port to bind, 0 for any free one (PORT)")
    made.add_argument(
        "--speed",
        type=_speed,
        default=os.environ.get("SPEED") or "1",
        help="seconds of world time per second, 1 to 3600 (SPEED); `python -m simulator live` wants 60",
    )
    return made


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"PORT is {text!r}, must be 0 to {LARGEST_PORT}; set PORT=8000.")
    return int(text)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = float("nan")
    if not 1 <= speed <= MOST_SPEED:
        raise argparse.ArgumentTypeError(f"SPEED is {text!r}, must be 1 to {MOST_SPEED}; set SPEED=60.")
    return speed


def _quiet_environment() -> None:
    """No telemetry, and one thread per request in every library that would start more."""
    for name in ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "true")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _listening(host: str, port: int) -> socket.socket | None:
    try:
        return socket.create_server((host, port), backlog=128)
    except OSError as error:
        print(f"Cannot listen on {host}:{port}: {_reason(error, port)}", file=sys.stderr)
        return None


def _reason(error: OSError, port: int) -> str:
    """What is wrong and what to do; a host that is no address of this machine is no matter of ports."""
    if error.errno == errno.EADDRINUSE:
        another = port % LARGEST_PORT + 1
        return f"the port is taken. Is a server running already? Another port: make serve PORT={another}"
    if error.errno == errno.EACCES:
        return "this port needs more rights than yours. Another port: make serve PORT=8000"
    return "HOST must be an address of this machine. Only for it: make serve HOST=127.0.0.1"


def _serve(run: Run, listening: socket.socket, address: str, speed: float) -> None:
    gc.disable()  # a collection during seconds of imports finds nothing; the app turns it on when ready
    import uvicorn

    from serving.app import create_app
    from serving.live import open_live

    _log_to(run.places.server)
    pace = "" if speed == 1 else f"   clock: {speed:g}x"
    print(f"fourplanes on {address}  (page: /docs)   run: {run.places.root}{pace}", flush=True)
    live = open_live(run.places, run.seed, speed)
    app = create_app(live, run.places, lambda: _announce(live, address))
    settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    uvicorn.Server(settings).run(sockets=[listening])


def _announce(live: Live, address: str) -> None:
    """What is served from now on, or what to do so that something is."""
    if not live.champion.is_ready:
        from serving.champions import NO_RELEASE

        refusal = live.champion.refusal
        print(refusal.reason if refusal else NO_RELEASE, flush=True)
        return
    serving = live.champion.now
    videos = len(serving.world.catalog)
    print(f"serving {serving.release.release_id} (version {serving.version}), {videos:,} videos", flush=True)
    body = """-H 'content-type: application/json' -d '{"user_id": 7}'"""
    print(f"next: curl -s {address}/v1/feed {body}", flush=True)


def _log_to(folder: Path) -> None:
    """Everything to server.log, trouble to the screen too."""
    folder.mkdir(parents=True, exist_ok=True)
    written = RotatingFileHandler(folder / "server.log", maxBytes=10_000_000, backupCount=2)
    shown = logging.StreamHandler()
    shown.setLevel(logging.ERROR)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", handlers=[written, shown]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
