"""Made-up histories for benchmarks: raw batches as an agent would send them, different paths and contents."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator

from agent.event import VERSION, Batch, Event, encode

_NAMES = ("app", "index", "models", "views", "README", "test_server", "config", "main", "session", "journal")
_ENDINGS = (
    ("py", "text/x-python"),
    ("md", "text/markdown"),
    ("json", "application/json"),
    ("c", "text/x-csrc"),
)


def event(number: int, random_: random.Random) -> Event:
    """Return a save of one of many files, with all that an agent knows of it (about 700 bytes of JSON)."""
    ending, filetype = random_.choice(_ENDINGS)
    directory = f"src/module_{number % 997}/{random_.choice(_NAMES)}"
    now = time.time_ns()
    return Event(
        kind="closeWrite",
        path=f"{directory}/{random_.choice(_NAMES)}_{number}.{ending}",
        time_ns=now,
        size=random_.randrange(1, 1 << 20),
        filetype=filetype,
        mtime_ns=now,
        mode=0o644,
        uid=1000,
        gid=1000,
        file_id=str(random_.getrandbits(63)),
        spine=["2", *(str(random_.getrandbits(63)) for _ in range(4))],
        sha256=hashlib.sha256(number.to_bytes(8, "big")).hexdigest(),
        previous_sha256=hashlib.sha256((number + 1).to_bytes(8, "big")).hexdigest(),
        hash_status="ok",
        changed=["data", "size", "mtime"],
        written=True,
    )


def batches(project: str, agent: str, events: int, size: int) -> Iterator[bytes]:
    """Yield encoded batches of `size` events of one agent, `events` in all."""
    random_ = random.Random(f"{project}/{agent}")
    for first in range(0, events, size):
        yield encode(
            Batch(
                v=VERSION,
                project=project,
                host=f"host-{agent}",
                sent_ns=time.time_ns(),
                agent=agent,
                epoch="benchmark",
                first_seq=first + 1,
                events=[event(number, random_) for number in range(first, min(first + size, events))],
            )
        )
