"""One reported event in, the processor's decision out: over `fswire.raw` and back over `fswire.outcomes`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from agent.event import Actor, Event, Http, Kind, Reply
from api import mint
from api.errors import Conflict, Detail, FieldsRefused, NotFound, Unavailable
from api.event_form import EventForm
from api.lanes import Entry, Lanes
from api.waiting import Identity, Late, SendFailed, Waiting
from processors.outcomes import Outcome

_log = structlog.get_logger()

KINDS: dict[str, Kind] = {
    "created": "create",
    "modified": "closeWrite",
    "deleted": "delete",
    "renamed": "rename",
}


class Ingest:
    """Publishes and awaits; shared by all requests of a process."""

    def __init__(
        self,
        lanes: Lanes,
        waiting: Waiting,
        reply_partition: Callable[[], int],
        *,
        clock_ns: Callable[[], int],
        max_pending: int = 10_000,
        retry_after_s: int = 1,
    ) -> None:
        self._lanes = lanes
        self._waiting = waiting
        self._reply_partition = reply_partition
        self._clock_ns = clock_ns
        self._max_pending = max_pending
        self._retry_after_s = retry_after_s
        self._told = False

    async def event(self, project: str, form: EventForm, key_id: str) -> dict[str, Any]:
        """Store what a PUT reports and return its answer.

        Conflict: the id is taken by other content. NotFound: the processor does not know the project.
        FieldsRefused: the processor could not use the event.
        Unavailable: not decided in time, or not taken by the broker; it names the id to retry with.
        """
        event_id, content = mint.identify(project, form, key_id)
        event = raw_event(form, event_id, content, key_id, self._clock_ns())
        outcome, joined = await self._decided(project, event, form.host or "")
        inserted = outcome.decision == "inserted" and not joined
        return {
            "status": "success",
            "eventId": event_id,
            "projectId": project,
            "inserted": inserted,
            "workflowTriggered": inserted and outcome.workflow_triggered,
        }

    async def session(self, project: str, key_id: str) -> dict[str, Any]:
        """Store the start of a session and return its answer; every start is a record of its own."""
        event_id = mint.random_id()
        http = Http(event_id=event_id, content=event_id, event="session", key_id=key_id)
        event = Event(kind="session", path="", time_ns=self._clock_ns(), source="http", http=http)
        await self._decided(project, event, "")
        return {"status": "success", "projectId": project}

    async def _decided(self, project: str, event: Event, host: str) -> tuple[Outcome, bool]:
        """Return the decision, and whether it is that of an earlier request which this one repeats."""
        assert event.http is not None
        identity = Identity(project, event.http.event_id, event.http.content)
        decided = self._waiting.pending(identity)
        joined = decided is not None
        if decided is None:
            decided = self._publish(project, event, host, identity)
        try:
            outcome = await asyncio.shield(decided)
        except Late:
            self._tell()
            raise self._retry("not decided in time", "undecided", identity) from None
        except SendFailed:
            raise self._retry("not stored: the broker did not take it", "not_stored", identity) from None
        self._told = False
        return _accepted(outcome), joined

    def _publish(self, project: str, event: Event, host: str, identity: Identity) -> asyncio.Future[Outcome]:
        if len(self._waiting) >= self._max_pending:
            raise self._retry("too many events await their decision", "overloaded", identity)
        assert event.http is not None
        correlation_id, decided = self._waiting.expect(identity)
        event.http.reply = Reply(correlation_id, self._reply_partition())
        entry = Entry(
            event,
            host,
            wanted=lambda: not decided.done(),
            fail=lambda error: self._waiting.fail(correlation_id, error),
        )
        self._lanes.add(project, entry)
        return decided

    def _tell(self) -> None:
        if not self._told:
            _log.warning(
                "events are not decided in time",
                pending=len(self._waiting),
                check="the broker answers and `fswire processors` runs",
            )
        self._told = True

    def _retry(self, message: str, code: str, identity: Identity) -> Unavailable:
        return Unavailable(
            f"{message}; retry with this eventId",
            code=code,
            retry_after_s=self._retry_after_s,
            more={"eventId": identity.event_id, "projectId": identity.project},
        )


def raw_event(form: EventForm, event_id: str, content: str, key_id: str, now_ns: int) -> Event:
    """Return the raw event of a PUT: a name outside the four canonical ones is `unknown`, and kept."""
    kind = KINDS.get(form.event, "unknown")
    actor = None if form.pid is None and form.uid is None else Actor(pid=form.pid, uid=form.uid)
    return Event(
        kind=kind,
        path=form.filename,
        time_ns=now_ns if form.timestamp_us is None else form.timestamp_us * 1000,
        source="http",
        renamed_to=form.renamed_to,
        moved=None if form.renamed_to is None else "within",
        size=form.filesize,
        filetype=form.filetype,
        sha256=form.sha256,
        written=kind == "closeWrite",
        actor=actor,
        http=Http(event_id=event_id, content=content, event=form.event, key_id=key_id, fields=form.fields),
    )


def _accepted(outcome: Outcome) -> Outcome:
    if outcome.decision == "conflict":
        raise Conflict("this eventId is taken by an event with other content", code="event_id_conflict")
    if outcome.decision == "refused":
        if outcome.reason == "unknown_project":
            raise NotFound("no such project", code="unknown_project")
        raise FieldsRefused(
            [Detail("event", f"the processor refused it: {outcome.reason or 'no reason given'}")]
        )
    return outcome
