"""Packed rows in one Redis (not a cluster): a string per row, a sorted set per view by version of its change.

Law: the same as in SQLite. A batch is one script per view, all in one transaction, and a reading of
several views one MGET: both are atomic. Names are packed:<project>:<view>:<key>, and for what is about the
view packed:<project>:<view>#<what>.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

from feature_repo.packed_tables import Batch

_WRITE = """
local prefix, size, keys, rows = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local version = redis.call('incr', KEYS[1])
local newest = tonumber(redis.call('get', KEYS[3]) or '0')
local written, place, low = 0, 1, 1
while low <= #rows do
  local key
  key, place = struct.unpack('<I4c0', keys, place)
  local row = string.sub(rows, low, low + size - 1)
  low = low + size
  local since = struct.unpack('<i8', row, 9)
  local old = redis.call('getrange', prefix .. key, 8, 15)
  if old == '' or struct.unpack('<i8', old) <= since then
    redis.call('set', prefix .. key, row)
    redis.call('zadd', KEYS[2], version, key)
    written = written + 1
  end
  if since > newest then newest = since end
end
redis.call('set', KEYS[3], string.format('%.0f', newest))
return written
"""

_CHANGED = """
local latest = tonumber(redis.call('get', KEYS[1]) or '0')
local after = tonumber(ARGV[2])
if after > latest then after = 0 end
local keys = redis.call('zrangebyscore', KEYS[2], '(' .. after, '+inf')
local rows = {}
for i = 1, #keys do rows[i] = redis.call('get', ARGV[1] .. keys[i]) end
return {latest, keys, rows}
"""

_CLEAR = """
for _, key in ipairs(redis.call('zrange', KEYS[1], 0, -1)) do redis.call('unlink', ARGV[1] .. key) end
redis.call('del', KEYS[1], KEYS[2])
"""


class RedisRows:
    """Bytes by view and key; safe to share between threads, which share a pool of connections."""

    def __init__(self, url: str, project: str, patience_s: float | None = None):
        self._redis = _connected(url, patience_s)
        self._project = project

    def create(self, view: str) -> None:
        """Nothing: Redis needs no tables."""

    def fetch(self, asks: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """The stored row of each key of each view, all of one moment; None where there is none."""
        names = [self._prefix(view) + key for view, keys in asks for key in keys]
        found: list[bytes | None] = self._redis.mget(names) if names else []
        answers, low = [], 0
        for _, keys in asks:
            answers.append(found[low : low + len(keys)])
            low += len(keys)
        return answers

    def write(self, batches: Sequence[Batch]) -> int:
        """How many of these rows replaced nothing or something not newer."""
        with self._redis.pipeline(transaction=True) as together:
            for view, keys, rows in batches:
                told = b"".join(struct.pack("<I", len(key)) + key for key in keys)
                names = [self._version, self._about(view, "versions"), self._about(view, "newest_us")]
                asked = [self._prefix(view), len(rows[0]), told, b"".join(rows)]
                self._write(names, asked, client=together)
            return sum(map(int, together.execute()))

    def changed_since(self, view: str, version: int) -> tuple[list[bytes], list[bytes], int]:
        """(keys, rows) written after this version, and the version now. One from the future means all."""
        names = [self._version, self._about(view, "versions")]
        latest, keys, rows = self._changed(names, [self._prefix(view), version])
        return keys, rows, int(latest)

    def newest_us(self, view: str) -> int:
        """The largest moment ever written to the view; 0 before the first."""
        return int(self._redis.get(self._about(view, "newest_us")) or 0)

    def clear(self, view: str) -> None:
        """Forget every row of the view; versions go on."""
        names = [self._about(view, "versions"), self._about(view, "newest_us")]
        self._redis.eval(_CLEAR, len(names), *names, self._prefix(view))

    def close(self) -> None:
        self._redis.close()

    @cached_property
    def _write(self) -> Any:
        return self._redis.register_script(_WRITE)

    @cached_property
    def _changed(self) -> Any:
        return self._redis.register_script(_CHANGED)

    @property
    def _version(self) -> bytes:
        return f"packed:{self._project}#version".encode()

    def _about(self, view: str, what: str) -> bytes:
        return f"packed:{self._project}:{view}#{what}".encode()

    def _prefix(self, view: str) -> bytes:
        return f"packed:{self._project}:{view}:".encode()


def _connected(url: str, patience_s: float | None) -> Any:
    try:
        redis = import_module("redis")
    except ImportError as missing:
        raise ImportError(
            f"{url} needs redis-py, which is not installed; install the extra: fourplanes[redis]."
        ) from missing
    return redis.Redis.from_url(url, socket_timeout=patience_s, socket_connect_timeout=patience_s)
