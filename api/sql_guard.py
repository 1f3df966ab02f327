"""A user's SQL in, SQL that is safe to run out, or a refusal. Pure.

The query is parsed, everything in it is held against allow-lists, every table is replaced by the rows of it
that the reader may see, and what then runs is written anew from the parsed tree: nothing that was not
understood gets through. `readonly=1` alone would let scalar `file()`, `INTO OUTFILE` and
`DESCRIBE TABLE url(…)` pass.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.clickhouse import ClickHouseParser
from sqlglot.tokens import TokenType  # type: ignore[attr-defined]  # it is the documented place

from api.sql_grammar import (
    CLAUSES,
    CTE_PREFIX,
    EXPLAIN,
    HIGHER_ORDER,
    IN_ELEMENTS,
    NAME,
    NAMED_BY_READER,
    NODES,
    NUMBER,
    QUOTED,
    QUOTED_NAME,
    UNQUOTED,
)
from api.sql_names import TABLES, is_function, may_precede_parenthesis

# What it cannot parse it logs in full: that is the reader's text, and here it is refused anyway.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


_SHOWN_CHARS = 64
"""Of a name or a word that a message repeats."""


class QueryRefused(ValueError):
    """SQL that is not run; the message says what is not allowed in it."""


class _Parser(ClickHouseParser):
    # Functions stay what they were called: nothing is rewritten on the way through.
    FUNCTIONS: ClassVar[dict[str, Callable[..., exp.Expr]]] = {}


class _Generator(ClickHouse.Generator):  # type: ignore[misc, valid-type]  # made by a metaclass
    def literal_sql(self, expression: exp.Literal) -> str:
        return _quoted(expression.name) if expression.is_string else str(expression.name)


def guard(sql: str, row_filter: str | None, tables: frozenset[str] = TABLES) -> str:
    """Return the query as it may run.

    `sql` is one SELECT, or EXPLAIN of one, over `tables`. `row_filter` is a condition of our own on
    `project_id` that every row of every table must meet; None lets all rows through. QueryRefused says what
    is not allowed.
    """
    explain = EXPLAIN.match(sql)
    try:
        sql.encode()
        safe = _safe(_parse(sql[explain.end() :] if explain else sql), row_filter, tables)
        _read_again(safe)
    except QueryRefused:
        raise
    except Exception as error:  # noqa: BLE001  sqlglot raises anything on what it was not made for
        raise QueryRefused(f"cannot be read as one SELECT of ClickHouse's SQL{_where(error)}") from None
    return f"EXPLAIN {explain[1] or ''}{explain[2]} {safe}" if explain else safe


def _where(error: Exception) -> str:
    """Return the place that a parser complains of; what else it says is of its own insides."""
    if isinstance(error, TokenError):
        return ": a string, a quoted name or a comment has no end"
    if not isinstance(error, ParseError) or not error.errors:
        return ""
    found = error.errors[0]
    return f": line {found['line']}, at or before {str(found['highlight'])[:_SHOWN_CHARS]!r}"


def _safe(tree: exp.Expression, row_filter: str | None, tables: frozenset[str]) -> str:
    for node in tree.walk():
        _check(node)
    ctes = _rename_ctes(tree, tables)
    if row_filter is not None:
        _move_prewhere(tree)
    for table in list(tree.find_all(exp.Table)):
        _replace_table(table, ctes, row_filter, tables)
    return str(_Generator(dialect="clickhouse", comments=False).generate(tree))


def _read_again(safe: str) -> None:
    """Hold what was written against the rules: where it reads otherwise, ClickHouse may read it otherwise."""
    _check_text(safe)
    _check_calls(safe)
    for node in _parse(safe).walk():
        _check(node)


def _parse(sql: str) -> exp.Expression:
    dialect = ClickHouse()
    parsed = _Parser(dialect=dialect).parse(dialect.tokenize(sql), sql)
    statements = [tree for tree in parsed if tree is not None]
    if len(statements) != 1:
        raise QueryRefused("must be one statement")
    if not isinstance(statements[0], exp.Select | exp.SetOperation | exp.Subquery):
        raise QueryRefused(
            "must be a SELECT, or EXPLAIN of a SELECT; what columns a table has tells SELECT * FROM … LIMIT 0"
        )
    return statements[0]


def _check(node: exp.Expr) -> None:
    if not isinstance(node, NODES):
        raise QueryRefused(f"must not use {node.key}")
    if isinstance(node, exp.Select | exp.SetOperation | exp.Subquery):
        _check_clauses(node)
    elif isinstance(node, exp.Table):
        _check_table(node)
    elif isinstance(node, exp.From | exp.Join):
        _check_source(node)
    elif isinstance(node, exp.In):
        _check_in(node)
    elif isinstance(node, exp.With) and node.args.get("recursive"):
        raise QueryRefused("must not use WITH RECURSIVE")
    elif isinstance(node, NAMED_BY_READER):
        _check_function(node)
    elif isinstance(node, exp.Identifier | exp.Var):
        _check_name(node)
    elif isinstance(node, exp.Literal) and not node.is_string and not NUMBER.fullmatch(node.name):
        raise QueryRefused("must have numbers that are numbers")


def _check_clauses(query: exp.Expression) -> None:
    query.set("format", None)  # the answer has a format of its own
    if isinstance(query, exp.Select) and not query.expressions:
        raise QueryRefused("must name something to SELECT")
    for clause, value in query.args.items():
        if value and clause not in CLAUSES:
            raise QueryRefused(f"must not use {clause.upper()}")


def _check_table(table: exp.Table) -> None:
    given = {name for name, value in table.args.items() if value}
    if not isinstance(table.this, exp.Identifier):
        raise QueryRefused(f"must not use the table function {table.this.name[:_SHOWN_CHARS]}")
    if given - {"this", "alias", "joins"}:
        raise QueryRefused("must name its tables by their names alone: " + ", ".join(sorted(TABLES)))


def _check_source(node: exp.From | exp.Join) -> None:
    if isinstance(node, exp.Join) and node.kind == "ARRAY":
        return
    source = node.this.this if isinstance(node.this, exp.Final) else node.this
    if not isinstance(source, exp.Table | exp.Subquery):
        raise QueryRefused("must select from tables and subqueries")


def _check_in(node: exp.In) -> None:
    elements = [*node.expressions, node.args.get("field"), node.args.get("query")]
    for element in elements:
        while isinstance(element, exp.Paren):
            element = element.this
        if element is not None and not isinstance(element, IN_ELEMENTS):
            raise QueryRefused("must have values or a SELECT after IN, no name")


def _check_function(call: exp.Expr) -> None:
    name = call.name.lower()
    if not is_function(name):
        raise QueryRefused(_of_function(call.name))
    if name in HIGHER_ORDER and len(call.expressions) > 1 and not isinstance(call.expressions[0], exp.Lambda):
        raise QueryRefused(f"must give {call.name[:_SHOWN_CHARS]} a function of the form x -> …")


def _check_name(name: exp.Identifier | exp.Var) -> None:
    quoted = bool(name.args.get("quoted"))
    if not (QUOTED_NAME if quoted else NAME).fullmatch(name.name):
        raise QueryRefused(
            "must have names of ASCII letters, digits and _, or quoted ones without quotes, backslashes and "
            "control characters"
        )


def _rename_ctes(tree: exp.Expression, tables: frozenset[str]) -> set[str]:
    names: set[str] = set()
    for cte in tree.find_all(exp.CTE):
        if not cte.args.get("scalar"):
            names.add(cte.alias)
            cte.args["alias"].set("this", exp.to_identifier(CTE_PREFIX + cte.alias, quoted=True))
    if names & tables:
        raise QueryRefused("must not name a subquery like a table")
    return names


def _replace_table(table: exp.Table, ctes: set[str], row_filter: str | None, tables: frozenset[str]) -> None:
    name = table.name
    alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(name, quoted=True))
    if name in ctes:
        table.set("this", exp.to_identifier(CTE_PREFIX + name, quoted=True))
        table.set("alias", alias)
    elif name not in tables:
        raise QueryRefused(
            f"must not use the table {name[:_SHOWN_CHARS]}; there are " + ", ".join(sorted(tables))
        )
    elif row_filter is not None:
        final = "FINAL" if isinstance(table.parent, exp.Final) else ""
        # As WHERE it could be tried after the reader's own conditions, whose errors would tell of other rows:
        # "Cannot parse string 'their/secret' as UInt64".
        rows = sqlglot.parse_one(
            f"SELECT * FROM {name} {final} PREWHERE {row_filter}",  # noqa: S608  a known name, a condition of ours
            read="clickhouse",
        )
        whole = table.parent if isinstance(table.parent, exp.Final) else table
        whole.replace(exp.Subquery(this=rows, alias=alias, joins=table.args.get("joins")))


def _move_prewhere(tree: exp.Expression) -> None:
    """PREWHERE is for tables only, and these become subqueries; it means the same as WHERE."""
    for select in tree.find_all(exp.Select):
        prewhere = select.args.get("prewhere")
        if prewhere is not None:
            select.set("prewhere", None)
            select.where(prewhere.this, copy=False)


def _check_text(safe: str) -> None:
    """Nothing that the parser and ClickHouse could read differently is in the text that will run."""
    if not UNQUOTED.fullmatch(QUOTED.sub("", safe)):
        raise QueryRefused("must have nothing but SQL outside of strings")


def _check_calls(safe: str) -> None:
    """Whatever stands before a parenthesis in the text that will run is looked at once more, as text."""
    for word, quoted in _words_before_parenthesis(safe):
        if not (is_function(word) if quoted else may_precede_parenthesis(word)):
            raise QueryRefused(_of_function(word))


def _of_function(name: str) -> str:
    return (
        f"must not use the function {name[:_SHOWN_CHARS]}, only those that compute from their arguments alone"
    )


def _words_before_parenthesis(sql: str) -> Iterator[tuple[str, bool]]:
    tokens = ClickHouse.Tokenizer().tokenize(sql)
    for token, following in pairwise(tokens):
        word = token.text
        if following.token_type is TokenType.L_PAREN and (word[:1].isalpha() or word[:1] in ("_", "@", "$")):
            if token.token_type is TokenType.IDENTIFIER:
                yield word, True
            elif token.token_type not in (TokenType.STRING, TokenType.NUMBER):
                yield word.split()[-1], False  # of `GROUP BY` the last word


def _quoted(text: str) -> str:
    """Return a string literal that no reading of escapes can end early."""
    return (
        "'" + "".join(f"\\x{ord(char):02x}" if char in "'\\" or char < " " else char for char in text) + "'"
    )
