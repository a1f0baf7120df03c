"""Is a row read back bit for bit, and are our keys the bytes of Feast's?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from feature_repo.packed_rows import (
    DTYPES,
    NEVER_US,
    Rows,
    Schema,
    decode,
    decode_keys,
    encode,
    encode_keys,
    joined,
    rows_of_columns,
)
from tests.feature_repo.packed_stores import PAIR, VIDEO, video_rows

NAMES = st.lists(st.text("abcxyz_", min_size=1, max_size=9), min_size=1, max_size=12, unique=True)
INT64 = st.integers(-(2**63), 2**63 - 1)
MOMENTS = st.integers(0, 2**53 - 1)


@st.composite
def schemas_and_rows(draw: Any) -> tuple[Schema, Rows]:
    """Any schema, any bits in its features, any of them null."""
    names = draw(NAMES)
    kinds = draw(st.lists(st.sampled_from(DTYPES[:-1]), min_size=len(names), max_size=len(names)))
    schema = Schema("v", ("k",), tuple(zip(names, kinds, strict=True)))
    n = draw(st.integers(0, 4))
    bits = draw(hnp.arrays(np.uint8, n * schema.dtype.itemsize))
    nulls = draw(hnp.arrays(np.bool_, (n, len(names))))
    moments = draw(hnp.arrays(np.int64, n, elements=MOMENTS))
    values = np.frombuffer(bits.tobytes(), schema.dtype)
    packed = np.packbits(nulls, axis=1, bitorder="little")
    return schema, Rows(np.ones(n, np.bool_), moments, moments + 1, values, packed)


@given(schemas_and_rows())
def test_what_is_packed_is_read_back_bit_for_bit(case: tuple[Schema, Rows]) -> None:
    schema, rows = case

    found, foreign = decode(schema, encode(schema, rows))

    assert foreign == 0
    assert found.found.all()
    assert found.values.tobytes() == rows.values.tobytes()
    assert (found.since_us.tolist(), found.until_us.tolist()) == (
        rows.since_us.tolist(),
        rows.until_us.tolist(),
    )
    assert all((found.nulls(name) == rows.nulls(name)).all() for name in schema.names)


@given(schemas_and_rows())
def test_one_row_of_many_is_unpacked_as_numpy_reads_it(case: tuple[Schema, Rows]) -> None:
    schema, rows = case

    whole, _ = joined(schema, [*encode(schema, rows), None])

    for row in range(len(rows)):
        np.testing.assert_equal(schema.unpack(whole, row * schema.size), rows.values[row].item())
    assert whole[-schema.size :] == schema.nothing


@given(NAMES, st.data())
def test_a_key_is_the_bytes_feast_makes_of_it(names: list[str], data: st.DataObject) -> None:
    key = data.draw(st.lists(INT64, min_size=len(names), max_size=len(names)))
    feasts = EntityKey(join_keys=names, entity_values=[Value(int64_val=part) for part in key])
    schema = Schema("v", tuple(names), ())

    (ours,) = encode_keys(schema, [key])

    assert ours == serialize_entity_key(feasts, entity_key_serialization_version=3)
    assert decode_keys(schema, [ours]).tolist() == [key]


def test_a_key_of_text_is_refused_by_the_door_of_arrays() -> None:
    feasts = EntityKey(join_keys=["video_id"], entity_values=[Value(string_val="12345678")])

    with pytest.raises(TypeError, match="no int64 video_id"):
        decode_keys(VIDEO, [serialize_entity_key(feasts, entity_key_serialization_version=3)])


@given(st.lists(st.tuples(INT64, INT64), max_size=5))
def test_keys_are_the_same_bytes_one_by_one_and_together(pairs: list[tuple[int, int]]) -> None:
    together = encode_keys(PAIR, np.array(pairs, np.int64).reshape(-1, 2))

    assert together == [encode_keys(PAIR, [pair])[0] for pair in pairs]


def test_keys_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\), must be \(n, 2\): user_id, topic"):
        encode_keys(PAIR, [1, 2, 3])


@pytest.mark.parametrize(
    "other",
    [
        Schema("videos", VIDEO.keys, VIDEO.features),
        Schema(VIDEO.view, ("clip_id",), VIDEO.features),
        Schema(VIDEO.view, VIDEO.keys, VIDEO.features[::-1]),
        Schema(VIDEO.view, VIDEO.keys, (("clicks", "<f8"), *VIDEO.features[1:])),
    ],
)
def test_a_row_of_another_schema_is_not_found_and_counted(other: Schema) -> None:
    found, foreign = decode(other, [*encode(VIDEO, video_rows([5])), None])

    assert found.found.tolist() == [False, False]
    assert found.since_us.tolist() == [0, 0]
    assert foreign == 1


def test_a_row_cut_short_is_not_found() -> None:
    (row,) = encode(VIDEO, video_rows([5]))

    assert decode(VIDEO, [row[:-1]])[0].found.tolist() == [False]


def test_a_null_is_nan_or_zero_and_told_apart_by_its_bit() -> None:
    columns: dict[str, Any] = {
        "clicks": np.ma.MaskedArray([7, 8], [True, False]),
        "rate": np.ma.MaskedArray([0.5, np.nan], [True, False]),
        "live": [True, False],
    }

    rows = rows_of_columns(VIDEO, columns, [1, 1])

    assert rows.values["clicks"].tolist() == [0, 8]
    assert np.isnan(rows.values["rate"]).all()
    assert rows.nulls("rate").tolist() == [True, False]
    assert rows.nulls("live").tolist() == [False, False]


def test_values_hold_forever_unless_told_otherwise() -> None:
    assert video_rows([1, 2]).until_us.tolist() == [NEVER_US, NEVER_US]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(KeyError, match="no column 'rate'"):
        rows_of_columns(VIDEO, {"clicks": [1]}, [1])


def test_a_feature_that_cannot_be_packed_is_named() -> None:
    with pytest.raises(TypeError, match="feature 'title' of 'v' is '<U8'"):
        Schema("v", ("k",), (("title", "<U8"),))


@pytest.mark.parametrize("moment", [-1, 2**53])
def test_a_moment_no_store_can_compare_is_refused(moment: int) -> None:
    with pytest.raises(ValueError, match="must be in"):
        encode(VIDEO, video_rows([moment]))


def test_rows_of_another_view_are_refused() -> None:
    with pytest.raises(TypeError, match="for 'pair'"):
        encode(PAIR, video_rows([1]))
