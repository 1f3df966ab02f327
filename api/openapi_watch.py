"""Description of the watch vocabulary's WebSocket, as far as OpenAPI knows one."""

from __future__ import annotations

from api.openapi_form import Json, refusals

SCHEMAS: Json = {}
PATHS: Json = {
    "/watch": {
        "get": {
            "operationId": "watch",
            "summary": "WebSocket: watch paths, be told of changes; messages are JSON, one a frame",
            "responses": {"101": {"description": "A WebSocket"}} | refusals(401, 403, 404, 429, 503),
            "security": [{"bearer": []}, {"basic": []}, {"apiKey": []}],
        },
    },
}
