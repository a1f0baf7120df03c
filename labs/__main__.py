"""`python -m labs <verb>`: the questions whose answers are known, asked from the command line."""

from __future__ import annotations

import importlib
import os
import sys

from feature_repo.processes import exit_code

VERBS = {
    "true-value": ("labs.true_value", "what champion, simple baselines and the oracle are truly worth"),
    "three-seeds": ("labs.three_seeds", "the same question in three worlds, each trained from scratch"),
    "bench-world": ("labs.bench.bench_world", "impressions per second on one core, and peak memory"),
    "ceilings": ("labs.ceilings", "how good a perfect model could look on each label of this log"),
    "long-term": ("labs.long_term", "active days in the next 28 under each policy, from the log's end"),
    "global-effect": (
        "labs.global_effect",
        "what a change does to everybody, and what an A/B test would say",
    ),
    "pairing": ("labs.pairing", "how much the same luck on both sides cuts the variance of a difference"),
    "funnel": (
        "labs.funnel",
        "how much true value each stage of the feed loses, from everything to the slate",
    ),
    "bench-retrieval": (
        "labs.bench.bench_retrieval",
        "exact search beside a shortlist, by catalogue size: where the crossover lies",
    ),
    "drill-rollback": (
        "labs.drill_rollback",
        "how long people see the wrong release after a rollback, and whether a request fails meanwhile",
    ),
    "bench-serving": ("labs.bench.bench_serving", "our server against the naive one, paired in one run"),
    "bench-scorer": ("labs.bench.bench_scorer", "the bit-vector scorer against LightGBM, paired in one run"),
    "bench-saturation": (
        "labs.bench.bench_saturation",
        "arrivals that do not wait for answers, up to twice what the server can take",
    ),
    "drill-crash": (
        "labs.drill_crash",
        "is anything acknowledged lost when the server is killed",
    ),
    "drill-workers": ("labs.drill_workers", "do two servers on one run give one person one history"),
    "drill-hostile": ("labs.drill_hostile", "does any request get an answer the API page does not promise"),
    "soak": ("labs.soak", "errors, memory and tail latency over half an hour of mixed traffic"),
    "bench-features": (
        "labs.bench.bench_features",
        "the feature plane beside its rivals: joins, windows, online reads, freshness",
    ),
    "audit-parity": (
        "labs.audit_parity",
        "is every served feature what training would have joined: a simulated day, audited",
    ),
    "replay": (
        "labs.replay",
        "a request answered again from the log and the release: the bytes that were sent, or what differs",
    ),
    "leakage-ceiling": (
        "labs.leakage_ceiling",
        "no honest model is better than the true odds: held-out AUC beside the Bayes ceiling",
    ),
    "drill-faults": (
        "labs.drill_faults",
        "each dependency taken from a running server and given back: what slates lose and say",
    ),
    "engines": (
        "labs.engines",
        "the feature views on Spark, equal cell by cell to the embedded engine's",
    ),
}


def usage() -> str:
    """The verbs, one sentence each."""
    lines = [f"  {verb:<16} {sentence}" for verb, (_, sentence) in VERBS.items()]
    return "\n".join(
        ["usage: python -m labs <verb> [options]", "", *lines, "", "python -m labs <verb> --help"]
    )


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    if argv[0] not in VERBS:
        print(f"no lab {argv[0]!r}. Labs: {', '.join(VERBS)}.", file=sys.stderr)
        return 2
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    stopped = "stopped; nothing was written. Run the same command again."
    module = VERBS[argv[0]][0]
    return exit_code(argv[0], lambda: int(importlib.import_module(module).main(argv[1:])), stopped)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
