from typing import Any

import msgspec
import pytest

from agent.event import Batch, Http, Reply, decode_batch, encode
from agent.kafka import partition_of
from processors.decode import Refusal, all_plain, decode, event_fault
from processors.instants import EARLIEST_NS, LATEST_NS
from tests.unit.processors.raw import batch, event

GOOD = encode(batch(event()))


def with_fields(**fields: Any) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(GOOD) | fields)


def with_event(**fields: Any) -> bytes:
    return with_fields(events=[{"kind": "create", "path": "a", "time_ns": 1} | fields])


def test_good_batch_is_taken() -> None:
    """What an agent writes is what is decided on."""
    assert decode(GOOD, 0, 1) == decode_batch(GOOD)


def test_heartbeat_is_taken() -> None:
    """A batch without events is no error."""
    assert isinstance(decode(encode(batch()), 0, 1), Batch)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "not_json"),
        (b"", "not_json"),
        (b"hello", "not_json"),
        (b"\xff\xfe", "not_json"),
        (GOOD[: len(GOOD) // 2], "not_json"),
        (GOOD + b"}", "not_json"),
        (GOOD.replace(b"src/a.py", b"src/\xff.py"), "not_json"),
        (b"[" * 200_000, "wrong_shape"),
        (
            with_event(http={"event_id": "i", "content": "c", "event": "e", "fields": {"a": 1}})[:-6],
            "not_json",
        ),
        (b"[]", "wrong_shape"),
        (b"{}", "wrong_shape"),
        (with_fields(v=2), "wrong_version"),
        (b'{"v": 2, "other": "shape"}', "wrong_version"),
        (with_fields(v="1"), "wrong_shape"),
        (with_fields(first_seq=-1), "wrong_shape"),
        (with_fields(first_seq=2**63), "wrong_shape"),
        (with_fields(sent_ns=-(2**63)), "wrong_shape"),
        (with_fields(events=None), "wrong_shape"),
        (with_event(kind="explode"), "wrong_shape"),
        (with_event(size=-1), "wrong_shape"),
        (with_event(size=2**63), "wrong_shape"),
        (with_event(size="1"), "wrong_shape"),
        (with_event(uid=-1), "wrong_shape"),
        (with_event(mode=2**16), "wrong_shape"),
        (with_event(mtime_ns=2**63), "wrong_shape"),
        (with_fields(project="../p"), "bad_project"),
        (with_fields(project=""), "bad_project"),
        (with_fields(agent=""), "bad_agent"),
        (with_fields(agent="ä"), "bad_agent"),
        (with_fields(epoch="a b"), "bad_agent"),
        (b'"' + b"x" * (1024 * 1024) + b'"', "too_large"),
        (GOOD + b" " * (10 * 1024 * 1024), "too_large"),
    ],
)
def test_bad_record_is_refused_with_its_reason(value: bytes | None, reason: str) -> None:
    """Whatever bytes stand on the raw topic, the answer is a batch or a reason, never an exception."""
    refused = decode(value, 0, 1)

    assert isinstance(refused, Refusal)
    assert refused.reason == reason
    assert refused.detail


def test_deep_nesting_is_refused() -> None:
    """JSON nested deeper than the stack is no way to end a worker."""
    deep = with_event(http={"event_id": "i", "content": "c", "event": "e", "fields": {"a": 0}})
    value = deep.replace(b'{"a":0}', b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")

    assert isinstance(decode(value, 0, 1), Refusal)


def test_record_in_the_wrong_partition_is_refused() -> None:
    """A batch that another partitioner placed would break its project's order."""
    right = partition_of("p", 4)

    assert isinstance(decode(GOOD, right, 4), Batch)
    refused = decode(GOOD, (right + 1) % 4, 4)
    assert isinstance(refused, Refusal)
    assert refused.reason == "wrong_partition"


OUTSIDE = ("/etc/passwd", "../a", "a/../b", "a/..", "./a", "a/./b", "a/.", ".", "..", "a//b", "a/", "a\0b")
FAULTY: tuple[dict[str, Any], ...] = (
    {"time_ns": EARLIEST_NS - 1},
    {"time_ns": LATEST_NS + 1},
    {"sha256": "ab"},
    {"sha256": "AB" * 32},
    {"sha256": "xy" * 32},
    {"sha256": "a " * 32},
    {"previous_sha256": "0" * 63},
    {"file_id": ""},
    {"file_id": "-1"},
    {"file_id": str(2**64)},
    {"file_id": "\u0661"},
    {"spine": ["2", "x"]},
    {"spine": []},
    {"kind": "gap"},
    {"kind": "gap_closed"},
    {"renamed_to": ""},
    {"path_b64": "a"},
    {"renamed_to": "b", "renamed_to_b64": ""},
    {"http": Http("", "c", "created")},
    {"http": Http("a b", "c", "created")},
    {"http": Http("a" * 129, "c", "created")},
    {"http": Http("a", "c", "")},
    {"http": Http("a", "c", "e" * 65)},
)


@pytest.mark.parametrize("path", OUTSIDE)
def test_event_with_a_path_outside_its_project_is_refused(path: str) -> None:
    """No path leaves its project, and none has two spellings."""
    assert event_fault(event("rename", renamed_to=path)) is not None
    assert event_fault(event(path=path)) is not None


@pytest.mark.parametrize(
    "path", ["", "a", "a.", ".a", "a/..b", "..a/b", "a./b", "new\nline", "\ufffd", "ä/ö", "\\"]
)
def test_event_with_any_name_a_file_may_have_is_taken(path: str) -> None:
    """Names are what the file system allows: dots, control characters, any script."""
    assert event_fault(event(path=path)) is None


@pytest.mark.parametrize("fields", FAULTY)
def test_event_that_nothing_downstream_could_take_is_refused(fields: dict[str, Any]) -> None:
    """Times, hashes and ids that no column or header holds are refused before they reach one."""
    assert event_fault(event(**fields)) is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"time_ns": EARLIEST_NS},
        {"time_ns": LATEST_NS},
        {"sha256": "0f" * 32},
        {"file_id": str(2**64 - 1)},
        {"spine": ["2", str(2**64 - 1)]},
        {"http": Http("A.z_0:-", "c", "e" * 64, reply=Reply("r", 0))},
    ],
)
def test_event_at_the_limits_is_taken(fields: dict[str, Any]) -> None:
    """The limits themselves are allowed."""
    assert event_fault(event(**fields)) is None


@pytest.mark.parametrize("fields", [*FAULTY, *({"path": path} for path in OUTSIDE)])
def test_look_over_all_events_misses_no_fault(fields: dict[str, Any]) -> None:
    """One faulty event among good ones, wherever it stands, is seen."""
    good = [event(path=f"d/.{nth}", sha256="0f" * 32, file_id="7", spine=["2", "7"]) for nth in range(3)]

    assert all_plain(good)
    for at in range(4):
        assert not all_plain([*good[:at], event(**fields), *good[at:]])
