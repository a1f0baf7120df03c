"""One entity of a feature view as one row of bytes, and its key as the bytes Feast gives it.

A row is little-endian and without padding: schema hash (8 bytes), since_us and until_us (int64), one null bit
per feature (first feature in the lowest bit), then the features in the order of the schema. Law: reading what
was written gives it back bit for bit; a row of another schema is never taken for one of this schema.

A null float is NaN and a null integer 0, so that arrays stay plain; the null bits tell them from real ones.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEVER_US = 2**63 - 1
"""The `until_us` of values that hold until something new happens."""

LATEST_US = 2**53
"""A moment is below this (the year 2255): Redis compares moments as float64, which is exact up to here."""

_STRUCT = {"<f4": "f", "<f8": "d", "<i4": "i", "<i8": "q", "|b1": "?"}
DTYPES = tuple(_STRUCT)
"""What a feature may be."""

_STRING, _INT64 = 2, 4  # ValueType of Feast's protocol
_KIND, _VALUE = struct.pack("<II", _INT64, 8), struct.Struct("<q")

Keys = NDArray[np.int64]


@dataclass(frozen=True)
class Schema:
    """What a row of one feature view holds: its join keys, and its features as (name, numpy dtype)."""

    view: str
    keys: tuple[str, ...]
    features: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        for name, kind in self.features:
            if kind not in DTYPES:
                raise TypeError(
                    f"feature {name!r} of {self.view!r} is {kind!r}, must be one of {', '.join(DTYPES)}."
                )

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.features)

    @cached_property
    def dtype(self) -> np.dtype[np.void]:
        """The features alone."""
        return np.dtype(list(self.features))

    @cached_property
    def hash(self) -> bytes:
        """Eight bytes; changes when the view, a key or a feature's name, dtype or place does; not with the
        order of the keys, which Feast sorts.
        """
        meaning = repr((self.view, sorted(self.keys), self.features))
        return hashlib.sha256(meaning.encode()).digest()[:8]

    @cached_property
    def row_dtype(self) -> np.dtype[np.void]:
        """The whole row."""
        head = [("hash", "V8"), ("since_us", "<i8"), ("until_us", "<i8")]
        nulls = ("nulls", "u1", (-(-len(self.features) // 8),))
        return np.dtype([*head, nulls, ("values", self.dtype)])

    @cached_property
    def size(self) -> int:
        """The bytes of a row."""
        return self.row_dtype.itemsize

    @cached_property
    def nothing(self) -> bytes:
        """The bytes read where no row is."""
        return bytes(self.size)

    @cached_property
    def unpack(self) -> Callable[[bytes, int], tuple[Any, ...]]:
        """The features of the row that begins at this byte of many."""
        head = self.size - self.dtype.itemsize
        kinds = "".join(_STRUCT[kind] for _, kind in self.features)
        return struct.Struct(f"<{head}x{kinds}").unpack_from

    @cached_property
    def key_dtype(self) -> np.dtype[np.void]:
        """Feast's serialized entity key, version 3, of int64 keys: names and values in order of the names."""
        parts = [part for key in sorted(self.keys) for part in ((f"kind {key}", "<i8"), (key, "<i8"))]
        return np.dtype([("names", f"V{len(_key_head(self.keys))}"), *parts])

    @cached_property
    def key_template(self) -> NDArray[np.void]:
        """One key whose values are 0."""
        return np.frombuffer(self.key_of([0] * len(self.keys)), self.key_dtype)

    def key_of(self, values: Sequence[int]) -> bytes:
        """One key of values in the order of `keys`; `encode_keys` makes many at once."""
        head, places = self._key_plan
        return head + b"".join([_KIND + _VALUE.pack(values[place]) for place in places])

    @cached_property
    def _key_plan(self) -> tuple[bytes, list[int]]:
        """What every key begins with, and the place in `keys` of each name in Feast's order."""
        return _key_head(self.keys), [self.keys.index(name) for name in sorted(self.keys)]


def _key_head(keys: Sequence[str]) -> bytes:
    names = (key.encode() for key in sorted(keys))
    parts = (struct.pack("<II", _STRING, len(name)) + name for name in names)
    return struct.pack("<I", len(keys)) + b"".join(parts)


@dataclass(frozen=True)
class Rows:
    """n rows of one view. Where nothing was found, since_us and until_us are 0 and values are zeros."""

    found: NDArray[np.bool_]  # [n]
    since_us: NDArray[np.int64]  # [n], when these values began to hold: Feast's event timestamp
    until_us: NDArray[np.int64]  # [n], when they stop if nothing new happens
    values: NDArray[np.void]  # [n], structured, a field per feature
    null_bits: NDArray[np.uint8] | None = None  # [n, a byte per 8 features]; None: nothing is null

    def __len__(self) -> int:
        return len(self.since_us)

    def nulls(self, name: str) -> NDArray[np.bool_]:
        """[n], where this feature is null."""
        place = (self.values.dtype.names or ()).index(name)
        if self.null_bits is None:
            return np.zeros(len(self), np.bool_)
        return (self.null_bits[:, place >> 3] >> (place & 7) & 1).astype(np.bool_)


