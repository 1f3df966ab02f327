"""Routes beside the contract's: SQL, health, metrics, the root, the document; and settings."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from pydantic import ValidationError

from api import openapi
from api.database import Refused
from api.errors import Unavailable
from api.serve import main, taken_address
from api.settings import ApiSettings
from api.sql_names import TABLES_OF_ADMINS
from api.sql_rows import NO_ROWS, row_filter

BELOW = {"/v1/files/{rest:path}": ["/v1/files/{ref}/notify", "/v1/files/{ref}/info/attributes"]}
"""What a route with a path of any depth answers."""
RESULT = b'["a","b"]\n["UInt8","String"]\n[1,"x\\n"]\n[2,"y"]\n'


def ask(
    stage: Any, query: Any, scopes: tuple[str, ...] = ("admin",), projects: tuple[str, ...] = ("*",)
) -> Any:
    headers = {"Authorization": stage.key("reader", list(scopes), list(projects))}
    return stage.request("POST", "/v1/sql", json={"query": query}, headers=headers)


def test_sql_answers_columns_and_rows(stage: Any) -> None:
    """Rows are lists in the order of the columns, however the database cuts its answer into pieces."""
    stage.database.result = RESULT

    body = ask(stage, "SELECT a, b FROM events").json()
    assert body["columns"] == [{"name": "a", "type": "UInt8"}, {"name": "b", "type": "String"}]
    assert body["rows"] == [[1, "x\n"], [2, "y"]]
    assert body["row_count"] == 2
    assert body["elapsed_ms"] >= 0


def test_sql_without_rows_is_an_empty_list(stage: Any) -> None:
    """No rows is no error."""
    stage.database.result = b'["a"]\n["UInt8"]\n'

    assert (ask(stage, "SELECT 1 AS a").json()["rows"], ask(stage, "SELECT 1").json()["row_count"]) == ([], 0)


def test_sql_runs_within_bounds(stage: Any) -> None:
    """Read-only, and limited in time, rows and memory."""
    stage.database.result = RESULT
    ask(stage, "SELECT 1")

    _, parameters, settings = stage.database.asked[0]
    assert parameters is None
    assert (settings["readonly"], settings["max_execution_time"], settings["max_result_rows"]) == (
        1,
        30,
        100_000,
    )
    assert settings["max_memory_usage"] == 1024**3
    assert settings["limit"] == 100_001


def test_bound_reader_sees_rows_of_its_projects(stage: Any) -> None:
    """The filter is in the query and, a second time, in its settings; an unbound admin has none."""
    stage.database.result = RESULT
    ask(stage, "SELECT count() FROM events", ("sql:read",), ("proj_*", "a"))
    ask(stage, "SELECT count() FROM events", ("sql:read",), ())
    ask(stage, "SELECT count() FROM events", ("admin",), ("a",))
    ask(stage, "SELECT count() FROM events", ("admin",), ())
    ask(stage, "SELECT count() FROM events", ("sql:read",), ("*",))

    bound, none, admin, unbound, everything = stage.database.asked
    condition = "project_id IN ('a') OR match(project_id, '^(proj_.*)$')"
    assert condition in bound[0]
    assert bound[2]["additional_table_filters"] == dict.fromkeys(TABLES_OF_ADMINS, condition)
    assert NO_ROWS in none[0]
    assert "project_id IN ('a')" in admin[0]
    for sql, _, settings in (unbound, everything):
        assert sql == "SELECT count() FROM events"
        assert "additional_table_filters" not in settings


@pytest.mark.parametrize(
    "query", ["SELECT file('/etc/hostname')", "SELECT sleep(3)", "DROP TABLE events", "SELECT 1; SELECT 2"]
)
def test_refused_sql_never_reaches_the_database(stage: Any, query: str) -> None:
    """400 in the one shape, with what is not allowed."""
    response = ask(stage, query)

    assert (response.status_code, response.json()["code"]) == (400, "query_refused")
    assert response.json()["details"][0]["field"] == "query"
    assert not stage.database.asked


@pytest.mark.parametrize(("code", "status", "slug"), [(47, 400, "query_failed"), (159, 408, "query_timeout")])
def test_error_of_the_database_is_the_readers(stage: Any, code: int, status: int, slug: str) -> None:
    """ClickHouse's error comes with its code; a time-out is 408."""
    stage.database.result = Refused("Code: 47. DB::Exception: Unknown identifier", code)

    response = ask(stage, "SELECT nope FROM events")
    assert (response.status_code, response.json()["code"]) == (status, slug)
    assert response.json()["clickhouseCode"] == code


