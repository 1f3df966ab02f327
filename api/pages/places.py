"""Where a page of a list begins: behind a row, by its time and its id, as the parameter `before`. Pure."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from starlette.requests import Request

from api.errors import BadRequest

_LATEST_US = 2**62
_PARAMETER = re.compile(r"(?P<us>-?[0-9]{1,18})\.(?P<id>.{0,256})", re.DOTALL)


class Place(NamedTuple):
    """The last row that was seen: Unix time in microseconds, and id; the newest come first."""

    at_us: int
    identity: str

    @property
    def is_first(self) -> bool:
        """Tell whether nothing was seen yet."""
        return self == NOWHERE

    @property
    def bounds(self) -> dict[str, Any]:
        """Parameters of a query: `before_us` and `before_id`."""
        return {"before_us": self.at_us, "before_id": self.identity}

    def url(self, request: Request) -> str:
        """Return the URL of the page behind this place."""
        return _relative(request, before=f"{self.at_us}.{self.identity}")

    def first_url(self, request: Request) -> str:
        """Return the URL of the first page of the same list."""
        return _relative(request)


NOWHERE = Place(_LATEST_US, "")


def before(request: Request) -> Place:
    """Return where the page that was asked for begins. BadRequest where the parameter is none of ours."""
    given = request.query_params.get("before")
    if given is None:
        return NOWHERE
    match = _PARAMETER.fullmatch(given)
    if match is None:
        raise BadRequest("before: is not a place in this list")
    return Place(int(match["us"]), match["id"])


def _relative(request: Request, **changed: str) -> str:
    url = request.url.remove_query_params(["before", "done"]).include_query_params(**changed)
    return f"{url.path}?{url.query}" if url.query else url.path
