"""The messages of the watch vocabulary: what a value asks for, and the bytes that answer it; pure.

A bare payload is answered bare, an envelope in an envelope; an array is a batch, answered by one array.
Nothing that a client sends raises: what cannot be served is a `Refused`, with the request's id if it has one.
"""

from __future__ import annotations

import errno
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from processors.watch import Change, ChangeKind, Error
from processors.watch_input import Garbled

PROTOCOL_VERSION = "0.20.0"
CAPABILITIES = ("fs_watch",)
MAX_REQUESTS = 20_000
"""Of one batch, which is read, and answered, as a whole: meanwhile the others wait."""

ErrorKind = Literal[
    "not_found",
    "permission_denied",
    "connection_refused",
    "connection_reset",
    "connection_aborted",
    "not_connected",
    "addr_in_use",
    "addr_not_available",
    "broken_pipe",
    "already_exists",
    "would_block",
    "invalid_input",
    "invalid_data",
    "timed_out",
    "write_zero",
    "interrupted",
    "other",
    "unexpected_eof",
    "unsupported",
    "out_of_memory",
    "loop",
    "task_cancelled",
    "task_panicked",
    "unknown",
]
_OF_ERRNO: dict[int | None, ErrorKind] = {
    errno.ENOENT: "not_found",
    errno.EACCES: "permission_denied",
    errno.EPERM: "permission_denied",
    errno.ELOOP: "loop",
    errno.EINVAL: "invalid_input",
    errno.ENAMETOOLONG: "invalid_input",
    errno.EEXIST: "already_exists",
    errno.EAGAIN: "would_block",
    errno.EINTR: "interrupted",
    errno.ETIMEDOUT: "timed_out",
    errno.EPIPE: "broken_pipe",
    errno.ENOMEM: "out_of_memory",
    errno.ENOSYS: "unsupported",
    errno.EOPNOTSUPP: "unsupported",
    errno.ENOSPC: "other",
    errno.EMFILE: "other",
    errno.ENFILE: "other",
}

ALL_KINDS: frozenset[ChangeKind] = frozenset(get_args(ChangeKind))
_UPSTREAM = {"closeWrite": "close_write", "closeNoWrite": "close_no_write"}
"""Of the kinds that `distant` spells otherwise; both are read."""
_KINDS: dict[str, ChangeKind] = {
    spelt: kind for kind in ALL_KINDS for spelt in (kind, _UPSTREAM.get(kind, kind))
}
_ID = re.compile(r'"id"\s*:\s*("(?:[^"\\]|\\.)*")')


class Dialect(Enum):
    """How changes are spelt: as the seed does, or as the programs of `distant` do."""

    SEED = "seed"
    DISTANT = "distant"


class Refused(NamedTuple):
    """Why a request is not served."""

    kind: ErrorKind
    description: str


class Watch(NamedTuple):
    """Watch a path; `kinds`: those that are wanted. `asked`: those that `only` names."""

    path: str
    recursive: bool
    kinds: frozenset[ChangeKind]
    asked: frozenset[ChangeKind]


class Unwatch(NamedTuple):
    """Watch a path no longer."""

    path: str


class Version(NamedTuple):
    """Tell who answers."""


class Authenticate(NamedTuple):
    """Say who asks; only a transport without headers needs it."""

    key: str


class AuthResponse(NamedTuple):
    """The client's part of `distant`'s authentication by nothing."""


Request = Watch | Unwatch | Version | Authenticate | AuthResponse


class Message(NamedTuple):
    """What one value asks for: requests, in order, and how they are to be answered."""

    members: list[Request | Refused]
    id: str | None = None
    """Of the envelope, if it could be read."""
    enveloped: bool = False
    batch: bool = False
    sequenced: bool = False
    """After the first failure the rest of the batch is not tried."""


def parse(value: object) -> Message:
    """Return what a value of the input asks for."""
    if isinstance(value, Garbled):
        return _refused(_readable_id(value.text), "invalid_data", f"this is no JSON: {value.why}")
    if isinstance(value, list):
        return Message(_requests(value), batch=len(value) <= MAX_REQUESTS)
    if not isinstance(value, dict):
        return _refused(None, "invalid_data", "a message is an object, or an array of them")
    if "payload" in value or "type" not in value:
        return _envelope(value)
    if value.get("id") is not None:
        return _refused(_id(value), "invalid_input", "an envelope has its request in 'payload'")
    return Message([_request(value)])


