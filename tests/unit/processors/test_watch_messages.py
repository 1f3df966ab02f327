import errno
import json
from typing import Any, get_args

import pytest

from processors import watch_messages
from processors.watch import Change, Details
from processors.watch_input import Values
from processors.watch_messages import (
    ALL_KINDS,
    MAX_REQUESTS,
    OK,
    Answers,
    Dialect,
    ErrorKind,
    Message,
    Refused,
    Request,
    Unwatch,
    Version,
    Watch,
    Writer,
    parse,
)

PLAIN = {"type": "watch", "path": "/a"}


def message(value: object) -> Message:
    (read,) = [parse(each) for each in _values(json.dumps(value))]
    return read


def _values(text: str) -> list[object]:
    values = Values()
    return [*values.feed(text.encode()), *values.finish()]


def enveloped(payload: object, **more: object) -> dict[str, object]:
    return {"id": "71", "payload": payload, **more}


def watched(**fields: object) -> Watch:
    (member,) = message(PLAIN | fields).members
    assert isinstance(member, Watch)
    return member


def refused(value: object) -> Refused:
    (member,) = message(value).members
    assert isinstance(member, Refused)
    return member


def answered(of: Message, serve: Any = lambda _: OK) -> Any:
    answers = Answers(of)
    for request in answers.requests():
        answers.put(serve(request))
    return json.loads(Writer(Dialect.SEED).answer(of, answers.payloads))


def test_the_seeds_request_is_read() -> None:
    """A bare payload with all its fields."""
    value = {"type": "watch", "path": "...", "recursive": False, "only": [], "except": []}

    assert message(value).members == [Watch("...", False, ALL_KINDS, frozenset())]
    assert not message(value).enveloped


def test_a_fields_null_is_as_absent() -> None:
    """Optional fields may be null, in the payload and around it."""
    nothing = dict.fromkeys(("recursive", "only", "except"))

    assert message(PLAIN | nothing).members == [Watch("/a", False, ALL_KINDS, frozenset())]
    assert message(enveloped(PLAIN, header=None, origin_id=None)).members == message(PLAIN).members


@pytest.mark.parametrize(
    ("only", "but", "kinds"),
    [
        ([], [], ALL_KINDS),
        (["create"], [], {"create"}),
        ([], ["create"], ALL_KINDS - {"create"}),
        (["create", "delete"], ["delete"], {"create"}),
        (["create"], ["create"], set()),
        (["closeWrite"], [], {"closeWrite"}),
        (["close_write", "close_no_write"], [], {"closeWrite", "closeNoWrite"}),
        (["unknown"], [], {"unknown"}),
    ],
)
def test_only_and_except(only: list[str], but: list[str], kinds: set[str]) -> None:
    """Allowed is `only`, or all of them, without `except`; both spellings are read."""
    assert watched(only=only, **{"except": but}).kinds == kinds


def test_asked_for_is_what_only_names() -> None:
    """Kinds that are told on request only have been requested by `only`, unless `except` takes them back."""
    assert watched().asked == frozenset()
    assert watched(only=["open", "access"], **{"except": ["open"]}).asked == {"access"}


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (PLAIN | {"only": ["explode"]}, "invalid_input", "explode"),
        (PLAIN | {"except": ["explode"]}, "invalid_input", "explode"),
        (PLAIN | {"only": "create"}, "invalid_input", "only"),
        (PLAIN | {"only": [1]}, "invalid_input", "1"),
        (PLAIN | {"recursive": "yes"}, "invalid_input", "recursive"),
        (PLAIN | {"recursive": 1}, "invalid_input", "recursive"),
        (PLAIN | {"colour": "red"}, "invalid_input", "colour"),
        ({"type": "watch"}, "invalid_input", "path"),
        ({"type": "watch", "path": 5}, "invalid_input", "path"),
        ({"type": "unwatch"}, "invalid_input", "path"),
        ({"type": "unwatch", "path": "/a", "recursive": True}, "invalid_input", "recursive"),
        ({"type": "explode"}, "invalid_input", "explode"),
        ({"type": 5}, "invalid_input", "5"),
        ({"type": None}, "invalid_input", "type"),
        ({"type": "version", "path": "/"}, "invalid_input", "path"),
        (5, "invalid_data", "object"),
        ("watch", "invalid_data", "object"),
        (None, "invalid_data", "object"),
        ([5], "invalid_data", "object"),
    ],
)
def test_what_cannot_be_served_is_answered(value: object, kind: str, said: str) -> None:
    """An unknown type, field or kind, and a value of another type, get an error that names it."""
    assert refused(value).kind == kind
    assert said in refused(value).description


