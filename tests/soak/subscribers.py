"""Subscribers that come, stall, are cut off, leave and come again, and all that each was given, in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from api.live import Hub, Interest, Position, SlowSubscriber, Subscription
from processors.position import Position as Src

STAY_S = 3.0
STALL_S = 1.0
LEAST_VISITS = 3
"""Of everybody, be they short of time on a busy machine: who never leaves shows nothing."""


class Given(NamedTuple):
    """One record as a subscriber got it."""

    partition: int
    src: Src
    value: bytes


class Subscriber:
    """One client with one interest, over all of its visits."""

    def __init__(self, seed: int, interest: Interest) -> None:
        self.interest = interest
        self.given: list[Given] = []
        self.visits = 0
        self.cut_off = 0
        self.began: Position | None = None
        self._position: Position | None = None
        self._choice = random.Random(seed)

    async def live(self, hubs: Sequence[Hub], over: asyncio.Event) -> None:
        """Come and go until it is over, some times at least."""
        while not over.is_set() or self.visits < LEAST_VISITS:
            await self._visit(self._choice.choice(hubs), self._choice.uniform(0, STAY_S))
            await asyncio.sleep(self._choice.uniform(0, STAY_S / 2))

    async def finish(self, hub: Hub, ends: Mapping[int, int]) -> None:
        """Come again until everything was given, up to where each partition ends."""
        while self._lacks(ends):
            await self._visit(hub, 0.2)

    def _lacks(self, ends: Mapping[int, int]) -> bool:
        marks = self._position.marks if self._position is not None else {}
        return any(mark.offset < ends[partition] for partition, mark in marks.items())

    async def _visit(self, hub: Hub, stay_s: float) -> None:
        self.visits += 1
        async with hub.subscribe(self.interest, after=self._position) as subscription:
            self.began = self.began or subscription.position
            try:
                await self._take_for(subscription, stay_s)
            except SlowSubscriber:
                self.cut_off += 1
            # As a header has it: another process reads it.
            self._position = Position.decode(subscription.position.encode())

    async def _take_for(self, subscription: Subscription, stay_s: float) -> None:
        loop = asyncio.get_running_loop()
        leaves_at = loop.time() + stay_s
        leaving = loop.call_at(leaves_at, subscription.nudge)
        while loop.time() < leaves_at:
            await self._take(subscription)
            if self._choice.random() < 0.02:
                await asyncio.sleep(self._choice.uniform(0, STALL_S))
        leaving.cancel()

    async def _take(self, subscription: Subscription) -> None:
        for delivery in await subscription.take(self._choice.randrange(1, 20)):
            assert not delivery.expired
            self.given.append(Given(delivery.partition, delivery.mark.src, delivery.value))
