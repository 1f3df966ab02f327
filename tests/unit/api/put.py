"""The seed's own PUT, and the one shape of refusals."""

from __future__ import annotations

from typing import Any

import httpx2

PATH = "/2026-02-01/directory-monitor/proj_123.json"
SEED = {
    "projectId": "proj_123",
    "filename": "src/controllers/UserController.php",
    "event": "modified",
    "filesize": 4096,
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "uid": 1000,
    "pid": 4512,
}


def assert_error(response: httpx2.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """Every refusal has the one shape."""
    body: dict[str, Any] = response.json()
    assert response.status_code == status, body
    assert list(body)[:4] == ["status", "error", "code", "details"]
    assert body["status"] == "error"
    assert code is None or body["code"] == code
    return body