def test_syntax_error_of_the_database_tells_nothing_of_its_disk(stage: Any) -> None:
    """Around the reader's query stands a statement of the server's own, which ClickHouse repeats."""
    stage.database.result = Refused("Code: 62. Syntax error at '/var/spool/x' TRUNCATE", 62)

    response = ask(stage, "SELECT path FROM events")

    assert (response.status_code, response.json()["code"]) == (400, "query_failed")
    assert "/var" not in response.text


def test_sql_without_a_database_is_503(stage: Any) -> None:
    """The database is away, not the reader's query wrong."""
    stage.database.result = Unavailable("the database does not answer", code="database_unavailable")

    assert ask(stage, "SELECT 1").status_code == 503


@pytest.mark.parametrize("query", [None, 7, "", "  ", "SELECT '" + "x" * 20_000 + "'"])
def test_query_must_be_a_text_of_some_length(stage: Any, query: Any) -> None:
    """422, named."""
    response = ask(stage, query)

    assert (response.status_code, response.json()["details"][0]["field"]) == (422, "query")


def test_sql_body_is_checked_like_any_other(make_stage: Any) -> None:
    """400, 413 and 415 as everywhere."""
    stage = make_stage(max_body_bytes=1024)
    headers = {"Authorization": stage.key("reader", ["admin"], ["*"])}

    def status(**request: Any) -> int:
        merged = headers | request.pop("headers", {})
        code: int = stage.request("POST", "/v1/sql", headers=merged, **request).status_code
        return code

    assert status(content=b"{") == 400
    assert status(json=["SELECT 1"]) == 400
    assert status(content=b"x" * 2000) == 413
    assert status(content=b"SELECT 1", headers={"Content-Type": "text/plain"}) == 415


@pytest.mark.parametrize(
    ("patterns", "condition"),
    [
        ([], NO_ROWS),
        (["a", "b.c"], "project_id IN ('a', 'b.c')"),
        (["etc-*"], "match(project_id, '^(etc-.*)$')"),
        (["a?.[!x]*", "b[0-9]"], "match(project_id, '^(a.[.][^x].*|b[0-9])$')"),
        (["a", "b*"], "project_id IN ('a') OR match(project_id, '^(b.*)$')"),
        (["x' OR '1'='1", "(", "a|b", "\\", "[", ""], NO_ROWS),
    ],
)
def test_row_filter_of_patterns(patterns: list[str], condition: str) -> None:
    """Patterns become conditions that need no escaping; what no project id can match adds nothing."""
    assert row_filter(patterns) == condition


def test_live_needs_nothing(stage: Any) -> None:
    """A process that answers lives, whatever it lacks."""
    stage.broker.connected = False

    assert stage.request("GET", "/health/live").json() == {"status": "ok"}


def test_ready_names_every_part(stage: Any) -> None:
    """200 when all are ok."""
    response = stage.request("GET", "/health/ready", headers={"Authorization": ""})

    assert response.status_code == 200
    assert response.json()["parts"] == dict.fromkeys(("broker", "registry", "outcomes", "database"), "ok")


def test_ready_names_what_is_wrong(stage: Any) -> None:
    """503 in the one shape, and each part that is not ok by name."""
    stage.broker.connected = False
    stage.database.answers["_One"] = Unavailable("the database does not answer")

    response = stage.request("GET", "/health/ready")
    assert response.status_code == 503
    assert {detail["field"] for detail in response.json()["details"]} == {
        "broker",
        "registry",
        "outcomes",
        "database",
    }
    assert response.json()["parts"]["database"] == "the database does not answer"


