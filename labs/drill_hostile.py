"""Does any request get an answer the API page does not promise? Asked with many that nobody thought of.

The application runs in this process, on a scratch copy of the run. Schemathesis draws requests for every
operation of its OpenAPI page, right ones and wrong ones; hypothesis draws bodies, methods and paths around
them. Law: no answer is 5xx, and status, headers and body of each are what the page says. Where there is an
admin token, what is private is asked of an application with one, by strangers.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from feature_repo.places import Places, Run, run_from_environment
from feature_repo.reports import write_report
from labs.bench.bench_serving import scratch
from labs.bench.pages import Findings, Page, broken, lived
from labs.bench.servers import end_servers_with_us
from labs.bench.verdicts import exit_status, show

if TYPE_CHECKING:
    from labs.bench.hostile_requests import Hostile

CASES = 20_000
DRAWN = 0.4
"""Share of the cases that hypothesis draws; the rest are the page's operations', in equal parts."""
PLAIN = 25
"""Cases of an operation that takes nothing, or refuses strangers whatever they say: all are the same."""
A_ROUND = 1_000
EXPLAINED_EVERY = 20
PRIVATE = ("/admin/", "/v1/explain/")


@dataclass(frozen=True)
class Plan:
    """Requests of one kind, at least so many; `ask(n, seed)` sends up to n."""

    name: str
    cases: int
    ask: Callable[[int, int], None]


def carried_out(plans: Sequence[Plan], findings: Findings, seed: int) -> None:
    """Every plan, with a line that says where it is."""
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task("asking", total=sum(plan.cases for plan in plans))
        for place, plan in enumerate(plans):
            for asked in rounds(plan, findings, 1_000 * (seed + place)):
                bar.update(task, advance=asked, description=f"{plan.name}, {len(findings.broken)} broken")


def rounds(plan: Plan, findings: Findings, seed: int) -> Iterator[int]:
    """How many cases each round had, until the plan has its cases or a round finds none."""
    done, asked = 0, -1
    while done < plan.cases and asked != 0:
        before = findings.cases
        plan.ask(min(A_ROUND, plan.cases - done), seed)
        asked, seed = findings.cases - before, seed + 1
        done += asked
        yield asked


def of_the_page(operation: Any, wrong: bool, cases: int, findings: Findings) -> Plan:
    """Requests that schemathesis makes of what the page says of an operation: as it says, or not."""
    from schemathesis import GenerationMode

    mode = GenerationMode.NEGATIVE if wrong else GenerationMode.POSITIVE
    drawn = operation.as_strategy(generation_mode=mode)

    def hold(case: Any) -> None:
        answer = case.call()
        told = (case.method, case.path, case.path_parameters, case.query, case.headers, case.body)
        findings.note(operation.label, answer.status_code, repr(told), broken(case, answer))

    name = f"{operation.label} {'against' if wrong else 'by'} the page"
    return Plan(name, cases, lambda n, seed: each_of(drawn, hold, n, seed))


def around_the_page(page: Page, drawn: Any, cases: int, findings: Findings) -> Plan:
    """Requests that hypothesis draws; now and then a slate that came of one is explained, whole."""
    from labs.bench.hostile_requests import FEED

    slates = itertools.count()

    def hold(hostile: Hostile) -> None:
        answer = page.send(hostile, findings)
        if hostile.path == FEED and answer.status_code == 200 and next(slates) % EXPLAINED_EVERY == 0:
            _explained(page, answer.json()["request_id"], findings)

    return Plan("around the page", cases, lambda n, seed: each_of(drawn, hold, n, seed))


def _explained(page: Page, request_id: int, findings: Findings) -> None:
    operation = page.operations["GET", "/v1/explain/{request_id}"]
    answer = page.client.get(f"/v1/explain/{request_id}")
    why = broken(operation.Case(path_parameters={"request_id": request_id}), answer)
    findings.note(operation.label, answer.status_code, f"GET /v1/explain/{request_id}", why)


def each_of(drawn: Any, hold: Callable[[Any], None], n: int, seed: int) -> None:
    """Up to n examples of a strategy, the same for the same seed; fewer if there are no more."""
    import hypothesis

    bounded = hypothesis.settings(
        max_examples=n,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    @hypothesis.seed(seed)
    @bounded
    @hypothesis.given(drawn)
    def each(example: Any) -> None:
        hold(example)

    each()


def plans(open_page: Page, closed_page: Page, drawn: Any, cases: int, findings: Findings) -> list[Plan]:
    """What is asked, in order: every operation by the page and against it, then around it."""
    private = [each for (_, path), each in closed_page.operations.items() if path.startswith(PRIVATE)]
    takes = [each for each in open_page.operations.values() if _takes_something(each)]
    plain = [each for each in open_page.operations.values() if not _takes_something(each)]
    part = math.ceil(cases * (1 - DRAWN) / (2 * len(takes)))
    made = [of_the_page(each, wrong, part, findings) for each in takes for wrong in (False, True)]
    made += [of_the_page(each, False, PLAIN, findings) for each in [*plain, *private]]
    return [*made, around_the_page(open_page, drawn, math.ceil(cases * DRAWN), findings)]


def _takes_something(operation: Any) -> bool:
    return bool(list(operation.iter_parameters()) or list(operation.body))


def drilled(run: Run, cases: int) -> Findings:
    """The drill on a scratch copy of this run; the same seed asks the same."""
    from labs.bench.hostile_requests import requests

    findings = Findings()
    with scratch(run) as var, lived(Places(var / run.places.root.name), run.seed) as (live, pages):
        videos = live.state.catalog.video_ids[:200].tolist()
        drawn = requests(videos, live.clock())
        carried_out(plans(*pages, drawn, cases, findings), findings, run.seed)
    return findings


def tell(findings: Findings) -> None:
    """Answers by operation and status, then the first example of each broken promise."""
    from rich.console import Console
    from rich.table import Table

    table = Table("operation", "answers by status", "cases")
    names = list(dict.fromkeys(name for name, _ in findings.statuses))
    for name in names:
        of = {status: n for (each, status), n in sorted(findings.statuses.items()) if each == name}
        table.add_row(name, "  ".join(f"{s}: {n:,}" for s, n in of.items()), f"{sum(of.values()):,}")
    console = Console()
    console.print(table)
    for what, example in findings.broken.items():
        console.print(f"BROKEN {what}\n{example}\n", markup=False)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m labs drill-hostile", description=__doc__)
    made.add_argument("--cases", type=int, default=CASES, help="at least (default %(default)s)")
    return made


def main(argv: Sequence[str]) -> int:
    asked = parser().parse_args(argv)
    if asked.cases < 1:
        parser().error("--cases must be 1 or more")
    run = run_from_environment()
    end_servers_with_us()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.getLogger().addHandler(logging.NullHandler())  # the application's log is not this command's
    missing = [name for name in ("schemathesis", "hypothesis", "httpx") if find_spec(name) is None]
    if missing:
        print(
            f"drill-hostile: {', '.join(missing)} not installed. They come with: make setup", file=sys.stderr
        )
        return 1
    findings = drilled(run, asked.cases)
    tell(findings)
    judged = findings.verdicts(asked.cases)
    show(f"{findings.distinct:,} distinct requests", judged)
    print(
        f"report: {write_report(run, 'drill-hostile', findings.figures(asked.cases))}\nnext: make drill-crash"
    )
    return exit_status(judged)
