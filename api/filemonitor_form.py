"""Bodies of the file monitor: JSON in, what a client writes of a transfer out. Pure; raises BadRequest.

As Tastypie reads them: unknown fields, `id` and `resource_uri` are ignored; null in a field that cannot be
null is as if it were not there; a number given for a text is that number's text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from api.body import decoded_object
from api.errors import BadRequest
from processors.instants import canonical
from processors.transfer_commands import Addressed, Fields

RESOURCE = "/rundb/api/v1/filemonitor/"
MAX_OBJECTS = 10_000
"""Of one list: every object becomes a record, and all of them must fit into one batch."""
_LARGEST = 2**63 - 1
_URI = re.compile(re.escape(RESOURCE) + "([0-9]{1,19})/?")
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,19}\s*")
_CHARS = {
    "url": 2000,
    "name": 255,
    "status": 60,
    "md5sum": 32,
    "local_dir": 512,
    "tags": 1024,
    "celery_task_id": 60,
}
"""Longest texts."""


def integer(value: Any) -> int:
    """Return a number of 64 bits, given as one or as its text; ValueError for people to read."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _INTEGER.fullmatch(text) or abs(int(text)) > _LARGEST:
        raise ValueError("must be an integer of 64 bits, as a string or a number")
    return int(text)


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        raise ValueError("must be a string")
    return value if isinstance(value, str) else str(value)


def _moment(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be an ISO 8601 date and time")
    return canonical(value)


_READ: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_CHARS, _text),
    "size": integer,
    "progress": integer,
    "created": _moment,
}
_NULLABLE = frozenset(("md5sum", "size"))


def fields(body: Any) -> Fields:
    """Return what an object of a body writes."""
    if not isinstance(body, dict):
        raise BadRequest("Each object must be a JSON object.")
    written: dict[str, Any] = {}
    for name in _READ.keys() & body.keys():
        value = body[name]
        if value is not None:
            written[name] = _checked(name, value)
        elif name in _NULLABLE:
            written[name] = None
    return Fields(**written)


def _checked(name: str, value: Any) -> Any:
    try:
        read = _READ[name](value)
    except ValueError as error:
        raise BadRequest(f"{name}: {error}") from None
    if len(str(read)) > _CHARS.get(name, _LARGEST):
        raise BadRequest(f"{name}: must have at most {_CHARS[name]} characters")
    return read


def listed(body: bytes) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the `objects` and `deleted_objects` of a list's body."""
    given = decoded_object(body)
    objects, deleted = given.get("objects"), given.get("deleted_objects", [])
    if not isinstance(objects, list) or not isinstance(deleted, list):
        raise BadRequest("Invalid data sent: a list of objects is expected.")
    if len(objects) + len(deleted) > MAX_OBJECTS:
        raise BadRequest(f"A list must have at most {MAX_OBJECTS} objects.")
    return objects, deleted


def addressed(body: Any) -> Addressed:
    """Return one object of a PATCH on the list; ValueError: its `resource_uri` is not one of ours."""
    uri = body.get("resource_uri") if isinstance(body, dict) else None
    return Addressed(fields(body), None if uri is None else id_of(uri))


def id_of(uri: Any) -> int:
    """Return the id that a uri names; ValueError where it is none of ours."""
    found = _URI.fullmatch(uri.strip()) if isinstance(uri, str) else None
    if found is None:
        raise ValueError("not the uri of a file monitor")
    return int(found[1])
