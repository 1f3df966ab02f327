"""What a reader's query may be made of: clauses, nodes of the parsed tree, forms of names and numbers."""

from __future__ import annotations

import re

from sqlglot import exp

from api.sql_names import words

EXPLAIN = re.compile(
    r"\s*EXPLAIN\s+((?:SYNTAX|QUERY\s+TREE|PLAN|PIPELINE|ESTIMATE)\s+)?((?:[a-z_]+\s*=\s*[01]\s*,?\s*)*)"
    r"(?=SELECT\b|WITH\b|\()",
    re.IGNORECASE | re.ASCII,
)
CTE_PREFIX = "cte "
"""No table has a name with a space: what is not a CTE of this query can never turn into a table."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
QUOTED_NAME = re.compile(r"[^\\\"`'‘’“”\x00-\x1f]+")
"""ClickHouse reads a backslash in a quoted identifier as an escape, the parser does not: they would disagree
where the identifier ends."""
QUOTED = re.compile(r"""'(?:[^'\\]|\\x[0-9a-f]{2})*'|"[^"\\]*"|`[^`\\]*`""")
UNQUOTED = re.compile(r"(?!.*(?:--|/\*))[A-Za-z0-9_ .,()\[\]+*/%<>=!|:-]*")
"""All that may stand between strings and quoted names, comments not among it. ClickHouse takes ‘x’ for a
string and “x” for a name, where the parser sees letters: between two of them it would read as SQL what the
parser holds for a string."""
NUMBER = re.compile(r"[0-9][0-9A-Za-z_.+-]*|\.[0-9]+")
CLAUSES = words(
    """
    alias distinct expression expressions from_ group having joins kind limit offset on order prewhere qualify
    side this where windows with_
    """
)
"""Of a query, as sqlglot calls its arguments."""
NODES = (
    # queries and their clauses
    exp.Select, exp.SetOperation, exp.Subquery, exp.With, exp.CTE, exp.From, exp.Join, exp.Table,
    exp.TableAlias, exp.Final, exp.PreWhere, exp.Where, exp.Group, exp.Rollup, exp.Cube, exp.GroupingSets,
    exp.Having, exp.Qualify, exp.Order, exp.Ordered, exp.WithFill, exp.Limit, exp.LimitOptions, exp.Offset,
    exp.Distinct, exp.Window, exp.WindowSpec,
    # expressions
    exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Literal, exp.Boolean, exp.Null, exp.Binary,
    exp.Unary, exp.Predicate, exp.Func, exp.Tuple, exp.Bracket, exp.Interval, exp.Lambda, exp.Var,
    exp.DataType, exp.DataTypeParam,
)  # fmt: skip
NAMED_BY_READER = (exp.Anonymous, exp.AnonymousAggFunc)
HIGHER_ORDER = words(
    """
    arrayall arrayavg arraycompact arraycount arraycumsum arraydifference arrayexists arrayfill arrayfilter
    arrayfirst arrayfirstindex arraylast arraymap arraymax arraymin arrayproduct arrayreversesort arraysort
    arraysum
    """
)
"""Functions that take another: ClickHouse accepts a mere name for it, `arrayMap(file, …)`."""
IN_ELEMENTS = (
    exp.Literal, exp.Neg, exp.Null, exp.Boolean, exp.Tuple, exp.Func, exp.Subquery, exp.Select,
    exp.SetOperation,
)  # fmt: skip
"""A bare name after IN would be a table."""
