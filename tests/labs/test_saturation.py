"""Does the open loop offer what it says, whatever the server does, and is the knee where the rule puts it?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labs.bench.bench_saturation import Crowd, Level, Saturation, knee, ladder, level, offered, plotted
from labs.bench.open_loops import FAILED, Answered, Asked, OpenLoop, arrivals, posted
from labs.bench.servers import Server, free_port, running

GATED = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
asked = [0]

class Gated(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def answer(self, status, body, **more):
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **more}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)
    def do_GET(self):
        self.answer(200, {})
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        asked[0] += 1
        if asked[0] % 4 == 0:
            return self.answer(429, {}, Retry_After="2")
        items = [{"impression_id": 32 * asked[0], "video_id": 1}]
        self.answer(200, {"request_id": asked[0], "served_at_us": 5, "items": items})
    def log_message(self, *_): pass

ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Gated).serve_forever()
"""
FEED = posted("feed", "/v1/feed", 7, b"{}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("gated", ["-c", GATED], {}, tmp_path_factory.mktemp("gated") / "printed.txt") as gated:
        yield gated


def a_level(offered: float, p99_ms: float = 10.0, **more: Any) -> Level:
    same = {"achieved": offered, "p50_ms": 5.0, "refused": 0.0, "untold": 0.0, "failed": 0.0, "requests": 9}
    return Level(offered=offered, p99_ms=p99_ms, **{**same, **more})


def heard(port: int, moments: list[float], asked: Asked = FEED) -> list[Answered]:
    found: list[Answered] = []
    asyncio.run(OpenLoop(port).offer(moments, lambda: asked, found.append))
    return found


def test_arrivals_are_a_poisson_process_of_their_rate() -> None:
    moments = arrivals(200.0, 100.0, np.random.default_rng(3))

    gaps = np.diff(moments)
    assert len(moments) == pytest.approx(20_000, rel=0.03)
    assert moments[-1] < 100.0
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)


def test_every_moment_has_one_answer_even_if_all_are_at_once(server: Server) -> None:
    found = heard(server.port, [0.0] * 40)

    assert sorted({each.status for each in found}) == [200, 429]
    assert len(found) == 40
    assert {each.retry_after_s for each in found if each.status == 429} == {2.0}


def test_latency_counts_from_the_moment_a_request_was_due(server: Server) -> None:
    in_time, late = sorted(heard(server.port, [-5.0, 0.0]), key=lambda answered: answered.ms)

    assert late.ms > 5_000 > in_time.ms


def test_what_nobody_answers_has_failed() -> None:
    assert [each.status for each in heard(free_port(), [0.0, 0.0])] == [FAILED, FAILED]


def test_events_are_told_about_slates_that_were_shown(server: Server) -> None:
    crowd = Crowd([7], np.random.default_rng(2))

    found = offered(server.port, 400.0, 0.25, crowd)

    kinds = [each.asked.kind for each in found]
    assert 0 < kinds.count("events") < kinds.count("feed")
    assert all(b'"kind":"watched"' in each.asked.payload for each in found if each.asked.kind == "events")


def test_a_level_takes_latency_from_admitted_feeds_and_shares_from_all() -> None:
    told = [(200, 4.0, np.nan), (200, 6.0, np.nan), (429, 9e3, 1.0), (429, 9e3, np.nan), (0, 9e3, np.nan)]
    answers = [Answered(FEED, status, ms, retry_after_s) for status, ms, retry_after_s in told]

    found = level(10.0, 0.5, answers)

    assert (found.p50_ms, found.achieved, found.requests) == (5.0, 4.0, 5)
    assert (found.refused, found.untold, found.failed) == (0.4, 0.2, 0.2)


def test_the_ladder_ends_at_the_first_rate_that_is_too_much() -> None:
    found = ladder(lambda rate, _: a_level(rate, refused=0.3 if rate > 30 else 0.0), 1.0)

    assert [each.refused for each in found] == [0.0] * (len(found) - 1) + [0.3]
    assert found[-2].offered <= 30 < found[-1].offered


def test_the_knee_is_the_highest_rate_that_is_whole_and_about_as_fast_as_the_lowest() -> None:
    levels = [a_level(10), a_level(20, 29.0), a_level(40, 31.0), a_level(30, 12.0, refused=0.01)]

    assert knee(levels).offered == 20
    assert knee([a_level(10, refused=0.5)]).offered == 10


def test_twice_the_knee_is_judged_on_its_tail_and_on_what_the_refused_were_told(tmp_path: Path) -> None:
    twice = a_level(40, 31.0, refused=0.5, untold=0.1)
    found = Saturation([a_level(10), a_level(20)], a_level(20), a_level(20), twice)

    assert [verdict.met for verdict in found.verdicts()] == [False, False, True]
    assert plotted(found, tmp_path / "curve.png").stat().st_size > 1_000
