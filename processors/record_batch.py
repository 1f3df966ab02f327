"""Record batches as Kafka stores them, built for speed: what records share is written once, joined once.

The format is "Record Batch" and "Record" of kafka.apache.org/documentation/#messageformat (magic 2).
aiokafka's own builder takes three times as long for records of seven headers, and compresses on the event
loop.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import cramjam
from aiokafka.record.util import calc_crc32c

_MAGIC = 2
_ZSTD = 4
_ZSTD_LEVEL = 1
"""On these records faster than level 3, and no larger."""
Record = tuple[int, bytes, bytes | None, bytes]
"""Timestamp (ms), key field, value (None: a tombstone), headers field. Plain: there are millions."""

_LARGEST_LENGTH = 4
"""Bytes of the length of a record of up to 64 MiB."""
_PREFIX = struct.Struct(">qiib")
"""Base offset (the broker's), length, partition leader epoch, magic."""
_CRC = struct.Struct(">I")
_REST = struct.Struct(">hiqqqhii")
"""Attributes, last offset delta, first and last timestamp, producer id and epoch, first sequence, records."""
_LENGTH_COVERS = 9
"""The length counts what follows it: of the prefix, these bytes."""
MAX_BYTES = 1_000_000
"""Before compression, so that a batch fits the topics' 1 MiB however badly it compresses."""


def varint(number: int) -> bytes:
    """Return a signed number in the zigzag base-128 form of record fields."""
    left = number << 1 if number >= 0 else (-number << 1) - 1
    encoded = bytearray()
    while left > 0x7F:
        encoded.append(left & 0x7F | 0x80)
        left >>= 7
    encoded.append(left)
    return bytes(encoded)


_SHORT = 1 << 14
LENGTHS = (*map(varint, range(_SHORT)), varint(-1))
"""`length` of what is known to be short: looked up where a call would take as long as the rest.

The last, at -1, is how Kafka writes the length of none.
"""
_NO_ATTRIBUTES = b"\0"


def length(number: int) -> bytes:
    """Return `varint` of what is rarely above 16,384."""
    return LENGTHS[number] if number < _SHORT else varint(number)


def field(value: bytes) -> bytes:
    """Return bytes as a field: their length, then themselves."""
    return length(len(value)) + value


class RecordBatch:
    """Records for one partition, in order, in the form that aiokafka's `send_batch` takes for a builder.

    Filled with `add`, then closed by `compress`, which may run on another thread: zstd needs no interpreter.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._room_bytes = max_bytes - _LARGEST_LENGTH
        self._written = bytearray()
        self._records = 0
        self._first_ms = 0
        self._last_ms = 0
        self._before_ms: int | None = None
        self._stamp = b""
        """Attributes and time of the record before."""
        self._payload = b""
        self._producer = (-1, -1, -1)
        self._built: bytes | None = None

    def add(self, timestamp_ms: int, key: bytes, value: bytes | None, headers: bytes) -> bool:
        """Append a `Record`, unless it is one too many; tell whether it was taken. The first always is."""
        count, written = self._records, self._written
        if timestamp_ms != self._before_ms:
            if not count:
                self._first_ms = self._last_ms = timestamp_ms
            self._before_ms = timestamp_ms
            self._stamp = _NO_ATTRIBUTES + varint(timestamp_ms - self._first_ms)
        offset = LENGTHS[count] if count < _SHORT else varint(count)
        value_bytes = -1 if value is None else len(value)
        size = LENGTHS[value_bytes] if value_bytes < _SHORT else varint(value_bytes)
        body = b"".join((self._stamp, offset, key, size, value or b"", headers))
        body_bytes = len(body)
        if len(written) + body_bytes > self._room_bytes and count:
            return False
        written += LENGTHS[body_bytes] if body_bytes < _SHORT else varint(body_bytes)
        written += body
        self._records = count + 1
        if timestamp_ms > self._last_ms:
            self._last_ms = timestamp_ms
        return True

    def compress(self) -> None:
        """Close the batch; called once, before it is sent."""
        self._payload = bytes(cramjam.zstd.compress(self._written, level=_ZSTD_LEVEL))
        self._written.clear()

    def append(self, **_record: object) -> None:
        """Take no record of aiokafka's own `send`: the batch is closed."""

    def close(self) -> None:
        """Do nothing more: `compress` closed it."""

    def closed(self) -> bool:
        """Tell aiokafka not to wait for more records."""
        return True

    def record_count(self) -> int:
        """Return how many records, and sequence numbers, there are."""
        return self._records

    def size(self) -> int:
        """Return the size of what `compress` will take."""
        return len(self._written)

    def compressed_size(self) -> int:
        """Return the size of what `compress` made."""
        return len(self._payload)

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytes:
        """Return the encoded batch, the same however often it is sent again."""
        if self._built is None:
            last = self._records - 1
            rest = _REST.pack(_ZSTD, last, self._first_ms, self._last_ms, *self._producer, self._records)
            covered = rest + self._payload
            prefix = _PREFIX.pack(0, _LENGTH_COVERS + len(covered), -1, _MAGIC)
            self._built = prefix + _CRC.pack(calc_crc32c(covered)) + covered
        return self._built


class Batches:
    """Records for one partition, in order, in as few batches as hold them.

    Each is written out as it comes, while what it is made of is in the processor's caches.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._full: list[RecordBatch] = []
        self._last = RecordBatch()
        self.extend(records)

    def append(self, timestamp_ms: int, key: bytes, value: bytes | None, headers: bytes) -> None:
        """Append a `Record`."""
        if not self._last.add(timestamp_ms, key, value, headers):
            self._full.append(self._last)
            self._last = RecordBatch()
            self._last.add(timestamp_ms, key, value, headers)

    def extend(self, records: Iterable[Record]) -> None:
        """Append records."""
        for record in records:
            self.append(*record)

    def __iter__(self) -> Iterator[RecordBatch]:
        """Yield the batches, none of which is empty."""
        yield from self._full
        if self._last.record_count():
            yield self._last

    def __len__(self) -> int:
        """Return how many records there are."""
        return sum(batch.record_count() for batch in self)
