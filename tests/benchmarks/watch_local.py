"""`fswire watch`: until its first `ok`, and from a change to its line beside inotifywait; the WebSocket."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from websockets.sync.client import connect

from tests.benchmarks.table import percentile, show
from tests.integration import running

STARTS = 20
CHANGES_PER_S = 200
CHANGES = 2_000
WATCHES = 5_000
DIRECTORIES = 500
FAN_OUTS = 200
_WATCH = [running.FSWIRE, "watch"]
Seen = dict[str, float]


def run(directory: Path) -> None:
    """Measure the command, then the WebSocket of a whole system, and print both tables."""
    starts = [_start_s(directory) * 1000 for _ in range(STARTS)]
    show(
        "`fswire watch` until its first `ok`, milliseconds",
        ("starts", "p50", "p99"),
        [(STARTS, percentile(starts, 0.5), percentile(starts, 0.99))],
    )
    show(
        f"from a file's making to its line, {CHANGES_PER_S} a second, milliseconds",
        ("", "changes", "p50", "p99"),
        _beside_inotifywait(directory / "tree"),
    )
    show(
        f"WebSocket `/watch`: {WATCHES:,} recursive watches of {DIRECTORIES} directories on one connection",
        ("", "seconds", "p50 ms", "p99 ms"),
        _sockets(directory / "stack"),
    )


def _start_s(directory: Path) -> float:
    began = time.perf_counter()
    with subprocess.Popen(_WATCH, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(_request(directory))
        process.stdin.flush()
        process.stdout.readline()
        took_s = time.perf_counter() - began
        process.stdin.close()
    return took_s


def _request(path: Path | str) -> bytes:
    return json.dumps({"type": "watch", "path": str(path), "recursive": True}).encode() + b"\n"


def _beside_inotifywait(tree: Path) -> Iterator[tuple[str, int, float, float]]:
    """Both watch the same tree, in one run: what slows the one slows the other."""
    tree.mkdir()
    peer = shutil.which("inotifywait")
    commands = {"`fswire watch`": (_WATCH, _request(tree), _path_of_change)}
    if peer is not None:
        arguments = [peer, "-q", "-m", "-r", "-e", "create", "--format", "%w%f", str(tree)]
        commands["inotifywait"] = (arguments, b"", lambda line: line.decode().strip())
    processes = {name: _watcher(*command) for name, command in commands.items()}
    _warm(tree, [seen for _, _, seen in processes.values()])
    made = _make(tree)
    for name, (process, reader, seen) in processes.items():
        _await(lambda seen=seen: made.keys() <= seen.keys())  # type: ignore[misc]
        process.terminate()
        reader.join()
        process.wait()
        late = [(seen[path] - moment) * 1000 for path, moment in made.items()]
        yield name, len(late), percentile(late, 0.5), percentile(late, 0.99)


def _watcher(
    command: list[str], request: bytes, path_of: Callable[[bytes], str]
) -> tuple[subprocess.Popen[bytes], threading.Thread, Seen]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(request)
    process.stdin.flush()
    seen: Seen = {}
    reader = threading.Thread(target=_read, args=(process, path_of, seen))
    reader.start()
    return process, reader, seen


def _read(process: subprocess.Popen[bytes], path_of: Callable[[bytes], str], seen: Seen) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        seen.setdefault(path_of(line), time.perf_counter())
    process.stdout.close()


def _path_of_change(line: bytes) -> str:
    return str(json.loads(line).get("path", ""))


def _warm(tree: Path, readers: list[Seen]) -> None:
    """Return when everybody watches."""
    while not all(any(path.startswith(f"{tree}/warm") for path in seen) for seen in readers):
        (tree / f"warm{time.perf_counter_ns()}").mkdir()
        time.sleep(0.05)


def _make(tree: Path) -> Seen:
    made: Seen = {}
    began = time.perf_counter()
    for number in range(CHANGES):
        time.sleep(max(0.0, began + number / CHANGES_PER_S - time.perf_counter()))
        path = tree / f"d{number}"
        made[str(path)] = time.perf_counter()
        path.mkdir()
    return made


def _await(done: Callable[[], bool], patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < deadline, "not everything was seen"
        time.sleep(0.01)


def _sockets(directory: Path) -> Iterator[tuple[str, float, float, float]]:
    """Place all watches, then make files one at a time: each is for the watches of one directory."""
    tree = directory / "tree"
    for number in range(DIRECTORIES):
        (tree / f"{number}").mkdir(parents=True)
    with running.up(directory / "data", f"bench={tree}", "--port", "0") as up:
        up.ready()
        endpoint = up.endpoint()
        headers = {"Authorization": f"Bearer {endpoint.admin_key}"}
        url = endpoint.api.replace("http", "ws", 1) + "/watch"
        with connect(url, additional_headers=headers, max_size=None) as socket:
            while _place(socket.send, socket.recv, [0]) != ["ok"]:
                pass
            socket.send('{"type":"unwatch","path":"/bench/0"}')
            socket.recv()
            began = time.perf_counter()
            answers = _place(socket.send, socket.recv, range(WATCHES))
            took_s = time.perf_counter() - began
            assert answers == ["ok"] * WATCHES
            late = [_fan_out_ms(tree / f"{number}" / "x", socket.recv) for number in range(FAN_OUTS)]
        up.stop()
    yield "all watches placed", took_s, 0.0, 0.0
    yield (
        f"a directory's making to the last of {WATCHES // DIRECTORIES} lines",
        sum(late) / 1000,
        percentile(late, 0.5),
        percentile(late, 0.99),
    )


def _place(
    send: Callable[[str], object], receive: Callable[[], str | bytes], numbers: Sequence[int]
) -> list[str]:
    watches = [
        {"type": "watch", "path": f"/bench/{number % DIRECTORIES}", "recursive": True} for number in numbers
    ]
    send(json.dumps(watches))
    return [answer["type"] for answer in json.loads(receive())]


def _fan_out_ms(path: Path, receive: Callable[[], str | bytes]) -> float:
    began = time.perf_counter()
    path.mkdir()
    for _ in range(WATCHES // DIRECTORIES):
        receive()
    return (time.perf_counter() - began) * 1000
