"""The exports: parameters, the pages that they are read in, and the files that these become."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from api import export_query
from api.cursor import Place
from api.database import Refused
from api.errors import FieldsRefused, QueryTimeout, Unavailable
from api.export_formats import FORMATS
from api.export_pages import Pages, Source
from api.export_query import PAGES_AHEAD, Span
from api.history_query import Filters

PATH = "/2026-02-01/systems/directory-monitor/proj_123/export."
FILTERS = Filters(project="p")


def place(number: int) -> dict[str, Any]:
    """The end of a page as ClickHouse answers it."""
    return {"occurred_us": 1_700_000_000_000_000 - number, "event_id": f"e{number}"}


def fetch(stage: Any, extension: str = "csv", **parameters: str) -> Any:
    return stage.request("GET", PATH + extension, params=parameters or None)


def test_file_is_what_the_database_writes(stage: Any) -> None:
    """Of one page where there are few events, named after the project."""
    stage.database.answers["_Place"] = []
    stage.database.result = b'"a"\n1\n'

    answer = fetch(stage, event="modified")

    assert (answer.status_code, answer.content) == (200, b'"a"\n1\n')
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="proj_123.csv"'
    assert "link" not in answer.headers
    sql, bound, settings = stage.database.asked[-1]
    assert (bound["event"], bound["project"]) == ("modified", "proj_123")
    assert settings["max_execution_time"] == 60
    assert "LIMIT" not in sql


def test_pages_follow_each_other_without_gap_or_overlap(stage: Any) -> None:
    """Each begins behind the end of the one before; only the first of a CSV file has a head."""
    stage.database.answers["_Place"] = [place(1), place(2)]
    stage.database.result = b"x\n"

    answer = fetch(stage)

    assert answer.content == b"x\n" * 3
    spans = [
        (bound.get("after_id"), bound.get("until_id"))
        for sql, bound, _ in stage.database.asked
        if "timestampUtc" in sql
    ]
    assert spans == [(None, "e1"), ("e1", "e2"), ("e2", None)]


def test_wanted_rows_end_the_file_and_tell_what_follows(stage: Any) -> None:
    """`Link` leads to the rest, by the place of the last row."""
    stage.database.answers["_Place"] = [place(5)]
    stage.database.result = b"x\n"

    answer = fetch(stage, "ndjson", rows="10", host="h")
    following = answer.headers["link"].removeprefix("<").removesuffix('>; rel="next"')
    again = stage.request("GET", PATH + "ndjson" + following)

    assert "cursor=2023-11-14T22%3A13%3A19.999995Z%2Fe5" in following
    assert "host=h" in following
    assert again.status_code == 200
    ends = [bound for sql, bound, _ in stage.database.asked if "until_id" in bound]
    assert {bound["until_id"] for bound in ends} == {"e5"}
    assert stage.database.asked[-1][1]["after_us"] == place(5)["occurred_us"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows", "0"), ("rows", "x"), ("rows", "9" * 20), ("page", "2"), ("size", "10"), ("cursor", "abc"),
        ("cursor", "2026-01-01T00:00:00Z/"), ("cursor", "yesterday/e1"), ("cursor", "/e1"),
        ("cursor", "2026-01-01T00:00:00Z/" + "e" * 129), ("event", ""),
        ("sha256", "abc"), ("projectId", "other"),
    ],
)  # fmt: skip
def test_parameter_out_of_range_is_422(stage: Any, name: str, value: str) -> None:
    """Refused and named, as in history."""
    answer = fetch(stage, **{name: value})

    assert answer.status_code == 422
    assert [detail["field"] for detail in answer.json()["details"]] == [name]


@pytest.mark.parametrize("extension", ["csv", "ndjson", "parquet"])
def test_export_is_for_those_who_may_read_the_history(stage: Any, extension: str) -> None:
    """The same key, scope and project."""
    path = PATH + extension
    writer = {"Authorization": stage.key("only-writer", ["directory_monitor:write"], ["*"])}
    other = {"Authorization": stage.key("of-other", ["directory_monitor:read"], ["other"])}

    statuses = [
        stage.request("GET", path, headers={"Authorization": ""}).status_code,
        stage.request("GET", path, headers=writer).status_code,
        stage.request("GET", path, headers=other).status_code,
        stage.request("POST", path).status_code,
        stage.request("HEAD", path).status_code,
    ]

    assert statuses == [401, 403, 403, 405, 200]
    assert not stage.database.asked


def test_more_exports_than_allowed_are_503(make_stage: Any) -> None:
    """And there is room again once one has ended, well or not."""
    stage = make_stage(export_concurrency=1)
    stage.database.answers["_Place"] = []
    stage.database.result = Unavailable("away", code="database_unavailable")

    assert [fetch(stage).json()["code"] for _ in range(2)] == ["database_unavailable"] * 2
    stage.database.result = b"x\n"
    assert [fetch(stage).status_code for _ in range(2)] == [200] * 2


@pytest.mark.parametrize(("code", "status"), [(159, 408), (241, 503)])
def test_page_that_fails_is_an_error(stage: Any, code: int, status: int) -> None:
    """Before the first byte it is told like any other."""
    stage.database.answers["_Place"] = []
    stage.database.result = Refused("refused", code)

    assert fetch(stage).status_code == status


def test_place_of_a_row_is_its_cursor() -> None:
    """What a client has of a row is enough; an offset of its time is understood."""
    read = export_query.read({"cursor": "2026-01-01T01:00:00.000001+01:00/evt_1"}, "p")

    assert read.after == Place(1_767_225_600_000_001, "evt_1")
    assert export_query.cursor_of_row(read.after) == "2026-01-01T00:00:00.000001Z/evt_1"


@given(st.dictionaries(st.sampled_from(["rows", "cursor", "event", "from", "page", "pathLike"]), st.text()))
def test_any_parameters_are_answered(parameters: dict[str, str]) -> None:
    """No parameters make the reader fail in another way than by refusing, and what it takes can be asked."""
    try:
        query = export_query.read(parameters, "p")
    except FieldsRefused as refused:
        assert refused.details
        return

    sql, bound = export_query.page_sql(query.filters, Span(query.after))
    assert all(f"{{{name}:" in sql for name in bound)


class _Scripted:
    """Finds ends of pages as scripted, and answers each page with a table of its number."""

    def __init__(self, *ends: int) -> None:
        self.ends = list(ends)
        self.pages = 0

    async def rows(self, sql: str, bound: dict[str, Any], row: type, settings: dict[str, Any]) -> list[Any]:
        return [row(number, f"e{number}") for number in range(self.ends.pop(0))]

    @asynccontextmanager
    async def stream(self, *_: Any) -> AsyncIterator[AsyncIterator[bytes]]:
        self.pages += 1
        table = pyarrow.table(
            {"number": [self.pages] if self.pages % 2 else []}, pyarrow.schema([("number", "int64")])
        )
        sink = io.BytesIO()
        with pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)

        async def chunks() -> AsyncIterator[bytes]:
            yield sink.getvalue()

        yield chunks()


def _pages(database: Any) -> Pages:
    return Pages(Source(database, timeout_s=1), FILTERS, Span(), "changed")


def test_ends_are_asked_for_until_there_are_no_more() -> None:
    """As many pages ahead as one query finds, then those behind."""

    async def spans() -> int:
        return len([span async for span in _pages(_Scripted(PAGES_AHEAD, PAGES_AHEAD, 3)).spans()])

    assert asyncio.run(spans()) == 2 * PAGES_AHEAD + 3 + 1


def test_parquet_of_many_pages_is_one_file() -> None:
    """A row group a page that has rows, readable as a whole."""

    async def file() -> bytes:
        return b"".join([chunk async for chunk in FORMATS["parquet"].file(_pages(_Scripted(4)))])

    read = parquet.ParquetFile(io.BytesIO(asyncio.run(file())))

    assert read.read().column("number").to_pylist() == [1, 3, 5]
    assert read.num_row_groups == 3


def test_parquet_without_events_has_columns() -> None:
    """An empty export is a file, too."""

    async def file() -> bytes:
        database = _Scripted(0)
        database.pages = 1
        return b"".join([chunk async for chunk in FORMATS["parquet"].file(_pages(database))])

    assert parquet.read_table(io.BytesIO(asyncio.run(file()))).column_names == ["number"]


def test_refusal_in_the_middle_is_a_timeout() -> None:
    """Whoever streams can tell why."""

    class Slow(_Scripted):
        def stream(self, *_: Any) -> Any:
            raise Refused("slow", 159)

    async def file() -> None:
        async for _ in FORMATS["csv"].file(_pages(Slow(0))):
            pass

    with pytest.raises(QueryTimeout):
        asyncio.run(file())
