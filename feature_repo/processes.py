"""What a command owes whoever runs it: an exit code and one line on failure; and who else is running."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def exit_code(name: str, call: Callable[[], int], stopped: str) -> int:
    """What `call` answers; 130 and `stopped` on Ctrl-C; 1 and one line on a failure we have words for.

    TRACEBACK=1 lets the failure through whole.
    """
    try:
        return call()
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return 130
    except (RuntimeError, ValueError, OSError, LookupError) as error:
        if os.environ.get("TRACEBACK"):
            raise
        print(f"{name}: {error}", file=sys.stderr)
        return 1


def is_running(pid: int) -> bool:
    """Whether a process of this machine has this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
