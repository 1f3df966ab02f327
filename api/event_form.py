"""A PUT's JSON object in, its validated fields out; every bad field is named at once. Pure.

The rules are those of the Donutwork contract. `null` in an optional field is the same as its absence: that is
how clients written in typed languages send what they do not know.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from agent.paths import relative
from api.fields import Fields, sha256, sized_text, text
from api.timestamps import parse_us

MAX_INTEGER = 2**63 - 1
MAX_NAME_CHARS = 255
"""Of `host` and `filetype`: neither a host name nor a MIME type is longer."""
MAX_EVENT_CHARS = 64
MAX_DEPTH = 32
"""Of an unknown field: it travels inside several more objects, and every JSON reader stops somewhere."""
_ALIASES = {"Create": "created", "WriteFinished": "modified", "Delete": "deleted"}
"""Event names of Donutwork's own agent."""
_SEED = ("projectId", "filename", "event", "filesize", "filetype", "sha256", "uid", "pid", "timestampUtc")
_KNOWN = frozenset((*_SEED, "ingressToken", "eventId", "renamedTo", "host"))
_EVENT_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_name = sized_text(0, MAX_NAME_CHARS)
_event_text = sized_text(1, MAX_EVENT_CHARS)


class EventForm(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of one PUT, each in its one spelling; `fields` are those that fswire does not know."""

    filename: str
    event: str
    filesize: int
    event_id: str | None = None
    renamed_to: str | None = None
    filetype: str | None = None
    sha256: str | None = None
    uid: int | None = None
    pid: int | None = None
    timestamp_us: int | None = None
    host: str | None = None
    fields: dict[str, Any] | None = None


def read(body: dict[str, Any], project: str) -> EventForm:
    """Return the event that a PUT to this project reports.

    `body` is the decoded JSON object. FieldsRefused names every field that breaks a rule.
    """
    fields = Fields(body)
    fields.required("projectId", lambda value: _same_project(value, project), "")
    event = fields.required("event", event_name, "")
    known = _KNOWN if event == "renamed" else _KNOWN - {"renamedTo"}
    form = EventForm(
        filename=fields.required("filename", _path, ""),
        event=event,
        filesize=fields.required("filesize", _integer, 0),
        event_id=fields.optional("eventId", _event_id),
        renamed_to=fields.optional("renamedTo", _path) if event == "renamed" else None,
        filetype=fields.optional("filetype", _name),
        sha256=fields.optional("sha256", sha256),
        uid=fields.optional("uid", _integer),
        pid=fields.optional("pid", _integer),
        timestamp_us=fields.optional("timestampUtc", lambda value: parse_us(text(value))),
        host=fields.optional("host", _name),
        fields=_unknown(body, known, fields),
    )
    fields.optional("ingressToken", text)
    fields.check()
    return form


def check_start(body: dict[str, Any], project: str) -> None:
    """Check the body of a session's start; FieldsRefused names every field that breaks a rule."""
    fields = Fields(body)
    fields.optional("projectId", lambda value: _same_project(value, project))
    fields.optional("ingressToken", text)
    fields.check()


def event_name(value: Any) -> str:
    """Rule: an event's name, canonical where it is an alias."""
    name = _event_text(value)
    return _ALIASES.get(name, name)


def _unknown(body: dict[str, Any], known: frozenset[str], fields: Fields) -> dict[str, Any] | None:
    if body.keys() <= known:
        return None
    unknown = {name: value for name, value in body.items() if name not in known}
    for name, value in unknown.items():
        if _deeper_than(value, MAX_DEPTH):
            fields.refuse(name[:MAX_NAME_CHARS], f"must not be nested deeper than {MAX_DEPTH}")
    return unknown


def _same_project(value: Any, project: str) -> str:
    if text(value) != project:
        raise ValueError("must be the project of the path")
    return project


def _path(value: Any) -> str:
    return relative(text(value))


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be an integer")
    if not 0 <= value <= MAX_INTEGER:
        raise ValueError("must be at least 0 and below 2^63")
    return value


def _event_id(value: Any) -> str:
    if not _EVENT_ID.fullmatch(text(value)):
        raise ValueError("must be 1 to 128 of A-Z a-z 0-9 _ . : -")
    return str(value)


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