def rows_of_columns(
    schema: Schema, columns: Mapping[str, ArrayLike], since_us: ArrayLike, until_us: ArrayLike = NEVER_US
) -> Rows:
    """Rows to write, from one array per feature; a missing column is a KeyError. A masked array has nulls."""
    moments = np.asarray(since_us, np.int64)
    values = np.empty(len(moments), schema.dtype)
    nulls = np.zeros((len(moments), len(schema.names)), np.bool_)
    for place, name in enumerate(schema.names):
        if name not in columns:
            raise KeyError(f"no column {name!r}; a row of {schema.view!r} has {', '.join(schema.names)}.")
        column = columns[name]
        nulls[:, place] = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else False
        values[name] = _filled(column, schema.dtype[name])
    bits = np.packbits(nulls, axis=1, bitorder="little") if nulls.any() else None
    until = np.broadcast_to(np.asarray(until_us, np.int64), moments.shape)
    return Rows(np.ones(len(moments), np.bool_), moments, until, values, bits)


def _filled(column: ArrayLike, dtype: np.dtype[Any]) -> ArrayLike:
    if not isinstance(column, np.ma.MaskedArray):
        return column
    return np.asarray(np.where(np.ma.getmaskarray(column), np.nan if dtype.kind == "f" else 0, column.data))


def encode(schema: Schema, rows: Rows) -> list[bytes]:
    """Each row as it is stored."""
    if rows.values.dtype != schema.dtype:
        raise TypeError(f"rows are {rows.values.dtype}, must be {schema.dtype} for {schema.view!r}.")
    refuse_bad_moments(rows.since_us)
    table = np.zeros(len(rows), schema.row_dtype)
    table["hash"] = np.void(schema.hash)
    table["since_us"], table["until_us"] = rows.since_us, rows.until_us
    table["values"] = rows.values
    if rows.null_bits is not None:
        table["nulls"] = rows.null_bits
    return _split(table)


def refuse_bad_moments(since_us: NDArray[np.int64]) -> None:
    bad = since_us[(since_us < 0) | (since_us >= LATEST_US)]
    if len(bad):
        raise ValueError(f"since_us is {bad[0]}, must be in [0, 2**53): microseconds since 1970.")


def joined(schema: Schema, stored: Sequence[bytes | None]) -> tuple[bytes, int]:
    """The rows in one piece, zeros where there is none, and how many of another schema count as none."""
    head, size, nothing = schema.hash, schema.size, schema.nothing
    mine = [row if row and len(row) == size and row.startswith(head) else nothing for row in stored]
    return b"".join(mine), mine.count(nothing) - stored.count(None)


def decode(schema: Schema, stored: Sequence[bytes | None]) -> tuple[Rows, int]:
    """The rows, and how many of them are of another schema: those count as not found."""
    whole, foreign = joined(schema, stored)
    table = np.frombuffer(whole, schema.row_dtype)
    found = table["hash"] == np.void(schema.hash)
    return Rows(found, table["since_us"], table["until_us"], table["values"], table["nulls"]), foreign


def moments_of(stored: Sequence[bytes]) -> list[int]:
    """The since_us of each stored row; all are of one schema."""
    size = len(stored[0])
    head = np.dtype({"names": ["since_us"], "formats": ["<i8"], "offsets": [8], "itemsize": size})
    moments: list[int] = np.frombuffer(b"".join(stored), head)["since_us"].tolist()
    return moments


def encode_keys(schema: Schema, keys: ArrayLike) -> list[bytes]:
    """Each key [n, k], in the order of schema.keys, as Feast serializes it; [n] will do for a single key."""
    table = np.asarray(keys, np.int64)
    if table.ndim == 1 and len(schema.keys) == 1:
        table = table[:, None]
    if table.ndim != 2 or table.shape[1] != len(schema.keys):
        raise ValueError(
            f"keys have shape {table.shape}, must be (n, {len(schema.keys)}): {', '.join(schema.keys)}."
        )
    if len(table) == 1:  # one person's: an array of one costs more than the key
        return [schema.key_of(table[0].tolist())]
    made = schema.key_template.repeat(len(table))
    for place, name in enumerate(schema.keys):
        made[name] = table[:, place]
    return _split(made)


def decode_keys(schema: Schema, stored: Sequence[bytes]) -> Keys:
    """The int64 keys [n, k] of serialized ones, in the order of schema.keys."""
    head = schema.key_template.tobytes()[: len(_key_head(schema.keys)) + 8]
    for key in stored:
        if len(key) != schema.key_dtype.itemsize or not key.startswith(head):
            raise TypeError(f"{schema.view!r} has a key that is no int64 {', '.join(schema.keys)}: {key!r}.")
    table = np.frombuffer(b"".join(stored), schema.key_dtype)
    columns = [table[name].astype(np.int64) for name in schema.keys]
    return np.stack(columns, axis=1) if columns else np.zeros((len(stored), 0), np.int64)


def _split(table: NDArray[np.void]) -> list[bytes]:
    size, whole = table.dtype.itemsize, table.tobytes()
    return [whole[low : low + size] for low in range(0, len(whole), size)]
