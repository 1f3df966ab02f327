"""Consecutive raw records of one partition in, everything that becomes of them out; touches no broker.

Repeats are cut per event; what is new goes through the three vocabularies; what cannot be used is parked and
leaves an announced hole. Made again from the same records and state, a chunk gives the same records at the
same `src`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain
from typing import NamedTuple

import msgspec
import structlog

from agent.event import Batch, Event, Http, encode
from processors import dead_letters, donutwork, event_ids, files, fleet, gaps, outcomes, runs, watermarks
from processors.dead_letters import Parked
from processors.decode import Refusal, all_plain, event_fault
from processors.event_ids import Known
from processors.files import At
from processors.instants import EARLIEST_NS, LATEST_NS
from processors.origin import Origin
from processors.outcomes import Decision, Outcome
from processors.outputs import Addressed, Made, Outputs, excess, make
from processors.position import Position
from processors.state import Draft
from processors.tree import is_duplicate
from processors.triggers import Triggers

_log = structlog.get_logger()
_json = msgspec.json.Encoder().encode
NO_TRIGGERS = Triggers({})
_FEW = 8
"""Events that are sooner looked at one by one than together."""


class RawRecord(NamedTuple):
    """A record of the raw topic as it was read."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class Chunk:
    """One pass over consecutive records; `refused` are the projects that are not allowed, of those to come.

    `draft` holds what the pass changes in the partition's state, `outputs` what is to be published.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        draft: Draft,
        refused: Collection[str] = (),
        triggers: Triggers = NO_TRIGGERS,
    ) -> None:
        self.draft = draft
        self.outputs = Outputs()
        self.events = 0
        """Events decided, repeats among them."""
        self.repeats = 0
        self._topic = topic
        self._partition = partition
        self.refused = refused
        self._keys: dict[int, list[bytes]] = {}
        self.triggers = triggers

    def expect(self, records: Iterable[tuple[RawRecord, Batch | Refusal]]) -> None:
        """Read at once what deciding on these records will ask of the known files."""
        for record, decoded in records:
            if isinstance(decoded, Batch):
                self._keys[record.offset] = files.keys(decoded.project, decoded.events)
        self.draft.tree.prefetch(chain.from_iterable(self._keys.values()))

    def take(self, record: RawRecord, decoded: Batch | Refusal) -> None:
        """Decide on the next record."""
        if isinstance(decoded, Refusal):
            self._park(record, record.value, decoded)
            self.events += 1
            return
        self.events += len(decoded.events)
        if decoded.project in self.refused:
            self._refuse(record, decoded)
        elif decoded.events:
            if record.offset not in self._keys:
                self.expect([(record, decoded)])
            _Pass(self, record, decoded, self._keys.pop(record.offset)).run()
        else:
            self._heartbeat(record, decoded)

    def _park(self, record: RawRecord, value: bytes | None, refusal: Refusal) -> None:
        parked = Parked(self._topic, self._partition, record.offset, record.timestamp_ms, record.key)
        letter = dead_letters.letter(parked, value, refusal)
        self.outputs.dead_letters.append(Addressed(dead_letters.key(parked), letter))

    def park_event(self, record: RawRecord, batch: Batch, index: int, detail: str) -> None:
        """Park one event of a batch, as a batch of one that can be replayed."""
        alone = encode(dead_letters.part(batch, index, [batch.events[index]]))
        self._park(record, alone, Refusal("bad_event", f"event {index}: {detail}"))

    def _refuse(self, record: RawRecord, batch: Batch) -> None:
        refusal = Refusal("unknown_project", f"project {batch.project} is neither registered nor allowed")
        for piece in dead_letters.pieces(batch):
            self._park(record, piece, refusal)
        for event in batch.events:
            if event.http is not None:
                self.answer(batch.project, event.http, "refused", refusal.reason)

    def answer(
        self,
        project: str,
        http: Http,
        decision: Decision,
        reason: str | None = None,
        *,
        triggered: bool = False,
    ) -> None:
        """Tell whoever waits for the decision on an HTTP event."""
        reply = http.reply
        if reply is not None:
            outcome = Outcome(reply.id, project, http.event_id, decision, triggered, reason)
            self.outputs.outcomes.append(
                Addressed(reply.id.encode(), outcomes.encode(outcome), reply.partition)
            )

    def _heartbeat(self, record: RawRecord, batch: Batch) -> None:
        value = fleet.value(batch, record.timestamp_ms)
        self.outputs.agents.append(Addressed(fleet.key(batch.agent, batch.project), value))


class _Pass:
    """The events of one batch, in order; `keys` are those of their paths in the known files."""

    def __init__(self, chunk: Chunk, record: RawRecord, batch: Batch, keys: list[bytes]) -> None:
        self._chunk = chunk
        self._record = record
        self._offset = record.offset
        self._batch = batch
        self._tree = chunk.draft.tree
        self._keys = keys
        self._plain = len(keys) > _FEW and all_plain(batch.events)
        self._origin = Origin(batch, record.timestamp_ms)
        self._marks_name = f"{batch.project}/{batch.agent}"
        self._triggers = chunk.triggers.of(batch.project)

    def run(self) -> None:
        batch, events = self._batch, self._batch.events
        admission = self._admit()
        late, first_new = admission.late, admission.first_new
        for index in sorted(late):
            self._event(index, 0, late=True, closes=late[index])
        lead = self._announce(admission) if admission.opened or admission.rivals is not None else 0
        for index in range(first_new, len(events)):
            self._event(index, lead)
            lead = 0
        self._chunk.repeats += first_new - len(late)
        if admission.given_up:
            _log.error(
                "holes given up: what fills them will be dropped",
                agent=batch.agent,
                project=batch.project,
                holes=admission.given_up,
            )

    def _admit(self) -> watermarks.Admission:
        batch, draft = self._batch, self._chunk.draft
        last_ns = self._moment(batch.events[-1])
        run = watermarks.Run(
            batch.epoch, batch.first_seq, len(batch.events), last_ns, batch.previous, batch.sent_ns
        )
        before = draft.marks(self._marks_name)
        admission = watermarks.admit(batch.project, batch.agent, before, run, self._record.timestamp_ms)
        src = Position(self._offset, len(batch.events) - 1, 0)
        draft.set_marks(self._marks_name, admission.marks, src)
        return admission

    def _announce(self, admission: watermarks.Admission) -> int:
        """Publish a gap for each hole and for a rival, before the first new event; return how many."""
        batch, first_new = self._batch, admission.first_new
        until_ns = self._moment(batch.events[0])
        found = [gaps.missing(each.hole, each.since_ns, until_ns) for each in admission.opened]
        if admission.rivals is not None:
            _log.error(
                "two installations report as one agent: give one of them a journal of its own",
                agent=batch.agent,
                project=batch.project,
                epochs=admission.rivals[:2],
            )
            found.append(gaps.contested(batch.project, batch.agent, admission.rivals))
        for nth, gap in enumerate(found):
            self._publish_gap(gap, batch.first_seq + first_new, first_new, nth)
        return len(found)

    def _moment(self, event: Event) -> int:
        """Return an event's time; where no event can have it, when the event was sent."""
        time_ns = event.time_ns
        return time_ns if EARLIEST_NS <= time_ns <= LATEST_NS else self._batch.sent_ns

    def _publish_gap(self, gap: Event, seq: int, index: int, nth: int) -> None:
        identity = gaps.event_id(gap)
        made = make(self._origin, gap, identity, seq, late=False)
        place = (self._offset, index, nth)
        self._chunk.outputs.add(self._origin, made, gap, identity, seq, place)
        self._trigger(gap, identity, made[0], index)

    def _event(self, index: int, lead: int, *, late: bool = False, closes: tuple[str, ...] = ()) -> None:
        event = self._batch.events[index]
        if not self._plain and (fault := event_fault(event)) is not None:
            self._spoil(event, index, lead, fault, closes)
            return
        seq = self._batch.first_seq + index
        http = event.http
        identity = self._origin.event_id(seq) if http is None else http.event_id
        if http is not None and not self._is_new(http):
            self._close(closes, event, index, lead)
            return
        key = self._keys[index]
        known = self._tree.get(key)
        duplicate = known is not None and is_duplicate(event, known, late=late)
        made = self._make(event, identity, seq, late=late, duplicate=duplicate)
        if isinstance(made, str):
            self._spoil(event, index, lead, made, closes)
            return
        triggered = bool(self._triggers) and not duplicate and self._trigger(event, identity, made[0], index)
        if http is not None:
            self._learn(http, index, triggered=triggered)
        at = At(self._offset, index)
        self._tree.take(self._origin, event, key, known, identity, at, late=late)
        place = (self._offset, index, lead)
        self._chunk.outputs.add(self._origin, made, event, identity, seq, place)
        if event.kind == "session":
            self._session(event, identity)
        if closes:
            self._close(closes, event, index, lead + max(1, len(made[1])))

    def _close(self, gone: Iterable[str], event: Event, index: int, first: int) -> None:
        """Say that an event was the last that these gaps missed; what it became ends before `first`."""
        seq = self._batch.first_seq + index
        for nth, gap in enumerate(gone, first):
            self._publish_gap(gaps.filled(gap, self._moment(event)), seq, index, nth)

    def _make(self, event: Event, identity: str, seq: int, *, late: bool, duplicate: bool) -> Made | str:
        """Return what the event becomes, or why it cannot: no record may stop the partition."""
        try:
            made = make(self._origin, event, identity, seq, late=late, duplicate=duplicate)
        except Exception as error:  # noqa: BLE001  whatever it is, it is this event alone
            _log.exception("an event could not be normalised", project=self._batch.project)
            return f"could not be normalised: {type(error).__name__}"
        too_long = excess(made)
        return f"a record of {too_long} bytes is too large for its topic" if too_long else made

    def _spoil(self, event: Event, index: int, lead: int, fault: str, closes: Collection[str]) -> None:
        """Park an event, and make its number a hole again that a replay may fill.

        What is as bad when it is replayed leaves the gap open that it was announced by.
        """
        chunk, batch = self._chunk, self._batch
        chunk.park_event(self._record, batch, index, fault)
        if event.http is not None:
            chunk.answer(batch.project, event.http, "refused", "bad_event")
        seq = batch.first_seq + index
        marks = chunk.draft.marks(self._marks_name)
        if marks is None:
            raise AssertionError("a batch is admitted before its events are")
        punched, hole = watermarks.punch(batch.project, batch.agent, marks, batch.epoch, seq)
        chunk.draft.set_marks(self._marks_name, punched, Position(self._offset, index, 0))
        if hole.gap not in closes and not watermarks.is_open(marks, hole.gap):
            self._publish_gap(gaps.missing(hole, None, self._moment(event)), seq, index, lead)
            lead += 1
        self._close([each for each in closes if each != hole.gap], event, index, lead)

    def _is_new(self, http: Http) -> bool:
        chunk, draft = self._chunk, self._chunk.draft
        known = draft.known(event_ids.digest(self._batch.project, http.event_id))
        content = event_ids.content_digest(http.content)
        verdict = event_ids.decide(known, content, self._record.timestamp_ms, draft.horizon_ms)
        if verdict != "inserted":
            chunk.answer(self._batch.project, http, verdict)
        return verdict == "inserted"

    def _trigger(self, event: Event, identity: str, record: bytes | None, index: int) -> bool:
        """Queue a run for each workflow that an event triggers; tell whether there is any."""
        name = donutwork.name(event)
        fired = [each for each in self._triggers if name is not None and each.fires(name, event)]
        src = Position(self._offset, index, 0)
        for each in fired:
            queued = runs.queued(each.workflow, self._origin, identity, record or b"{}", src)
            self._chunk.outputs.runs.append(*queued)
        return bool(fired)

    def _learn(self, http: Http, index: int, *, triggered: bool) -> None:
        digest = event_ids.digest(self._batch.project, http.event_id)
        known = Known(event_ids.content_digest(http.content), self._record.timestamp_ms)
        self._chunk.draft.learn(digest, known, Position(self._offset, index, 0))
        self._chunk.answer(self._batch.project, http, "inserted", triggered=triggered)

    def _session(self, event: Event, identity: str) -> None:
        batch = self._batch
        value = {
            "eventId": identity,
            "projectId": batch.project,
            "agent": batch.agent,
            "host": batch.host,
            "keyId": event.http.key_id if event.http is not None else "",
            "receivedAt": self._origin.received_at,
        }
        key = f"session/{batch.project}/{identity}".encode()
        self._chunk.outputs.agents.append(Addressed(key, _json(value)))
