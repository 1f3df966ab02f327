"""What holds for every page, found by its route: a session, the reader's projects, a token with changes."""

from __future__ import annotations

import re

import httpx2
import pytest
from starlette.routing import Mount, Route

from tests.unit.api.conftest import Stage
from tests.unit.api.test_pages_session import sign_in, visit

OPEN = {"/sign-in", "/static/{name}"}
"""For those who have no session yet."""
EXAMPLES = {"int": "1", "project": "other", "extension": "csv", "id": "1", "what": "retry", "run": "run_1"}


def pages(method: str) -> list[str]:
    """Return the paths of all routes of a method, parameters among them."""
    (mount,) = (each for each in Stage().app.routes if isinstance(each, Mount) and each.path == "/pages")  # type: ignore[attr-defined]
    return sorted(
        route.path for route in mount.routes if isinstance(route, Route) and method in (route.methods or ())
    )


def example(path: str) -> str:
    """Return an address of a route; its project is one that the writer's key does not reach."""
    filled = re.sub(r"\{(\w+)(?::(\w+))?\}", lambda found: EXAMPLES[found[2] or found[1]], path)
    return f"/pages{filled}"


@pytest.mark.parametrize("path", [path for path in pages("GET") if path not in OPEN])
def test_page_is_for_those_who_signed_in(stage: Stage, path: str) -> None:
    """Anybody else is sent to sign in, and nothing is asked of the database."""
    answer = visit(stage, lambda client: client.get(example(path)))

    assert (answer.status_code, stage.database.asked) == (303, [])
    assert answer.headers["location"].startswith("/pages/sign-in?next=")


@pytest.mark.parametrize("path", [path for path in pages("GET") if "{project}" in path])
def test_page_of_a_project_is_for_keys_of_that_project(stage: Stage, path: str) -> None:
    """403 for another, and nothing is asked of the database."""

    async def scenario(client: httpx2.AsyncClient) -> httpx2.Response:
        await sign_in(client)
        return await client.get(example(path))

    assert (visit(stage, scenario).status_code, stage.database.asked) == (403, [])


@pytest.mark.parametrize("path", pages("POST"))
@pytest.mark.parametrize("csrf", ["", "0" * 64])
def test_change_needs_the_token_of_a_form(stage: Stage, path: str, csrf: str) -> None:
    """Of whoever is signed in, with all rights; nothing is done, nothing asked of the database."""
    stage.key("chief", ["admin"], ["*"])

    async def scenario(client: httpx2.AsyncClient) -> httpx2.Response:
        await sign_in(client, "chief.secret-of-chief")
        return await client.post(example(path), data={"csrf": csrf})

    assert (visit(stage, scenario).status_code, stage.database.asked) == (403, [])
    assert not stage.broker.batches