def _refused(request_id: str | None, kind: ErrorKind, description: str) -> Message:
    return Message([Refused(kind, description)], request_id, enveloped=request_id is not None)


def _readable_id(text: str) -> str | None:
    found = _ID.search(text)
    try:
        decoded = msgspec.json.decode(found[1].encode()) if found else None
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return decoded if isinstance(decoded, str) else None


def _id(value: Mapping[str, Any]) -> str | None:
    found = value.get("id")
    return found if isinstance(found, str) else None


def _envelope(value: dict[str, Any]) -> Message:
    if problem := _problem_of(value):
        return _refused(_id(value), "invalid_input", problem)
    payload, sequenced = value["payload"], _is_sequenced(value)
    if isinstance(payload, list):
        batch = len(payload) <= MAX_REQUESTS
        return Message(_requests(payload), _id(value), enveloped=True, batch=batch, sequenced=sequenced)
    return Message([_request(payload)], _id(value), enveloped=True)


def _problem_of(value: dict[str, Any]) -> str | None:
    """Say what is wrong with an envelope, None if nothing is."""
    unknown = [name for name, each in value.items() if each is not None and name not in _ENVELOPE]
    if unknown:
        return f"unknown field '{unknown[0]}'"
    if _id(value) is None:
        return "'id' is a string"
    if value.get("payload") is None:
        return "'payload' is missing"
    for name in ("header", "headers"):
        header = value.get(name)
        if header is not None and not isinstance(header, dict):
            return f"'{name}' is an object"
        if header and not isinstance(header.get("sequence"), bool | None):
            return f"'{name}.sequence' is true or false"
    return None


_ENVELOPE = ("id", "header", "headers", "payload")


def _is_sequenced(value: dict[str, Any]) -> bool:
    return any((value.get(name) or {}).get("sequence") for name in ("header", "headers"))


def _requests(batch: list[object]) -> list[Request | Refused]:
    """Return the members of a batch; one that is too long is refused as if it were one request."""
    if len(batch) > MAX_REQUESTS:
        return [Refused("invalid_input", f"a batch has at most {MAX_REQUESTS} requests")]
    return [_request(each) for each in batch]


def _request(payload: object) -> Request | Refused:
    if not isinstance(payload, dict):
        return Refused("invalid_data", "a request is an object")
    kind = payload.get("type")
    make, fields = _REQUESTS.get(kind, (None, ())) if isinstance(kind, str) else (None, ())
    if make is None:
        return Refused("invalid_input", f"unknown type '{kind}'" if kind is not None else "'type' is missing")
    given = {name: value for name, value in payload.items() if value is not None and name != "type"}
    unknown = [name for name in given if name not in fields]
    if unknown:
        return Refused("invalid_input", f"unknown field '{unknown[0]}' of {kind}")
    return make(given)


def _watch(given: dict[str, Any]) -> Request | Refused:
    path, recursive = given.get("path"), given.get("recursive", False)
    if not isinstance(path, str):
        return _no_path(given)
    if not isinstance(recursive, bool):
        return Refused("invalid_input", "'recursive' is true or false")
    only, but = _kinds(given, "only"), _kinds(given, "except")
    for each in (only, but):
        if isinstance(each, Refused):
            return each
    assert isinstance(only, frozenset)
    assert isinstance(but, frozenset)
    return Watch(path, recursive, (only or ALL_KINDS) - but, only - but)


def _kinds(given: dict[str, Any], name: str) -> frozenset[ChangeKind] | Refused:
    kinds = given.get(name, [])
    if not isinstance(kinds, list):
        return Refused("invalid_input", f"'{name}' is an array of kinds")
    unknown = [each for each in kinds if not isinstance(each, str) or each not in _KINDS]
    if unknown:
        return Refused("invalid_input", f"unknown kind '{unknown[0]}' in '{name}'")
    return frozenset(_KINDS[each] for each in kinds)


