"""Description of the Donutwork routes."""

from __future__ import annotations

from api.donutwork import EVENTS, MAX_BULK_EVENTS, MONITOR
from api.event_form import MAX_EVENT_CHARS, MAX_INTEGER, MAX_NAME_CHARS
from api.history_query import DEFAULT_SIZE, MAX_PAGE, MAX_SIZE
from api.openapi_form import FLAG, TEXT, TIME, Json, content, operation, optional, parameter, record, schema

COUNT: Json = {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}
SHA256: Json = {"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"}
NAME: Json = {"type": "string", "maxLength": MAX_NAME_CHARS}
EVENT: Json = {"type": "string", "minLength": 1, "maxLength": MAX_EVENT_CHARS}
PATH: Json = {"type": "string", "minLength": 1, "maxLength": 4096}
EVENT_ID: Json = {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,128}$"}

SCHEMAS: Json = {
    "Start": record([], ingressToken=optional(TEXT), projectId=optional(TEXT)),
    "Started": record(["status", "projectId"], status={"const": "success"}, projectId=TEXT),
    "Event": record(
        ["projectId", "filename", "event", "filesize"],
        projectId=TEXT,
        filename=PATH,
        event=EVENT,
        filesize=COUNT,
        filetype=optional(NAME),
        sha256=optional(SHA256),
        uid=optional(COUNT),
        pid=optional(COUNT),
        timestampUtc=optional(TIME),
        eventId=optional(EVENT_ID),
        renamedTo=optional(PATH),
        host=optional(NAME),
        ingressToken=optional(TEXT),
    ),
    "Events": {"type": "array", "maxItems": MAX_BULK_EVENTS, "items": schema("Event")},
    "Ingested": record(
        ["status", "eventId", "projectId", "inserted", "workflowTriggered"],
        status={"const": "success"},
        eventId=EVENT_ID,
        projectId=TEXT,
        inserted=FLAG,
        workflowTriggered=FLAG,
    ),
    "Answers": {"type": "array", "items": schema("Answer")},
    "Answer": {
        "description": "What the event at the same place of the list would have been answered alone",
        "allOf": [
            record(["statusCode"], statusCode={"type": "integer", "description": "HTTP status"}),
            {"anyOf": [schema("Ingested"), schema("Error")]},
        ],
    },
    "History": record(
        ["status", "projectId", "page", "size", "count", "items"],
        status={"const": "fetch"},
        projectId=TEXT,
        page={"type": "integer"},
        size={"type": "integer"},
        count=COUNT,
        items={"type": "array", "items": schema("Item")},
        next={"type": "string", "description": "Cursor of the next page; missing on the last"},
    ),
    "Item": record(
        ["eventId", "projectId", "filename", "event", "filesize", "timestampUtc", "receivedAt", "duplicate",
         "host", "workflows"],
        eventId=TEXT, projectId=TEXT, filename=TEXT, event=TEXT, filesize=COUNT, timestampUtc=TIME,
        receivedAt=TIME, duplicate=FLAG, host=TEXT,
        workflows={"type": "array", "items": schema("WorkflowRun")},
    ),
    "WorkflowRun": record(
        ["name", "state"],
        name=TEXT,
        state={"enum": ["queued", "running", "succeeded", "failed"]},
    ),
}  # fmt: skip

PROJECT = parameter("project", "path", TEXT, "Project id")
SAME_PROJECT = parameter("projectId", "query", TEXT, "As in the path, where it is given")
_TOKEN = parameter("X-Directory-Monitor-Token", "header", TEXT, "Ingress token, where the project has one")
_PAGE = {"type": "integer", "minimum": 1}
FILTERS = [
    parameter("event", "query", EVENT, "Only events of this name"),
    parameter("pathLike", "query", TEXT, "Literal, case-sensitive part of the old or new name"),
    parameter("from", "query", TIME, "Happened at or after this time"),
    parameter("to", "query", TIME, "Happened before this time"),
    parameter("sha256", "query", SHA256, "Only this content"),
    parameter("host", "query", NAME, "Only events of this host"),
]
_PAGING = [
    parameter("size", "query", _PAGE | {"maximum": MAX_SIZE, "default": DEFAULT_SIZE}, "Items a page"),
    parameter("page", "query", _PAGE | {"maximum": MAX_PAGE, "default": 1}, "From 1"),
    parameter("cursor", "query", TEXT, "The `next` of an answer to the same query"),
]
_WRITE = (400, 404, 408, 409, 413, 415, 422)
_write = [PROJECT, SAME_PROJECT, _TOKEN]

PATHS: Json = {
    MONITOR: {
        "post": operation("start", "Start a session", "Started", _WRITE, _write)
        | {"requestBody": {"required": False, "content": content("Start")}},
        "put": operation(
            "ingest",
            "Ingest one event, or a list of events",
            {"anyOf": [schema("Ingested"), schema("Answers")]},
            _WRITE,
            _write,
            {"anyOf": [schema("Event"), schema("Events")]},
            responses={
                "207": {
                    "description": "Of a list: not every event was ingested; each answer has its statusCode",
                    "content": content("Answers"),
                }
            },
        ),
    },
    EVENTS: {
        "get": operation(
            "history", "Paged history", "History", (404, 422), [PROJECT, SAME_PROJECT, *_PAGING, *FILTERS]
        ),
    },
}
