"""What the descriptions of all routes are made of: schemas, parameters, operations; errors have one shape."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

STATUSES = {
    400: "Not JSON, or not an object",
    401: "No or unknown key, no or wrong ingress token",
    403: "The key lacks the scope or is bound to other projects",
    404: "Unknown project",
    405: "Another method; Allow names those that there are",
    406: "Accept allows none of the media types of the answer",
    408: "The body, or the query, took too long",
    409: "The eventId is taken by other content",
    413: "Body too large",
    415: "Content-Type is not JSON",
    422: "Fields or parameters break a rule; each is named in details",
    429: "Too many requests of this key, or refusals of this address; Retry-After says when to go on",
    503: "Not possible right now; Retry-After says when to try again",
}
_RETRIABLE = (429, 503)
_RETRY_AFTER: Json = {
    "Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}, "required": True}
}

TEXT: Json = {"type": "string"}
FLAG: Json = {"type": "boolean"}
BINARY: Json = {"type": "string", "format": "binary"}
TIME: Json = {"type": "string", "format": "date-time"}


def record(required: list[str], **properties: Json) -> Json:
    """Return the schema of an object."""
    return {"type": "object", "required": required, "properties": properties}


def optional(schema: Json) -> Json:
    """Return the schema of what may be null as well."""
    return {"anyOf": [schema, {"type": "null"}]}


def schema(name: str) -> Json:
    """Return a reference to one of the document's schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def content(body: str | Json, media_type: str = "application/json") -> Json:
    """Return the content of a body: a schema, or the name of one."""
    return {media_type: {"schema": schema(body) if isinstance(body, str) else body}}


def parameter(name: str, place: str, kind: Json, description: str) -> Json:
    """Return a parameter in `path`, `query` or `header`."""
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": kind,
        "description": description,
    }


def refusals(*statuses: int, error: str = "Error") -> Json:
    """Return the responses of these statuses; `error` is the schema of their bodies."""
    return {str(status): _refusal(status, error) for status in sorted(statuses)}


def operation(
    name: str,
    summary: str,
    answer: str | Json,
    statuses: tuple[int, ...] = (),
    parameters: list[Json] | None = None,
    body: str | Json | None = None,
    error: str = "Error",
    **more: Any,
) -> Json:
    """Return an operation that needs a key.

    `answer` and `body` are JSON: a schema or the name of one. `statuses` are those beyond 401, 403, 429, 503;
    `error` is the schema of their bodies. `more` are further members of the operation, `responses` among
    them: those that are others than these.
    """
    responses: Json = {"200": {"description": "Success", "content": content(answer)}}
    responses |= refusals(401, 403, 429, 503, *statuses, error=error) | more.pop("responses", {})
    described: Json = {
        "operationId": name,
        "summary": summary,
        "parameters": parameters or [],
        "responses": responses,
        "security": [{"bearer": []}, {"basic": []}, {"apiKey": []}],
    }
    if body is not None:
        described["requestBody"] = {"required": True, "content": content(body)}
    return described | more


def plain(name: str, summary: str, *statuses: int) -> Json:
    """Return an operation that needs no key."""
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": "Success"}} | refusals(503, *statuses),
    }


def _refusal(status: int, error: str) -> Json:
    described: Json = {"description": STATUSES[status], "content": content(error)}
    return described | {"headers": _RETRY_AFTER} if status in _RETRIABLE else described
