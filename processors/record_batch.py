"""Record batches as Kafka stores them, built for speed: what records share is written once, joined once.

The format is "Record Batch" and "Record" of kafka.apache.org/documentation/#messageformat (magic 2).
aiokafka's own builder takes three times as long for records of seven headers, and compresses on the event
loop.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from io import BytesIO

import cramjam
from aiokafka.record.util import calc_crc32c

_MAGIC = 2
_ZSTD = 4
_ZSTD_LEVEL = 1
"""On these records faster than level 3, and no larger."""
Record = tuple[int, bytes, bytes | None, bytes]
"""Timestamp (ms), key field, value (None: a tombstone), headers field. Plain: there are millions."""

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
LENGTHS = tuple(map(varint, range(_SHORT)))
"""`length` of what is known to be short: looked up where a call would take as long as the rest."""
_SHORT_RECORD_BYTES = _SHORT + len(LENGTHS[-1])
"""What the next record takes at most, if it is a short one."""
_SPARE_BUFFERS = 32
_spare: list[BytesIO] = []
"""Buffers that no batch is in, of `MAX_BYTES` each."""
_NO_ATTRIBUTES = b"\0"
_join = b"".join


def length(number: int) -> bytes:
    """Return `varint` of what is rarely above 16,384."""
    return LENGTHS[number] if number < _SHORT else varint(number)


def field(value: bytes) -> bytes:
    """Return bytes as a field: their length, then themselves."""
    size = len(value)
    return (LENGTHS[size] if size < _SHORT else varint(size)) + value


def _buffer() -> BytesIO:
    """Return a buffer to write a batch into: one that grew would be copied nine times on its way."""
    try:
        return _spare.pop()
    except IndexError:
        return BytesIO(bytes(MAX_BYTES))


def _give_back(buffer: BytesIO) -> None:
    if len(_spare) < _SPARE_BUFFERS and buffer.getbuffer().nbytes == MAX_BYTES:
        buffer.seek(0)
        _spare.append(buffer)


class RecordBatch:
    """Written records for one partition, in the form that aiokafka's `send_batch` takes for a builder.

    `compress` may run on another thread: zstd needs no interpreter.
    """

    def __init__(self, written: BytesIO, records: int, first_ms: int, last_ms: int) -> None:
        self._written = written
        self._size = written.tell()
        self._records = records
        self._first_ms = first_ms
        self._last_ms = last_ms
        self._payload = b""
        self._producer = (-1, -1, -1)
        self._built: bytes | None = None

    def compress(self) -> None:
        """Make what is sent of it; called once, before that."""
        written = self._written
        del self._written  # from here on it is another batch's
        with written.getbuffer() as buffer, buffer[: self._size] as records:
            self._payload = bytes(cramjam.zstd.compress(records, level=_ZSTD_LEVEL))
        _give_back(written)

    def append(self, **_record: object) -> None:
        """Take no record of aiokafka's own `send`."""

    def close(self) -> None:
        """Do nothing: it was never open."""

    def closed(self) -> bool:
        """Tell aiokafka not to wait for more records."""
        return True

    def record_count(self) -> int:
        """Return how many records, and sequence numbers, there are."""
        return self._records

    def size(self) -> int:
        """Return the size of what `compress` takes."""
        return self._size

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

    Each is written out as it comes, while what it is made of is in the processor's caches. No batch is above
    `max_bytes`, but for a record that is larger alone.
    """

    def __init__(self, records: Iterable[Record] = (), max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._full_bytes = max_bytes - _SHORT_RECORD_BYTES
        self._ended: list[RecordBatch] = []
        self._written: BytesIO
        """Of the last batch, once there is a record in it."""
        self._begin()
        self.extend(records)

    def _begin(self) -> None:
        self._records = 0
        self._first_ms = self._last_ms = 0
        self._before_ms: int | None = None
        self._stamp = b""
        """Attributes and time of the record before."""

    def append(self, timestamp_ms: int, key: bytes, value: bytes | None, headers: bytes) -> None:
        """Append a `Record`."""
        if timestamp_ms != self._before_ms or value is None:
            self._append_unusual(timestamp_ms, key, value, headers)
            return
        count, written = self._records, self._written
        try:
            body = _join((self._stamp, LENGTHS[count], key, LENGTHS[len(value)], value, headers))
            size = LENGTHS[len(body)]
        except IndexError:
            self._append_unusual(timestamp_ms, key, value, headers)
            return
        written.write(size)
        written.write(body)
        self._records = count + 1
        if written.tell() > self._full_bytes:
            self._end()

    def _append_unusual(self, timestamp_ms: int, key: bytes, value: bytes | None, headers: bytes) -> None:
        """Append what begins a batch, has a time of its own, is long, or a tombstone."""
        if not self._records:
            self._written = _buffer()
            self._first_ms = self._last_ms = timestamp_ms
        stamp = _NO_ATTRIBUTES + varint(timestamp_ms - self._first_ms)
        size = varint(-1) if value is None else length(len(value))
        body = field(_join((stamp, length(self._records), key, size, value or b"", headers)))
        if self._records and self._written.tell() + len(body) > self._max_bytes:
            self._end()
            self._append_unusual(timestamp_ms, key, value, headers)
            return
        self._written.write(body)
        self._records += 1
        self._before_ms, self._stamp = timestamp_ms, stamp
        self._last_ms = max(self._last_ms, timestamp_ms)
        if self._written.tell() > self._full_bytes:
            self._end()

    def extend(self, records: Iterable[Record]) -> None:
        """Append records."""
        for record in records:
            self.append(*record)

    def _end(self) -> None:
        self._ended.append(RecordBatch(self._written, self._records, self._first_ms, self._last_ms))
        self._begin()

    def __iter__(self) -> Iterator[RecordBatch]:
        """Yield the batches, none empty; what is appended later begins another."""
        if self._records:
            self._end()
        return iter(self._ended)

    def __len__(self) -> int:
        """Return how many records there are."""
        return sum(batch.record_count() for batch in self._ended) + self._records
