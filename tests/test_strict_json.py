"""JSON from clients: what one sends is JSON for every other, and reading it never takes long."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vws.core.strict_json import MAX_DEPTH, dumps, loads

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


@given(values)
def test_what_is_json_comes_through_unchanged(value: Any) -> None:
    assert loads(dumps(value)) == value
    assert json.loads(dumps(value)) == value


@given(values)
def test_what_is_written_is_ascii_on_one_line(value: Any) -> None:
    assert dumps(value).isascii()
    assert dumps(value).isprintable()


@given(st.text())
def test_any_text_is_read_as_python_reads_json_or_refused(text: str) -> None:
    try:
        value = loads(text)
    except ValueError:
        return
    assert json.loads(text) == value


@given(st.text(alphabet='[]{}"\\,:1a \n'))
def test_brackets_and_quotes_in_any_order_raise_nothing_but_value_error(text: str) -> None:
    try:
        loads(text)
    except ValueError:
        return
    json.loads(text)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1.5e400", "1" * 5000, "1" * 400 + ".5"]
)
@pytest.mark.parametrize("frame", ["{}", "[{}]", '{{"a": {}}}', '[1, {{"b": [{}]}}]'])
def test_numbers_that_a_browser_cannot_read_are_refused(number: str, frame: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        loads(frame.format(number))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")], {"a": float("nan")}])
def test_numbers_that_a_browser_cannot_read_are_never_written(value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        dumps(value)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_depth_is_bounded(opening: str, closing: str) -> None:
    loads(opening * (MAX_DEPTH // 2) + "1" + closing * (MAX_DEPTH // 2))
    for depth in (MAX_DEPTH + 1, 100, 10_000, 100_000):
        with pytest.raises(ValueError, match="deep"):
            loads(opening * depth + "1" + closing * depth)


def test_many_values_beside_each_other_are_not_deep() -> None:
    assert len(loads("[" + ",".join(["[{}]"] * 1000) + "]")) == 1000


def test_brackets_within_strings_do_not_count() -> None:
    text = nested(1000) + nested(1000, "{", "}")
    assert loads(json.dumps([text, '"' + text, "\\" + text])) == [text, '"' + text, "\\" + text]


@pytest.mark.parametrize(
    "text",
    [
        nested(33) + '"' + '\\"' * 500_000,
        nested(33) + '"\\' * 500_000,
        nested(33) + '"' * 1_000_001,
        nested(33) + "\\" * 1_000_000,
        '"' + "[" * 1_000_000,
        "[" * 1_000_000,
        "{" * 1_000_000,
        "[]" * 500_000,
        "[{" * 250_000 + "}]" * 250_000,
        "[" + "[]," * 333_000 + "1",
        '["' + "\\ud800" * 160_000 + '",NaN]',
        "[" + "1" * 1_000_000 + "]",
        "[" * 33 + " " * 1_000_000,
    ],
    ids=lambda text: text[:12] + "…" + text[60:68],
)
def test_a_megabyte_of_anything_is_refused_at_once(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(ValueError, match=r".+"):
        loads(text)
    assert time.process_time() - begun < 5  # what is not at once takes minutes


def test_deep_nesting_takes_no_longer_than_wide() -> None:
    wide, deep = "[]" * 500_000, nested(500_000)
    assert min(seconds(deep) / seconds(wide) for _ in range(5)) < 4


def seconds(text: str) -> float:
    begun = time.process_time()
    with pytest.raises(ValueError, match=r".+"):
        loads(text)
    return time.process_time() - begun
