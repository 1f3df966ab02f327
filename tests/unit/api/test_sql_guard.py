"""SQL of readers: what may run is written anew with row filters; everything else is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.sql_guard import QueryRefused, guard
from tests.unit.api.sql_corpus import attacks

FILTER = "project_id IN ('a')"

REFUSED = attacks("refused")
CONTAINED = attacks("contained")

ALLOWED = [
    "SELECT count() FROM events",
    "SELECT count(*) FROM events;",
    "select * from events limit 10",
    "SELECT path, lower(hex(sha256)) AS h FROM events WHERE event IN ('a', 'b') ORDER BY occurred DESC",
    "SELECT toStartOfHour(occurred) AS t, countIf(size > 10) FROM events GROUP BY t WITH TOTALS",
    "SELECT quantile(0.99)(dateDiff('millisecond', occurred, received)) FROM events",
    "SELECT quantiles(0.5, 0.9)(size), topK(3)(path), uniqExactIf(path, size > 1) FROM events",
    "WITH 1 AS x, y AS (SELECT path FROM events) SELECT x, path FROM y",
    "WITH y AS (SELECT 1 AS a), z AS (SELECT a FROM y) SELECT y.a FROM y JOIN z ON y.a = z.a",
    "SELECT argMax(path, size), multiIf(1, 2, 3) FROM events",
    "SELECT arrayMap(x -> x + 1, [1, 2]), [1, 2][1], tuple(1, 2).1, map('a', 1)['a']",
    "SELECT c FROM events ARRAY JOIN changed AS c PREWHERE size > 0 LIMIT 1 BY path",
    "SELECT row_number() OVER (PARTITION BY path ORDER BY occurred) FROM events",
    "SELECT e.path FROM events AS e LEFT JOIN (SELECT path FROM events) AS f ON e.path = f.path",
    "SELECT * EXCEPT (sha256) REPLACE (1 AS size) FROM events",
    "SELECT size::Float64, CAST(size AS String) FROM events",
    "SELECT if(size > 1, 'a', 'b'), CASE WHEN size > 1 THEN 1 ELSE 2 END FROM events",
    "SELECT now() - INTERVAL 1 DAY, today(), toDateTime64('2026-01-01 00:00:00', 6)",
    "SELECT path LIKE '%a\\_b%', match(path, '\\\\.py$'), position(path, 'x') FROM events",
    "SELECT count() FROM sessions",
    "SELECT 1 UNION ALL SELECT 2",
    "(SELECT 1) UNION ALL (SELECT 2)",
    "SELECT 1 FORMAT JSON",
    "SELECT DISTINCT event FROM events HAVING 1 QUALIFY 1",
    "SELECT size FROM events GROUP BY ROLLUP(size) ORDER BY size WITH FILL",
    "SELECT path FROM events WHERE (path, event) IN (SELECT path, event FROM events)",
    "SELECT /* a comment */ 1 -- and another",
    "EXPLAIN SELECT count() FROM events",
    "EXPLAIN indexes = 1 SELECT count() FROM events WHERE project_id = 'a'",
    "explain pipeline SELECT 1",
]


@pytest.mark.parametrize("sql", REFUSED)
@pytest.mark.parametrize("row_filter", [None, FILTER])
def test_attack_is_refused(sql: str, row_filter: str | None) -> None:
    """Files, other hosts, other tables, writes, settings and sleeping are refused for everyone."""
    with pytest.raises(QueryRefused):
        guard(sql, row_filter)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT path FRM events e", "line 1, at or before 'events'"),
        ("SELECT path\nFROM events\nWHERE a = = 3", "line 3, at or before '='"),
        ("SELECT path FROM events WHERE path = 'a", "a string, a quoted name or a comment has no end"),
        ("SELECT", "must name something to SELECT"),
        ("SELECT FROM events", "must name something to SELECT"),
        ("SELECT * FROM url('http://h')", "must not use the table function url"),
        ("SELECT * FROM event", "must not use the table event; there are activity, agents,"),
        ("SELECT * FROM system.tables", "must name its tables by their names alone: activity, agents,"),
        ("SELECT hostName()", "must not use the function hostName, only those that compute"),
        ("SHOW TABLES", "SELECT * FROM … LIMIT 0"),
        ("SELECT 1 SETTINGS max_threads = 1", "must not use SETTINGS"),
    ],
)
def test_refusal_says_what_to_change(sql: str, told: str) -> None:
    """To a stranger: the place, the word, and what there is instead."""
    with pytest.raises(QueryRefused) as refused:
        guard(sql, None)

    assert told in str(refused.value)


@pytest.mark.parametrize("sql", ALLOWED)
def test_ordinary_query_passes_and_passes_again(sql: str) -> None:
    """What analysts write is let through, and the text that runs is itself allowed."""
    safe = guard(sql, None)

    assert guard(safe, None)


@pytest.mark.parametrize("sql", [sql for sql in ALLOWED if "events" in sql])
def test_row_filter_stands_at_every_table(sql: str) -> None:
    """A bound reader's query reads each table through the filter, wherever it is named."""
    safe = guard(sql, FILTER)

    assert safe.count("FROM events PREWHERE project_id IN ('a')") == safe.count("FROM events") >= 1


