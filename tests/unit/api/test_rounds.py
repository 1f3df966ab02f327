"""Many askers and few questions: who joins which, what a failure costs, who leaves early."""

from __future__ import annotations

import asyncio

import pytest

from api.rounds import Rounds


class Answering:
    """Knows the even numbers, in words; a question that has 13 in it fails."""

    def __init__(self) -> None:
        self.questions: list[list[int]] = []
        self.was_asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()
        self.rounds = Rounds(self._ask, at_once=4)

    async def _ask(self, wanted: list[int]) -> dict[int, str]:
        self.questions.append(wanted)
        self.was_asked.set()
        await self.may_answer.wait()
        if 13 in wanted:
            raise ConnectionError("no answer")
        return {each: str(each) for each in wanted if not each % 2}


def test_what_is_wanted_together_is_asked_together() -> None:
    """In portions, each thing once; None is what nothing was found for."""

    async def scene() -> None:
        answering = Answering()

        found = await asyncio.gather(*(answering.rounds.find(number) for number in (1, 2, 2, 3, 4, 6)))

        assert found == [None, "2", "2", None, "4", "6"]
        assert answering.questions == [[1, 2, 3, 4], [6]]

    asyncio.run(scene())


def test_who_comes_during_a_question_is_in_the_next() -> None:
    """What is on its way may have looked before: its answer is not theirs."""

    async def scene() -> None:
        answering = Answering()
        answering.may_answer.clear()
        first = asyncio.create_task(answering.rounds.find(2))
        await answering.was_asked.wait()
        second = asyncio.create_task(answering.rounds.find(2))
        await asyncio.sleep(0)
        answering.may_answer.set()

        assert list(await asyncio.gather(first, second)) == ["2", "2"]
        assert answering.questions == [[2], [2]]

    asyncio.run(scene())


def test_failure_is_told_to_those_of_its_question() -> None:
    """The next one is asked all the same."""

    async def scene() -> None:
        answering = Answering()

        found = await asyncio.gather(
            *(answering.rounds.find(number) for number in (13, 2, 3, 4, 6)), return_exceptions=True
        )

        assert [type(each) for each in found] == [ConnectionError] * 4 + [str]
        with pytest.raises(ConnectionError):
            await answering.rounds.find(13)
        assert await answering.rounds.find(8) == "8"

    asyncio.run(scene())


def test_who_leaves_early_takes_nothing_from_others() -> None:
    """An asker that is cancelled shares its answer with one that is not."""

    async def scene() -> None:
        answering = Answering()
        leaving, staying = (asyncio.create_task(answering.rounds.find(2)) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()

        assert await staying == "2"
        assert leaving.cancelled()

    asyncio.run(scene())
