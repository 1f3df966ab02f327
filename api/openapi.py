"""The OpenAPI document, by hand: the contracts' routes are plain ASGI, and all errors have one shape.

One module describes one subject by its `PATHS` and `SCHEMAS`; here they become the document.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from api import (
    openapi_donutwork,
    openapi_export,
    openapi_filemonitor,
    openapi_files,
    openapi_service,
    openapi_sql,
    openapi_watch,
)
from api.openapi_form import Json

SUBJECTS = (
    openapi_donutwork,
    openapi_export,
    openapi_sql,
    openapi_files,
    openapi_watch,
    openapi_filemonitor,
    openapi_service,
)

_SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "ID.SECRET"},
    "basic": {"type": "http", "scheme": "basic", "description": "ID and SECRET"},
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "ApiKey ID:SECRET",
    },
}


def document() -> Json:
    """Return the document that `/openapi.json` serves."""
    paths: Json = {}
    schemas: Json = {}
    for subject in SUBJECTS:
        paths |= subject.PATHS
        schemas |= subject.SCHEMAS
    return {
        "openapi": "3.1.0",
        "info": {"title": "fswire", "version": _version()},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
    }


def query_names() -> frozenset[str]:
    """Return the name of every query parameter that is described."""
    return frozenset(
        parameter["name"]
        for methods in document()["paths"].values()
        for operation in methods.values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    )


def _version() -> str:
    try:
        return version("fswire")
    except PackageNotFoundError:
        return "unknown"
