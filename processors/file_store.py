"""The known files of one partition on a worker's disk: what `fswire.files` says, more than memory holds.

Everything in it can be read again from the topic; a checkpoint tells up to where that was done, so that a
worker which had the partition before reads the rest only.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import msgspec
import structlog
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteOptions

_CHECKPOINT = b"\0checkpoint"
"""Before every key: no project's id is empty."""
_BUFFER_BYTES = 16 * 1024 * 1024
_CACHE_BYTES = 16 * 1024 * 1024
_FILTER_BITS = 10
"""Per key: one in a hundred of the paths that are not there is looked for on disk."""
_BUFFER_FILTER_SHARE = 0.05
"""Of the write buffer, for a filter of its own: most paths of a first scan are nowhere."""
_log = structlog.get_logger()


class StoreBusy(OSError):
    """Another process still has the store open."""


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """Up to which offset of the topic's partition the store has everything, and since when (Unix ns)."""

    offset: int
    saved_ns: int


class FileStore:
    """Entries by key, for one process at a time, between `open` and `close`."""

    def __init__(self, directory: Path, max_age_s: float) -> None:
        self.checkpoint: Checkpoint | None = None
        self._directory = directory
        self._max_age_s = max_age_s
        self._opened: Rdict | None = None

    def open(self) -> None:
        """Open what is there; what is older than `max_age_s` is cleared. Raises StoreBusy."""
        self._opened = _open(self._directory)
        self.checkpoint = self._load_checkpoint()
        if self.checkpoint and time.time_ns() - self.checkpoint.saved_ns > self._max_age_s * 1e9:
            self.clear()

    def close(self) -> None:
        """Let another process have it."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    @property
    def _database(self) -> Rdict:
        if self._opened is None:
            raise RuntimeError("the store is not open")
        return self._opened

    def get(self, keys: list[bytes]) -> list[bytes | None]:
        """Return the entry of each key."""
        if not keys:
            return []
        return cast(list[bytes | None], self._database.get(cast(list[Any], keys)))

    def below(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return keys and entries that begin with `prefix`, in order, from behind `after`."""
        found: list[tuple[bytes, bytes]] = []
        entries = self._database.iter()
        entries.seek(after + b"\0" if after else prefix)
        while entries.valid() and len(found) < limit:
            key = entries.key()
            if not key.startswith(prefix):
                break
            found.append((key, entries.value()))
            entries.next()
        return found

    def write(self, changes: Iterable[tuple[bytes, bytes | None]], offset: int | None) -> None:
        """Make changes, all or none; `offset`: the topic's next after them."""
        batch = WriteBatch(raw_mode=True)
        for key, entry in changes:
            if entry is None:
                batch.delete(key)
            else:
                batch.put(key, entry)
        if offset is not None:
            self.checkpoint = Checkpoint(offset, time.time_ns())
            batch.put(_CHECKPOINT, msgspec.json.encode(self.checkpoint))
        self._database.write(batch, _without_log())

    def clear(self) -> None:
        """Forget everything: it is to be read again."""
        self.close()
        shutil.rmtree(self._directory)
        self._opened = _open(self._directory)
        self.checkpoint = None

    def _load_checkpoint(self) -> Checkpoint | None:
        stored = self._database.get(_CHECKPOINT)
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(stored, type=Checkpoint) if stored else None
        return None


def _open(directory: Path) -> Rdict:
    """Open or make the database; one that is damaged is made anew. Raises StoreBusy."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        return Rdict(str(directory), _options())
    except Exception as error:
        if "lock" in str(error).lower():
            raise StoreBusy(f"{directory}: {error}") from error
        _log.warning("the local store is damaged, it is read again from the topic", error=str(error))
        shutil.rmtree(directory)
        return Rdict(str(directory), _options())


def _without_log() -> WriteOptions:
    """Return how everything is written: what a kill takes out of the buffer is read from the topic again.

    It takes the checkpoint of the same write with it: what is on disk is always the writes up to one of them.
    """
    options = WriteOptions()
    # a property, which its stub takes for a method
    options.disable_wal = True  # type: ignore[method-assign,assignment]
    return options


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_BUFFER_BYTES)
    options.set_memtable_prefix_bloom_ratio(_BUFFER_FILTER_SHARE)
    options.set_memtable_whole_key_filtering(True)
    options.set_keep_log_file_num(1)
    table = BlockBasedOptions()
    table.set_bloom_filter(_FILTER_BITS, block_based=False)
    table.set_block_cache(Cache(_CACHE_BYTES))
    options.set_block_based_table_factory(table)
    return options
