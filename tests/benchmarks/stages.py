"""CPU time of each stage of the normalizer, in one process without a broker: µs per event.

Every stage runs alone, over the same events; what a worker needs beyond their sum goes to its connections.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from agent.event import Batch
from processors import donutwork, notify, topics, watch
from processors.chunk import Chunk, RawRecord
from processors.decode import all_plain, decode
from processors.file_store import FileStore
from processors.origin import Origin
from processors.record_batch import Batches
from processors.state import Draft, State
from tests.benchmarks.history import batches
from tests.benchmarks.table import percentile, show

PROJECTS = 8
EVENTS = 200_000
BATCH = 500
CHUNK = 4
"""Batches of a chunk."""
RECEIVED_MS = 1_763_688_001_500
Result = TypeVar("Result")


class Stages:
    """Keeps what each stage took of each chunk, in seconds."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = {}

    def time(self, name: str, stage: Callable[[], Result]) -> Result:
        """Run a part of a stage, and note its CPU time."""
        began = time.thread_time()
        result = stage()
        self.taken.setdefault(name, []).append(time.thread_time() - began)
        return result

    def per_event_us(self) -> dict[str, float]:
        """Return what each stage takes where nobody else has the caches: the lower quartile of its parts."""
        return {
            name: percentile(taken, 0.25) * len(taken) / EVENTS * 1e6 for name, taken in self.taken.items()
        }


def run(directory: Path) -> None:
    """Measure, and print the table."""
    gc.freeze()
    gc.set_threshold(100_000)
    store = FileStore(directory / "files" / "0", 1e9)
    store.open()
    whole, parts = Stages(), Stages()
    beside = time.process_time() - time.thread_time()
    sizes: dict[str, tuple[int, int]] = {}
    state = State(1 << 40, 1 << 40, 1)
    raw = _raw()
    offset = 0
    while some := list(islice(raw, CHUNK)):
        offset = _chunk(whole, state, store, some, sizes, offset)
        for record in some:
            _vocabularies(parts, record, _decoded(record))
    store.close()
    beside = time.process_time() - time.thread_time() - beside
    _show(whole, parts, beside)
    show(
        "bytes/event of each topic",
        ("topic", "before", "compressed"),
        [(name, before / EVENTS, after / EVENTS) for name, (before, after) in sizes.items()],
    )


def _show(whole: Stages, parts: Stages, beside_s: float) -> None:
    stages = whole.per_event_us()
    show(
        f"normalizer: CPU by stage, {EVENTS:,} events of distinct paths in batches of {BATCH}",
        ("stage", "µs/event"),
        [
            *stages.items(),
            ("all of these", sum(stages.values())),
            ("threads of the local store", beside_s / EVENTS * 1e6),
            *((f"of decide and encode: {name}", each_us) for name, each_us in parts.per_event_us().items()),
        ],
    )


def _raw() -> Iterable[RawRecord]:
    each = [batches(f"project-{n}", f"agent-{n}", EVENTS // PROJECTS, BATCH) for n in range(PROJECTS)]
    turns = (value for turn in zip(*each, strict=True) for value in turn)
    return iter([RawRecord(offset, RECEIVED_MS, b"p", value) for offset, value in enumerate(turns)])


def _decoded(record: RawRecord) -> Batch:
    decoded = decode(record.value, 0, 1)
    assert isinstance(decoded, Batch)
    return decoded


def _chunk(
    stages: Stages,
    state: State,
    store: FileStore,
    some: list[RawRecord],
    sizes: dict[str, tuple[int, int]],
    offset: int,
) -> int:
    draft = Draft(state, store)
    chunk = Chunk(topics.RAW, 0, draft)

    def decide(record: RawRecord, batch: Batch) -> None:
        chunk.expect([(record, batch)])
        chunk.take(record, batch)

    for record in some:
        batch = stages.time("decode", partial(_decoded, record))
        stages.time("decide and encode", partial(decide, record, batch))
    files = stages.time("files", lambda: Batches(draft.files(some[0].offset, RECEIVED_MS)))
    stages.time("state", draft.records)
    outputs = chunk.outputs
    appended = {
        topics.DONUTWORK: outputs.donutwork,
        topics.WATCH: outputs.watch,
        topics.NOTIFY: outputs.notify,
        topics.FILES: files,
    }
    for name, made in appended.items():
        _append(stages, name, made, sizes)
    offset += len(files)
    draft.apply()
    stages.time(
        "local store",
        lambda: store.write(((key, entry) for key, entry, _, _ in draft.tree.changes()), offset),
    )
    return offset


def _append(stages: Stages, name: str, made: Batches, sizes: dict[str, tuple[int, int]]) -> None:
    before = sum(batch.size() for batch in made)
    stages.time(f"compression, {name}", lambda: [batch.compress() for batch in made])
    after = sum(len(each) for each in stages.time(f"checksums, {name}", lambda: _built(made)))
    known = sizes.get(name, (0, 0))
    sizes[name] = known[0] + before, known[1] + after


def _built(made: Batches) -> list[bytes]:
    return [batch._build() for batch in made]


def _vocabularies(stages: Stages, record: RawRecord, batch: Batch) -> None:
    origin = Origin(batch, record.timestamp_ms)
    events = batch.events
    stages.time("checks", lambda: all_plain(events))
    identities = [origin.event_id(batch.first_seq + index) for index in range(len(events))]
    stages.time(
        "donutwork",
        lambda: [
            donutwork.record(origin, event, identity, index)
            for index, (event, identity) in enumerate(zip(events, identities, strict=True))
        ],
    )
    stages.time("watch", lambda: [watch.records(origin.root, event) for event in events])
    stages.time("notify", lambda: [notify.record(origin.project, event) for event in events])
