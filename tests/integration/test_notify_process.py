"""An api process as its settings have it: a certificate that was given, a bound on its watchers."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api.certificate import self_signed
from tests.integration import free_ports
from tests.integration.notify_client import SHOWN_S, asking, watching
from tests.integration.notify_stage import Api
from tests.integration.running import Stack


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key, as an operator gives it."""
    path = tmp_path_factory.mktemp("given") / "server.pem"
    path.write_bytes(self_signed(["given.example"]))
    return path


@pytest.fixture(scope="module")
def tls_port() -> int:
    return free_ports.pick()


@pytest.fixture(scope="module")
def small(
    stack: Stack, certificate: Path, tls_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """An api process with that certificate, for one watcher at one time."""
    environment = {"FSWIRE_API_TLS_CERTFILE": str(certificate), "FSWIRE_API_MAX_WATCHERS": "1"}
    api = Api(stack, tmp_path_factory.mktemp("small"), "--tls-port", str(tls_port), **environment)
    api.start()
    yield api
    api.stop()


def test_given_certificate_is_served(small: Api, certificate: Path, tls_port: int) -> None:
    """A client that trusts it, and nothing else, is served; one that does not know it is not."""
    trusting = ssl.create_default_context(cafile=str(certificate))
    url = f"https://127.0.0.1:{tls_port}/v1/version"

    assert httpx2.get(url, verify=trusting).json()["revision_id"].startswith("fswire ")
    with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx2.get(url, verify=ssl.create_default_context())


def test_watchers_are_bounded(stack: Stack, small: Api) -> None:
    """Streams and WebSockets are counted together; who leaves makes room."""
    watched = f"/{stack.project}"
    target = f"/v1/files/{quote(watched, safe='')}/notify"
    socket = small.url.replace("http", "ws", 1) + "/watch"
    with watching(small.url, watched, stack.admin_key):
        with asking(small.url, target, stack.admin_key) as refused:
            body = refused.body()
        with (
            pytest.raises(InvalidStatus) as denied,
            connect(socket, additional_headers={"Authorization": f"Bearer {stack.admin_key}"}),
        ):
            pass

    assert (refused.status, body["error_class"]) == (503, "fs_notify_too_many_watchers_error")
    assert denied.value.response.status_code == 503
    _await_room(small, target, stack.admin_key)


def _await_room(api: Api, target: str, key: str) -> None:
    """A client that left is noticed in its time."""
    deadline = time.monotonic() + SHOWN_S
    while time.monotonic() < deadline:
        with asking(api.url, target, key) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise AssertionError("the one who left still counts")
