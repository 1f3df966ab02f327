"""Keys and ingress tokens as commands change them, and as the running api sees it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import pytest

from tests.integration.monitoring import Monitor
from tests.integration.running import Stack

pytestmark = pytest.mark.stack
EVENTS = "/2026-02-01/systems/directory-monitor/{project}/events.json"


def _await(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    """Return when a condition holds, which the registry's readers see a moment after it was written."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ingress_token_rotates_with_an_overlap(stack: Stack) -> None:
    """Both open until the former one's time is over; then the new one alone."""
    project, former, new = f"rotate-{secrets.token_hex(4)}", secrets.token_hex(8), secrets.token_hex(8)
    assert stack.command("project", "create", project, "--ingress-token", "-", stdin=former).returncode == 0
    path = f"/2026-02-01/directory-monitor/{project}.json"
    event = {"projectId": project, "filename": "a", "event": "created", "filesize": 1}

    def status(token: str) -> int:
        return stack.send("PUT", path, event | {"ingressToken": token})[0]

    def rotate(*arguments: str) -> str:
        done = stack.command(
            "project", "rotate-token", project, "--ingress-token", "-", *arguments, stdin=new
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert (status(former), status(new)) == (200, 401)
    assert "counts until 20" in rotate("--overlap", "1h")
    _await(lambda: status(new) == 200)
    assert status(former) == 200
    listed = next(line for line in stack.command("project", "list").stdout.splitlines() if project in line)
    assert listed.count("T") == 2
    rotate("--overlap", "0s")
    rotate("--overlap", "0s")
    _await(lambda: status(former) == 401)
    assert status(new) == 200


def test_key_ends_when_it_is_told_to(monitor: Monitor) -> None:
    """`key expire` gives an end to a key that had none, `--expires-in` has one from the beginning."""
    stack = monitor.stack
    arguments = ("--project", "donut-*", "--scope", "directory_monitor:read")
    key = stack.command("key", "create", *arguments).stdout.strip()
    short = stack.command("key", "create", *arguments, "--expires-in", "1s").stdout.strip()
    path = EVENTS.format(project=monitor.project)

    assert stack.send("GET", path, key=key)[0] == 200
    _await(lambda: stack.send("GET", path, key=short)[0] == 401)
    expired = stack.command("key", "expire", key, "--in", "0s")
    assert expired.returncode == 0, expired.stderr
    _await(lambda: stack.send("GET", path, key=key)[0] == 401)
    listed = stack.command("key", "list").stdout
    assert key.partition(".")[2] not in listed
    assert expired.stdout.strip() in next(
        line for line in listed.splitlines() if key.partition(".")[0] in line
    )
    unknown = stack.command("key", "expire", "key_none", "--in", "1d")
    assert (unknown.returncode, unknown.stderr) == (1, "fswire: there is no key 'key_none'\n")
