"""Audit, limits and secrets against the whole stack: who read, who was refused, and what no log may hold."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from urllib.parse import urlsplit

import httpx2
import pytest

from processors.credentials import new_key
from tests.integration.monitoring import Monitor
from tests.integration.running import PATIENCE_S, Stack

pytestmark = pytest.mark.stack
GUESSES = 600
"""More than the burst; sent again where as many come back meanwhile."""
EVENTS = "/2026-02-01/systems/directory-monitor/{project}/events.json"


def elsewhere(stack: Stack, address: str) -> httpx2.Client:
    """A client with an address of its own: what it is refused does not count for the other tests."""
    return httpx2.Client(
        base_url=stack.api, transport=httpx2.HTTPTransport(local_address=address), timeout=60
    )


def rows(stack: Stack, condition: str, expected: int) -> list[dict[str, object]]:
    """Wait for rows of the audit and return them, the oldest first."""
    stack.await_rows(f"SELECT count() FROM audit FINAL WHERE {condition}", expected)
    answer = stack.query(f"SELECT * FROM audit FINAL WHERE {condition} ORDER BY at, id FORMAT JSONEachRow")
    return [json.loads(line) for line in answer.splitlines()]


def test_who_read_and_who_was_refused_are_rows(monitor: Monitor) -> None:
    """Reads with their filters, refusals with their status, and no write that was taken."""
    key_id = monitor.key.partition(".")[0]
    monitor.put()
    monitor.history(pathLike="plans", size="7")
    unknown = monitor.client.put(monitor.path, json={}, headers={"Authorization": "Bearer a.b"})
    wrong = monitor.client.put(monitor.path, json={}, headers={"X-Directory-Monitor-Token": "wrong"})

    read, *refused = rows(monitor.stack, f"project_id = '{monitor.project}'", 3)

    assert (unknown.status_code, wrong.status_code) == (401, 401)
    assert (read["status"], read["method"], read["route"], read["key_id"]) == (200, "GET", EVENTS, key_id)
    assert (read["scope"], read["remote"]) == ("directory_monitor:read", "127.0.0.1")
    assert read["filters"] == {"pathLike": "plans", "size": "7"}
    assert [(row["status"], row["key_id"]) for row in refused] == [(401, ""), (401, key_id)]
    assert {row["scope"] for row in refused} == {"directory_monitor:write"}


def test_audit_is_for_admins(monitor: Monitor) -> None:
    """Nobody else can name the table, and what an admin asks is a row as well."""
    query = f"SELECT count() FROM audit WHERE project_id = '{monitor.project}' AND status = 200"
    monitor.history()
    rows(monitor.stack, f"project_id = '{monitor.project}'", 1)

    status, answer = monitor.stack.send("POST", "/v1/sql", {"query": query})
    others = monitor.stack.send("POST", "/v1/sql", {"query": query}, monitor.key)

    assert (status, answer["rows"]) == (200, [[1]])  # type: ignore[index]
    assert (others[0], others[1]["code"]) == (400, "query_refused")  # type: ignore[index]
    (asked, denied) = rows(
        monitor.stack, f"has(mapValues(filters), '{query.replace(chr(39), chr(92) + chr(39))}')", 2
    )
    assert [(row["status"], row["route"], row["scope"]) for row in (asked, denied)] == [
        (200, "/v1/sql", "sql:read"),
        (400, "/v1/sql", "sql:read"),
    ]


def test_guessing_is_bounded_for_one_address_alone(monitor: Monitor) -> None:
    """Unknown keys end in 429; a right key works from the same address, and others are refused as before."""
    stack = monitor.stack

    async def guess() -> tuple[list[httpx2.Response], httpx2.Response]:
        transport = httpx2.AsyncHTTPTransport(
            local_address="127.0.0.3", limits=httpx2.Limits(max_connections=32)
        )
        async with httpx2.AsyncClient(base_url=stack.api, transport=transport, timeout=PATIENCE_S) as client:
            guesses: list[httpx2.Response] = []
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline and not any(each.status_code == 429 for each in guesses):
                unknown = ({"Authorization": f"Bearer key_{number}.x"} for number in range(GUESSES))
                guesses += await asyncio.gather(*(client.post("/v1/sql", headers=each) for each in unknown))
            right = await client.put(monitor.path, json=monitor.event(), headers=monitor.client.headers)
            return guesses, right

    guesses, right = asyncio.run(guess())
    other = monitor.client.put(monitor.path, json={}, headers={"Authorization": "Bearer a.b"})
    assert {answer.status_code for answer in guesses} == {401, 429}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in guesses if answer.status_code == 429)
    assert (right.status_code, other.status_code) == (200, 401)


def test_no_log_of_the_stack_holds_a_secret(monitor: Monitor) -> None:
    """Keys, tokens and passwords, used rightly and wrongly, wherever a client may put them."""
    stack = monitor.stack
    wrong = f"hush-{secrets.token_hex(8)}"
    _, stranger = new_key(["admin"], ["*"], None)
    with elsewhere(stack, "127.0.0.4") as client:
        for headers in (
            {"Authorization": f"Bearer {stranger}"},
            {"Authorization": f"Bearer {wrong}"},
            {"Authorization": f"Basic {wrong}"},
            {"Authorization": monitor.client.headers["Authorization"], "X-Directory-Monitor-Token": wrong},
        ):
            for body in (b"{}", b"{", b'{"ingressToken":"%b"}' % wrong.encode(), wrong.encode()):
                client.put(monitor.path, content=body, headers=headers)
                client.post("/v1/sql", content=body, headers=headers)
                client.get(f"/{wrong}", headers=headers)
                client.get(EVENTS.format(project=monitor.project), params={"token": wrong}, headers=headers)
        client.request("HUSH", f"/pages/?key={wrong}", headers={"Cookie": f"fswire_session={wrong}"})
    monitor.put(ingressToken=monitor.token)
    monitor.await_count(1)
    rows(stack, f"project_id = '{monitor.project}'", 4)

    used = [wrong, stranger.partition(".")[2], monitor.key.partition(".")[2], monitor.token]
    used += [stack.admin_key.partition(".")[2], str(urlsplit(stack.clickhouse).password)]
    written = {log.name: log.read_text(errors="replace") for log in stack.data_dir.glob("logs/*.log")}
    written["standard error"] = stack.up.said()
    written["audit"] = stack.query("SELECT * FROM audit FORMAT JSONEachRow")
    written["events"] = stack.query(
        f"SELECT * FROM events WHERE project_id = '{monitor.project}' FORMAT JSONEachRow"
    )
    assert {"api.log", "broker.log", "processors.log", "sink.log", "store.log"} <= written.keys()
    assert [(name, secret) for name, text in written.items() for secret in used if secret in text] == []
