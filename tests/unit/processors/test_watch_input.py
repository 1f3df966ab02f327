import random
import time
from typing import Any

import pytest

from processors.watch_input import MAX_VALUE_BYTES, Garbled, Values


def kinds(values: list[object]) -> list[object]:
    """Leave out how much of a broken value there was when it was found to be broken."""
    return ["garbled" if isinstance(value, Garbled) else value for value in values]


def read(*chunks: bytes) -> list[object]:
    values = Values()
    found = [value for chunk in chunks for value in values.feed(chunk)]
    return [*found, *values.finish()]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a": 1}\n', [{"a": 1}]),
        ('{"a": 1}{"b": 2} [3]\n', [{"a": 1}, {"b": 2}, [3]]),
        ('{\n  "a": {\n    "b": 2\n  }\n}\n', [{"a": {"b": 2}}]),
        ('\r\n\t {"a": 1}', [{"a": 1}]),
        ('{"a": 18446744073709551615}', [{"a": 2**64 - 1}]),
        ('{"a": "\\ud83d\\ude00 é \\" } \\\\"}', [{"a": '😀 é " } \\'}]),
        ("[]\n[]\n", [[], []]),
        ("12\ntrue null", [12, True, None]),
        ("", []),
    ],
)
def test_values_are_read_wherever_they_begin_and_end(text: str, values: list[Any]) -> None:
    """A value may span lines, a line may hold several, and no chunk's end changes what is read."""
    data = text.encode()

    assert read(data) == values
    assert read(*(data[place : place + 1] for place in range(len(data)))) == values


@pytest.mark.parametrize(
    "bad",
    [
        '{"a": 1, oops}',
        "hello",
        '{"a": "no end',
        "]",
        '{"a": NaN}',
        '{"a": 1}}',
        '{"a": "\\ud800"}',
        "[" * 100_000,
        '{\n "a": 1\n "b": 2\n}',
        '{"a": "\\x"}',
    ],
)
def test_bad_json_costs_no_other_message(bad: str) -> None:
    """What is no JSON is told as such, and what stands on the next line is read."""
    *before, last = read(f"{bad}\n".encode(), b'{"b": 2}\n')

    assert last == {"b": 2}
    assert sum(isinstance(value, Garbled) for value in before) == 1


def test_bytes_that_are_no_utf8_are_garbled() -> None:
    """A path that is no text cannot be asked for."""
    first, second = read(b'{"path": "/\xff"}\n{"b": 2}\n')

    assert isinstance(first, Garbled)
    assert second == {"b": 2}


def test_an_unfinished_value_is_garbled_at_the_end() -> None:
    """The end of the stream ends a value that has no end."""
    (only,) = read(b'{"id": "1", "payload"')

    assert isinstance(only, Garbled)
    assert only.text == '{"id": "1", "payload"'


def test_an_endless_value_is_garbled_once() -> None:
    """A value is bounded; what follows the line is read."""
    first, second = read(b'{"a": "}', *[b"a" * 100_000 + b"}"] * 30, b'"}\n{"b": 2}\n')

    assert isinstance(first, Garbled)
    assert len(first.text) <= MAX_VALUE_BYTES + 100_001
    assert second == {"b": 2}


@pytest.mark.parametrize("bad", ["nul", "-", '{"a": tr', "}", "hello"])
def test_bad_json_is_told_at_the_end_of_its_line(bad: str) -> None:
    """A word that its line cuts off does not go on: its client is not left without an answer."""
    assert kinds(list(Values().feed(f"{bad}\n".encode()))) == ["garbled"]


def test_many_values_cost_no_more_together_than_apart() -> None:
    """Ten times as many in one chunk take about ten times as long: no message holds up other clients."""
    tenth = b'"id" ' * 10_000

    started_s = time.process_time()
    apart = sum(len(read(tenth)) for _ in range(10))
    apart_s = time.process_time() - started_s
    together = len(read(tenth * 10))
    together_s = time.process_time() - started_s - apart_s

    assert abs(apart - together) <= 10
    assert together_s < 3 * apart_s


def test_chunks_of_any_size_give_the_same() -> None:
    """Where the bytes are cut changes nothing, bad lines among good ones included."""
    data = '{"a": [1, "é😀"]}\nbad\n{\n"b":\nnull}{"c": -1.5e3} 7 "x"\n'.encode()
    whole = kinds(read(data))
    generator = random.Random(7)

    for _ in range(200):
        cuts = sorted(generator.sample(range(len(data)), 5))
        chunks = (data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True))
        assert kinds(read(*chunks)) == whole
