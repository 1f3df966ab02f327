"""Description of the routes for analysts."""

from __future__ import annotations

from api.openapi_form import BINARY, TEXT, Json, content, operation, record
from api.sql_formats import FORMATS, JSON

SCHEMAS: Json = {
    "Query": record(["query"], query={"type": "string", "description": "One SELECT, or EXPLAIN of one"}),
    "Result": record(
        ["columns", "rows", "row_count", "elapsed_ms"],
        columns={"type": "array", "items": record(["name", "type"], name=TEXT, type=TEXT)},
        rows={"type": "array", "items": {"type": "array"}},
        row_count={"type": "integer"},
        elapsed_ms={"type": "integer"},
    ),
}

_ANSWERS: Json = {}
for _name, _format in FORMATS.items():
    _ANSWERS |= content("Result" if _format is JSON else BINARY, _name)

PATHS: Json = {
    "/v1/sql": {
        "post": operation(
            "sql",
            "Read-only SQL, answered as Accept says",
            "Result",
            (400, 406, 408, 413, 415, 422),
            body="Query",
            responses={"200": {"description": "Success", "content": _ANSWERS}},
        ),
    },
}
