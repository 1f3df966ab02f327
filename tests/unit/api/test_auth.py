"""Who may do what: credentials, scopes, projects, expiry, and a registry that is behind."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import pytest

from api import auth
from api.access import Access
from api.errors import Unauthorized, Unavailable
from api.limits import Limits
from processors.credentials import hash_secret
from processors.registry import Key, Project

PATH = "/2026-02-01/directory-monitor/proj_123.json"
HISTORY = "/2026-02-01/systems/directory-monitor/proj_123/events.json"
SECRET = "secret-of-writer"
EVENT = {"projectId": "proj_123", "filename": "a", "event": "created", "filesize": 1}
PATIENCE_MS = 30_000


def generous() -> Limits:
    """Limits that nothing here comes near to."""
    return Limits(requests_per_s=1e6, requests_burst=10**6, refusals_per_s=1e6, refusals_burst=10**6)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer writer.{SECRET}",
        f"bearer writer.{SECRET}",
        f"ApiKey writer:{SECRET}",
        basic(f"writer:{SECRET}"),
    ],
)
def test_key_is_accepted_in_three_forms(stage: Any, authorization: str) -> None:
    """Bearer ID.SECRET, Basic ID:SECRET and ApiKey ID:SECRET are the same key."""
    assert stage.request("PUT", PATH, json=EVENT, headers={"Authorization": authorization}).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer writer",
        "Bearer .",
        "Bearer writer.wrong",
        f"Bearer nobody.{SECRET}",
        f"Bearer writer:{SECRET}",
        f"Digest writer.{SECRET}",
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Basic " + base64.b64encode(b"writer").decode(),
        basic("writer:wrong"),
        "ApiKey writer",
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("PUT", PATH), ("POST", PATH), ("GET", HISTORY), ("POST", "/v1/sql")]
)
def test_any_other_key_is_401(stage: Any, method: str, path: str, authorization: str) -> None:
    """No key, half a key, an unknown or a wrong one: 401, and which it was is not told."""
    response = stage.request(method, path, headers={"Authorization": authorization})

    assert response.status_code == 401
    assert response.json()["status"] == "error"
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert SECRET not in response.text


def test_header_that_is_no_text_is_401(stage: Any) -> None:
    """Bytes of any kind may stand in a header."""
    response = stage.request("PUT", PATH, json=EVENT, headers={b"Authorization": b"Bearer \xff\xfe.\xe9"})

    assert response.status_code == 401


def test_revoked_and_expired_keys_are_401(stage: Any) -> None:
    """A key ends by revocation or at its time, not before."""
    scopes, projects = [auth.WRITE], ["*"]
    revoked = stage.key("revoked", scopes, projects, revoked=True)
    expired = stage.key("expired", scopes, projects, expires_ns=time.time_ns() - 1)
    living = stage.key("living", scopes, projects, expires_ns=time.time_ns() + 10**12)

    statuses = [
        stage.request("PUT", PATH, json=EVENT, headers={"Authorization": key}).status_code
        for key in (revoked, expired, living)
    ]
    assert statuses == [401, 401, 200]


@pytest.mark.parametrize(
    ("scopes", "write", "read", "sql"),
    [
        (["directory_monitor:write"], 200, 403, 403),
        (["DIRECTORY_MONITOR_WRITE"], 200, 403, 403),
        (["directory_monitor:read"], 403, 200, 403),
        (["DIRECTORY_MONITOR_READ"], 403, 200, 403),
        (["sql:read"], 403, 403, 200),
        (["admin"], 200, 200, 200),
        (["filemonitor:write"], 403, 403, 403),
        ([], 403, 403, 403),
    ],
)
def test_scope_opens_its_routes(stage: Any, scopes: list[str], write: int, read: int, sql: int) -> None:
    """A key does what its scopes say, in either spelling; admin does all."""
    headers = {"Authorization": stage.key("k", scopes, ["*"])}
    stage.database.result = b'["1"]\n["UInt8"]\n[1]\n'

    assert stage.request("PUT", PATH, json=EVENT, headers=headers).status_code == write
    assert stage.request("POST", PATH, headers=headers).status_code == write
    assert stage.request("GET", HISTORY, headers=headers).status_code == read
    assert stage.request("POST", "/v1/sql", json={"query": "SELECT 1"}, headers=headers).status_code == sql


@pytest.mark.parametrize(
    ("projects", "status"),
    [(["proj_123"], 200), (["proj_*"], 200), (["*"], 200), (["other"], 403), (["PROJ_*"], 403), ([], 403)],
)
def test_key_is_bound_to_its_projects(stage: Any, projects: list[str], status: int) -> None:
    """Patterns are case-sensitive; a key without projects touches none."""
    headers = {"Authorization": stage.key("k", [auth.WRITE], projects)}

    assert stage.request("PUT", PATH, json=EVENT, headers=headers).status_code == status


def test_unknown_project_is_404_only_after_authentication(stage: Any) -> None:
    """Who has no key learns nothing; who is bound elsewhere learns that, and no more."""
    unknown = PATH.replace("proj_123", "proj_unknown")
    elsewhere = PATH.replace("proj_123", "nowhere")

    assert (
        stage.request("PUT", unknown, json=EVENT, headers={"Authorization": "Bearer a.b"}).status_code == 401
    )
    assert stage.request("PUT", elsewhere, json=EVENT).status_code == 403
    assert stage.request("PUT", unknown, json=EVENT).json()["code"] == "unknown_project"
    assert stage.request("GET", HISTORY.replace("proj_123", "proj_x")).status_code == 404


@pytest.mark.parametrize(
    "name", ["a b", "%2F", "..%2f..", "%FF", "%00", "-x", "p" * 129, "proj_%0A", "proj_%E2%98%83"]
)
def test_path_with_no_project_id_is_never_a_server_error(stage: Any, name: str) -> None:
    """Separators, control characters and other bytes in the id are an unknown project or route."""
    headers = {"Authorization": stage.key("k", ["admin"], ["*"])}

    response = stage.request("PUT", f"/2026-02-01/directory-monitor/{name}.json", json=EVENT, headers=headers)
    assert response.status_code == 404
    assert response.json()["status"] == "error"


def test_key_written_a_moment_ago_is_known(stage: Any) -> None:
    """What the view lacks is looked for once more; what it has costs nothing."""
    written = stage.registry.keys.pop("writer")
    stage.registry.unread.append(written)

    assert stage.request("PUT", PATH, json=EVENT).status_code == 200
    assert stage.request("PUT", PATH, json=EVENT).status_code == 200
    assert stage.registry.catch_ups == 1


def test_unknown_key_without_a_registry_is_503(stage: Any) -> None:
    """A key that cannot be looked up is not refused for good; a known one still works."""
    stage.registry.failing = True

    refused = stage.request("PUT", PATH, json=EVENT, headers={"Authorization": "Bearer a.b"})
    assert (refused.status_code, refused.json()["code"]) == (503, "registry_unavailable")
    assert "retry-after" in refused.headers
    assert stage.request("PUT", PATH, json=EVENT).status_code == 200


def test_api_that_was_never_connected_is_503(stage: Any) -> None:
    """Before the first connection nobody can be told apart."""
    stage.broker.connected = False

    response = stage.request("PUT", PATH, json=EVENT)
    assert (response.status_code, response.json()["code"]) == (503, "broker_unavailable")


class CountingRegistry:
    """A registry that catches up only when it is let."""

    def __init__(self) -> None:
        self.calls = 0
        self.let = asyncio.Event()

    def key(self, _: str) -> Key | None:
        return None

    async def catch_up(self) -> None:
        self.calls += 1
        await self.let.wait()


def test_catching_up_is_shared() -> None:
    """However many unknown keys come at once, one catching up is under way and one waits."""

    async def scenario() -> int:
        registry = CountingRegistry()
        access = Access(lambda: registry, generous(), timeout_ms=PATIENCE_MS)  # type: ignore[arg-type, return-value]
        requests = [asyncio.create_task(access.authenticate(b"Bearer a.b")) for _ in range(50)]
        await asyncio.sleep(0)
        registry.let.set()
        results = await asyncio.gather(*requests, return_exceptions=True)
        assert all(isinstance(result, Unauthorized) for result in results)
        return registry.calls

    assert asyncio.run(scenario()) <= 2


def test_catching_up_that_takes_too_long_is_503() -> None:
    """A registry that hangs holds no request for long, and the next one asks again."""

    async def scenario() -> None:
        registry = CountingRegistry()
        access = Access(lambda: registry, generous(), timeout_ms=10)  # type: ignore[arg-type, return-value]
        for _ in range(3):
            with pytest.raises(Unavailable):
                await access.authenticate(b"Bearer a.b")
        access._timeout_s = PATIENCE_MS / 1000
        registry.let.set()
        with pytest.raises(Unauthorized):
            await access.authenticate(b"Bearer a.b")

    asyncio.run(scenario())


class TestIngressToken:
    """The second secret of a write, where the project has one."""

    @pytest.fixture
    def guarded(self, stage: Any) -> Any:
        """A stage whose project has the token `DM_TÖKEN`."""
        stage.registry.add(Project("proj_123", 0, hash_secret("DM_TÖKEN")))
        return stage

    @pytest.mark.parametrize(
        ("in_header", "in_body", "status"),
        [
            (None, None, 401),
            ("DM_TÖKEN", None, 200),
            (None, "DM_TÖKEN", 200),
            ("DM_TÖKEN", "DM_TÖKEN", 200),
            ("DM_TÖKEN", "other", 401),
            ("other", "DM_TÖKEN", 401),
            ("other", "other", 401),
            ("", None, 401),
            (None, "", 401),
            (None, 7, 401),
            ("DM_TÖKEN", 7, 401),
            (None, "dm_töken", 401),
        ],
    )
    @pytest.mark.parametrize("method", ["PUT", "POST"])
    def test_token_is_required_where_the_project_has_one(
        self, guarded: Any, method: str, in_header: str | None, in_body: Any, status: int
    ) -> None:
        """In header or body; both and different is 401; it is never echoed, stored or published."""
        body = EVENT | ({"ingressToken": in_body} if in_body is not None else {})
        headers = {"X-Directory-Monitor-Token": in_header.encode()} if in_header is not None else {}

        response = guarded.request(method, PATH, json=body, headers=headers)

        assert response.status_code == status
        assert "DM_T" not in response.text
        assert "DM_T" not in repr(guarded.broker.batches)

    def test_former_token_counts_until_its_time(self, stage: Any) -> None:
        """While clients are given the new one, both open; afterwards the new one alone."""
        new, former = hash_secret("DM_NEW"), hash_secret("DM_FORMER")

        def statuses(until_ns: int) -> list[int]:
            stage.registry.add(Project("proj_123", 0, new, former, until_ns))
            bodies = [EVENT | {"ingressToken": token} for token in ("DM_NEW", "DM_FORMER", "DM_OLDEST")]
            return [stage.request("PUT", PATH, json=body).status_code for body in bodies]

        assert statuses(time.time_ns() + 10**12) == [200, 200, 401]
        assert statuses(time.time_ns() - 1) == [200, 401, 401]

    def test_right_token_is_known_again(self, guarded: Any) -> None:
        """The second request does not pay for the slow hash, and a wrong one is still wrong."""
        for token, status in (("DM_TÖKEN", 200), ("DM_TÖKEN", 200), ("wrong", 401), ("DM_TÖKEN", 200)):
            body = EVENT | {"ingressToken": token}
            assert guarded.request("PUT", PATH, json=body).status_code == status

    def test_key_is_needed_beside_the_token(self, guarded: Any) -> None:
        """Both checks apply."""
        body = EVENT | {"ingressToken": "DM_TÖKEN"}

        assert guarded.request("PUT", PATH, json=body, headers={"Authorization": ""}).status_code == 401

    def test_different_tokens_are_401_even_where_none_is_needed(self, stage: Any) -> None:
        """A contradiction is refused whatever the project wants."""
        response = stage.request(
            "PUT", PATH, json=EVENT | {"ingressToken": "a"}, headers={"X-Directory-Monitor-Token": "b"}
        )

        assert (response.status_code, response.json()["code"]) == (401, "token_mismatch")

    def test_token_does_not_make_content(self, guarded: Any) -> None:
        """A rotated token does not turn a retry into a conflict."""
        event = EVENT | {"eventId": "e1"}
        guarded.request("PUT", PATH, json=event | {"ingressToken": "DM_TÖKEN"})
        retried = guarded.request(
            "PUT", PATH, json=event, headers={"X-Directory-Monitor-Token": "DM_TÖKEN".encode()}
        )

        assert retried.json()["inserted"] is False

    def test_token_is_not_logged(self, guarded: Any, capsys: pytest.CaptureFixture[str]) -> None:
        """Neither token nor secret stands in a log line, whatever happens."""
        guarded.broker.failing = True
        guarded.request("PUT", PATH, json=EVENT | {"ingressToken": "DM_TÖKEN"})
        guarded.request("PUT", PATH, json=EVENT | {"ingressToken": "DM_TÖKEN_"})

        output = "".join(capsys.readouterr())
        assert "DM_T" not in output
        assert SECRET not in output
