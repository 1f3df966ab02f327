"""Sign-in to the pages, sessions, the token of every form: over the whole application, without a browser."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from processors.registry import Key
from tests.unit.api.conftest import WRITER, Stage

PAGE = "/pages/sign-in"
"""Any page will do: whoever has no session is sent there."""
SECRET = "shared-by-all-processes"


def token(page: httpx2.Response) -> str:
    """Return the token of a page's form."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page.text)
    assert found is not None, page.text
    return found[1]


async def sign_in(client: httpx2.AsyncClient, key: str = WRITER, wanted: str = "") -> httpx2.Response:
    """Sign in as a browser does; the client keeps the cookies."""
    form = await client.get(PAGE, params={"next": wanted})
    return await client.post(PAGE, data={"csrf": token(form), "key": key, "next": wanted})


def visit(
    stage: Stage, scenario: Callable[[httpx2.AsyncClient], Awaitable[Any]], scheme: str = "http"
) -> Any:
    """Run a scenario with a browser's client, which carries no key but cookies."""

    async def without_key(client: httpx2.AsyncClient) -> Any:
        del client.headers["Authorization"]
        client.base_url = httpx2.URL(f"{scheme}://fswire.test")
        return await scenario(client)

    return stage.run(without_key)


def empty_overview(stage: Stage) -> None:
    """Let the database answer the overview's questions with nothing."""
    names = ("Activity", "ProjectActivity", "Agent", "OpenGap", "FailedRun", "Latency")
    stage.database.answers |= {name: [] for name in names}


def test_page_without_session_leads_to_sign_in_and_back(stage: Stage) -> None:
    """The address that was wanted goes along."""
    answer = visit(stage, lambda client: client.get("/pages/projects/proj_123?event=created"))

    assert answer.status_code == 303
    assert answer.headers["location"] == (
        "/pages/sign-in?next=%2Fpages%2Fprojects%2Fproj_123%3Fevent%3Dcreated"
    )


def test_key_signs_in(stage: Stage) -> None:
    """A key that counts gets a session, and the pages open."""
    empty_overview(stage)

    async def scenario(client: httpx2.AsyncClient) -> tuple[httpx2.Response, httpx2.Response]:
        return await sign_in(client), await client.get("/pages/")

    begun, page = visit(stage, scenario)

    assert (begun.status_code, begun.headers["location"]) == (303, "/pages/")
    assert page.status_code == 200
    assert "writer" in page.text


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
def test_cookie_is_out_of_reach(stage: Stage, scheme: str, secure: bool) -> None:
    """No script reads it, no form of another site sends it, and what came by TLS goes by TLS alone."""
    begun = visit(stage, sign_in, scheme)

    cookie = begun.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/pages" in cookie
    assert ("Secure" in cookie) is secure
    assert "secret-of-writer" not in cookie


@pytest.mark.parametrize("key", ["", "nonsense", "writer.wrong", "nobody.secret-of-writer"])
def test_wrong_key_gets_no_session(stage: Stage, key: str) -> None:
    """Unknown, malformed or wrong: the same answer, and no cookie but the visitor's."""
    answer = visit(stage, lambda client: sign_in(client, key))

    assert answer.status_code == 401
    assert "www-authenticate" not in answer.headers
    assert "fswire_session" not in answer.headers.get("set-cookie", "")


@pytest.mark.parametrize(
    "wanted", ["https://elsewhere.test/", "//elsewhere.test/pages/", "/pages/\\elsewhere", "/v1/sql", ""]
)
def test_sign_in_leads_nowhere_else(stage: Stage, wanted: str) -> None:
    """Only our own pages are gone back to."""
    answer = visit(stage, lambda client: sign_in(client, wanted=wanted))

    assert (answer.status_code, answer.headers["location"]) == (303, "/pages/")


