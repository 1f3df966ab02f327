"""Who read and who was refused: what the api puts on `fswire.audit`, and the sink into the table `audit`."""

from __future__ import annotations

import msgspec


class Audit(msgspec.Struct, omit_defaults=True, rename="camel", frozen=True):
    """A record of `fswire.audit`, without key; never a secret."""

    id: str
    """One for each request, also where it was written twice."""
    at: str
    """When it was answered, ISO 8601."""
    status: int
    """HTTP status of the answer; 101 for a WebSocket."""
    method: str
    route: str
    """Of the api as it is described, `{…}` for what a client names; else the path."""
    remote: str = ""
    """Address of the client."""
    key_id: str = ""
    """Empty where the request had no key that is known."""
    scope: str = ""
    """What the request needed."""
    project_id: str = ""
    filters: dict[str, str] = {}
    """What narrowed the answer: query parameters, or an analyst's query; each cut at 1,000 characters."""


encode = msgspec.json.Encoder().encode
