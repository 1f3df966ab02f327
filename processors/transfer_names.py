"""What a fetched file is called: by the server's Content-Disposition, else by its URL. Pure."""

from __future__ import annotations

import re
from email.message import Message
from urllib.parse import unquote, urlsplit

FALLBACK = "download"
_MAX_BYTES = 255
"""Of a name, on the file systems of Linux and macOS."""
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""Control characters, what is no text, and marks that turn a name's direction around."""


def name_of(url: str, content_disposition: str | None) -> str:
    """Return the name of a file that came from a URL, safe as the name of one in a directory."""
    given = _safe(_disposed(content_disposition)) if content_disposition else ""
    return given or _safe(_last_segment(url)) or FALLBACK


def safe(name: str) -> str:
    """Return a name with nothing in it that leads elsewhere, or hides."""
    return _safe(name) or FALLBACK


def _safe(name: str) -> str:
    last = _UNSAFE.sub("", re.split(r"[/\\]", name)[-1]).strip().lstrip(".").strip()
    while len(last.encode()) > _MAX_BYTES:
        last = _shorter(last)
    return last


def _shorter(name: str) -> str:
    """Return a name with one character less before its ending."""
    stem, dot, ending = name.rpartition(".")
    return f"{stem[:-1]}{dot}{ending}" if len(stem) > 1 and len(ending) < 16 else name[:-1]


def _disposed(header: str) -> str:
    message = Message()
    message["content-disposition"] = header
    try:
        return message.get_filename() or ""
    except (LookupError, ValueError):  # a character set that there is not
        return ""


def _last_segment(url: str) -> str:
    try:
        return unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    except ValueError:
        return ""
