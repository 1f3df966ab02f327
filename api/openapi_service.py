"""Description of what every service has: health, metrics, its name and routes."""

from __future__ import annotations

from api.openapi_form import TEXT, Json, plain, record

SCHEMAS: Json = {
    "Error": record(
        ["status", "error", "code", "details"],
        status={"const": "error"},
        error=TEXT,
        code=TEXT,
        details={"type": "array", "items": record(["field", "message"], field=TEXT, message=TEXT)},
    ),
}

PATHS: Json = {
    "/health/live": {"get": plain("live", "This process handles requests")},
    "/health/ready": {"get": plain("ready", "What it stands on answers")},
    "/metrics": {"get": plain("metrics", "Prometheus metrics")},
    "/": {"get": plain("root", "Name, version and routes")},
}
