"""Is this the response that was sent? A request answered again, from the log and the release alone.

The log keeps the hash of every response, so the replay is held against the bytes that were sent, not against
another computation. If they differ, the first field that does is named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feature_repo.clock import utc
from feature_repo.places import Run, run_from_environment
from feature_repo.reports import write_report
from monitoring.failing import NoSuchComponent
from monitoring.replays import NotReplayable, Past, Replay, replayed
from serving.explanations import Origin, explanation_of
from serving.journeys import explained
from serving.wire import ChosenItem, ExplainedRequest

if TYPE_CHECKING:
    from rich.console import Console


def main(argv: Sequence[str]) -> int:
    """0 if the bytes are those that were sent, 1 if they differ, 2 if it cannot be answered again."""
    from rich.console import Console

    asked, run, console = _asked(argv), run_from_environment(), Console()
    try:
        with console.status("reading the log, counting the features of then, answering again …"):
            request_id = asked.request_id or Past.of(run.places).newest_request()
            replay = replayed(run.places, request_id)
    except (NotReplayable, NoSuchComponent) as why:
        print(f"replay: {why}", file=sys.stderr)
        return 2
    told = journey(replay)
    report = write_report(run, "replay", {**figures(replay), "journey": told.model_dump()})
    show(console, run, replay)
    if asked.explain:
        show_journey(console, told)
    if asked.body:
        print(replay.body.decode())
    again = f"make replay ID={request_id} EXPLAIN=1" if not asked.explain else "make audit-parity"
    print(f"report: {report}\nnext: {again}")
    return 0 if replay.is_equal else 1


def journey(replay: Replay) -> ExplainedRequest:
    """The whole journey of a replayed request, as `/v1/explain` would have told it."""
    asked = replay.recorded.requested
    origin = Origin(replay.release, replay.models, asked["seed"], asked["features_time_us"])
    return explained(explanation_of(replay.funnel, origin))


def figures(replay: Replay) -> dict[str, object]:
    asked = replay.recorded.requested
    return {
        "request_id": asked["request_id"],
        "release_id": asked["release_id"],
        "equal": replay.is_equal,
        "difference": replay.difference,
        "bytes": len(replay.body),
        "sent_sha256": asked["response_sha256"],
        "replayed_sha256": replay.sha256,
        "degraded": list(replay.recorded.degraded),
    }


def show(console: Console, run: Run, replay: Replay) -> None:
    """How it was asked, both hashes, and the verdict."""
    from rich.table import Table

    asked = replay.recorded.requested
    table = Table(
        title=f"request {asked['request_id']}   {run.places.root}", title_justify="left", show_header=False
    )
    chance = f"[{asked['seed']}, {asked['request_id']}]" if asked["explore"] else "none"
    rows = {
        "person": f"{asked['user_id']}",
        "asked for": f"{asked['limit']} items on surface {asked['surface']}",
        "served": f"{len(replay.recorded.served)} items",
        "moment": f"{utc(asked['event_time_us']).isoformat()}",
        "mirror": f"{utc(asked['features_time_us']).isoformat()}",
        "release": asked["release_id"],
        "chance": chance,
        "degraded": ", ".join(replay.recorded.degraded) or "no",
        "sent": asked["response_sha256"],
        "replayed": replay.sha256,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table, markup=False, highlight=False, soft_wrap=True)
    same = f"equal in sha256: all {len(replay.body):,} bytes of the response that was sent"
    console.print(
        same if replay.is_equal else f"DIFFERS: {replay.difference}", highlight=False, soft_wrap=True
    )


def show_journey(console: Console, told: ExplainedRequest) -> None:
    """Found, removed, scored, chosen: three tables and the stages."""
    from rich.table import Table

    sources = Table(
        "source", "quota", "found", "first to find", "chosen", title="found", title_justify="left"
    )
    for name, source in told.sources.items():
        sources.add_row(name, *(f"{n}" for n in (source.quota, source.found, source.first, source.chosen)))
    console.print(sources)
    for name, removed in told.removed.items():
        because = ", ".join(f"{reason} {len(ids)}" for reason, ids in removed.because.items())
        console.print(f"  {name} removed {removed.count}{f': {because}' if because else ''}", highlight=False)
    console.print(
        f"  {told.distinct} distinct, {told.cut} came too late, {len(told.scored)} scored, "
        f"{told.unscored} of unknown value",
        highlight=False,
    )
    console.print(_slate_table(told))
    console.print("ages   " + "   ".join(f"{view} {age:g} s" for view, age in told.feature_ages_s.items()))
    console.print(
        "stages " + "   ".join(f"{stage} {ms:.2f} ms" for stage, ms in told.ms.items()) + "  (of the replay)"
    )


def _slate_table(told: ExplainedRequest) -> object:
    from rich.table import Table

    table = Table(
        "",
        "video",
        "found by (rank)",
        *told.weights,
        "value",
        "worth",
        "paid",
        "drawn from",
        "propensity",
        "runner-up",
        title="slate; heads: probability x weight",
        title_justify="left",
    )
    for item in told.slate:
        table.add_row(*_cells(item))
    return table


def _cells(item: ChosenItem) -> list[str]:
    found = ", ".join(f"{each.source} ({each.rank})" for each in item.found_by)
    heads = [f"{_short(head.calibrated)} x {head.weight:g}" for head in item.heads.values()]
    move = item.move
    runner_up = "none" if move.runner_up is None else f"{move.runner_up} ({_short(move.runner_up_left)})"
    return [
        f"{item.position}",
        f"{item.video_id}",
        found,
        *heads,
        _short(item.value),
        _short(move.worth),
        _short(move.paid),
        move.drawn_from,
        f"{item.propensity:.4f}",
        runner_up,
    ]


def _short(number: float | None) -> str:
    return "unknown" if number is None else f"{number:.3g}"


def _asked(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m labs replay", description=__doc__)
    parser.add_argument(
        "request_id", type=int, nargs="?", help="of a response; left out: the newest on record"
    )
    parser.add_argument("--explain", action="store_true", help="print the whole journey of the request")
    parser.add_argument("--body", action="store_true", help="print the response, byte for byte")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
