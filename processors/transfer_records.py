"""One transfer as it stands: the value of a record of `fswire.transfers`, keyed by its id.

The field names of the first half are those of the file monitor (contracts: filemonitor); the second half is
fswire's own. The records of one decision are one batch: the topic has all of them or none.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

from processors.record_batch import field, length

Phase = Literal["outside", "queued", "running", "complete", "failed"]
"""`outside`: somebody else makes this transfer, fswire keeps its row alone."""
Change = tuple[int, "Transfer | None"]
"""A transfer's id, and what it is now; None: it is no more."""
LAST_KEY = b"last"
"""Of the record that holds the last id given."""
OWNER_KEY = b"owner"
"""Of the record that a new sequencer writes first; its value says nothing."""


class Transfer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """A full state. Times are ISO 8601 in UTC with microseconds, so that their order is that of the text."""

    id: int
    created: str
    updated: str
    url: str = ""
    name: str = ""
    status: str = ""
    md5sum: str | None = None
    """What a client expects, not what was computed."""
    size: int | None = None
    progress: int = 0
    """Bytes so far."""
    local_dir: str = ""
    tags: str = ""
    celery_task_id: str = ""
    phase: Phase = "outside"
    round: int = 0
    """Rises when it is queued again or cancelled: reports of an earlier round are void."""
    worker: str = ""
    """Life of the transfer worker that makes it."""
    host: str = ""
    project: str = ""
    """Project that is told of its file."""
    directory: str = ""
    """Where fswire writes: the name of a directory below the root of that host."""
    file: str = ""
    """Name of the finished file in it."""
    validator: str = ""
    """ETag or date of the content of which a part is there."""
    attempts: int = 0
    """That brought nothing new, in a row."""
    error: str = ""
    """Of the last attempt."""
    retry_at: str = ""
    sha256: str = ""
    md5: str = ""
    key_id: str = ""
    """API key of the last client that wrote to it."""


class LastId(msgspec.Struct, frozen=True):
    """Value of the record keyed `last`."""

    last: int


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one command; `offset`: what was written lies before it in `fswire.transfers`."""

    result: Literal["created", "written", "absent", "refused"]
    id: int | None = None
    error: str | None = None
    offset: int = 0


class Marks(NamedTuple):
    """The headers of a record: on which command it was written, and whose that was."""

    command: str = ""
    at: int = -1
    """The command's offset in `fswire.transfer-commands`."""
    key_id: str = ""
    answer: Answer | None = None
    """On the last record of a decision."""
    before: Transfer | None = None
    """On a deletion: what was deleted, where fswire had written files for it."""


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Transfer).decode
_decode_last = msgspec.json.Decoder(LastId).decode
_decode_answer = msgspec.json.Decoder(Answer).decode


class Transfers:
    """All transfers, folded from their records in order."""

    def __init__(self) -> None:
        self.rows: dict[int, Transfer] = {}
        self.last_id = 0
        self._newest_first: list[Transfer] | None = None

    def take(self, key: bytes, value: bytes | None) -> int | None:
        """Fold a record in; return the id of the transfer that it is of. ValueError: it cannot be read."""
        if key == OWNER_KEY:
            return None
        if key == LAST_KEY:
            self.last_id = _decode_last(value or b"").last
            return None
        identity = int(key)
        self.put(identity, None if value is None else decode(value))
        return identity

    def apply(self, changes: Iterable[Change], last_id: int) -> None:
        """Fold a decision in."""
        for identity, transfer in changes:
            self.put(identity, transfer)
        self.last_id = last_id

    def put(self, identity: int, transfer: Transfer | None) -> None:
        """Note what a transfer is now."""
        before = self.rows.pop(identity, None) if transfer is None else self.rows.get(identity)
        if transfer is not None:
            self.rows[identity] = transfer
        if before is None or transfer is None:  # it came or went, and with it the order
            self._newest_first = None
        elif self._newest_first is not None:
            self._newest_first[bisect_left(self._newest_first, -identity, key=_place)] = transfer

    def newest_first(self) -> list[Transfer]:
        """Return all of them, the highest id first."""
        if self._newest_first is None:
            self._newest_first = sorted(self.rows.values(), key=_place)
        return self._newest_first.copy()


def _place(transfer: Transfer) -> int:
    return -transfer.id


def offset_form(moment: str) -> str:
    """Return a moment as clients of the file monitor see it: with an offset, `+00:00`."""
    return f"{moment[:-1]}+00:00"


def key_of(identity: int) -> bytes:
    """Return the key of a transfer's record."""
    return str(identity).encode()


def headers(marks: Marks) -> bytes:
    """Return the headers of a record, as a record's field."""
    written = {"command": marks.command.encode(), "at": b"%d" % marks.at}
    if marks.key_id:
        written["key_id"] = marks.key_id.encode()
    if marks.answer is not None:
        written["answer"] = encode(marks.answer)
    if marks.before is not None:
        written["before"] = encode(marks.before)
    fields = (field(name.encode()) + field(value) for name, value in written.items())
    return length(len(written)) + b"".join(fields)


def marks_of(given: Iterable[tuple[str, bytes]]) -> Marks:
    """Return what the headers of a record say. ValueError: they cannot be read."""
    found: Mapping[str, bytes] = dict(given)
    answer, before = found.get("answer"), found.get("before")
    return Marks(
        found.get("command", b"").decode(),
        int(found.get("at", b"-1")),
        found.get("key_id", b"").decode(),
        _decode_answer(answer) if answer else None,
        decode(before) if before else None,
    )
