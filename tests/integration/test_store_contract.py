"""ClickHouse's HTTP interface, held to by the store and by ClickHouse itself."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData

from deploy import store_codecs
from tests.integration.conftest import CLICKHOUSE_IMAGE, cannot_start
from tests.integration.databases import Place, running_store

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module", params=["store", "clickhouse"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The store, and a real server where Docker can run one."""
    if request.param == "store":
        with running_store(tmp_path_factory.mktemp("contract") / "store") as store:
            yield store.place
    else:
        yield from _in_docker()


def _in_docker() -> Iterator[Place]:
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("a real ClickHouse needs Docker, which does not run here")
    from testcontainers.community.clickhouse import ClickHouseContainer

    try:
        with ClickHouseContainer(CLICKHOUSE_IMAGE, port=8123) as server:
            host, port = server.get_container_host_ip(), int(server.get_exposed_port(8123))
            yield Place(host, port, server.username, server.password)
    except OSError as error:
        cannot_start("ClickHouse in Docker", error)


@pytest.fixture
def client(database: Place) -> Iterator[Any]:
    """An unmodified clickhouse-connect client."""
    connected = database.connect()
    yield connected
    connected.close()


@pytest.fixture
def table(client: Any) -> str:
    """An empty table of its own."""
    name = f"t_{uuid4().hex}"
    client.command(
        f"CREATE TABLE {name} "
        "(a UInt64, b String, c Nullable(DateTime64(6, 'Asia/Tokyo')), d Array(LowCardinality(String)))"
        " ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"
    )
    return name


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


@pytest.mark.parametrize(
    "format_name", ["JSON", "JSONCompact", "CSVWithNames", "TSVWithNamesAndTypes", "XML"]
)
def test_formats_with_a_frame_come_whole(database: Place, format_name: str) -> None:
    """Formats with a beginning and an end have each once, however many blocks lie between."""
    with database.http() as http:
        answer = http.post("/", content=f"SELECT number AS n FROM numbers(200000) FORMAT {format_name}")

    text = answer.text
    if format_name.startswith("JSON"):
        assert len(json.loads(text)["data"]) == 200_000
    else:
        frame = {"CSVWithNames": '"n"', "TSVWithNamesAndTypes": "UInt64", "XML": "</result>"}[format_name]
        assert (text.count(frame), text.count("199999")) == (1, 1)


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


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4", "br"])
def test_answers_are_compressed_on_request(database: Place, encoding: str) -> None:
    """Accept-Encoding with enable_http_compression compresses the answer."""
    with (
        database.http() as http,
        http.stream(
            "POST",
            "/",
            params={"enable_http_compression": "1"},
            content="SELECT number FROM numbers(100000) FORMAT TSV",
            headers={"Accept-Encoding": encoding},
        ) as answer,
    ):
        raw = b"".join(answer.iter_raw())

    decoder = store_codecs.decoder(answer.headers["Content-Encoding"])
    assert decoder is not None
    lines = (decoder.decode(raw) + decoder.finish()).split(b"\n")
    assert (len(lines), lines[99_999]) == (100_001, b"99999")


