"""The pure parts of the operators' pages: places in lists, bytes, targets, what was true of a file before."""

from __future__ import annotations

import base64

import msgspec
import pytest
from starlette.requests import Request

from agent.event import encode
from api.errors import BadRequest
from api.pages import hexdump, listing, places, workflows
from api.pages.listing import Entry, State
from api.pages.places import Place
from processors.dead_letters import DeadLetter
from processors.letters import Letter, aimed_at
from processors.letters import Place as LetterPlace
from processors.workflow import Action, Command, ToTopic, Webhook, Workflow
from tests.unit.processors.raw import batch

STATE = State(mode=0o644, owner_uid=7, owner_gid=8, mtime_ns=2, told_us=9, event_id="evt_1", host="h")


def request(query: str) -> Request:
    scope = {"type": "http", "method": "GET", "path": "/pages/gaps", "query_string": query.encode()}
    return Request(scope | {"headers": [(b"host", b"h")], "scheme": "http", "server": ("h", 80)})


def entry(**fields: object) -> Entry:
    return Entry(**{"name": "f", "directory": False, "evidence": "later", "size": 5, "files": 0} | fields)  # type: ignore[arg-type]


def workflow(action: Action) -> Workflow:
    return Workflow("w", "p", "DirectoryMonitor.p.notify", action)


def letter(value: bytes) -> Letter:
    encoded = base64.b64encode(value).decode()
    content = DeadLetter(
        "fswire.raw", 0, 1, "r", "d", base64.b64encode(b"keyed").decode(), encoded, False, 1, ""
    )
    return Letter(LetterPlace(0, 1), content)


def test_place_of_a_page_is_read_again_from_its_url() -> None:
    """Whatever the id holds; the list's filters stay, a message does not."""
    place = Place(-5, "gap_1.x&y=%ff\n")

    url = place.url(request("state=open&before=1.b&done=replayed"))

    assert url.startswith("/pages/gaps?state=open&before=")
    assert places.before(request(url.partition("?")[2])) == place
    assert place.first_url(request("state=open&before=1.b")) == "/pages/gaps?state=open"


@pytest.mark.parametrize("given", ["", "x", "1", "1e3.a", "9" * 19 + ".a"])
def test_place_that_is_none_is_refused(given: str) -> None:
    """A damaged address is no first page."""
    with pytest.raises(BadRequest):
        places.before(request(f"before={given}"))


def test_page_without_a_place_begins_at_the_newest() -> None:
    """Every row is before that."""
    assert places.before(request("")).is_first


def test_dump_has_offsets_digits_and_printable_text() -> None:
    """A last line that is short keeps its columns."""
    lines = hexdump.dump(b"<script>\x00\xff\n1234567")

    assert lines[0] == ("00000000", "3c 73 63 72 69 70 74 3e 00 ff 0a 31 32 33 34 35", "<script>···12345")
    assert lines[1].offset == "00000010"
    assert lines[1].digits.rstrip() == "36 37"
    assert len(lines[1].digits) == len(lines[0].digits)


@pytest.mark.parametrize(
    ("action", "shown"),
    [
        (
            Action(webhook=Webhook("https://me:secret@ci.example:8443/hook?token=secret#secret")),
            "https://ci.example:8443/hook",
        ),
        (Action(topic=ToTopic("builds")), "builds"),
        (Action(command=Command(("/usr/bin/build", "--token", "secret"))), "/usr/bin/build"),
    ],
)
def test_target_of_a_workflow_tells_no_secret(action: Action, shown: str) -> None:
    """Credentials, queries and arguments may be some."""
    assert workflows.target(workflow(action)) == shown


def test_file_before_a_later_event_has_what_that_changed_as_it_was() -> None:
    """Old values where the event tells them; what it did not change was so before."""
    later = entry(
        sha256="b" * 64,
        former_sha256="a" * 64,
        changed=["data", "size", "mtime", "mode"],
        former='{"size":3,"mtime_ns":1,"mode":384}',
        state=STATE,
    )

    before = listing.as_of(later)

    assert (before.size, before.sha256) == (3, "a" * 64)
    assert before.state == msgspec.structs.replace(STATE, mode=0o600, mtime_ns=1)


def test_file_before_a_later_event_is_not_given_what_nobody_told() -> None:
    """Content that changed, from nobody knows what; the size of what was deleted."""
    changed = listing.as_of(entry(sha256="b" * 64, changed=["data", "size"], state=STATE))
    deleted = listing.as_of(entry(size=0, sha256="", state=msgspec.structs.replace(STATE, mtime_ns=None)))

    assert (changed.size, changed.sha256) == (None, "")
    assert deleted.size is None


def test_letter_is_aimed_at_the_project_of_its_batch() -> None:
    """Not at the one that its key names: the replay goes by the batch."""
    assert aimed_at(letter(encode(batch(project="inner")))) == "inner"
    assert aimed_at(letter(b"no batch")) == "keyed"
