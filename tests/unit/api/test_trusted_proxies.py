"""Addresses of clients behind proxies: who is believed, and what audit and limits make of it."""

from __future__ import annotations

import asyncio
from typing import cast

import httpx2
import pytest
from pydantic import ValidationError
from starlette.types import ASGIApp

from api import serve
from api.settings import ApiSettings
from tests.unit.api.conftest import Stage

HISTORY = "/2026-02-01/systems/directory-monitor/proj_123/events.json"
PROXY = "10.0.0.1"
CLIENT = "192.0.2.7"


def ask(stage: Stage, peer: str, forwarded: list[str], key: str = "Bearer nobody.x") -> int:
    """Ask from an address, as the server has it, with what stands in `X-Forwarded-For`; return the status."""
    served = serve.configuration(stage.app, stage.settings)
    served.load()

    async def scene() -> int:
        transport = httpx2.ASGITransport(app=cast(ASGIApp, served.loaded_app), client=(peer, 40_000))
        headers = [("Authorization", key), *(("X-Forwarded-For", each) for each in forwarded)]
        async with httpx2.AsyncClient(transport=transport, base_url="http://fswire.test") as client:
            return (await client.get(HISTORY, headers=headers)).status_code

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("peer", "forwarded", "remote"),
    [
        (PROXY, [CLIENT], CLIENT),
        (PROXY, [], PROXY),
        (PROXY, [f"203.0.113.9, {CLIENT}"], CLIENT),
        (PROXY, ["203.0.113.9", CLIENT], CLIENT),
        (PROXY, [f"{CLIENT}, 172.16.0.9"], CLIENT),
        (PROXY, [f"{CLIENT}:5555"], CLIENT),
        (PROXY, ["2001:db8::7"], "2001:db8::7"),
        (CLIENT, ["203.0.113.9"], CLIENT),
        (CLIENT, [f"203.0.113.9, {PROXY}"], CLIENT),
        ("10.0.0.2", ["203.0.113.9"], "10.0.0.2"),
    ],
)
def test_audit_has_the_address_that_the_last_trusted_proxy_saw(
    make_stage: type[Stage], peer: str, forwarded: list[str], remote: str
) -> None:
    """What a client itself put into the header stands left of it, and is never believed."""
    stage = make_stage(trusted_proxies=f"{PROXY}, 172.16.0.0/12")

    ask(stage, peer, forwarded)

    assert [row.remote for row in stage.audit()] == [remote]


def test_header_is_nothing_where_no_proxy_is_trusted(make_stage: type[Stage]) -> None:
    """As it is unless the setting says otherwise; loopback is no exception."""
    stage = make_stage()

    ask(stage, "127.0.0.1", [CLIENT])

    assert [row.remote for row in stage.audit()] == ["127.0.0.1"]


def test_clients_behind_a_proxy_are_limited_one_by_one(make_stage: type[Stage]) -> None:
    """One who guesses does not spend what others may be refused; nor does another header give him more."""
    stage = make_stage(trusted_proxies=PROXY, refusals_per_s=0.001, refusals_burst=2)

    guessed = [ask(stage, PROXY, [f"203.0.113.{number}, {CLIENT}"]) for number in range(4)]
    other = ask(stage, PROXY, ["192.0.2.8"])
    forged = [ask(stage, "198.51.100.1", [f"203.0.113.{number}"]) for number in range(4)]

    assert guessed == forged == [401, 401, 429, 429]
    assert other == 401


@pytest.mark.parametrize("wrong", ["proxy.example", "10.0.0.1/8", "10.0.0.0/33", "*", "10.0.0.1,,"])
def test_proxies_that_are_no_addresses_are_refused(wrong: str) -> None:
    """A name would match nobody, `*` would let everybody say who he is."""
    with pytest.raises(ValidationError, match="trusted_proxies"):
        ApiSettings(trusted_proxies=wrong)
