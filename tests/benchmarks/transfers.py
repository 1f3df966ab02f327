"""A large file over loopback beside curl, and lists of the file monitor out of 100,000 transfers."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.http_client import Connection
from tests.benchmarks.table import percentile, show
from tests.integration import running

MEMORY = "/dev/shm"
"""A tmpfs: a disk would be what is measured."""
LARGE_BYTES = 1_000_000_000
SMALL_BYTES = 50_000_000
ROUNDS = 3
TRANSFERS = 100_000
AT_ONCE = 1_000
LISTS = 100
LIST = "/rundb/api/v1/filemonitor/"
QUERIES = (
    "limit=20",
    "limit=20&order_by=-updated",
    "limit=20&status__contains=Error&order_by=-updated",
    "limit=20&name__startswith=file-1&size__gt=500&order_by=name",
    "limit=20&offset=200&tags__iexact=B&order_by=-size",
)
FETCH = """
import resource, sys, time
from pathlib import Path
from agent.hash_rate import HashRate
from processors.transfer_download import Download
from processors.transfer_settings import TransferSettings
download = Download(Path(sys.argv[2]), TransferSettings(), HashRate(), lambda head: None,
                    allow_private=True, free_bytes=lambda: 1 << 50)
began = time.perf_counter()
download.run(sys.argv[1], "")
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run(directory: Path) -> None:
    """Fetch, then list, and print a table of each."""
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="fswire-bench-") as memory:
        rows = list(_fetched(Path(memory)))
    show(
        f"transfers: {LARGE_BYTES:,} bytes over loopback to a tmpfs; fswire's time includes SHA-256",
        ("client", "best MB/s", "of curl's", f"peak MB, {SMALL_BYTES:,} bytes", "peak MB"),
        rows,
    )
    show(
        f"file monitor: 20 of {TRANSFERS:,} transfers over HTTP, milliseconds",
        ("query", "p50", "p95"),
        list(_listed(directory)),
    )


def _fetched(memory: Path) -> Iterator[tuple[object, ...]]:
    large, small = (_file(memory, size) for size in (LARGE_BYTES, SMALL_BYTES))
    with _serving(large) as url, _serving(small) as small_url:
        took = [(_curl(url, memory / "curl"), _fswire(url, memory / "fswire")) for _ in range(ROUNDS)]
        _, small_kib = _fswire(small_url, memory / "fswire")
    curl_s = min(curl for curl, _ in took)
    fswire_s = min(seconds for _, (seconds, _) in took)
    large_kib = max(kib for _, (_, kib) in took)
    yield "curl", LARGE_BYTES / curl_s / 1e6, 1.0, "", ""
    yield "fswire", LARGE_BYTES / fswire_s / 1e6, curl_s / fswire_s, small_kib / 1024, large_kib / 1024


def _file(memory: Path, size: int) -> Path:
    path = memory / str(size)
    with path.open("wb") as file:
        for _ in range(size // 1_000_000):
            file.write(bytes(range(250)) * 4_000)
    return path


@contextmanager
def _serving(path: Path) -> Iterator[str]:
    """Serve a file by sendfile(2), which costs the machine as little as a server can."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_serve, args=(listening, path), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/file.bin"


def _serve(listening: socket.socket, path: Path) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        with client, path.open("rb") as file:
            client.recv(65_536)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % path.stat().st_size)
            client.sendfile(file)


def _curl(url: str, to: Path) -> float:
    program = shutil.which("curl")
    if program is None:
        sys.exit("this benchmark compares with curl, which is not there")
    began = time.perf_counter()
    subprocess.run([program, "--silent", "--output", str(to), url], check=True)
    return time.perf_counter() - began


def _fswire(url: str, to: Path) -> tuple[float, int]:
    """Return seconds and the peak of resident memory in KiB, of a process of its own."""
    said = subprocess.run([sys.executable, "-c", FETCH, url, str(to)], check=True, capture_output=True)
    seconds, kib = said.stdout.split()
    return float(seconds), int(kib)


def _listed(directory: Path) -> Iterator[tuple[object, ...]]:
    with running.up(directory / "data", "--port", "0") as up:
        up.ready()
        endpoint = up.endpoint()
        yield from asyncio.run(_measured(endpoint.api, endpoint.admin_key))
        up.stop()


async def _measured(api: str, key: str) -> list[tuple[object, ...]]:
    place = urlsplit(api)
    headers = {"Authorization": "ApiKey " + key.replace(".", ":", 1)}
    async with Connection(str(place.hostname), place.port or 80, headers) as connection:
        for first in range(0, TRANSFERS, AT_ONCE):
            body = json.dumps({"objects": [_object(number) for number in range(first, first + AT_ONCE)]})
            await _sent(connection, "PATCH", LIST, body.encode())
        return [await _timed(connection, query) for query in QUERIES]


async def _timed(connection: Connection, query: str) -> tuple[object, ...]:
    took_ms = []
    for _ in range(LISTS):
        began = time.perf_counter()
        await _sent(connection, "GET", f"{LIST}?{query}")
        took_ms.append((time.perf_counter() - began) * 1000)
    return query, percentile(took_ms, 0.5), percentile(took_ms, 0.95)


async def _sent(connection: Connection, method: str, path: str, body: bytes = b"") -> None:
    status, answer = await connection.request(method, path, body)
    if status not in (200, 202):
        raise AssertionError(f"{status} {answer}")


def _object(number: int) -> dict[str, object]:
    statuses = ("Complete", "Mine", "HTTP Error: 404 Not Found")
    scattered = number * 7919 % TRANSFERS
    return {
        "status": statuses[scattered % 3],
        "name": f"file-{scattered}.bin",
        "url": f"http://files.example/{scattered}/file-{scattered}.bin",
        "size": str(scattered),
        "tags": "abc"[scattered % 3],
    }
