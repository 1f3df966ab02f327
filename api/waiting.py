"""Requests that wait for the processor's decision: joined where they repeat one another, ended when late."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from processors.outcomes import Outcome


class SendFailed(Exception):
    """The broker did not take the event; nothing is known of it there."""


class Late(Exception):
    """No decision came in time; the event may still be stored."""


class Identity(NamedTuple):
    """What a retry has in common with the request that it repeats."""

    project: str
    event_id: str
    content: str


Decided = asyncio.Future[Outcome]


class Waiting:
    """Futures of decisions by correlation id, and by identity for retries. One event loop, no locks."""

    def __init__(self, prefix: str, *, timeout_ms: int) -> None:
        self._prefix = prefix
        self._timeout_s = timeout_ms / 1000
        self._given = 0
        self._by_id: dict[str, Decided] = {}
        self._by_identity: dict[Identity, Decided] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def pending(self, identity: Identity) -> Decided | None:
        """Return the future of a request that is the same and still undecided."""
        return self._by_identity.get(identity)

    def expect(self, identity: Identity) -> tuple[str, Decided]:
        """Return a new correlation id and the future of its outcome.

        The future ends with Late by itself when the time is over.
        """
        self._given += 1
        correlation_id = f"{self._prefix}-{self._given}"
        loop = asyncio.get_running_loop()
        decided: Decided = loop.create_future()
        timer = loop.call_later(self._timeout_s, self.fail, correlation_id, Late())
        self._by_id[correlation_id] = decided
        self._by_identity[identity] = decided
        decided.add_done_callback(lambda _: self._forget(correlation_id, identity, decided, timer))
        return correlation_id, decided

    def resolve(self, outcome: Outcome) -> None:
        """Hand an outcome to whoever waits for it; one that nobody awaits any more is dropped."""
        decided = self._by_id.get(outcome.id)
        if decided is not None and not decided.done():
            decided.set_result(outcome)

    def fail(self, correlation_id: str, error: Exception) -> None:
        """End the wait for one outcome with an exception."""
        decided = self._by_id.get(correlation_id)
        if decided is not None and not decided.done():
            decided.set_exception(error)
            decided.exception()  # marks it as seen: the client may have gone away meanwhile

    def _forget(
        self, correlation_id: str, identity: Identity, decided: Decided, timer: asyncio.TimerHandle
    ) -> None:
        timer.cancel()
        self._by_id.pop(correlation_id, None)
        if self._by_identity.get(identity) is decided:
            del self._by_identity[identity]
