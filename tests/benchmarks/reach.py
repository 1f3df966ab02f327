"""What readers wait for with 20,000,000 events in the database, over the running api, beside what they may.

The events are made by ClickHouse itself (`made_up_events`), with all indexes and projections.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx2
from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from api import cursor, history
from api.cursor import Place
from api.history_query import Filters
from processors.clickhouse import ClickHouseSettings, connect
from tests.benchmarks import exporting, made_up_events
from tests.benchmarks.made_up_events import BIG, DAYS, PROJECTS, RARE
from tests.benchmarks.table import percentile, show
from tests.integration import running

EVENTS = 20_000_000
DEPTH = 1_000_000
NEWEST = 50
TIMES = 100
WARM_UP = 5
_MERGING_S = 600
_HISTORY = "/2026-02-01/systems/directory-monitor/{}/events.json"
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class Reader(NamedTuple):
    """Whoever asks: the api with a key, the pages with a session, the database itself."""

    api: httpx2.Client
    pages: httpx2.Client
    database: Client


class Measure(NamedTuple):
    """What is asked, and within how many milliseconds 95 of 100 answers must be there."""

    name: str
    limit_ms: float
    ask: Callable[[int], object]


def run(directory: Path) -> None:
    """Start the whole system, fill it, and print how long answers take, then how exports do."""
    with running.up(directory / "data", "--port", "0") as up:
        up.ready()
        stack = running.Stack(up, up.endpoint(), directory, "")
        for project in PROJECTS:
            stack.command("project", "create", project)
        with connect(ClickHouseSettings(url=SecretStr(stack.clickhouse)), send_receive_timeout=600) as client:
            began_us = int((time.time() - DAYS * 86_400) * 1e6)
            made_up_events.fill(client, EVENTS, began_us, lambda number: print(f"{number:,} events"))
            _await_merges(client)
            measure(stack.api, stack.admin_key, client)
        exporting.measure(stack.api, stack.admin_key, up.part("api"))
        up.stop()


def measure(api: str, key: str, database: Client) -> None:
    """Ask everything many times and print the table."""
    headers = {"Authorization": f"Bearer {key}"}
    with (
        httpx2.Client(base_url=api, headers=headers, timeout=60) as client,
        httpx2.Client(base_url=api, follow_redirects=True, timeout=60) as browser,
    ):
        _sign_in(browser, key)
        reader = Reader(client, browser, database)
        _prove_index(database)
        taken = {each.name: (each.limit_ms, _times(each.ask)) for each in _measures(reader)}
    first = percentile(taken["first page of history"][1], 0.95)
    show(
        f"{EVENTS:,} events, milliseconds over the api ({TIMES} times each)",
        ("what", "limit p95", "p50", "p95", "longest", ""),
        [_row(name, limit or 2 * first, times) for name, (limit, times) in taken.items()],
    )


def _measures(reader: Reader) -> list[Measure]:
    paths = [str(row[0]) for row in reader.database.query(_SOME_PATHS).result_rows]
    deep = _deep_cursor(reader.database)

    def page(**parameters: str) -> Callable[[int], object]:
        return lambda _: _got(reader.api.get(_HISTORY.format(BIG), params=parameters))

    def file(number: int) -> object:
        path = paths[number % len(paths)]
        return _got(reader.pages.get(f"/pages/projects/{BIG}/file", params={"path": path}))

    return [
        Measure("first page of history", 120, page()),
        Measure(f"page at depth {DEPTH:,}, by cursor", 0, page(cursor=deep)),
        Measure("pathLike, rare", 250, page(pathLike=RARE)),
        Measure("exact count of a project", 300, lambda _: _sql(reader, f"project_id = '{BIG}'")),
        Measure(
            "exact count of an event name",
            300,
            lambda _: _sql(reader, f"project_id = '{BIG}' AND event = 'renamed'"),
        ),
        Measure(
            f"newest {NEWEST} of a path, by SQL",
            150,
            lambda number: _path_history(reader, paths[number % len(paths)]),
        ),
        Measure("page of a file", 150, file),
        Measure("overview page", 400, lambda _: _got(reader.pages.get("/pages/"))),
    ]


_SOME_PATHS = f"""
SELECT path FROM events
WHERE project_id = '{BIG}' AND event = 'modified' AND cityHash64(event_id) % 100000 = 0 LIMIT 40
"""


def _times(ask: Callable[[int], object]) -> list[float]:
    taken = []
    for number in range(WARM_UP + TIMES):
        began = time.perf_counter()
        ask(number)
        taken.append((time.perf_counter() - began) * 1000)
    return taken[WARM_UP:]


def _got(answer: httpx2.Response) -> object:
    if answer.status_code != 200:
        raise AssertionError(f"{answer.status_code} {answer.url}: {answer.text[:500]}")
    return answer


def _sql(reader: Reader, where: str) -> object:
    return _got(reader.api.post("/v1/sql", json={"query": f"SELECT count() FROM events WHERE {where}"}))


def _path_history(reader: Reader, path: str) -> object:
    query = (
        "SELECT occurred, event, size, lower(hex(sha256)), event_id FROM events "
        f"WHERE project_id = '{BIG}' AND kafka_offset IN (SELECT kafka_offset FROM events "
        f"WHERE project_id = '{BIG}' AND path = '{path}' ORDER BY kafka_offset DESC LIMIT {NEWEST}) "
        "ORDER BY kafka_offset DESC"
    )
    return _got(reader.api.post("/v1/sql", json={"query": query}))


def _deep_cursor(database: Client) -> str:
    """Return the cursor that a reader has after so many events."""
    occurred_us, event_id = database.query(
        "SELECT toUnixTimestamp64Micro(occurred), event_id FROM events "
        f"WHERE project_id = '{BIG}' ORDER BY occurred DESC, event_id LIMIT 1 OFFSET {DEPTH - 1}"
    ).first_row
    return cursor.encode(Place(occurred_us, event_id), Filters(project=BIG).scope())


def _prove_index(database: Client) -> None:
    """Print what EXPLAIN says of the rare substring: how many granules the text index leaves."""
    where, parameters = history.where_sql(Filters(project=BIG, path_like=RARE))
    query = f"EXPLAIN indexes = 1 SELECT event_id FROM events WHERE {where}"
    plan = [line.strip(" │└─") for (line,) in database.query(query, parameters=parameters).result_rows]
    used = plan[plan.index("Name: names") :]
    print("text index:", next(line for line in used if line.startswith("Granules:")))


def _await_merges(client: Client) -> None:
    deadline = time.monotonic() + _MERGING_S
    while int(client.query("SELECT count() FROM system.merges").first_row[0]) and time.monotonic() < deadline:
        time.sleep(1)


def _sign_in(browser: httpx2.Client, key: str) -> None:
    form = _CSRF.search(browser.get("/pages/sign-in").text)
    assert form is not None
    _got(browser.post("/pages/sign-in", data={"csrf": form[1], "key": key, "next": "/pages/"}))


def _row(name: str, limit_ms: float, times: list[float]) -> tuple[object, ...]:
    p95 = percentile(times, 0.95)
    verdict = "" if p95 <= limit_ms else "over"
    return name, limit_ms, percentile(times, 0.5), p95, max(times), verdict
