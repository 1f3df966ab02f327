"""Carries out what renames of large directories left to do: their files get their new keys, in steps.

Called between chunks: the chunk with the rename is committed, the next has not begun. Each step is
acknowledged before the next and can be repeated, so that a worker which takes over goes on where it ended.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

from processors import files
from processors.file_store import FileStore
from processors.record_batch import Record
from processors.tree import Move, carried

STEP_ENTRIES = 1_000


def steps(moves: Sequence[Move], store: FileStore) -> Iterator[list[tuple[bytes, bytes | None]]]:
    """Yield the changes of each step of the first move; the next is asked for once those before are stored.

    An entry goes right to where the moves behind the first take it: on the way a newer one may be.
    """
    source, _ = moves[0].ends()
    page = store.below(source, b"", STEP_ENTRIES)
    while page:
        changes: list[tuple[bytes, bytes | None]] = []
        for key, entry in page:
            if moves[0].takes(entry):
                changes.append((key, None))
                changes += filter(None, [carried(moves, key, entry)])
        yield changes
        page = store.below(source, page[-1][0], STEP_ENTRIES)


async def carry_out(
    moves: Sequence[Move], store: FileStore, append: Callable[[list[Record]], Awaitable[int | None]]
) -> None:
    """Re-key everything that the first of pending moves is about; `append` returns the topic's next offset.

    Raises KafkaError.
    """
    at = moves[0].at
    for changes in steps(moves, store):
        now_ms = time.time_ns() // 1_000_000
        records = [
            files.record(key, entry, None, at, now_ms, files.just_before(at)) for key, entry in changes
        ]
        store.write(changes, await append(records))


def complete(move: Move, store: FileStore, committed: int) -> Record:
    """Return the record that tells a subscriber that the topic is complete again up to the committed offset.

    It says once more what is known of the project's root.
    """
    root = files.key(move.source.partition("\0")[0], "")
    at = files.end_of(committed - 1)
    return files.record(root, store.get([root])[0], None, at, time.time_ns() // 1_000_000)
