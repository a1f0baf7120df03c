"""Who may do what only the owner may: those who know one secret, compared in constant time.

The secret comes from ADMIN_TOKEN, or from a file only its owner can read; it is never logged, nor kept as it
was given. Without one there is no admin.
"""

from __future__ import annotations

import hashlib
import hmac
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from feature_repo.places import BadSetting

TOKEN, TOKEN_FILE = "ADMIN_TOKEN", "ADMIN_TOKEN_FILE"
SHORTEST = 16


@dataclass(frozen=True, repr=False)
class Admins:
    """Knows the digest of the secret, or that there is none."""

    digest: bytes | None = None

    @property
    def exist(self) -> bool:
        return self.digest is not None

    def admit(self, authorization: str) -> bool:
        """Whether an Authorization header is `Bearer` and the secret; equally slow whatever it is."""
        kind, _, token = authorization.partition(" ")
        right = hmac.compare_digest(_digest(token.strip()), self.digest or bytes(32))
        return right and self.exist and kind.lower() == "bearer"


def admins_of(environment: Mapping[str, str]) -> Admins:
    """The admins an environment names; BadSetting says what is wrong with the secret, never what it is."""
    token = environment.get(TOKEN, "")
    if not token and environment.get(TOKEN_FILE):
        token = _read(Path(environment[TOKEN_FILE]))
    if not token:
        return Admins()
    if len(token) < SHORTEST:
        raise BadSetting(f"the admin token has {len(token)} characters, must have {SHORTEST} or more.")
    return Admins(_digest(token))


def _read(path: Path) -> str:
    if not path.is_file():
        raise BadSetting(f"{TOKEN_FILE} is {str(path)!r}, must be a file; make one, or leave it out.")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise BadSetting(f"{path} has mode {mode:o}, must be its owner's alone: chmod 600 {path}")
    return path.read_text(encoding="utf-8").strip()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
