"""Bytes of a raw record in, a batch that every later step can trust out, or the reason why there is none.

Refused as a whole: what is no JSON, too large, of another version or shape, or in a partition that is not its
project's. Refused alone: an event whose path, time, hash or id nothing downstream could take.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Literal, NamedTuple

import msgspec

from agent.event import VERSION, Batch, Event, Http, decode_batch
from agent.kafka import MAX_RECORD_BYTES, partition_of
from agent.paths import is_project_id
from processors.instants import EARLIEST_NS, LATEST_NS

Reason = Literal[
    "not_json",
    "too_large",
    "wrong_version",
    "wrong_shape",
    "wrong_partition",
    "bad_project",
    "bad_agent",
    "bad_event",
    "unknown_project",
    "refused_row",
    "expired",
]

EVENT_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_AGENT = re.compile(r"[\x21-\x7e]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}").fullmatch
_LARGEST_ID = str(2**64 - 1)
_WITH_GAP = frozenset(("gap", "gap_closed"))


class Refusal(NamedTuple):
    """Why a record or an event is parked in `fswire.dead-letters`; `detail` is for people."""

    reason: Reason
    detail: str


class _Versioned(msgspec.Struct):
    v: int


def decode(value: bytes | None, partition: int, partitions: int) -> Batch | Refusal:
    """Return the batch that a record carries, or why not; it was read from `partition` of `partitions`."""
    if value is None:
        return Refusal("not_json", "expected a batch, got a tombstone")
    if len(value) > MAX_RECORD_BYTES:
        return Refusal("too_large", f"expected at most {MAX_RECORD_BYTES} bytes, got {len(value)}")
    try:
        batch = decode_batch(value)
    except msgspec.ValidationError as error:
        return _other_version(value) or Refusal("wrong_shape", str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Refusal("not_json", str(error))
    if batch.v != VERSION:
        return _wrong_version(batch.v)
    if not EARLIEST_NS <= batch.sent_ns <= LATEST_NS:
        return Refusal("wrong_shape", "sent_ns: expected a moment in the years 1900 to 2299")
    return _identity_fault(batch.project, batch.agent, batch.epoch, partition, partitions) or batch


def _other_version(value: bytes) -> Refusal | None:
    try:
        version = msgspec.json.decode(value, type=_Versioned).v
    except msgspec.DecodeError:
        return None
    return _wrong_version(version) if version != VERSION else None


def _wrong_version(version: int) -> Refusal:
    return Refusal("wrong_version", f"expected version {VERSION}, got {version}")


@lru_cache(maxsize=65_536)
def _identity_fault(project: str, agent: str, epoch: str, partition: int, partitions: int) -> Refusal | None:
    if not is_project_id(project):
        return Refusal("bad_project", f"not a project id: {project[:128]!r}")
    for name, value in (("agent", agent), ("epoch", epoch)):
        if not _AGENT.fullmatch(value):
            return Refusal("bad_agent", f"{name}: expected 1 to 128 visible ASCII characters")
    expected = partition_of(project, partitions)
    if expected != partition:
        return Refusal("wrong_partition", f"project {project} belongs to partition {expected}")
    return None


def all_plain(events: Sequence[Event]) -> bool:
    """Tell whether a look over all events at once shows that `event_fault` finds none in them.

    It takes a quarter of the time, and says no also where events are only unusual.
    """
    unusual = [
        event
        for event in events
        if event.renamed_to is not None
        or event.path_b64 is not None
        or event.http is not None
        or event.gap is not None
        or event.kind in _WITH_GAP
    ]
    times = [event.time_ns for event in events]
    return (
        not unusual
        and min(times) >= EARLIEST_NS
        and max(times) <= LATEST_NS
        and _all_paths([event.path for event in events])
        and _all_sha256([event.sha256 for event in events])
        and _all_sha256([event.previous_sha256 for event in events])
        and _all_ids([event.file_id for event in events if event.file_id is not None])
        and _all_spines([event.spine for event in events if event.spine is not None])
    )


def _all_paths(paths: list[str]) -> bool:
    joined = "\0".join(("", *paths, ""))
    if joined.count("\0") != len(paths) + 1:
        return False
    segments = joined.replace("/", "\0")
    return "\0\0" not in segments and "\0.\0" not in segments and "\0..\0" not in segments


def _all_sha256(hashes: list[str | None]) -> bool:
    texts = [text for text in hashes if text is not None]
    joined = "".join(texts)
    try:
        return {64}.issuperset(map(len, texts)) and bytes.fromhex(joined).hex() == joined
    except ValueError:
        return False


def _all_ids(ids: list[str]) -> bool:
    return not ids or (min(map(len, ids)) > 0 and max(map(len, ids)) < 20 and _is_decimal("".join(ids)))


def _all_spines(spines: list[list[str]]) -> bool:
    return not spines or (all(spines) and _is_decimal("".join(chain.from_iterable(spines))))


def event_fault(event: Event) -> str | None:
    """Return what is wrong with an event beyond its shape, None if nothing is."""
    path = event.path
    if path and (fault := _path_fault(path)):
        return f"path {fault}"
    if event.renamed_to is not None and (fault := _path_fault(event.renamed_to)):
        return f"renamed_to {fault}"
    if not (_is_base64(event.path_b64) and _is_base64(event.renamed_to_b64)):
        return "path_b64, renamed_to_b64: expected base64"
    if not EARLIEST_NS <= event.time_ns <= LATEST_NS:
        return "time_ns: expected a moment in the years 1900 to 2299"
    if event.sha256 is not None and not _is_sha256(event.sha256):
        return "sha256: expected 64 lower-case hex digits"
    if event.previous_sha256 is not None and not _is_sha256(event.previous_sha256):
        return "previous_sha256: expected 64 lower-case hex digits"
    if event.file_id is not None and not _is_file_id(event.file_id):
        return "file_id: expected a decimal 64-bit number"
    if event.spine is not None and not _is_decimal("".join(event.spine)):
        return "spine: expected decimal numbers"
    if event.gap is None and event.kind in _WITH_GAP:
        return "gap: expected with this kind"
    return _http_fault(event.http) if event.http is not None else None


def _path_fault(path: str) -> str | None:
    if "\0" in path:
        return "must not contain NUL"
    if path[:1] == "/" or path[-1:] == "/" or "//" in path or not path:
        return "must be relative, without empty segments"
    if ("./" in path or path[-1:] == ".") and not {".", ".."}.isdisjoint(path.split("/")):
        return "must not contain a '.' or '..' segment"
    return None


def _is_base64(text: str | None) -> bool:
    if text is None:
        return True
    try:
        return bool(base64.b64decode(text))
    except ValueError:
        return False


def _is_sha256(text: str) -> bool:
    return _SHA256(text) is not None


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.encode().isdigit()  # bytes have a table for it, texts ask Unicode


def _is_file_id(text: str) -> bool:
    short = len(text) < 20 or (len(text) == 20 and text <= _LARGEST_ID)
    return short and _is_decimal(text)


def _http_fault(http: Http) -> str | None:
    if not EVENT_ID.fullmatch(http.event_id):
        return "http.event_id: expected 1 to 128 of A-Z a-z 0-9 _ . : -"
    if not 1 <= len(http.event) <= 64:
        return "http.event: expected 1 to 64 characters"
    return None
