"""What a query is, read from its text alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy import store_statement as statements
from deploy.store_errors import StoreError


@pytest.mark.parametrize(
    ("query", "kind", "format_name"),
    [
        (b"SELECT 1", "select", None),
        (b"/* a */ -- b\n select 1 format JSON", "select", b"JSON"),
        (b"SELECT 1 FORMAT Native SETTINGS max_threads = 1;", "select", b"Native"),
        (b"SELECT format FROM t", "select", None),
        (b"SELECT ' FORMAT CSV'", "select", None),
        (b"WITH x AS (SELECT 1) SELECT * FROM x", "select", None),
        (b"(SELECT 1) UNION ALL (SELECT 2) FORMAT TSV", "select", b"TSV"),
        (b"SET max_threads = 1", "session", None),
        (b"CREATE TEMPORARY TABLE t (a Int8)", "temporary", None),
        (b"CREATE TABLE t (a Int8) ENGINE = Memory", "other", None),
        (b"SHOW TABLES FORMAT CSV", "other", b"CSV"),
        (b"INSERT INTO a SELECT * FROM b", "other", None),
    ],
)
def test_read_classifies_statements(query: bytes, kind: str, format_name: bytes | None) -> None:
    """Kind and format come from the words outside of strings, comments and brackets."""
    statement = statements.read(query)

    assert (statement.kind, statement.format) == (kind, format_name)


@pytest.mark.parametrize(
    ("query", "text", "format_name", "data"),
    [
        (
            b'INSERT INTO t (format) FORMAT JSONEachRow\n{"a":1}',
            b"INSERT INTO t (format) ",
            b"JSONEachRow",
            b'{"a":1}',
        ),
        (b"INSERT INTO t FORMAT CSV \r\n\n1", b"INSERT INTO t ", b"CSV", b"\n1"),
        (b"INSERT INTO t VALUES (1), (';')", b"INSERT INTO t ", b"Values", b" (1), (';')"),
        (
            b"INSERT INTO t SETTINGS async_insert = 0 FORMAT Native\n\x00\xff'",
            b"INSERT INTO t SETTINGS async_insert = 0 ",
            b"Native",
            b"\x00\xff'",
        ),
    ],
)
def test_read_of_an_insert_finds_its_data(query: bytes, text: bytes, format_name: bytes, data: bytes) -> None:
    """Data begin after the FORMAT's line or after VALUES, and are never read as SQL."""
    statement = statements.read(query)

    assert (statement.kind, statement.text, statement.format) == ("insert", text, format_name)
    assert query[statement.data_at or 0 :] == data


@given(st.binary(max_size=200))
def test_read_never_looks_into_data(data: bytes) -> None:
    """Whatever bytes follow the FORMAT of an INSERT, they change nothing."""
    head = b"INSERT INTO t FORMAT RowBinary\n"

    statement = statements.read(head + data)

    assert (statement.kind, statement.data_at) == ("insert", len(head))


def test_with_input_file_replaces_input() -> None:
    """INSERT … SELECT … FROM input() reads the spooled body, whose place is quoted."""
    query = b"INSERT INTO t SELECT a FROM input('a String, b String') WHERE a != 'input(' FORMAT TSV\nx\ty"

    statement = statements.read(query)
    rewritten = statements.with_input_file(statement, "/tmp/it's")

    assert statement.kind == "insert_from_input"
    assert rewritten == (
        b"INSERT INTO t SELECT a FROM file('/tmp/it\\'s', 'TSV', 'a String, b String') WHERE a != 'input(' "
    )


@pytest.mark.parametrize(
    ("query", "rewritten"),
    [
        (b"SELECT 1", b"SELECT 1 INTO OUTFILE '/o' TRUNCATE FORMAT JSON"),
        (b"SELECT 1 FORMAT XML;", b"SELECT 1  INTO OUTFILE '/o' TRUNCATE FORMAT XML"),
    ],
)
def test_with_outfile_keeps_the_format_that_was_asked_for(query: bytes, rewritten: bytes) -> None:
    """The answer goes to our file in the query's format, or in the default one."""
    assert statements.with_outfile(statements.read(query), "/o", b"JSON") == rewritten


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (b"", 62),
        (b"  -- nothing", 62),
        (b"SELECT 1; SELECT 2", 62),
        (b"SELECT 1 INTO OUTFILE 'x'", 358),
        (b"INSERT INTO t FROM INFILE 'x' FORMAT CSV", 78),
        (b"SELECT * FROM file('/etc/passwd')", 291),
        (b"SELECT FILE ('/etc/passwd')", 291),
        (b"INSERT INTO t SELECT * FROM executable('x', TSV, 'a Int8')", 291),
        (b"SELECT `file`('/etc/passwd')", 291),
        (b"SELECT * FROM \"URL\" /* */ ('http://127.0.0.1/')", 291),
        (b"SELECT * FROM s3Cluster('c', 'http://127.0.0.1/')", 291),
        (b"SELECT * FROM remote('127.0.0.1', system.one)", 291),
        (b"CREATE DATABASE d ENGINE = Filesystem('/')", 291),
        (b"CREATE TABLE t (a Int8) ENGINE = URL('http://127.0.0.1/', TSV)", 291),
        (b"CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(HTTP(url 'http://127.0.0.1/' format TSV))", 291),
        (b"SELECT * FROM '/etc/passwd'", 291),
        (b"SELECT * FROM t, `/etc/passwd`", 291),
        (b'SELECT * FROM t JOIN "\\x2fetc\\x2fpasswd" ON 1', 291),
        (b"SELECT * FROM default.`/etc/passwd`", 291),
        (b"DESCRIBE TABLE '/etc/passwd'", 291),
        (b"INSERT INTO `/tmp/x` SELECT 1", 291),
        (b"CREATE TABLE t (a Int8) ENGINE = Kafka('127.0.0.1:9092', 'fswire.raw', 'g', 'JSONEachRow')", 291),
        (b"SELECT 1 AS INDEX, INDEX file('/etc/passwd')", 291),
    ],
)
def test_read_refuses_what_a_server_refuses(query: bytes, code: int) -> None:
    """Several statements, files of the server and empty queries get ClickHouse's own codes."""
    with pytest.raises(StoreError) as refused:
        statements.read(query)

    assert refused.value.code == code


@pytest.mark.parametrize(
    "query",
    [
        b"SELECT URLHierarchy(a) FROM t",
        b"SELECT 1 AS `a/b`, 'c/d'",
        b"SELECT a FROM t WHERE b IN ('/x')",
        b"CREATE TABLE t (a Int8, INDEX kafka (a) TYPE minmax) ENGINE = MergeTree ORDER BY a",
    ],
)
def test_read_takes_what_only_looks_like_a_file(query: bytes) -> None:
    """Other functions, aliases and strings may be called as they like."""
    assert statements.read(query).text == query


def test_kill_finds_a_query_by_the_id_of_its_client() -> None:
    """The engine knows the client's id by the end of the mark that each query runs under."""
    statement = statements.read(b"KILL QUERY WHERE query_id = 'an-id' AND user = 'query_id' SYNC")

    assert statement.text == (
        b"KILL QUERY WHERE substring(Settings['log_comment'], 33) = 'an-id' AND user = 'query_id' SYNC"
    )
    assert statement.kind == "other"
