"""`python -m simulator <verb>`: live the world, compare it, drive a server with it, open its truth."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from feature_repo.processes import exit_code

VERBS = {
    "logs": "live the world's days and write its log",
    "card": "compare the world with the published figures, row by row",
    "live": "drive a running server with the world's people, over HTTP",
    "scenarios": "show what can happen to the world, and what should be noticed",
    "reveal": "open the sealed truth of a world lived with `logs --hidden`",
}


def main(argv: list[str]) -> int:
    os.environ.setdefault("DO_NOT_TRACK", "true")
    lines = "\n".join(f"  {verb:<10} {line}" for verb, line in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="The world outside: people, videos, creators, time.",
        epilog=f"verbs:\n{lines}\n\npython -m simulator <verb> --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    asked = parser.parse_args(argv)
    stopped = "Interrupted; nothing half done was left behind. Run the same command again."
    module = f"simulator.{asked.verb}"
    return exit_code(asked.verb, lambda: int(import_module(module).main(asked.arguments)), stopped)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
