"""What is known of the request under way: noted by whoever finds it out, read once it is answered.

Routes need not pass it on: it belongs to the task that handles the request, and to those that it starts.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache
from ipaddress import IPv6Address, ip_address


class Visit:
    """Who asks for what."""

    __slots__ = ("filters", "key_id", "project", "remote", "scope", "status")

    def __init__(self, remote: str = "") -> None:
        self.remote = remote
        """Address of the client, or what a trusted proxy says that it is."""
        self.key_id = ""
        self.scope = ""
        """What the request needed; empty until it is known."""
        self.project = ""
        self.status = 101
        """What a WebSocket's messages amount to in HTTP: it is open, or has been refused."""
        self.filters: dict[str, str] = {}
        """What narrows the answer, beyond the query parameters that are described."""

    @property
    def peer(self) -> str:
        """Return whom refusals are counted for: the address, of IPv6 the network that one site has (/64)."""
        return _peer(self.remote)


@lru_cache(maxsize=4096)
def _peer(remote: str) -> str:
    try:
        address = ip_address(remote)
    except ValueError:
        return remote
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))


_current: ContextVar[Visit] = ContextVar("visit")


def begin(remote: str) -> Visit:
    """Begin a visit; it is this task's from now on."""
    visit = Visit(remote)
    _current.set(visit)
    return visit


def current() -> Visit:
    """Return the visit of this task; outside of requests one that nobody reads."""
    visit = _current.get(None)
    return Visit() if visit is None else visit


def note(*, scope: str | None = None, project: str | None = None, **filters: str) -> None:
    """Note what a request needs and asks for; `filters` are for the audit, so never secrets."""
    visit = current()
    visit.scope = scope if scope is not None else visit.scope
    visit.project = project if project is not None else visit.project
    visit.filters |= filters


def refuse(status: int) -> None:
    """Note that what a WebSocket's message asks for is refused, as a request would be with that status."""
    current().status = status
