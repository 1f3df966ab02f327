"""Whoever goes on with an event stream is told to come again where anybody else is refused with 503."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import httpx2
import pytest

from api.errors import Unavailable
from api.live import Hub
from tests.unit.api.conftest import Stage
from tests.unit.api.test_pages_session import sign_in, visit
from tests.unit.api.test_qumulo import NOTIFY, Site, site  # noqa: F401

BEGUN = {"Accept": "text/event-stream", "Last-Event-ID": "old"}
LIVE = "/pages/projects/proj_123/live"


def away(*_: object, **__: object) -> NoReturn:
    raise Unavailable("the broker is not reachable")


def told(answer: Any) -> tuple[int, str, str]:
    return answer.status_code, answer.headers["content-type"], answer.text


@pytest.mark.parametrize("what", ["keys cannot be looked up", "too many watchers", "no subscription"])
def test_stream_that_cannot_go_on_now_ends_at_once(site: Site, what: str) -> None:  # noqa: F811
    """200 and nothing but when to come again, and why: `EventSource` takes any other status for the end."""
    if what == "keys cannot be looked up":
        site.registry.failing = True
    elif what == "too many watchers":
        site.hub.subscriptions = {1, 2}
    else:
        site.hub.subscribe = _none_granted  # type: ignore[assignment,method-assign]
    key = "unknown.key" if site.registry.failing else "reader.secret"
    status, kind, text = told(site.ask(NOTIFY, key, headers=BEGUN))

    assert (status, kind) == (200, "text/event-stream")
    assert text.startswith("retry: 3000\n: ")
    assert text.endswith("\n\n")
    assert "id:" not in text
    for incomplete in ({}, {"Accept": BEGUN["Accept"]}, {"Last-Event-ID": "old"}):
        assert site.refused(NOTIFY, key, headers=incomplete)[0] == 503


def test_refusal_for_good_is_told(site: Site) -> None:  # noqa: F811
    """A key that does not count and a directory that is not there: coming again is of no use."""
    assert site.refused(NOTIFY, "reader.wrong", headers=BEGUN)[0] == 401
    assert site.refused("/v1/files/%2Fproj_1%2Fnone/notify", headers=BEGUN)[0] == 404


def test_live_rows_of_a_page_come_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that showed rows goes on by itself once the broker is back."""
    monkeypatch.setattr(Hub, "add", away)

    async def scenario(client: httpx2.AsyncClient) -> list[httpx2.Response]:
        await sign_in(client)
        return [await client.get(LIVE, headers=headers) for headers in (BEGUN, {})]

    again, refused = visit(stage, scenario)

    assert told(again) == (200, "text/event-stream", "retry: 3000\n: the broker is not reachable\n\n")
    assert refused.status_code == 503


@asynccontextmanager
async def _none_granted(*_: object, **__: object) -> AsyncIterator[None]:
    away()
    yield