def test_form_without_its_token_is_refused(stage: Stage) -> None:
    """A form of another site knows no token: neither signs anybody in nor out."""

    async def scenario(client: httpx2.AsyncClient) -> list[httpx2.Response]:
        refused = await client.post(PAGE, data={"key": WRITER})
        await sign_in(client)
        return [
            refused,
            *[await client.post("/pages/sign-out", data={"csrf": each}) for each in ("", "0" * 64)],
        ]

    answers = visit(stage, scenario)

    assert [answer.status_code for answer in answers] == [403, 403, 403]


def test_session_ends_with_sign_out(stage: Stage) -> None:
    """The cookie is taken away."""
    empty_overview(stage)

    async def scenario(client: httpx2.AsyncClient) -> httpx2.Response:
        await sign_in(client)
        page = await client.get("/pages/")
        await client.post("/pages/sign-out", data={"csrf": token(page)})
        return await client.get("/pages/")

    assert visit(stage, scenario).status_code == 303


def test_session_ends_with_its_key(stage: Stage) -> None:
    """Revoked means signed out, at once and everywhere."""

    async def scenario(client: httpx2.AsyncClient) -> httpx2.Response:
        await sign_in(client)
        key = stage.registry.keys["writer"]
        stage.registry.add(
            Key(key.id, key.secret_hash, key.scopes, key.projects, key.created_ns, revoked=True)
        )
        return await client.get("/pages/")

    assert visit(stage, scenario).status_code == 303


def test_session_is_known_to_another_process_with_the_same_secret(make_stage: type[Stage]) -> None:
    """Behind one address any process answers; one with another secret does not know the cookie."""
    begun, same, other = (
        make_stage(session_secret=SecretStr(secret)) for secret in (SECRET, SECRET, f"not-{SECRET}")
    )
    empty_overview(same)
    cookies = visit(begun, sign_in).cookies

    async def scenario(client: httpx2.AsyncClient) -> httpx2.Response:
        client.cookies = cookies
        return await client.get("/pages/")

    assert visit(same, scenario).status_code == 200
    assert visit(other, scenario).status_code == 303


def test_altered_cookie_is_no_session(stage: Stage) -> None:
    """Neither another key nor a later end can be written into it."""

    async def scenario(client: httpx2.AsyncClient) -> list[httpx2.Response]:
        begun = await sign_in(client)
        name, value = next(
            (name, value) for name, value in begun.cookies.items() if name.startswith("fswire_session")
        )
        key_id, ends, rest = value.split(".", 2)
        altered = [f"other.{ends}.{rest}", f"{key_id}.{int(ends) + 1}.{rest}", f"{value}0", "writer", "..."]
        answers = []
        for each in altered:
            client.cookies = httpx2.Cookies({name: each})
            answers.append(await client.get("/pages/"))
        return answers

    stage.key("other", ["admin"], [])
    assert [answer.status_code for answer in visit(stage, scenario)] == [303] * 5


def test_session_ends_in_time(make_stage: type[Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    """A cookie has an end of its own, beyond which it is nothing."""
    stage = make_stage(session_hours=1)
    empty_overview(stage)

    async def scenario(client: httpx2.AsyncClient) -> list[int]:
        begun = await sign_in(client)
        cookie = next(value for name, value in begun.cookies.items() if name.startswith("fswire_session"))
        statuses = []
        for now_s in (int(cookie.split(".")[1]) - 1, int(cookie.split(".")[1])):
            monkeypatch.setattr("time.time", lambda now_s=now_s: float(now_s))
            statuses.append((await client.get("/pages/")).status_code)
        return statuses

    assert visit(stage, scenario) == [200, 303]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/pages/projects/other", 403), ("/pages/projects/proj_unknown", 404), ("/pages/no-such", 404)],
)
def test_refusal_is_a_page_with_the_headers_of_all(stage: Stage, path: str, status: int) -> None:
    """HTML, never JSON, under the content security policy, and no cache keeps it."""

    async def scenario(client: httpx2.AsyncClient) -> httpx2.Response:
        await sign_in(client)
        return await client.get(path)

    answer = visit(stage, scenario)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
