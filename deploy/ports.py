"""Ports on 127.0.0.1: which are free, and free ones that a data directory can keep."""

from __future__ import annotations

import random
import socket

# Below the range from which Linux (32768) and the BSDs (49152) give ports to outgoing connections: a port
# kept for the next start is then not lost to one of them.
_RANGE = range(20_000, 32_000)


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket() as server:
        # As servers do: a port whose last connections are still being forgotten is free.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((host, port))
        except OSError:
            return False
    return True


def pick(taken: set[int]) -> int:
    """Return a free port that is not in `taken`, and add it there. Raises OSError when none is found."""
    for port in random.sample(_RANGE, 200):
        if port not in taken and is_free(port):
            taken.add(port)
            return port
    raise OSError(f"no free port found between {_RANGE.start} and {_RANGE.stop} on 127.0.0.1")


def keep_or_pick(wanted: int | None, taken: set[int]) -> int:
    """Return `wanted` if it can be had, else another free port; add it to `taken`."""
    if wanted is not None and wanted not in taken and is_free(wanted):
        taken.add(wanted)
        return wanted
    return pick(taken)
