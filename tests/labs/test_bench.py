"""Does the benchmark measure what it says, and leave nothing running? Against a server of twenty lines."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from labs.bench.bench_serving import Measured, stage_means, stages_of
from labs.bench.clients import Client, Refused
from labs.bench.crowds import pace_of
from labs.bench.drives import Arm, Drive, Timings, drive, watched
from labs.bench.latencies import latency, quantile_at, ratio_at_p50
from labs.bench.quiet_cores import Core
from labs.bench.servers import NeverReady, Server, running
from labs.bench.worker_scaling import AT_ONCE, Turns, times_more, turns_of
from serving.cores import usable_cores

FAKE = """
import json, os, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

impatient, last_was_told = {429}, threading.Event()

class Fake(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def answer(self, status, body):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
    def do_GET(self):
        self.close_connection = self.path in ("/cut", "/last")
        if self.path == "/cut":
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\n{")
        elif self.path == "/last":
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{}")
        else:
            self.found()
    def found(self):
        self.answer(200 if self.path == "/readyz" else 404, {})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked.get("user_id") in impatient:
            impatient.remove(asked["user_id"])
            return self.answer(429, {})
        if asked.get("user_id") == 50_001:
            last_was_told.wait(30)
        item = {"impression_id": 1, "video_id": 2, "connection": self.client_address[1]}
        slate = {"request_id": asked.get("user_id"), "served_at_us": 5, "items": [item] * 10}
        self.answer(200, slate if self.path == "/v1/feed" else {"stored": len(asked["events"])})
        if self.path == "/v1/events" and asked["events"][0]["user_id"] == 50_002:
            last_was_told.set()
    def log_message(self, *_): pass

ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Fake).serve_forever()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("fake", ["-c", FAKE], {}, tmp_path_factory.mktemp("fake") / "printed.txt") as fake:
        yield fake


def test_a_server_is_ended_when_its_block_is_left(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), running("fake", ["-c", FAKE], {}, tmp_path / "printed.txt") as fake:
        raise RuntimeError

    with pytest.raises(ProcessLookupError):
        os.kill(fake.pid, 0)


def test_a_server_that_ends_early_is_reported_with_what_it_printed(tmp_path: Path) -> None:
    with (
        pytest.raises(NeverReady, match="no release here"),
        running("broken", ["-c", "raise SystemExit('no release here')"], {}, tmp_path / "printed.txt"),
    ):
        pass


def test_an_error_status_is_not_measured_as_an_answer(server: Server) -> None:
    with Client(server.port) as client, pytest.raises(Refused, match="404"):
        client.fetch("/nothing")


def test_requests_go_over_one_connection(server: Server) -> None:
    with Client(server.port) as client:
        slates = [client.timed_post("/v1/feed", {"user_id": person})[0] for person in (1, 2, 3)]

    assert len({slate["items"][0]["connection"] for slate in slates}) == 1


def test_an_answer_that_was_cut_off_is_none_and_the_next_request_opens_a_connection(server: Server) -> None:
    with Client(server.port) as client:
        with pytest.raises(ConnectionResetError, match="before its answer was whole"):
            client.fetch("/cut")

        assert client.fetch("/readyz") == b"{}"


def test_a_connection_that_the_server_ends_is_not_used_again(server: Server) -> None:
    with Client(server.port) as client:
        assert client.fetch("/last") == b"{}"
        assert client.fetch("/readyz") == b"{}"


def test_all_arms_are_driven_with_the_same_people(server: Server) -> None:
    fast, slow = drive(
        [Arm(server.port), Arm(server.port, 10)], range(1, 101), Drive(1, time.monotonic() + 30)
    )

    assert sorted(fast.feeds) == list(range(1, 101))
    assert sorted(slow.feeds) == [1, 11, 21, 31, 41, 51, 61, 71, 81, 91]
    assert [len(times) for times in slow.paired_with(fast)] == [10, 10]
    assert len(fast.events) == 100
    assert fast.seconds > 0


def test_four_at_once_serve_everybody_once(server: Server) -> None:
    (fast,) = drive([Arm(server.port)], range(1, 81), Drive(4, time.monotonic() + 30))

    assert sorted(fast.requests) == list(range(1, 81))


def test_a_drive_ends_at_its_deadline(server: Server) -> None:
    (fast,) = drive([Arm(server.port)], range(1, 10_001), Drive(1, time.monotonic()))

    assert len(fast.feeds) < 100


def test_watches_name_the_impressions_of_their_slate() -> None:
    items = [{"impression_id": 64 + place, "video_id": place} for place in range(10)]

    told = watched({"served_at_us": 9, "items": items}, person=3)

    assert [event["impression_id"] for event in told] == [64, 65, 66]
    assert len({event["event_id"] for event in told}) == 3


def test_the_ratio_at_the_median_is_the_ratio_of_the_medians() -> None:
    slow, fast = [30.0, 10.0, 20.0], [2.0, 1.0, 4.0]

    found = ratio_at_p50(slow, fast, np.random.default_rng(0))

    assert found.value == pytest.approx(20.0 / 2.0)
    assert found.low <= found.value <= found.high
    assert latency(slow).p50_ms == pytest.approx(20.0)


def test_a_quantile_lies_in_its_interval_and_of_nothing_is_unknown() -> None:
    found = quantile_at(
        0.99, np.random.default_rng(3).gamma(9.0, 0.5, 500).tolist(), np.random.default_rng(0)
    )

    assert found.low < found.value < found.high
    assert np.isnan(quantile_at(0.99, [], np.random.default_rng(0)).value)


def test_what_ours_took_is_told_apart_by_whether_its_core_was_quiet() -> None:
    feeds = {person: 4.0 if person % 4 else 7.0 for person in range(100)}
    work = [(0.2, 0.2) if person % 4 else (0.2, 0.33) for person in feeds]
    told = Measured(Timings(feeds, work_ms=work), Timings(feeds), Timings()).figures(np.random.default_rng(0))

    assert (told["ours_quiet"]["requests"], told["ours_quiet"]["p99_ms"]) == (75, 4.0)
    assert (told["ours_not_quiet"]["requests"], told["ours_not_quiet"]["p50_ms"]) == (
        25,
        7.0,
    )


def test_stage_means_are_of_the_requests_between_two_readings() -> None:
    text = 'fourplanes_stage_ms_sum{stage="find"} 10.0\nfourplanes_stage_ms_count{stage="find"} 4.0\n'

    assert stage_means({"find": (4.0, 2.0)}, stages_of(text)) == {"find": pytest.approx(3.0)}


def test_a_core_is_looked_at_before_and_after_each_feed_of_one_at_a_time(server: Server) -> None:
    core = Core.of(usable_cores(), usable_cores())
    arms, soon = [Arm(server.port, core=core), Arm(server.port)], time.monotonic() + 30

    (looked, plain), (crowd, _) = (drive(arms, range(1, 41), Drive(n, soon)) for n in (1, 4))

    assert [len(each.work_ms) for each in (looked, plain, crowd)] == [40, 0, 0]
    assert all(before > 0 and after > 0 for before, after in looked.work_ms)


def test_a_turn_of_several_clients_counts_what_was_answered_and_who_answered(server: Server) -> None:
    turns = Turns()

    turns.take([server], 2, range(1, 31))

    assert 60 - 2 * AT_ONCE < turns.answered[0] <= 60
    assert sorted(turns.places) == [0] * 15 + [1] * 15  # this server says the person's number
    assert turns.figures()["requests_per_second"] > 0


def test_twice_as_many_answers_in_every_turn_are_two_times_more() -> None:
    alone = [Turns([100, 120], [1.0, 1.5]), Turns([50, 60], [0.5, 0.75])]

    found = times_more(Turns([200, 240], [1.0, 1.5]), alone, np.random.default_rng(0))

    assert (found.low, found.value, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_of_a_fast_core_and_a_slow_one_the_mean_rate_counts() -> None:
    alone = [Turns([100] * 3, [1.0] * 3), Turns([100] * 3, [2.0] * 3)]

    found = times_more(Turns([150] * 3, [1.0] * 3), alone, np.random.default_rng(0))

    assert found.value == pytest.approx(150 / 75)


def test_a_crowd_asks_for_everybody_once_and_tells_what_they_watched(server: Server) -> None:
    with ExitStack() as opened:
        clients = [opened.enter_context(Client(server.port)) for _ in range(4)]
        pace = pace_of(clients, range(1, 31))

    assert sorted(pace.slates) == list(range(1, 31))
    assert 60 - 2 * 4 < pace.answered <= 60
    assert (pace.seconds > 0, pace.refused) == (True, 0)


def test_whoever_is_turned_away_asks_again(server: Server) -> None:
    with Client(server.port) as client:
        pace = pace_of([client], [429, 430])

    assert (pace.slates, pace.refused, pace.answered) == ([429, 430], 1, 4)


def test_more_clients_than_people_leave_some_with_nothing_to_do(server: Server) -> None:
    with Client(server.port) as client, Client(server.port) as idle:
        pace = pace_of([client, idle], [1])

    assert (pace.slates, pace.answered) == ([1], 2)


def test_the_clock_stops_when_somebody_has_nobody_to_ask_for(server: Server) -> None:
    """Of two clients one waits for its slate until the other is done with everybody else."""
    with Client(server.port) as slow, Client(server.port) as quick:
        pace = pace_of([slow, quick], [50_001, 1, 2, 50_002])

    assert sorted(pace.slates) == [1, 2, 50_001, 50_002]
    assert 6 <= pace.answered <= 7  # the slate, at most, and not what is told of it


@pytest.mark.parametrize(("people", "turns", "size"), [(4_900, 40, 120), (100, 4, 25), (3, 3, 1)])
def test_turns_are_of_one_size_and_where_there_are_few_people_smaller(
    people: int, turns: int, size: int
) -> None:
    assert [len(turn) for turn in turns_of(range(people))] == [size] * turns
