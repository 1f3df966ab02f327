"""Which of the media types that a route has a client wants, by its Accept header (RFC 9110, 12.5.1). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from api.errors import NotAcceptable

T = TypeVar("T")

MAX_CHARS = 2_048
_RANGE = re.compile(r"\s*([\w.+*-]+)/([\w.+*-]+)\s*((?:;[^,]*)?)")
_QUALITY = re.compile(r";\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)", re.IGNORECASE)


def chosen(accept: bytes | None, offered: Mapping[str, T]) -> T:
    """Return what is offered under the media type that the client likes best, the first of equals.

    Without a header that is the first. NotAcceptable names all that there are.
    """
    if accept is None or not accept.strip():
        return next(iter(offered.values()))
    ranges = [each for part in accept.decode("latin-1")[:MAX_CHARS].split(",") if (each := _range(part))]
    liked = [(_quality(name, ranges), offer) for name, offer in offered.items()]
    quality, best = max(liked, key=lambda each: each[0])
    if quality == 0:
        raise NotAcceptable("Accept must allow one of " + ", ".join(offered))
    return best


def named(accept: str, media_type: str) -> float:
    """Return how much a client likes a media type that its header names itself, 0.0 where it does not."""
    ranges = [each for part in accept[:MAX_CHARS].split(",") if (each := _range(part))]
    return max((liked for kind, subtype, liked in ranges if f"{kind}/{subtype}" == media_type), default=0.0)


def _range(part: str) -> tuple[str, str, float] | None:
    found = _RANGE.fullmatch(part)
    if found is None:
        return None
    quality = _QUALITY.search(found[3])
    return found[1].lower(), found[2].lower(), float(quality[1]) if quality else 1.0


def _quality(name: str, ranges: list[tuple[str, str, float]]) -> float:
    """The most specific range that a media type falls in speaks for it."""
    kind, _, subtype = name.partition("/")
    for wanted in ((kind, subtype), (kind, "*"), ("*", "*")):
        of_range = [quality for *given, quality in ranges if tuple(given) == wanted]
        if of_range:
            return max(of_range)
    return 0.0
