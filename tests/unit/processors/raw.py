"""Raw events and batches to test with."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from typing import Any

from aiokafka.record.memory_records import MemoryRecords

from agent.event import Batch, Event, Previous, encode
from processors.chunk import Chunk, RawRecord
from processors.decode import decode
from processors.origin import Origin
from processors.record_batch import Batches, Record, RecordBatch, field, length
from processors.state import Draft, State

TIME_NS = 1_763_688_000_123_456_789
RECEIVED_MS = 1_763_688_001_500
DAY_MS = 86_400_000


def event(kind: str = "create", path: str = "src/a.py", **fields: Any) -> Event:
    """Return an event."""
    return Event(kind=kind, path=path, time_ns=fields.pop("time_ns", TIME_NS), **fields)  # type: ignore[arg-type]


def batch(
    *events: Event,
    project: str = "p",
    agent: str = "agt_1",
    epoch: str = "e1",
    first_seq: int = 1,
    previous: Previous | None = None,
) -> Batch:
    """Return a batch of these events."""
    return Batch(
        v=1,
        project=project,
        host="host-1",
        sent_ns=TIME_NS + 1_000_000_000,
        agent=agent,
        epoch=epoch,
        first_seq=first_seq,
        events=list(events),
        previous=previous,
    )


def record(offset: int, of: Batch | bytes | None, received_ms: int = RECEIVED_MS) -> RawRecord:
    """Return the raw record that carries a batch, or these bytes."""
    return RawRecord(offset, received_ms, b"p", encode(of) if isinstance(of, Batch) else of)


def origin(project: str = "p") -> Origin:
    """Return where a batch's events come from."""
    return Origin(batch(project=project), RECEIVED_MS)


def state(max_ids: int = 1_000) -> State:
    """Return an empty state."""
    return State(7 * DAY_MS, 35 * DAY_MS, max_ids)


class Stored(dict[bytes, bytes]):
    """Committed files, in memory."""

    def get(self, keys: list[bytes]) -> list[bytes | None]:  # type: ignore[override]
        """Return the entry of each key."""
        return [dict.get(self, key) for key in keys]

    def below(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return keys and entries that begin with `prefix`, in order, from behind `after`."""
        return [(key, self[key]) for key in sorted(self) if key.startswith(prefix) and key > after][:limit]

    def write(self, changes: Iterable[tuple[bytes, bytes | None]], offset: int | None) -> None:
        """Make changes."""
        for key, entry in changes:
            if entry is None:
                self.pop(key, None)
            else:
                self[key] = entry


def make_chunk(
    on: State, *records: RawRecord, refused: tuple[str, ...] = (), stored: Stored | None = None
) -> Chunk:
    """Return the chunk that these records become over a state, which stays as it was."""
    chunk = Chunk("fswire.raw", 0, Draft(on, stored or Stored()), refused)
    for each in records:
        chunk.take(each, decode(each.value, 0, 1))
    return chunk


def records(batches: Batches) -> list[Record]:
    """Return records as a consumer reads them, in the form in which they were appended."""
    return [each for batch in batches for each in _read(batch)]


def values(batches: Batches) -> list[Any]:
    """Return what the JSON of each record's value says."""
    return [json.loads(value or b"") for _, _, value, _ in records(batches)]


def _read(batch: RecordBatch) -> Iterator[Record]:
    closed = copy.deepcopy(batch)
    closed.compress()
    reading = MemoryRecords(closed._build()).next_batch()
    assert reading is not None
    for each in reading:
        headers = b"".join(field(name.encode()) + field(value) for name, value in each.headers)
        yield each.timestamp, field(each.key), each.value, length(len(each.headers)) + headers


def headers_of(encoded: bytes) -> dict[str, str]:
    """Return the headers that a record's field holds, in order."""
    reading = memoryview(encoded)
    count, reading = _length(reading)
    headers = {}
    for _ in range(count):
        name, reading = _taken(reading)
        value, reading = _taken(reading)
        headers[name] = value
    assert not reading
    return headers


def key_of(encoded: bytes) -> str:
    """Return the key that a record's field holds."""
    return _taken(memoryview(encoded))[0]


def _length(reading: memoryview) -> tuple[int, memoryview]:
    number = shift = at = 0
    while True:
        number |= (reading[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if reading[at - 1] < 0x80:
            return number >> 1, reading[at:]


def _taken(reading: memoryview) -> tuple[str, memoryview]:
    size, reading = _length(reading)
    return bytes(reading[:size]).decode(), reading[size:]
