"""What stands behind `/v1/files/` in a URL: a file by path or by id, and what is asked of it. Pure.

A path comes as one segment with `%2F` in it, or as segments of its own; an unencoded segment of digits is an
id. The parameters of `notify` may stand in its segment, `/notify&filter=…`, as they do in Qumulo's manual.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote_to_bytes

NOTIFY = "notify"
ATTRIBUTES = "info/attributes"
_MARK = b"/v1/files/"


class Asked(NamedTuple):
    """`action` is NOTIFY, ATTRIBUTES or "" for anything else; one of `path` and `id` is set."""

    action: str
    path: bytes | None
    id: str | None
    query: bytes
    """All parameters, those of the segment first."""


def asked(raw_path: bytes, query_string: bytes) -> Asked:
    """Read a URL's path, still percent-encoded, and its query string."""
    segments = raw_path.partition(_MARK)[2].split(b"/")
    last, _, inline = segments[-1].partition(b"&")
    query = b"&".join(filter(None, (inline, query_string)))
    if last == b"notify":
        return Asked(NOTIFY, *_referred(segments[:-1]), query)
    if segments[-2:] == [b"info", b"attributes"]:
        return Asked(ATTRIBUTES, *_referred(segments[:-2]), query)
    return Asked("", *_referred(segments), query)


def _referred(segments: list[bytes]) -> tuple[bytes | None, str | None]:
    if len(segments) == 1 and segments[0].isdigit():
        return None, segments[0].decode()
    return b"/" + unquote_to_bytes(b"/".join(segments)).strip(b"/"), None