@pytest.mark.parametrize(
    "value",
    [
        enveloped(PLAIN | {"colour": "red"}),
        enveloped(5),
        enveloped(None),
        enveloped(PLAIN, colour="red"),
        enveloped(PLAIN, header=5),
        enveloped(PLAIN, header={"sequence": 1}),
        {"id": "71"},
        {"id": "71", **PLAIN},
    ],
)
def test_a_refusal_has_the_requests_id(value: object) -> None:
    """Where the id could be read, the error is about it."""
    answer = answered(message(value))

    assert answer["origin_id"] == "71"
    assert answer["payload"]["type"] == "error"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ('{"id": "71", "payload": {"type": watch}}', "71"),
        ('{"payload": {"type": "watch",}, "id" : "a\\"b"}', 'a"b'),
        ('{"id": 71, "payload": {"type": watch}}', None),
        ("watch", None),
    ],
)
def test_bad_json_is_answered_with_the_id_that_can_be_read(text: str, origin: str | None) -> None:
    """`invalid_data`, in an envelope if there was the beginning of one."""
    (read,) = [parse(value) for value in _values(text)]
    answer = answered(read)

    assert answer.get("origin_id") == origin
    assert (answer if origin is None else answer["payload"])["kind"] == "invalid_data"


@pytest.mark.parametrize("identity", [71, None, {}, ["71"]])
def test_an_id_is_a_string(identity: object) -> None:
    """Any other id cannot be referred to."""
    read = message({"id": identity, "payload": PLAIN})

    assert not read.enveloped
    assert isinstance(read.members[0], Refused)


def test_answers_are_as_the_request() -> None:
    """Bare in, bare out; an envelope in, an envelope out; each answer has an id of its own, a string."""
    writer = Writer(Dialect.SEED)

    assert writer.answer(message(PLAIN), [OK]) == b'{"type":"ok"}'
    first, second = (json.loads(writer.answer(message(enveloped(PLAIN)), [OK])) for _ in range(2))
    assert first == {"id": first["id"], "origin_id": "71", "payload": {"type": "ok"}}
    assert isinstance(first["id"], str)
    assert first["id"] != second["id"]


@pytest.mark.parametrize("around", [lambda payload: payload, enveloped])
def test_a_batch_is_bounded(around: Any) -> None:
    """One that is too long is refused with one error, the longest that there is is served."""
    longest = message(around([{"type": "version"}] * MAX_REQUESTS))
    beyond = message(around([{"type": "version"}] * (MAX_REQUESTS + 1)))

    assert len(longest.members) == MAX_REQUESTS
    answer = answered(beyond, lambda _: OK)
    payload = answer["payload"] if beyond.enveloped else answer
    assert (payload["type"], payload["kind"]) == ("error", "invalid_input")
    assert str(MAX_REQUESTS) in payload["description"]


@pytest.mark.parametrize("around", [lambda payload: payload, enveloped])
def test_a_batch_is_answered_by_one_array(around: Any) -> None:
    """In request order; a member that is wrong has its error in its place and harms no other."""
    read = message(around([PLAIN, {"type": "explode"}, {"type": "version"}]))

    answer = answered(read, lambda request: OK if isinstance(request, Watch) else b'{"type":"version"}')
    payload = answer["payload"] if read.enveloped else answer
    assert [each["type"] for each in payload] == ["ok", "error", "version"]
    assert answered(message(around([]))) in ([], {"id": "1", "origin_id": "71", "payload": []})


