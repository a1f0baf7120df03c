"""Where run-time state lives: everything generated is under var/<logs>-<scale>/ and nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from feature_repo.scales import SCALES


@dataclass(frozen=True)
class Places:
    """The folders of one run. A KuaiRand or tiny run never touches another's."""

    root: Path
    online_url: str = ""
    """redis://host:port/database to keep online rows there; empty: in a file of this run."""

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def shadow(self) -> Path:
        """What truly happened; sealed: only the world, labs, notebooks and tests may read it."""
        return self.root / "shadow"

    @property
    def journal(self) -> Path:
        """Events the server acknowledged and the log has not absorbed yet (SQLite)."""
        return self.root / "journal.db"

    @property
    def features(self) -> Path:
        """Snapshots of the feature views, the sources of the Feast repository."""
        return self.root / "features"

    @property
    def feast(self) -> Path:
        """Feast's registry and online store."""
        return self.root / "feast"

    @property
    def online(self) -> str:
        """Where the online store is."""
        return self.online_url or str(self.feast.absolute() / "online.db")

    @property
    def work(self) -> Path:
        """Artifacts of stages, each in a folder named by the hash of what made it."""
        return self.root / "work"

    @property
    def registry(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root / "registry"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def server(self) -> Path:
        """What a running server writes for people and monitors: its log and its figures."""
        return self.root / "server"


LOGS = ("simulated", "kuairand")
ENGINES = ("embedded", "spark")
ADDRESSES = ("redis://", "rediss://", "unix://")
LARGEST_SEED = 2**31 - 1
"""The largest seed every library takes; LightGBM keeps it in 32 bits."""


class BadSetting(ValueError):
    """An environment variable that names nothing we know: what was found, what must hold."""


@dataclass(frozen=True)
class Run:
    """What the environment asked for: which logs, at what scale, from which seed."""

    logs: str
    scale: str
    seed: int
    places: Places
    engine: str = "embedded"
    """What computes the feature views: this process, or Spark."""


def run_from_environment() -> Run:
    """Read LOGS, SCALE, SEED, VAR, ONLINE_STORE, ENGINE once, at the edge; BadSetting names a wrong one."""
    logs = _one_of("LOGS", LOGS, "simulated")
    scale = _one_of("SCALE", tuple(SCALES), "laptop")
    seed = _seed(os.environ.get("SEED") or "7")
    var = Path(os.environ.get("VAR") or "var")
    online = _online(os.environ.get("ONLINE_STORE") or "")
    engine = _one_of("ENGINE", ENGINES, "embedded")
    return Run(logs, scale, seed, Places(var / f"{logs}-{scale}", online), engine)


def _online(address: str) -> str:
    if address and not address.startswith(ADDRESSES):
        raise BadSetting(
            f"ONLINE_STORE is {address!r}, must start with {' or '.join(ADDRESSES)}, or be empty."
        )
    return address


def _one_of(name: str, known: tuple[str, ...], otherwise: str) -> str:
    found = os.environ.get(name) or otherwise
    if found not in known:
        raise BadSetting(f"{name} is {found!r}, must be one of {', '.join(known)}; set {name}={otherwise}.")
    return found


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) > LARGEST_SEED:
        raise BadSetting(f"SEED is {text!r}, must be a whole number from 0 to {LARGEST_SEED}; set SEED=7.")
    return int(text)