def _unwatch(given: dict[str, Any]) -> Request | Refused:
    path = given.get("path")
    return Unwatch(path) if isinstance(path, str) else _no_path(given)


def _no_path(given: dict[str, Any]) -> Refused:
    return Refused("invalid_input", "'path' is a string" if "path" in given else "'path' is missing")


def _authenticate(given: dict[str, Any]) -> Request | Refused:
    key = given.get("key")
    return Authenticate(key) if isinstance(key, str) else Refused("invalid_input", "'key' is a string")


_REQUESTS: dict[str, tuple[Callable[[dict[str, Any]], Request | Refused], Sequence[str]]] = {
    "watch": (_watch, ("path", "recursive", "only", "except")),
    "unwatch": (_unwatch, ("path",)),
    "version": (lambda _: Version(), ()),
    "authenticate": (_authenticate, ("key",)),
    "auth_initialization_response": (lambda _: AuthResponse(), ("methods",)),
}

_encode = msgspec.json.Encoder().encode
OK = b'{"type":"ok"}'
INTERRUPTED = Refused("interrupted", "Canceled due to earlier error")
AUTH_INITIALIZATION = b'{"type":"auth_initialization","methods":["none"]}'
AUTH_FINISHED = (b'{"type":"auth_start_method","method":"none"}', b'{"type":"auth_finished"}')


def error(kind: ErrorKind, description: str) -> bytes:
    """Return the payload of an error."""
    return _encode({"type": "error", "kind": kind, "description": description})


def version(server_version: str) -> bytes:
    """Return the payload that answers `version`."""
    return _encode(
        {
            "type": "version",
            "server_version": server_version,
            "protocol_version": PROTOCOL_VERSION,
            "capabilities": CAPABILITIES,
        }
    )


def of_os_error(failure: OSError, path: str) -> Refused:
    """Return what a failed call says about a path; one below a file is `unknown`, as `distant` has it."""
    return Refused(_OF_ERRNO.get(failure.errno, "unknown"), f'"{path}": {failure.strerror}')


class Answers:
    """The payloads that answer one message, in the order of its members."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self.payloads: list[bytes] = []
        self._failed = False

    def requests(self) -> Iterator[Request]:
        """Yield what is to be served; the outcome is `put` before the next one is asked for."""
        for member in self._message.members:
            if self._failed and self._message.sequenced:
                self.put(INTERRUPTED)
            elif isinstance(member, Refused):
                self.put(member)
            else:
                yield member

    def put(self, outcome: bytes | Refused) -> None:
        """Take the answer to a member."""
        self._failed = self._failed or isinstance(outcome, Refused)
        self.payloads.append(error(*outcome) if isinstance(outcome, Refused) else outcome)


class Writer:
    """Wraps the payloads of one connection; ids of what is sent are its own."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._ids = itertools.count(1)

    def answer(self, message: Message, payloads: Iterable[bytes]) -> bytes:
        """Return the one message that answers another."""
        together = b",".join(payloads)
        payload = b"[" + together + b"]" if message.batch else together
        return self.wrapped(payload, origin_of(message))

    def wrapped(self, payload: bytes, origin: bytes | None) -> bytes:
        """Return a payload as it is sent; `origin`: the encoded id of what asked for it, None: bare."""
        if origin is None:
            return payload
        return b'{"id":"%d","origin_id":%b,"payload":%b}' % (next(self._ids), origin, payload)

    def spelt(self, record: bytes, change: Change | Error) -> bytes:
        """Return the payload of a record in this connection's dialect; `change`: what it says."""
        if self._dialect is Dialect.SEED or isinstance(change, Error):
            return record
        fields = {name: getattr(change, name) for name in ("timestamp", "kind", "path", "details")}
        fields["kind"] = _UPSTREAM.get(change.kind, change.kind)
        if change.details is None:
            del fields["details"]
        return _encode({"type": "changed", **fields})


def origin_of(message: Message) -> bytes | None:
    """Return the encoded id that answers to a message refer to, None where they are bare."""
    return _encode(message.id) if message.enveloped else None