@pytest.mark.parametrize("name", ["header", "headers"])
def test_a_sequenced_batch_ends_with_its_first_failure(name: str) -> None:
    """What comes after it is not tried, and told to be cancelled."""
    tried: list[Request] = []

    def serve(request: Request) -> bytes | Refused:
        tried.append(request)
        return Refused("not_found", "no") if request == Unwatch("/b") else OK

    batch = [PLAIN, {"type": "unwatch", "path": "/b"}, {"type": "version"}, {"type": "explode"}]
    payload = answered(message(enveloped(batch, **{name: {"sequence": True}})), serve)["payload"]

    cancelled = {"type": "error", "kind": "interrupted", "description": "Canceled due to earlier error"}
    assert [each.get("kind") for each in payload[:2]] == [None, "not_found"]
    assert payload[2:] == [cancelled, cancelled]
    assert len(tried) == 2


def test_a_batch_without_a_sequence_goes_on_after_a_failure() -> None:
    """`sequence` false, and other entries of the header, change nothing."""
    batch = enveloped([{"type": "explode"}, {"type": "version"}], header={"sequence": False, "who": "me"})

    assert [each["type"] for each in answered(message(batch))["payload"]] == ["error", "ok"]


def test_version() -> None:
    """The protocol's version is that of `distant`, the capability the one that there is."""
    assert isinstance(message({"type": "version"}).members[0], Version)
    assert json.loads(watch_messages.version("fswire 1")) == {
        "type": "version",
        "server_version": "fswire 1",
        "protocol_version": "0.20.0",
        "capabilities": ["fs_watch"],
    }


@pytest.mark.parametrize("kind", get_args(ErrorKind))
def test_error_kinds(kind: ErrorKind) -> None:
    """Every kind of the protocol can be sent."""
    sent = json.loads(watch_messages.error(kind, "why"))

    assert sent == {"type": "error", "kind": kind, "description": "why"}


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, "not_found"),
        (errno.EACCES, "permission_denied"),
        (errno.ENOTDIR, "unknown"),
        (errno.ELOOP, "loop"),
        (errno.ENAMETOOLONG, "invalid_input"),
        (errno.EXDEV, "unknown"),
    ],
)
def test_a_failed_call_is_an_error_of_its_kind(number: int, kind: str) -> None:
    """A path below a file is `unknown`, as with `distant`."""
    refusal = watch_messages.of_os_error(OSError(number, "why"), "/a")

    assert refusal.kind == kind
    assert "/a" in refusal.description


@pytest.mark.parametrize("kind", ["closeWrite", "closeNoWrite", "create", "rename"])
def test_the_dialects_spell_changes_their_way(kind: Any) -> None:
    """`change` and `closeWrite` by default, `changed` and `close_write` for distant's programs."""
    change = Change(2**64 - 1, kind, "/a", Details(attribute="ownership", timestamp=2**64 - 1))
    record = watch_messages._encode(change)
    distant = {"closeWrite": "close_write", "closeNoWrite": "close_no_write"}.get(kind, kind)

    assert Writer(Dialect.SEED).spelt(record, change) is record
    assert json.loads(Writer(Dialect.DISTANT).spelt(record, change)) == {
        "type": "changed",
        "timestamp": 2**64 - 1,
        "kind": distant,
        "path": "/a",
        "details": {"attribute": "ownership", "timestamp": 2**64 - 1},
    }


def test_details_that_are_empty_are_left_out_in_every_dialect() -> None:
    """Neither `null` nor `{}` is ever sent."""
    change = Change(1, "delete", "/a")
    spelt = Writer(Dialect.DISTANT).spelt(watch_messages._encode(change), change)

    assert json.loads(spelt) == {"type": "changed", "timestamp": 1, "kind": "delete", "path": "/a"}
