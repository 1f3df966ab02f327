"""Decisions on commands of the file monitor, and the ledger that makes batches of them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from processors import transfer_commands
from processors.transfer_commands import (
    Addressed,
    Asked,
    Cancel,
    Change,
    Claim,
    Clear,
    Create,
    Delete,
    Fields,
    Patch,
    Put,
    Replace,
    Report,
    Retry,
)
from processors.transfer_ledger import Batch, Ledger, Read
from processors.transfer_records import LAST_KEY, Answer, Transfer, Transfers, encode, key_of, marks_of
from processors.transfers import decide

FIRST = "2026-11-21T08:00:00.000000Z"
LATER = "2026-11-21T08:00:01.000000Z"


def asked(kind: type[Asked], at: str = LATER, **fields: Any) -> Any:
    """Return a command as it comes out of its topic."""
    command = kind(command=f"c-{id(fields)}", at=at, **fields)
    return transfer_commands.decode(transfer_commands.encode(command))


def with_rows(*rows: Transfer, last_id: int | None = None) -> Transfers:
    """Return transfers with these rows."""
    known = Transfers()
    highest = max((row.id for row in rows), default=0)
    known.apply([(row.id, row) for row in rows], highest if last_id is None else last_id)
    return known


def row(identity: int, **fields: Any) -> Transfer:
    """Return a transfer of before."""
    return Transfer(id=identity, created=FIRST, updated=FIRST, **fields)


def running(**fields: Any) -> Transfer:
    """Return a transfer that worker `w` has."""
    return row(1, phase="running", worker="w", status="Downloading", **fields)


def report(**fields: Any) -> Any:
    """Return a report of worker `w`."""
    return asked(Report, **({"id": 1, "round": 0, "worker": "w"} | fields))


def test_create_gives_the_next_id_and_queues() -> None:
    """A new transfer has the id after the last one given, is Queued, and dates from its command."""
    decision = decide(with_rows(last_id=6), asked(Create, fields=Fields(url="http://x/y")))

    made = Transfer(id=7, created=LATER, updated=LATER, url="http://x/y", status="Queued", phase="queued")
    assert (decision.changes, decision.last_id, decision.answer) == ({7: made}, 7, Answer("created", 7))


@pytest.mark.parametrize("status", ["Complete", "Mine", "HTTP Error: 404"])
def test_create_with_a_status_is_nothing_to_fetch(status: str) -> None:
    """A transfer that somebody else makes is kept as it was sent."""
    made = decide(Transfers(), asked(Create, fields=Fields(status=status, progress=5))).changes[1]

    assert made == Transfer(id=1, created=LATER, updated=LATER, status=status, progress=5)


def test_ids_are_never_given_twice() -> None:
    """What was deleted keeps its id, and an id that a PUT took is passed over."""
    known = with_rows(row(3), last_id=1)

    assert decide(known, asked(Create, fields=Fields())).last_id == 2
    known = with_rows(row(3), last_id=2)
    assert decide(known, asked(Create, fields=Fields())).last_id == 4


def test_put_and_patch_keep_what_is_not_sent() -> None:
    """PUT and PATCH change what they name and the moment of the last write."""
    known = with_rows(row(1, tags="a", name="b", md5sum="c"))

    for kind in (Put, Patch):
        decision = decide(known, asked(kind, id=1, fields=Fields(tags="new", md5sum=None)))
        expected = Transfer(id=1, created=FIRST, updated=LATER, tags="new", name="b")
        assert (decision.changes, decision.answer) == ({1: expected}, Answer("written", 1))


def test_what_is_absent_is_made_by_put_alone() -> None:
    """PUT makes a transfer under its id without using up the next one; PATCH and DELETE find none."""
    known = with_rows(row(1))

    made = decide(known, asked(Put, id=9, fields=Fields(status="x")))
    assert (list(made.changes), made.last_id, made.answer) == ([9], 1, Answer("created", 9))
    for command in (asked(Patch, id=9, fields=Fields()), asked(Delete, id=9)):
        assert decide(known, command) == ({}, 1, Answer("absent"))


def test_replace_deletes_what_matches_and_makes_the_rest() -> None:
    """A PUT on the list: what the filters match goes, what is sent comes under new ids."""
    known = with_rows(row(1, tags="a"), row(2, tags="b"), row(3, tags="a"))

    objects = [Fields(name="n"), Fields(status="Complete")]
    decision = decide(known, asked(Replace, objects=objects, query=[("tags", "a"), ("limit", "1")]))

    assert {identity: now and now.status for identity, now in decision.changes.items()} == {
        1: None,
        3: None,
        4: "Queued",
        5: "Complete",
    }


def test_change_is_whole_or_nothing() -> None:
    """A PATCH on the list writes, makes and deletes together; one uri that is not there undoes all of it."""
    known = with_rows(row(1), row(2))
    objects = [Addressed(Fields(tags="t"), 1), Addressed(Fields(tags="u"), 77), Addressed(Fields())]

    done = decide(known, asked(Change, objects=objects, deleted=[2]))
    undone = decide(known, asked(Change, objects=objects, deleted=[2, 2]))

    assert {i: now and now.tags for i, now in done.changes.items()} == {1: "t", 3: "u", 4: "", 2: None}
    assert undone == ({}, 2, Answer("absent"))


def test_clear_deletes_what_matches() -> None:
    """A DELETE on the list takes what its filters match, and everything without any."""
    known = with_rows(row(1, tags="a"), row(2, tags="b"))

    assert decide(known, asked(Clear, query=[("tags", "a")])).changes == {1: None}
    assert decide(known, asked(Clear)).changes == {1: None, 2: None}


def test_bad_filter_is_refused_and_changes_nothing() -> None:
    """A filter that nobody can read deletes nothing."""
    decision = decide(with_rows(row(1)), asked(Clear, query=[("id__gt", "x")]))

    assert (decision.changes, decision.answer.result) == ({}, "refused")


def test_claim_begins_and_goes_on() -> None:
    """A claim names worker and run, and says Starting only where nothing was under way."""
    claim = {"id": 1, "round": 0, "worker": "w", "host": "h", "directory": "d", "run": "r", "local_dir": "/d"}

    begun = decide(with_rows(row(1, phase="queued")), asked(Claim, **claim)).changes[1]
    resumed = decide(with_rows(running(progress=5)), asked(Claim, **(claim | {"worker": "v"}))).changes[1]

    assert begun is not None
    assert (begun.phase, begun.status, begun.worker) == ("running", "Starting", "w")
    assert (begun.celery_task_id, begun.local_dir) == ("r", "/d")
    assert resumed is not None
    assert (resumed.worker, resumed.status, resumed.progress) == ("v", "Downloading", 5)


@pytest.mark.parametrize(
    "void", [{"worker": "v"}, {"round": 1}, {"id": 2}], ids=["another worker", "another round", "deleted"]
)
def test_report_of_one_who_lost_the_transfer_is_void(void: dict[str, Any]) -> None:
    """What another worker, or an earlier round, still reports changes nothing."""
    assert decide(with_rows(running()), report(progress=9, **void)).changes == {}


def test_progress_keeps_what_a_client_wrote() -> None:
    """A report changes what it names: tags, status and name of a client stay."""
    known = with_rows(running(tags="mine", name="given"))
    patched = decide(known, asked(Patch, id=1, fields=Fields(status="paused?"))).changes[1]
    assert patched is not None

    told = decide(with_rows(patched), report(progress=9, name="other")).changes[1]

    assert told is not None
    assert (told.progress, told.tags, told.status, told.name) == (9, "mine", "paused?", "given")


def test_cancel_and_retry_begin_a_new_round() -> None:
    """What is cancelled has failed, what is retried is queued; reports of before are void."""
    cancelled = decide(with_rows(running()), asked(Cancel, id=1)).changes[1]
    assert cancelled is not None
    assert (cancelled.phase, cancelled.status, cancelled.round) == ("failed", "Error: cancelled", 1)

    queued = decide(with_rows(cancelled), asked(Retry, id=1)).changes[1]
    assert queued is not None
    assert (queued.phase, queued.status, queued.round, queued.worker) == ("queued", "Queued", 2, "")
    assert decide(with_rows(queued), asked(Cancel, id=1)).answer.result == "written"
    assert decide(with_rows(queued), asked(Retry, id=1)).answer.result == "refused"


def records_of(batches: list[Batch]) -> int:
    """Return how many records batches have."""
    return sum(batch.records.record_count() for batch in batches if batch.records is not None)


def test_ledger_answers_a_command_again_without_deciding_it_again() -> None:
    """A command that comes twice, or is read twice, is one decision."""
    ledger = Ledger()
    create = Create(command="a", at=FIRST, fields=Fields())

    first = ledger.decide([Read(0, create)])
    again = ledger.decide([Read(0, create), Read(1, create)])

    assert (records_of(first), records_of(again)) == (2, 0)
    assert [answer.id for _, answer, _ in again[0].answers] == [1, 1]
    assert list(ledger.transfers.rows) == [1]


def test_ledger_recovers_from_its_records() -> None:
    """Whoever reads what was written knows the rows, the last id, and how far commands were decided."""
    ledger = Ledger()
    value = encode(row(4, status="Queued"))
    answer = Answer("created", 4)
    ledger.take(key_of(4), value, marks_of([("command", b"a"), ("at", b"17")]), 7)
    ledger.take(
        LAST_KEY, b'{"last":4}', marks_of([("command", b"a"), ("at", b"17"), ("answer", encode(answer))]), 8
    )

    repeated = ledger.decide([Read(17, Create(command="a", at=FIRST, fields=Fields()))])
    following = ledger.decide([Read(18, Create(command="b", at=FIRST, fields=Fields()))])

    assert repeated[0].answers[0][1] == Answer("created", 4, offset=9)
    assert following[0].answers[0][1] == Answer("created", 5)


def test_ledger_keeps_a_decision_in_one_batch() -> None:
    """Deletions of a list of 20,000 lie in one batch, so that no reader sees half of them."""
    ledger = Ledger()
    ledger.transfers.apply([(number, row(number)) for number in range(1, 20_001)], 20_000)

    batches = ledger.decide([Read(0, Clear(command="a", at=FIRST))])

    assert (len(batches), records_of(batches), len(ledger.transfers.rows)) == (1, 20_000, 0)


def test_ledger_refuses_what_no_batch_holds() -> None:
    """A decision that the broker could not take whole is refused, and nothing of it is known."""
    ledger = Ledger()
    noise = random.Random(1)
    rows = [(number, row(number, url=noise.randbytes(500).hex())) for number in range(1, 4001)]
    ledger.transfers.apply(rows, 4000)
    objects = [Addressed(Fields(tags="new"), number) for number in range(1, 4001)]

    batches = ledger.decide([Read(0, Change(command="a", at=FIRST, objects=objects))])

    assert (batches[0].records, batches[0].answers[0][1].result) == (None, "refused")
    assert ledger.transfers.rows == dict(rows)
