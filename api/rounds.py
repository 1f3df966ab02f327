"""Few questions for many askers: what is wanted while a question is on its way is the next question.

However many ask for something at one time, one question is under way, for so many things at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

Wanted = TypeVar("Wanted", bound=Hashable)
Found = TypeVar("Found")


class Rounds(Generic[Wanted, Found]):
    """Asks for things; `ask` returns those of them that there are."""

    def __init__(
        self, ask: Callable[[list[Wanted]], Awaitable[Mapping[Wanted, Found]]], *, at_once: int
    ) -> None:
        self._ask = ask
        self._at_once = at_once
        self._waiting: dict[Wanted, asyncio.Future[Found | None]] = {}
        self._running: asyncio.Task[None] | None = None

    async def find(self, wanted: Wanted) -> Found | None:
        """Return what a question that is still to come finds, None: nothing. Raises what it raises."""
        answer = self._waiting.get(wanted)
        if answer is None:
            answer = self._waiting[wanted] = asyncio.get_running_loop().create_future()
            # whoever waited may have left: a failure is still somebody's who looked at it
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await asyncio.shield(answer)

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)  # who asks in this turn of the loop is in the first round
            while self._waiting:
                wanted = list(itertools.islice(self._waiting, self._at_once))
                await self._answer({each: self._waiting.pop(each) for each in wanted})
        finally:
            self._running = None
            for answer in self._waiting.values():
                answer.cancel()
            self._waiting.clear()

    async def _answer(self, answers: Mapping[Wanted, asyncio.Future[Found | None]]) -> None:
        try:
            found = await self._ask(list(answers))
        except Exception as error:  # noqa: BLE001  whatever it is, it is what each of them is told
            for answer in answers.values():
                answer.set_exception(error)
            return
        for wanted, answer in answers.items():
            answer.set_result(found.get(wanted))
