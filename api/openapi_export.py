"""Description of the exports."""

from __future__ import annotations

from api import export
from api.export_formats import FORMATS
from api.export_query import MAX_ROWS
from api.openapi_donutwork import FILTERS, PROJECT, SAME_PROJECT
from api.openapi_form import BINARY, TEXT, Json, content, operation, parameter

SCHEMAS: Json = {}

_SPAN = [
    parameter("rows", "query", {"type": "integer", "minimum": 1, "maximum": MAX_ROWS}, "At most so many"),
    parameter("cursor", "query", TEXT, "`timestampUtc/eventId` of a row: go on behind it"),
]
_NEXT: Json = {
    "Link": {
        "description": "Where there may be more than `rows`: rel=next",
        "schema": TEXT,
        "required": False,
    }
}


def _operation(extension: str) -> Json:
    media_type = FORMATS[extension].media_type.partition(";")[0]
    answer: Json = {"description": "Newest first", "content": content(BINARY, media_type), "headers": _NEXT}
    return operation(
        f"export_{extension}",
        "History of any length as a file",
        BINARY,
        (404, 408, 422),
        [PROJECT, SAME_PROJECT, *_SPAN, *FILTERS],
        responses={"200": answer},
    )


PATHS: Json = {export.PATH + extension: {"get": _operation(extension)} for extension in FORMATS}
