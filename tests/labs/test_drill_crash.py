"""Does the crash drill kill, restart and hold to account? On a server of twenty lines, then the real one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from feature_repo.places import Run
from labs.bench.ledgers import Ledger
from labs.bench.servers import NeverReady
from labs.drill_crash import Drill, Life, figures, main, verdicts
from tests.labs.test_ledgers import a_batch, an_acknowledged, held

FORGETFUL = """
import itertools, json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
slates = itertools.count(1)

class Forgetful(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def answer(self, body):
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
    def do_GET(self):
        self.answer({})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/events":
            return self.answer({"stored": len(asked["events"]), "repeated": 0})
        n = next(slates)
        items = [{"impression_id": 32 * n + k, "video_id": k, "creator_id": 1} for k in range(3)]
        self.answer({"served_at_us": 5, "degraded": [], "items": items})
    def log_message(self, *_): pass

ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Forgetful).serve_forever()
"""


def a_drill(folder: Path, code: str = FORGETFUL) -> Drill:
    return Drill(["-c", code], {}, folder, range(40), Ledger())


def test_a_server_that_shows_what_was_watched_is_noticed(tmp_path: Path) -> None:
    drill = a_drill(tmp_path)

    lived = drill.life(np.random.default_rng(1), last=True)

    assert lived.first_feed_s <= lived.ready_s
    assert drill.ledger.returned > 0


def test_acknowledged_events_a_server_kept_to_itself_are_lost(tmp_path: Path) -> None:
    drill = a_drill(tmp_path)
    drill.life(np.random.default_rng(1), last=True)

    found = held(tmp_path, drill.ledger)

    assert found.lost >= found.acknowledged > 0


def test_a_server_that_ends_by_itself_is_no_kill(tmp_path: Path) -> None:
    with pytest.raises(NeverReady, match="nothing to serve"):
        a_drill(tmp_path, "raise SystemExit('nothing to serve')").life(np.random.default_rng(1))


def test_a_bar_is_missed_by_one_lost_event_and_by_one_slow_start(tmp_path: Path) -> None:
    found = held(tmp_path, an_acknowledged(a_batch(1)))

    judged = {each.what: each.met for each in verdicts(found, [Life(math.nan, math.nan), Life(5.5, 6.0)])}

    assert not judged["acknowledged events lost"]
    assert not judged["slowest first feed, s after the start"]
    assert judged["slowest /readyz, s after the start"]
    assert figures(found, [Life(math.nan, math.nan), Life(5.5, 6.0)], Ledger())["ready_s"]["n"] == 1


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_the_server_is_killed_twice(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("VAR", str(trained.places.root.parent)), ("SCALE", "tiny"), ("SEED", trained.seed)):
        monkeypatch.setenv(name, str(value))

    main(["--kills", "2", "--people", "40"])  # on a busy machine the bar of the first feed may be missed

    told = json.loads((trained.places.reports / "drill-crash.json").read_text())["figures"]
    assert told["books"]["acknowledged"] > 0
    assert [told["books"][what] for what in ("lost", "doubled", "torn", "unanswered", "returned")] == [0] * 5
    assert not (trained.places.journal).exists()
