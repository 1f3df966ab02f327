"""A thread hashes files; what it found is taken on another."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from agent.files import look
from agent.hash_queue import HashQueue, Job
from agent.hash_rate import HashRate
from agent.hashing import Digest, Hasher
from agent.own import OwnAccess
from agent.watches import Directory
from tests.unit.agent.watched import PATIENCE_S

_ROOT = Directory(None, b"", 1)


def _job(path: Path) -> Job:
    state = look(bytes(path))
    assert state is not None
    return Job((_ROOT, path.name.encode()), bytes(path), state)


def _next(queue: HashQueue, done: threading.Event) -> tuple[Job, Digest]:
    while not queue.ready():
        assert done.wait(PATIENCE_S)
        done.clear()
    taken = queue.take()
    assert taken is not None
    return taken


def test_digests_come_in_order(tmp_path: Path) -> None:
    """Each job is answered once, the first first."""
    done = threading.Event()
    jobs = []
    with HashQueue(Hasher(1000), OwnAccess(None), done.set) as queue:
        for name in ("a", "b"):
            (tmp_path / name).write_text(name)
            jobs.append(_job(tmp_path / name))
            queue.put(jobs[-1])
        taken = [_next(queue, done) for _ in jobs]

    assert [job for job, _ in taken] == jobs
    assert [digest.sha256 for _, digest in taken] == [hashlib.sha256(name).digest() for name in (b"a", b"b")]


def test_job_that_is_given_up_ends_soon(tmp_path: Path) -> None:
    """A hash that the rate would take an hour for ends as soon as nobody waits for it."""
    (tmp_path / "f").write_bytes(b"x" * 3600)
    done = threading.Event()
    with HashQueue(Hasher(5000, HashRate(1)), OwnAccess(None), done.set) as queue:
        job = _job(tmp_path / "f")
        queue.put(job)
        job.given_up.set()
        _, digest = _next(queue, done)

    assert (digest.status, digest.sha256) == ("unstable", None)


def test_end_gives_up_what_is_left(tmp_path: Path) -> None:
    """Leaving does not wait for an hour of hashing."""
    (tmp_path / "f").write_bytes(b"x" * 3600)
    with HashQueue(Hasher(5000, HashRate(1)), OwnAccess(None), lambda: None) as queue:
        job = _job(tmp_path / "f")
        queue.put(job)

    assert job.given_up.is_set()


def test_defect_of_the_thread_is_raised_where_digests_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that has died is not waited for: the process ends with its error."""
    (tmp_path / "f").write_bytes(b"x")
    done = threading.Event()

    def fail(*_: object) -> Digest:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Hasher, "digest", fail)
    with HashQueue(Hasher(100), OwnAccess(None), done.set) as queue:
        queue.put(_job(tmp_path / "f"))
        with pytest.raises(RuntimeError, match="a defect"):
            _next(queue, done)
