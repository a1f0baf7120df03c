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
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from serving.clocks import MOST_SPEED
from serving.workers import ONLY, Worker, supervise

if TYPE_CHECKING:
    from feature_repo.places import Run
    from serving.admins import Admins
    from serving.live import Live

DEFAULT_PORT = 8000
LARGEST_PORT = 65_535
MOST_WORKERS = 64
SWITCH_S = 0.0005
"""How long a thread keeps the interpreter while others wait for it: so long a slate waits for a mirror."""
OPEN = (
    "Others can reach this address and no ADMIN_TOKEN is set: whoever finds the port is served, and may ask "
    "why anybody was shown what. Set ADMIN_TOKEN, or: make serve HOST=127.0.0.1"
)


def main(argv: Sequence[str]) -> int:
    """Serve until interrupted; 1 with a sentence when that cannot be."""
    arguments = parser().parse_args(argv)
    _quiet_environment()
    from feature_repo.places import BadSetting
    from feature_repo.schemas import BadLog

    try:
        return _served(arguments)
    except (BadSetting, BadLog) as wrong:
        print(f"serve: {wrong}", file=sys.stderr)
        return 1


def _served(asked: argparse.Namespace) -> int:
    from feature_repo.places import run_from_environment
    from serving.admins import admins_of

    run, admins = run_from_environment(), admins_of(os.environ)
    listening = _listening(asked.host, asked.port)
    if listening is None:
        return 1
    if not (admins.exist or _is_loopback(asked.host)):
        print(OPEN, file=sys.stderr)
    address = f"http://{asked.host}:{listening.getsockname()[1]}"
    serve = partial(_serve, run, listening, address, asked, admins)
    with listening, suppress(KeyboardInterrupt):  # before uvicorn listens to signals, or after
        serve(asked.worker) if asked.workers == 1 else supervise(asked.workers, serve)
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
    made.add_argument(
        "--workers",
        type=_workers,
        default=os.environ.get("WORKERS") or "1",
        help="processes that serve, at most 64; they share journal and online store (WORKERS)",
    )
    made.add_argument(
        "--worker",
        type=_worker,
        default=os.environ.get("WORKER") or "0/1",
        help="of servers that are started one by one on the same run, which this is: 0/2, 1/2 (WORKER)",
    )
    made.add_argument(
        "--drain-s",
        type=float,
        default=os.environ.get("DRAIN_S") or "1",
        help="after SIGTERM, how long /readyz says 503 before connections are refused (DRAIN_S)",
    )
    made.add_argument(
        "--log-users",
        choices=("hash", "raw", "none"),
        default=os.environ.get("LOG_USERS") or "hash",
        help="how the log names people (LOG_USERS); LOG_KEY keeps the hash the same over restarts",
    )
    made.epilog = (
        "ADMIN_TOKEN or ADMIN_TOKEN_FILE (mode 600) opens /admin; OTEL_EXPORTER_OTLP_ENDPOINT takes spans."
    )
    return made


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"PORT is {text!r}, must be 0 to {LARGEST_PORT}; set PORT=8000.")
    return int(text)


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"WORKERS is {text!r}, must be 1 to {MOST_WORKERS}; set WORKERS=2.")
    return int(text)


def _worker(text: str) -> Worker:
    place, _, of = text.partition("/")
    if not (place.isdecimal() and of.isdecimal() and int(place) < int(of) <= MOST_WORKERS):
        raise argparse.ArgumentTypeError(f"WORKER is {text!r}, must be PLACE/OF; set WORKER=0/2.")
    return Worker(int(place), int(of))


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


def _serve(
    run: Run,
    listening: socket.socket,
    address: str,
    asked: argparse.Namespace,
    admins: Admins,
    worker: Worker,
) -> None:
    sys.setswitchinterval(SWITCH_S)
    gc.disable()  # a collection during seconds of imports finds nothing; the app turns it on when ready
    from feature_repo.read_ahead import read_ahead

    reading = read_ahead(run.places.log)  # meanwhile we import
    from feature_repo.counting_ahead import count_ahead

    ahead = count_ahead(run.places, reading)  # meanwhile we import the rest
    import uvicorn

    from serving.app import Edge, create_app
    from serving.cores import cores_of, usable_cores
    from serving.live import open_live
    from serving.log_lines import names_user
    from serving.servers import Draining, Limited
    from serving.traces import open_traces

    _log_to(run.places.server / worker.named("server.log"))
    key = (os.environ.get("LOG_KEY") or "").encode()[:64] or os.urandom(32)
    cores = cores_of(worker, usable_cores())
    edge = Edge(admins, names_user(asked.log_users, key), open_traces(), cores=cores)
    speed = asked.speed
    pace = "" if speed == 1 else f"   clock: {speed:g}x"
    if worker.is_first:
        print(f"fourplanes on {address}  (page: /docs)   run: {run.places.root}{pace}", flush=True)
    live = open_live(run.places, run.seed, speed, worker, ahead)
    del reading, ahead  # or its rows would be kept as long as we serve
    app = create_app(live, run.places, lambda: _announce(live, address, worker), edge)
    settings = uvicorn.Config(
        app,
        http=Limited,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    Draining(settings, live.drain, asked.drain_s).run(sockets=[listening])


def _announce(live: Live, address: str, worker: Worker) -> None:
    """What is served from now on, or what to do so that something is."""
    if not live.champion.is_ready:
        from serving.champions import NO_RELEASE

        refusal = live.champion.refusal
        print(refusal.reason if refusal else NO_RELEASE, flush=True)
        return
    serving = live.champion.now
    videos, who = len(serving.world.catalog), "" if worker == ONLY else f"worker {worker.place}: "
    print(
        f"{who}serving {serving.release.release_id} (version {serving.version}), {videos:,} videos",
        flush=True,
    )
    if not worker.is_first:
        return
    body = """-H 'content-type: application/json' -d '{"user_id": 7}'"""
    print(f"next: curl -s {address}/v1/feed {body}", flush=True)


def _log_to(path: Path) -> None:
    """Everything to a file, one JSON object per line; trouble to the screen too, in words."""
    from serving.log_lines import JsonLines, Seldom

    path.parent.mkdir(parents=True, exist_ok=True)
    logging.raiseExceptions = False  # a log on a full disk is no reason to write about it
    written = RotatingFileHandler(path, maxBytes=10_000_000, backupCount=2)
    shown = logging.StreamHandler()
    shown.setLevel(logging.ERROR)
    shown.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    written.setFormatter(JsonLines())
    for handler in (written, shown):
        handler.addFilter(Seldom())
    logging.basicConfig(level=logging.INFO, handlers=[written, shown])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
