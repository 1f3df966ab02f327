"""Requests and answers of ClickHouse's HTTP interface: who may ask, settings, errors, what an answer says."""

from __future__ import annotations

import json

import pytest

from tests.integration.databases import Place

pytestmark = pytest.mark.stack


def test_health_needs_no_password(database: Place) -> None:
    """Health checks answer Ok to anybody."""
    with database.http() as http:
        answers = [http.get(path, auth=("nobody", "x")).text for path in ("/ping", "/", "/replicas_status")]

    assert answers == ["Ok.\n"] * 3


def test_unknown_path_is_not_found(database: Place) -> None:
    """There is nothing behind other paths."""
    with database.http() as http:
        assert http.get("/nothing").status_code == 404


@pytest.mark.parametrize("way", ["basic", "headers", "url"])
def test_credentials_are_taken_in_three_ways(database: Place, way: str) -> None:
    """Basic authentication, ClickHouse's headers and the URL are all the same."""
    user, password = database.user, database.password
    headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password} if way == "headers" else {}
    params = {"user": user, "password": password} if way == "url" else {}
    with database.http() as http:
        answer = http.request(
            "GET",
            "/",
            params={"query": "SELECT 1", **params},
            headers=headers,
            auth=(user, password) if way == "basic" else None,
        )

    assert (answer.status_code, answer.text) == (200, "1\n")


def test_wrong_password_is_forbidden(database: Place) -> None:
    """A wrong password is 403 with code 516, and never shown."""
    with database.http() as http:
        answer = http.post("/", content="SELECT 1", auth=(database.user, "wrong-secret"))

    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
    assert "wrong-secret" not in answer.text


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("SELECT * FROM nothing_there", 404, 60),
        ("SELECT nothing_there", 404, 47),
        ("SELEC 1", 400, 62),
        ("SELECT 1; SELECT 2", 400, 62),
        ("SELECT toUInt8('x')", 400, 6),
        ("SELECT throwIf(1)", 500, 395),
        ("SELECT 1 FORMAT Nothing", 404, 73),
        ("SELECT 1 INTO OUTFILE 'x'", 500, 358),
        (
            "SELECT sum(cityHash64(number)) FROM numbers(1000000000000) SETTINGS max_execution_time = 0.1",
            408,
            159,
        ),
    ],
)
def test_errors_carry_clickhouse_codes(database: Place, query: str, status: int, code: int) -> None:
    """Status, header and text are those that clients parse."""
    with database.http() as http:
        answer = http.post("/", content=query)

    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert "(version " in answer.text


def test_answer_says_what_it_is(database: Place) -> None:
    """Query id, format, time zone, server and summary stand in headers."""
    with database.http() as http:
        answer = http.post(
            "/",
            params={"query_id": "an-id", "wait_end_of_query": "1"},
            content="SELECT number FROM numbers(3) FORMAT CSV",
        )

    assert answer.text == "0\n1\n2\n"
    assert answer.headers["X-ClickHouse-Query-Id"] == "an-id"
    assert answer.headers["X-ClickHouse-Format"] == "CSV"
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["X-ClickHouse-Timezone"]
    assert answer.headers["X-ClickHouse-Server-Display-Name"]
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["read_rows"] == "3"


def test_query_may_be_split_between_url_and_body(database: Place) -> None:
    """The URL's part comes first, then a line feed, then the body."""
    with database.http() as http:
        answer = http.post("/", params={"query": "SELECT 1 +"}, content="2 FORMAT TSV")

    assert answer.text == "3\n"


def test_get_cannot_write(database: Place, table: str) -> None:
    """GET implies readonly."""
    with database.http() as http:
        answer = http.get("/", params={"query": f"INSERT INTO {table} (a) VALUES (1)"})

    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"


def test_settings_hold_for_one_query(database: Place) -> None:
    """A setting of a query is gone after it, also where the query failed."""
    with database.http() as http:
        inside = http.post(
            "/", params={"max_block_size": "77"}, content="SELECT getSetting('max_block_size')"
        ).text
        http.post("/", params={"max_block_size": "77", "readonly": "1"}, content="SELECT throwIf(1)")
        after = http.post("/", content="SELECT getSetting('max_block_size'), getSetting('readonly')").text

    assert inside == "77\n"
    assert after.split() != ["77", "1"]
    assert after.split()[1] == "0"


def test_unknown_setting_is_not_found(database: Place) -> None:
    """A parameter that is neither the interface's nor a setting is refused."""
    with database.http() as http:
        assert http.post("/", params={"no_such": "1"}, content="SELECT 1").status_code == 404
