"""A subscription's queue: bounded, cut off where it is full, and the position that it leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from api.live_feed import Feed
from api.live_index import Interest
from api.live_position import Mark
from api.live_reader import followed
from api.live_record import Reach, Record
from api.live_subscription import Delivery, Seat, SlowSubscriber, Subscription
from processors import topics
from processors.position import Position as Src

BOUND = 4


class Scripted:
    """Stands for the feed and the reader of one partition."""

    def __init__(self) -> None:
        self.partition = 0
        self.mark = Mark(0)
        self.left: list[Seat] = []
        self.waited: list[Seat] = []

    def leave(self, seat: Seat) -> None:
        self.left.append(seat)
        seat.reader = None

    def wait(self, seat: Seat) -> None:
        self.waited.append(seat)


def delivery(offset: int) -> Delivery:
    """Return the delivery of the record at an offset."""
    mark = Mark(offset + 1, Src(offset, 0, 0))
    record = Record(b"%d" % offset, {}, "p", 0, mark, Reach(("/p/a",)))
    return Delivery(record, (), 0, mark)


def seated(subscription: Subscription) -> tuple[Scripted, Seat]:
    """Give a subscription its seat in partition 0."""
    feed = Scripted()
    seat = subscription.seats[0] = Seat(subscription, feed)  # type: ignore[arg-type]
    seat.reader = feed  # type: ignore[assignment]
    subscription.vocabulary = topics.NOTIFY
    return feed, seat


def run(scene: Callable[[Subscription], Awaitable[None]]) -> None:
    """Play a scene with a new subscription."""

    async def play() -> None:
        await scene(Subscription(BOUND))

    asyncio.run(asyncio.wait_for(play(), 30))


def test_deliveries_come_in_order_to_who_waits() -> None:
    """Whoever waits is woken by the first, and gets what is there, up to the limit that it asked for."""

    async def scene(subscription: Subscription) -> None:
        waiting = asyncio.create_task(subscription.take(2))
        await asyncio.sleep(0)
        for offset in range(3):
            assert subscription.offer(delivery(offset))

        assert [each.value for each in await waiting] == [b"0", b"1"]
        assert [each.value for each in await subscription.take()] == [b"2"]

    run(scene)


def test_full_queue_takes_no_more() -> None:
    """What is offered beyond the bound is refused, and nothing that was taken in is lost."""

    async def scene(subscription: Subscription) -> None:
        taken = [subscription.offer(delivery(offset)) for offset in range(BOUND + 1)]

        assert taken == [True] * BOUND + [False]
        assert len(await subscription.take()) == BOUND

    run(scene)


def test_cut_off_subscriber_gets_what_was_queued_first() -> None:
    """The cut comes after all that was delivered, gives up the seats, and is told at once to who asked."""

    async def scene(subscription: Subscription) -> None:
        feed, seat = seated(subscription)
        told: list[str] = []
        subscription.when_cut = lambda: told.append("cut")
        subscription.offer(delivery(0))
        subscription.cut()

        assert (told, feed.left) == (["cut"], [seat])
        assert [each.value for each in await subscription.take()] == [b"0"]
        with pytest.raises(SlowSubscriber):
            await subscription.take()

    run(scene)


def test_position_is_behind_what_was_taken() -> None:
    """While something waits, the position is that of the last taken; else up to where all was offered."""

    async def scene(subscription: Subscription) -> None:
        feed, _ = seated(subscription)
        subscription.offer(delivery(0))
        subscription.offer(delivery(1))
        feed.mark = Mark(9, Src(8, 0, 0))

        await subscription.take(1)
        first = subscription.position
        await subscription.take(1)

        assert first.marks == {0: Mark(1, Src(0, 0, 0))}
        assert subscription.position.marks == {0: Mark(9, Src(8, 0, 0))}

    run(scene)


def test_nudge_wakes_with_nothing() -> None:
    """A stream has things to do of its own: it is woken without a delivery."""

    async def scene(subscription: Subscription) -> None:
        waiting = asyncio.create_task(subscription.take())
        await asyncio.sleep(0)
        subscription.nudge()

        assert await waiting == []

    run(scene)


def test_end_comes_after_what_was_queued() -> None:
    """Iterating gives what is there when it is closed, and stops."""

    async def scene(subscription: Subscription) -> None:
        subscription.offer(delivery(0))
        subscription.close()

        assert [each.value async for each in subscription] == [b"0"]

    run(scene)


def test_seat_that_was_given_up_is_asked_for_once_there_is_room() -> None:
    """A reader of the past that found the queue full went on without it: taking brings it back."""

    async def scene(subscription: Subscription) -> None:
        feed, seat = seated(subscription)
        subscription.offer(delivery(0))
        seat.reader = None

        await subscription.take()

        assert feed.waited == [seat]

    run(scene)


def test_expired_delivery_has_no_record() -> None:
    """It says that something is gone, and has nothing else to tell."""
    expired = Delivery(None, (), 0, Mark(7))

    assert (expired.expired, expired.value, expired.headers, expired.project) == (True, b"", {}, "")


def test_waiting_seat_is_taken_by_one_catching_up() -> None:
    """A seat that a catching up has taken is not taken by another while the first connects."""

    async def play() -> None:
        taken: list[set[Seat]] = []
        feed = Feed(None, topics.NOTIFY, 0, at_once=1)  # type: ignore[arg-type]

        async def connecting(seats: set[Seat]) -> None:
            taken.append(seats)

        feed._catch_up = connecting  # type: ignore[method-assign]
        seat = Seat(Subscription(BOUND), feed)
        feed._seats.add(seat)

        feed.wait(seat)
        feed.wait(seat)
        await asyncio.sleep(0)

        assert taken == [{seat}]

    asyncio.run(play())


def test_followed_path_goes_along_by_component() -> None:
    """A path at or below a renamed directory has a new name; one that only begins alike has not."""
    assert followed(b"/p/a/b", b"/p/a", b"/p/x/y") == b"/p/x/y/b"
    assert followed(b"/p/a", b"/p/a", b"/p/x") == b"/p/x"
    assert followed(b"/p/ab", b"/p/a", b"/p/x") is None


def test_interest_is_wanted_from_every_reader_of_a_seat() -> None:
    """A seat without a reader remembers what it wants for the next one."""
    seat = Seat(Subscription(BOUND), Scripted())  # type: ignore[arg-type]
    interest = Interest(topics.NOTIFY, "p", b"/p")

    seat.add(interest)

    assert seat.interests == {interest}


def test_delivery_is_taken_at_once_while_somebody_waits_for_it() -> None:
    """It needs no turn; what nobody waits for, or what is not taken, is queued in its order."""

    async def scene(subscription: Subscription) -> None:
        seated(subscription)
        at_once: list[bytes] = []

        def take_all_but_the_third(delivery: Delivery) -> bool:
            taken = delivery.value != b"3"
            if taken:
                at_once.append(delivery.value)
            return taken

        subscription.at_once = take_all_but_the_third
        subscription.offer(delivery(0))
        queued = await subscription.take()
        waiting = asyncio.create_task(subscription.take())
        await asyncio.sleep(0)
        for offset in range(1, 5):
            subscription.offer(delivery(offset))
        reached = dict(subscription.marks)

        assert [each.value for each in queued] == [b"0"]
        assert at_once == [b"1", b"2"]
        assert reached == {0: Mark(3, Src(2, 0, 0))}
        assert [each.value for each in await waiting] == [b"3", b"4"]

    run(scene)
