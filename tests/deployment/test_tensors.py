"""Values and bytes of every datatype, both ways, and what is no value of it."""

from typing import Any

import numpy as np
import pytest

from airlock.deployment.tensors import DATATYPES, datatype_of, from_bytes, from_values, to_bytes, to_values
from airlock.errors import UserError


@pytest.mark.parametrize("datatype", DATATYPES)
def test_numbers_come_back(datatype: str) -> None:
    values = [True, False] if datatype == "BOOL" else [0, 1]
    array = from_values(values, datatype, [2])
    assert datatype_of(array.dtype) == datatype
    assert to_values(array) == values
    assert from_bytes(memoryview(to_bytes(array)), datatype, [2]).tolist() == values


def test_texts_come_back() -> None:
    array = from_values([["a", "ü"]], "BYTES", [1, 2])
    assert datatype_of(array.dtype) == "BYTES"
    assert to_bytes(array) == b"\1\0\0\0a\2\0\0\0\xc3\xbc"
    assert to_values(from_bytes(memoryview(to_bytes(array)), "BYTES", [1, 2])) == ["a", "ü"]


@pytest.mark.parametrize(
    ("datatype", "values", "words"),
    [
        ("UINT8", [256], "not UINT8"),
        ("INT8", [-129], "not INT8"),
        ("INT32", [1.5], "not INT32"),
        ("INT64", [1 << 63], "not INT64"),
        ("UINT8", ["1"], "not UINT8"),
        ("FP32", ["1"], "not FP32"),
        ("FP32", [1e39], "NaN, infinity"),
        ("FP16", [70_000], "out of range"),
        ("BOOL", [2], "not BOOL"),
        ("BYTES", [1], "not BYTES"),
        ("FP32", [None], "not FP32"),
        ("FP32", [1, 2], "holds 2 values"),
    ],
)
def test_value_of_another_type_is_refused(datatype: str, values: list[Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        from_values(values, datatype, [1])


def test_ragged_rows_are_refused() -> None:
    with pytest.raises(UserError, match="ragged"):
        from_values([[1], [2, 3]], "UINT8", [3])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_binary_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(UserError, match="NaN, infinity"):
        from_bytes(memoryview(np.array([value], np.float32).tobytes()), "FP32", [1])


@pytest.mark.parametrize("raw", [b"\1\0\0\0", b"\xff\xff\xff\xffa", b"\1\0\0\0ab"])
def test_texts_whose_lengths_lie_are_refused(raw: bytes) -> None:
    with pytest.raises(UserError, match="does not hold 1 values"):
        from_bytes(memoryview(raw), "BYTES", [1])