def test_alias_of_filtered_table_is_kept() -> None:
    """Columns may still be qualified by the table's name or alias."""
    safe = guard("SELECT events.path, s.project_id FROM events, sessions AS s", FILTER)

    assert 'AS "events"' in safe
    assert "AS s" in safe


def test_subquery_name_never_becomes_a_table() -> None:
    """A WITH name is renamed to what no table can be called, so that out of its scope it is nothing."""
    safe = guard("SELECT * FROM (WITH t AS (SELECT 1) SELECT * FROM t) AS a, t", FILTER)

    assert safe.count('"cte t"') == 3


def test_format_is_dropped() -> None:
    """FORMAT is accepted and has no effect: the answer has one format."""
    assert guard("SELECT 1 FORMAT Vertical", None) == "SELECT 1"


@given(st.text(max_size=20))
def test_string_literal_cannot_be_left(text: str) -> None:
    """Whatever a string holds, in the text that runs it has no quote and no backslash but its escapes."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    try:
        safe = guard(f"SELECT '{escaped}'", None)
    except QueryRefused:
        return

    body = safe.removeprefix("SELECT '").removesuffix("'")
    assert "'" not in body
    assert "\\" not in body.replace("\\x", "")


@given(st.text(alphabet="SELECT FROMevents'\"`\\(),;*-/ xfile\n{}$[]=.0‘’“”#", max_size=60))
def test_any_text_is_answered(text: str) -> None:
    """No text makes the guard fail in another way than by refusing."""
    try:
        guard("SELECT " + text, FILTER)
    except QueryRefused as refused:
        assert str(refused)


_PIECES = [
    *(
        "SELECT",
        "FROM",
        "WHERE",
        "WITH",
        "AS",
        "JOIN",
        "ON",
        "UNION ALL",
        "IN",
        "ARRAY JOIN",
        "LIMIT 1",
        "FINAL",
    ),
    *(
        "events",
        "secret",
        "system.one",
        "x",
        "`x`",
        '"x"',
        "project_id",
        "*",
        "1",
        "'x'",
        "'\\'",
        "''",
        "‘",
        "’",
        "“",
    ),
    *(
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        ";",
        "->",
        "=",
        "--",
        "/*",
        "*/",
        "\n",
        "::",
        "?",
        ":",
        "#",
        "$$",
        "'",
        '"',
        "`",
    ),
    *(
        "file('/etc/passwd')",
        "sleep(1)",
        "count()",
        "arrayMap(",
        "file",
        "EXPLAIN",
        "FORMAT",
        "INTO OUTFILE 'x'",
    ),
]
_QUOTED = re.compile(r"'[^']*'|\"[^\"\\]*\"")
_OTHER_TABLE = re.compile(r"\b(?:FROM|(?<!ARRAY )JOIN) (?:secret|system)\b")
"""What stands behind ARRAY JOIN is an expression, never a table."""
_SAFE_CALL = re.compile(r"(?:file|sleep)\s*\(", re.IGNORECASE)


@given(st.lists(st.sampled_from(_PIECES), max_size=14))
def test_no_mixture_lets_a_call_or_a_table_through(pieces: list[str]) -> None:
    """What comes out has no forbidden call outside of quotes, no other table, the filter at each table."""
    try:
        safe = guard("SELECT " + " ".join(pieces), FILTER)
    except QueryRefused:
        return

    bare = _QUOTED.sub(lambda quoted: quoted[0][0] * 2, safe)
    assert "\\" not in bare, "a quoted name that ends elsewhere for the database"
    assert not _SAFE_CALL.search(bare)
    assert not _OTHER_TABLE.search(bare)
    assert bare.count("FROM events") == bare.count("FROM events PREWHERE project_id IN ('')")


@given(st.sampled_from(CONTAINED), st.integers(0, 200), st.sampled_from(_PIECES))
def test_attack_that_was_changed_is_answered(attack: str, place: int, piece: str) -> None:
    """Attacks with something put in are refused, or what they become is itself allowed."""
    try:
        safe = guard(f"{attack[:place]} {piece} {attack[place:]}", None)
    except QueryRefused:
        return

    assert guard(safe, None)
