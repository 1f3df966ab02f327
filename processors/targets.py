"""Where calls that fswire makes itself may go: public addresses, judged at the moment of connecting.

A name is resolved here, every address of it is held against the rule, and the connection is made to the very
address that was judged: a name that resolves elsewhere a moment later leads nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket

import httpx2
from pydantic_settings import BaseSettings, SettingsConfigDict


class TargetSettings(BaseSettings):
    """Read once from `FSWIRE_…`."""

    model_config = SettingsConfigDict(env_prefix="FSWIRE_", frozen=True)

    allow_private_targets: bool = False
    """Let webhooks and transfers reach loopback, link-local and private addresses."""


_NOT_OF_THE_INTERNET = tuple(
    ipaddress.ip_network(each) for each in ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10")
)
"""Old forms of IPv4, translation for local use (RFC 8215), site-local: Python calls them global."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_USED_ONCE = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
"""Of connections: a pool tells them apart by address, and two hosts may share theirs."""


class TargetRefused(Exception):
    """The address must not be called; the message names host and reason."""


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet."""
    found = ipaddress.ip_address(address.partition("%")[0])
    judged = _carried(found) or found
    forbidden = judged.is_multicast or any(judged in each for each in _NOT_OF_THE_INTERNET)
    return judged.is_global and not forbidden


def _carried(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 one leads to (mapped, NAT64, 6to4)."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


async def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Return a host's addresses, the best first. Raises TargetRefused, and OSError where there is none."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return _judged(host, [str(entry[4][0]) for entry in found], allow_private)


def _judged(host: str, addresses: list[str], allow_private: bool) -> list[str]:
    refused = [address for address in addresses if not is_public(address)]
    if refused and not allow_private:
        raise TargetRefused(
            f"{host} is at {refused[0]}, which is not public; FSWIRE_ALLOW_PRIVATE_TARGETS=true allows it"
        )
    return addresses


class PublicTransport(httpx2.AsyncHTTPTransport):
    """Connects to judged addresses alone, each in turn; name and certificate stay those of the URL."""

    def __init__(self, *, allow_private: bool) -> None:
        super().__init__(retries=0, limits=_USED_ONCE)
        self._allow_private = allow_private

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to an address of its host. Raises TargetRefused, and ConnectError without one."""
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            addresses = await resolve(host, port, allow_private=self._allow_private)
        except (OSError, UnicodeError) as error:
            raise httpx2.ConnectError(f"{host}: {error}", request=request) from error
        for address in addresses[:-1]:
            with contextlib.suppress(httpx2.ConnectError, httpx2.ConnectTimeout):
                return await super().handle_async_request(_addressed(request, host, address))
        return await super().handle_async_request(_addressed(request, host, addresses[-1]))


class PublicThreadTransport(httpx2.HTTPTransport):
    """The same for a client on a thread."""

    def __init__(self, *, allow_private: bool) -> None:
        super().__init__(retries=0, limits=_USED_ONCE)
        self._allow_private = allow_private

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to an address of its host. Raises TargetRefused, and ConnectError without one."""
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpx2.ConnectError(f"{host}: {error}", request=request) from error
        addresses = _judged(host, [str(entry[4][0]) for entry in found], self._allow_private)
        for address in addresses[:-1]:
            with contextlib.suppress(httpx2.ConnectError, httpx2.ConnectTimeout):
                return super().handle_request(_addressed(request, host, address))
        return super().handle_request(_addressed(request, host, addresses[-1]))


def _addressed(request: httpx2.Request, host: str, address: str) -> httpx2.Request:
    """Return a request to an address; the one given stays, for a redirect is relative to its URL."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )
