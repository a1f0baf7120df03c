"""Uvicorn as we run it: heads are bounded, and SIGTERM says so before it stops."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from labs.bench.clients import Client, Refused
from serving.servers import HEAD_WITHIN_S, LARGEST_HEAD, Draining, Limited
from tests.serving.builders import a_process


class Line(asyncio.Transport):
    """A connection in memory: what was written to it, and whether it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed = b"", False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, _: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def hello(scope: Any, _: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


def settings() -> uvicorn.Config:
    return uvicorn.Config(hello, http=Limited, ws="none", log_level="critical")


def answered(*chunks: bytes) -> Line:
    """What a connection was sent after these chunks arrived one by one."""

    async def story() -> Line:
        line, protocol = Line(), Limited(settings(), ServerState(), {}, asyncio.get_running_loop())
        protocol.connection_made(line)
        for chunk in chunks:
            if not line.closed:
                protocol.data_received(chunk)
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        return line

    return asyncio.run(story())


def test_an_ordinary_request_is_answered() -> None:
    line = answered(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")

    assert line.written.startswith(b"HTTP/1.1 200")


def test_a_head_in_many_pieces_is_answered_too() -> None:
    whole = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 2

    assert answered(*(whole[n : n + 1] for n in range(len(whole)))).written.count(b"HTTP/1.1 200") == 2


def test_a_head_that_does_not_end_is_cut_off() -> None:
    line = answered(b"GET / HTTP/1.1\r\n", *[b"x-a: " + b"y" * 1_000 + b"\r\n"] * (LARGEST_HEAD // 1_000 + 3))

    assert line.written.startswith(b"HTTP/1.1 431")
    assert line.closed


def test_a_connection_that_says_nothing_is_closed_in_time() -> None:
    async def story() -> tuple[float, bool]:
        line, loop = Line(), asyncio.get_running_loop()
        protocol = Limited(settings(), ServerState(), {}, loop)
        protocol.connection_made(line)
        assert protocol._late is not None
        within_s = protocol._late.when() - loop.time()
        protocol._give_up()
        return within_s, line.closed

    within_s, closed = asyncio.run(story())

    assert within_s <= HEAD_WITHIN_S
    assert closed


def refusal(client: Client) -> str:
    """What /readyz says why it is not."""
    try:
        return client.fetch("/readyz").decode()
    except Refused as refused:
        return str(refused)


def a_server(told: list[str], drain_s: float) -> Draining:
    return Draining(settings(), lambda: told.append("told"), drain_s)


def test_sigterm_tells_everybody_first_and_then_stops() -> None:
    told: list[str] = []
    server = a_server(told, drain_s=0.0)

    server.handle_exit(signal.SIGTERM, None)

    assert (told, server.should_exit) == (["told"], False)
    assert asyncio.run(server.on_tick(1))


def test_while_it_drains_it_does_not_stop() -> None:
    server = a_server([], drain_s=3_600.0)
    server.handle_exit(signal.SIGTERM, None)

    assert not asyncio.run(server.on_tick(1))


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_whoever_insists_stops_it_at_once(second: signal.Signals) -> None:
    server = a_server([], drain_s=3_600.0)
    server.handle_exit(signal.SIGTERM, None)
    server.handle_exit(second, None)

    assert server.should_exit


def test_a_drained_server_says_so_on_readyz_and_ends_cleanly(tmp_path: Path) -> None:
    with a_process(tmp_path, "--drain-s", "60") as (server, port):
        server.send_signal(signal.SIGTERM)
        with Client(port) as client:
            told = next(said for said in iter(lambda: refusal(client), None) if "about to stop" in said)
        server.send_signal(signal.SIGINT)
        rest = server.communicate(timeout=30)[0]

    assert '"remedy":"Ask another' in told
    assert rest.endswith("stopped\n")
    assert server.returncode == 0