def test_metrics_count_requests(stage: Any) -> None:
    """By method and status; strange methods share a label."""
    stage.request("GET", "/nowhere")
    stage.request("BREW", "/nowhere")

    text = stage.request("GET", "/metrics").text
    assert 'fswire_api_requests_total{method="GET",status="404"}' in text
    assert 'fswire_api_requests_total{method="other",status="404"}' in text


@pytest.mark.parametrize(
    "path", ["/nowhere", "/2026-02-01/", "/2026-02-01/directory-monitor/a/b.json", "/v1/sql/", "/x//"]
)
def test_unknown_route_is_404_in_the_one_shape(stage: Any, path: str) -> None:
    """No redirect, no HTML."""
    response = stage.request("GET", path)

    assert (response.status_code, response.json()["code"]) == (404, "no_such_route")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/2026-02-01/directory-monitor/p.json", "POST, PUT"),
        ("HEAD", "/2026-02-01/directory-monitor/p.json", "POST, PUT"),
        ("DELETE", "/2026-02-01/directory-monitor/p.json", "POST, PUT"),
        ("OPTIONS", "/2026-02-01/directory-monitor/p.json", "POST, PUT"),
        ("GET", "/v1/sql", "POST"),
        ("POST", "/health/live", "GET, HEAD"),
    ],
)
def test_wrong_method_is_405_with_allow(stage: Any, method: str, path: str, allowed: str) -> None:
    """Without a key, too: routes are no secret."""
    response = stage.request(method, path, headers={"Authorization": ""})

    assert (response.status_code, response.headers["allow"]) == (405, allowed)


def test_document_describes_every_route(stage: Any) -> None:
    """Whatever is served, but for pages and the twins of `/v1`, is in the document, and the root names it."""
    document = stage.request("GET", "/openapi.json").json()
    root = stage.request("GET", "/").json()

    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    routes = [route for route in stage.app.routes if not route.path.startswith(("/pages", "/api/v1"))]
    served = {
        (path, method.lower())
        for route in routes
        for path in BELOW.get(route.path, [route.path])
        for method in (getattr(route, "methods", None) or {"GET"}) - {"HEAD"}
    }
    any_method = {route.path for route in routes if getattr(route, "methods", None) is None}
    with_slash = {path for path, _ in served if f"{path}/" in any_method}
    assert {(path, method) for path, method in served - described if path not in with_slash} == {
        ("/openapi.json", "get")
    }
    assert {(path, method) for path, method in described if path not in any_method} <= served
    assert len(root["routes"]) == len(described)
    assert document == openapi.document()


def test_document_refers_to_what_is_there() -> None:
    """Every schema that is named exists."""
    import json
    import re

    document = openapi.document()
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert named == set(document["components"]["schemas"])


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """FSWIRE_API_…; a value that cannot be is named."""
    monkeypatch.setenv("FSWIRE_API_PORT", "1234")
    assert ApiSettings().port == 1234

    monkeypatch.setenv("FSWIRE_API_PORT", "70000")
    with pytest.raises(ValidationError, match="port"):
        ApiSettings()


def test_settings_refuse_unknown_keys() -> None:
    """A misspelt setting is not ignored."""
    with pytest.raises(ValidationError):
        ApiSettings(prot=1)  # type: ignore[call-arg]


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logging is left as the other tests need it."""
    monkeypatch.setattr("agent.log.configure", lambda _: None)


@pytest.mark.usefixtures("quiet")
def test_taken_port_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The process says which port it cannot have, and ends with 1."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("FSWIRE_API_PORT", str(port))
        status = main()

    assert status == 1
    assert f"port {port}" in capsys.readouterr().err
    assert "FSWIRE_API_PORT" in taken_address(ApiSettings(port=port), OSError(98, "Address already in use"))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FSWIRE_API_PORT", "http"),
        ("FSWIRE_CLICKHOUSE_URL", "ftp://u:hush@h"),
        ("FSWIRE_API_MAX_BODY_BYTES", "1"),
    ],
)
def test_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    """The process says which setting is wrong, without a password, and ends with 1."""
    monkeypatch.setenv(name, value)

    assert main() == 1
    said = capsys.readouterr().err
    assert said.startswith(f"fswire api: {name}: ")
    assert "hush" not in said
