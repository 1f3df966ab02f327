"""`schema/` of the file monitor, and the root of its api: what each field is, in Tastypie's words."""

from __future__ import annotations

from typing import Any

from api.filemonitor_form import RESOURCE
from processors.transfer_filters import FIELDS

ROOT = "/rundb/api/v1/"
DEFAULT_LIMIT = 20
MAX_LIMIT = 1000
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
_NO_DEFAULT = "No default provided."
_HELP = {
    "string": 'Unicode string data. Ex: "Hello World"',
    "datetime": 'A date & time as a string. Ex: "2010-11-10T03:07:43"',
    "integer": "Integer data. Ex: 2673",
}
_ALL_LOOKUPS = 1
"""Tastypie's constant `ALL`."""


def _field(
    default: Any = "",
    kind: str = "string",
    *,
    nullable: bool = False,
    readonly: bool = False,
    blank: bool = False,
    unique: bool = False,
) -> dict[str, Any]:
    return {
        "blank": blank,
        "default": default,
        "help_text": _HELP[kind],
        "nullable": nullable,
        "readonly": readonly,
        "type": kind,
        "unique": unique,
    }


FIELDS_SHOWN = {
    "status": _field(),
    "updated": _field(True, "datetime", blank=True),
    "name": _field(),
    "created": _field(True, "datetime", blank=True),
    "url": _field(_NO_DEFAULT),
    "md5sum": _field(None, nullable=True),
    "celery_task_id": _field(blank=True),
    "local_dir": _field(),
    "progress": _field(0),
    "size": _field(None, nullable=True),
    "id": _field(kind="integer", blank=True, unique=True),
    "tags": _field(),
    "resource_uri": _field(_NO_DEFAULT, readonly=True),
}
"""As the reference of Torrent Server has them."""

SCHEMA: dict[str, Any] = {
    "allowed_detail_http_methods": [method.lower() for method in METHODS],
    "allowed_list_http_methods": [method.lower() for method in METHODS],
    "default_format": "application/json",
    "default_limit": DEFAULT_LIMIT,
    "fields": FIELDS_SHOWN,
    "filtering": dict.fromkeys(FIELDS, _ALL_LOOKUPS),
    "ordering": list(FIELDS),
}
ENDPOINTS = {"filemonitor": {"list_endpoint": RESOURCE, "schema": f"{RESOURCE}schema/"}}
"""What the root answers."""
