"""Where the events of one raw record come from: what all their records share, written out once."""

from __future__ import annotations

from hashlib import blake2b

from agent.event import Batch
from processors.instants import iso, iso_of_ms

Header = tuple[str, bytes]
Place = tuple[int, int, int]
"""Raw offset, index of the event in its batch, index of the record within the event."""
_VERSION: Header = ("v", b"1")


class Origin:
    """One batch as the vocabularies see it.

    `received_ms` is the broker's timestamp of the raw record, and becomes that of every record made from it.
    """

    __slots__ = (
        "_id_stem",
        "agent",
        "agent_header",
        "epoch",
        "epoch_header",
        "host",
        "key",
        "project",
        "received_at",
        "received_ms",
        "root",
        "sent_at",
    )

    def __init__(self, batch: Batch, received_ms: int) -> None:
        self.project = batch.project
        self.host = batch.host
        self.agent = batch.agent
        self.epoch = batch.epoch
        self.sent_at = iso(batch.sent_ns)
        self.received_at = iso_of_ms(received_ms)
        self.received_ms = received_ms
        self.root = "/" + batch.project
        self.key = batch.project.encode()
        self.agent_header: Header = ("agent", batch.agent.encode())
        self.epoch_header: Header = ("epoch", batch.epoch.encode())
        self._id_stem = blake2b(f"{batch.agent}\0{batch.project}\0{batch.epoch}\0".encode(), digest_size=16)

    def event_id(self, seq: int) -> str:
        """Return `agent.event.event_id` of the event numbered `seq`, hashing what is common only once."""
        digest = self._id_stem.copy()
        digest.update(b"%d" % seq)
        return "evt_" + digest.hexdigest()

    def headers(self, event_id: str, seq: int, time_ns: int, place: Place) -> list[Header]:
        """Return the headers of a record, in the order of contracts/topics; `place` is its `src`."""
        return [
            ("event_id", event_id.encode()),
            ("src", b"%d.%d.%d" % place),
            self.agent_header,
            self.epoch_header,
            ("seq", b"%d" % seq),
            ("time_ns", b"%d" % time_ns),
            _VERSION,
        ]


def moved(headers: list[Header], place: Place) -> list[Header]:
    """Return the headers of another record of the same event."""
    event_id, _, *rest = headers
    return [event_id, ("src", b"%d.%d.%d" % place), *rest]
