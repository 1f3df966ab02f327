"""The address of a project's page: the API's filters in, the query and the addresses around it out. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from api import history_query
from api.errors import FieldsRefused
from api.history_query import HistoryQuery
from processors.instants import iso

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
NAMES = ("event", "pathLike", "host", "sha256", "from", "to")
"""The API's filters, as they stand in addresses and in the form."""
_PLACE = ("size", "cursor", "page")


@dataclass(frozen=True)
class Asked:
    """What a reader asked for; `query` is None where it breaks a rule, and `wrong` says which."""

    project: str
    given: dict[str, str]
    query: HistoryQuery | None
    wrong: dict[str, str]

    @property
    def filters(self) -> dict[str, str]:
        """Return the filters that are given."""
        return {name: self.given[name] for name in NAMES if self.given.get(name)}

    @property
    def is_newest(self) -> bool:
        """Tell whether the page shows what is newest, so that rows may arrive at its top."""
        return not any(self.given.get(name) for name in ("cursor", "page", "to"))

    def address(self, below: str = "", /, **changed: str | None) -> str:
        """Return the address of this page, or of one `below` it, with parameters changed or taken away.

        The place in the list is kept only where nothing is changed but the place.
        """
        place = {} if set(changed) - set(_PLACE) or below else {"cursor": self.given.get("cursor")}
        wanted: dict[str, Any] = self.filters | {"size": self.given.get("size")} | place | changed
        query = urlencode({name: value for name, value in wanted.items() if value})
        return f"/pages/projects/{self.project}{below}" + (f"?{query}" if query else "")

    def between(self, from_s: int, to_s: int) -> str:
        """Return the address that shows a stretch of time."""
        return self.address(**{"from": second(from_s), "to": second(to_s)})


def second(at_s: int) -> str:
    """Return a Unix time as the filters take it."""
    return iso(at_s * 10**9)[:19] + "Z"


def read(given: dict[str, str], project: str) -> Asked:
    """Return what the parameters ask for. An empty one, as forms send it, is none; a day is its midnight."""
    said = {name: value if name == "pathLike" else value.strip() for name, value in given.items()}
    said = {
        name: f"{value}T00:00" if _DAY.fullmatch(value) else value for name, value in said.items() if value
    }
    try:
        return Asked(project, said, history_query.read(said, project), {})
    except FieldsRefused as error:
        return Asked(project, said, None, {detail.field: detail.message for detail in error.details})
