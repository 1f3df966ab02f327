"""Thousands of change-notify streams read by one loop, in a process of its own: when each event arrived.

A line on standard output says that all streams have begun; once all deliveries have arrived, or standard
input has ended, follows what arrived, as JSON.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from urllib.parse import quote

_EVENT = re.compile(rb'"path":"e(\d+)"')
_BEGUN = b": watching\n"
_TAKE_BYTES = 256 * 1024


def main() -> None:
    """Open `streams` streams on directories in turn, note every arrival, print latencies of each event."""
    asked = json.loads(sys.stdin.readline())
    poll = select.epoll()
    streams: dict[int, socket.socket] = {}
    for number in range(asked["streams"]):
        stream = _open(asked, asked["directories"][number % len(asked["directories"])])
        streams[stream.fileno()] = stream
        poll.register(stream, select.EPOLLIN)
    print("begun", flush=True)
    poll.register(sys.stdin, select.EPOLLIN)
    arrived: list[tuple[int, float]] = []
    while len(arrived) < asked["deliveries"] and _take(poll, streams, arrived):
        pass
    json.dump(arrived, sys.stdout)


def _open(asked: dict[str, str], directory: str) -> socket.socket:
    stream = socket.create_connection((asked["host"], int(asked["port"])))
    target = f"/v1/files/{quote(directory, safe='')}/notify"
    head = f"GET {target} HTTP/1.1\r\nHost: {asked['host']}\r\nAuthorization: Bearer {asked['key']}\r\n\r\n"
    stream.sendall(head.encode())
    got = b""
    while _BEGUN not in got:
        more = stream.recv(4096)
        if not more:
            raise RuntimeError(f"no stream of {directory}: {got.decode(errors='replace')}")
        got += more
    stream.setblocking(False)
    return stream


def _take(poll: select.epoll, streams: dict[int, socket.socket], arrived: list[tuple[int, float]]) -> bool:
    """Read what is there; False once standard input has ended. An event is never split: it is one write."""
    for descriptor, _ in poll.poll():
        stream = streams.get(descriptor)
        if stream is None:
            return False
        got = stream.recv(_TAKE_BYTES)
        now = time.monotonic()
        if not got:
            raise RuntimeError("a stream ended")
        arrived.extend((int(number), now) for number in _EVENT.findall(got))
    return True


if __name__ == "__main__":
    main()
