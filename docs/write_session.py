"""Run docs/session.sh against a server of this run's champion, and keep what it printed for the README.

The server reads the run and writes to a scratch copy, so the session leaves no events behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def printed(port: int, user_id: int = 424242) -> str:
    """What the session prints against this server; `user_id` should be nobody it knows."""
    done = subprocess.run(
        ["bash", str(HERE / "session.sh"), str(user_id)],
        env={**os.environ, "PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def main() -> int:
    from feature_repo.places import run_from_environment
    from labs.bench.bench_serving import scratch
    from labs.bench.servers import running
    from serving.registry import champion

    run = run_from_environment()
    if champion(run.places) is None:
        print("no champion: the session stays as it was. Run `make train` first.")
        return 0
    figures = json.loads((HERE / "figures.json").read_text("utf-8"))
    with (
        scratch(run) as var,
        running("session", ["-m", "serving"], {"VAR": str(var)}, var / "session.txt") as server,
    ):
        figures["session"] = printed(server.port)
    (HERE / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    print(figures["session"] + "next: make figures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