def test_bodies_may_be_compressed(database: Place, client: Any, table: str) -> None:
    """Content-Encoding of a body is undone."""
    body = gzip.compress(b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n')
    with database.http() as http:
        answer = http.post(
            "/",
            params={"query": f"INSERT INTO {table} FORMAT JSONEachRow"},
            content=body,
            headers={"Content-Encoding": "gzip"},
        )

    assert answer.status_code == 200, answer.text
    assert client.query(f"SELECT a, b FROM {table} ORDER BY a").result_rows == [(1, "x"), (2, "y")]


@pytest.mark.parametrize("method", ["LZ4", "ZSTD"])
def test_native_compression_works_both_ways(database: Place, client: Any, table: str, method: str) -> None:
    """`compress` and `decompress` are ClickHouse's own checked blocks."""
    encoder, decoder = store_codecs.BlockEncoder(method), store_codecs.BlockDecoder()
    with database.http() as http:
        http.post(
            "/",
            params={"query": f"INSERT INTO {table} (a, b) FORMAT TSV", "decompress": "1"},
            content=encoder.encode(b"1\tone\n2\ttwo\n"),
        ).raise_for_status()
        params = {"compress": "1", "network_compression_method": method}
        answer = http.post("/", params=params, content=f"SELECT a, b FROM {table} ORDER BY a FORMAT TSV")

    assert decoder.decode(answer.content) + decoder.finish() == b"1\tone\n2\ttwo\n"


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_clickhouse_connect_inserts_and_reads(database: Place, table: str, compress: str | bool) -> None:
    """Native inserts and answers of the Python client keep every value."""
    rows = [[number, f"r{number}", datetime(1950, 1, 1, tzinfo=UTC), ["a", "b"]] for number in range(70_000)]
    client = database.connect(compress=compress)

    client.insert(table, rows, column_names=["a", "b", "c", "d"])
    result = client.query(f"SELECT * FROM {table} ORDER BY a").result_rows

    client.close()
    assert len(result) == len(rows)
    assert result[69_999][2].astimezone(UTC) == datetime(1950, 1, 1, tzinfo=UTC)
    assert result[69_999][:2] + result[69_999][3:] == (69_999, "r69999", ["a", "b"])


def test_clickhouse_connect_reads_every_kind_of_type(client: Any) -> None:
    """The client asks for a later protocol revision: types of every shape are measured right."""
    row = client.query(
        """SELECT number, toString(number), [[toString(number)]], map('k', number), tuple(1, 'x'),
        toLowCardinality('l'), CAST(NULL AS Nullable(Int8)), toFixedString('ab', 2), toDecimal128('1.5', 3),
        CAST('a' AS Enum8('a' = 1)), [toLowCardinality(toNullable('n')), NULL],
        toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'), toIPv6('::1'),
        CAST((1, ['q']) AS Tuple(a UInt8, b Array(String))), toDate32('1925-01-01'), true, repeat('x', 300)
        FROM numbers(2)"""
    ).result_rows[1]

    assert row[:6] == (1, "1", [["1"]], {"k": 1}, (1, "x"), "l")
    assert row[6] is None
    assert row[10] == ["n", None]
    assert row[16] == "x" * 300


def test_parameters_are_bound(client: Any) -> None:
    """Parameters travel as text and arrive as their type, however long or odd."""
    text, long = "it's \t \\ \n é", "y" * 300_000
    parameters = {"a": text, "b": [1, 2], "c": long}

    row = client.query(
        "SELECT {a:String}, {b:Array(Int32)}, length({c:String})", parameters=parameters
    ).first_row

    assert tuple(row) == (text, [1, 2], 300_000)


def test_tables_may_come_with_a_query(client: Any) -> None:
    """A multipart form carries tables for one query."""
    data = ExternalData(file_name="given.csv", data=b"1,x\n2,y\n", fmt="CSV", structure="a UInt8, b String")

    rows = client.query(
        "SELECT * FROM given WHERE a > {m:UInt8}", parameters={"m": 1}, external_data=data
    ).result_rows

    assert rows == [(2, "y")]


def test_session_keeps_settings_and_temporary_tables(database: Place) -> None:
    """Within a session_id SET and temporary tables outlive a query; outside they do not."""
    client = database.connect(session_id=uuid4().hex)
    other = database.connect()
    try:
        client.command("SET max_block_size = 123")
        client.command("CREATE TEMPORARY TABLE kept (a Int8)")
        client.command("INSERT INTO kept VALUES (1), (2)")

        assert client.command("SELECT sum(a) FROM kept") == 3
        assert client.command("SELECT getSetting('max_block_size')") == 123
        with pytest.raises(DatabaseError):
            other.command("SELECT sum(a) FROM kept")
    finally:
        client.close()
        other.close()


def test_token_inserts_once(database: Place, client: Any, table: str) -> None:
    """A repeated insert_deduplication_token inserts nothing, by FORMAT and by input() alike."""
    settings = {"insert_deduplication_token": "t", "async_insert": 0}
    select = f"INSERT INTO {table} (a, b) SELECT x, y FROM input('x UInt64, y String') FORMAT JSONEachRow"
    with database.http() as http:
        for _ in range(2):
            http.post(
                "/", params={"query": f"INSERT INTO {table} (a) FORMAT TSV", **settings}, content=b"1\n2\n"
            ).raise_for_status()
        for _ in range(2):
            http.post(
                "/",
                params={"query": select, **settings, "insert_deduplication_token": "u"},
                content=b'{"x":3,"y":"q"}\n',
            ).raise_for_status()

    assert client.command(f"SELECT count() FROM {table}") == 3


def test_refused_row_inserts_nothing(database: Place, client: Any, table: str) -> None:
    """A row that does not parse takes the whole body with it."""
    with database.http() as http:
        answer = http.post(
            "/", params={"query": f"INSERT INTO {table} FORMAT JSONEachRow"}, content=b'{"a":1}\n{"a":"x"}\n'
        )

    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (400, "27")
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_large_answers_are_streamed(client: Any) -> None:
    """Many blocks come as one stream."""
    seen = 0
    with client.query_row_block_stream("SELECT number, toString(number) FROM numbers(1000000)") as stream:
        for block in stream:
            seen += len(block)

    assert seen == 1_000_000


def test_failure_after_the_first_byte_is_told(client: Any) -> None:
    """A query that fails while it streams ends with an exception that the client sees."""
    query = "SELECT throwIf(number = 5000000), number FROM numbers(10000000) SETTINGS max_threads = 1"

    with pytest.raises(StreamFailureError, match="395"), client.query_row_block_stream(query) as stream:
        for _ in stream:
            pass


def test_queries_run_in_parallel(database: Place) -> None:
    """A long query does not keep small ones waiting."""
    with database.http() as http, ThreadPoolExecutor(4) as threads:
        long = threads.submit(
            http.post, "/", content="SELECT sleepEachRow(0.5) FROM numbers(4) SETTINGS max_block_size = 1"
        )
        small = [http.post("/", content="SELECT 1").text for _ in range(10)]
        still_running = not long.done()

    assert small == ["1\n"] * 10
    assert still_running


def test_async_client_works(database: Place) -> None:
    """The asyncio client runs many queries at once."""

    async def ask() -> list[Any]:
        client = await clickhouse_connect.get_async_client(
            host=database.host, port=database.port, username=database.user, password=database.password
        )
        try:
            results = await asyncio.gather(*(client.query(f"SELECT {number}") for number in range(30)))
            return [result.first_row[0] for result in results]
        finally:
            await client.close()

    assert asyncio.run(ask()) == list(range(30))
