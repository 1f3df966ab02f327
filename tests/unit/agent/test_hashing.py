"""Content is hashed only where a hash means something."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from pathlib import Path

import pytest

from agent.files import State, look
from agent.hashing import Digest, Hasher


def _digest(path: Path, max_bytes: int = 1_000_000) -> Digest:
    state = look(bytes(path))
    assert state is not None
    return Hasher(max_bytes).digest(bytes(path), state)


def test_digest_of_a_file(tmp_path: Path) -> None:
    """The sha256 is that of the content."""
    (tmp_path / "f").write_bytes(b"content" * 100_000)

    digest = _digest(tmp_path / "f")

    assert (digest.status, digest.sha256) == ("ok", hashlib.sha256(b"content" * 100_000).digest())


def test_digest_above_the_limit(tmp_path: Path) -> None:
    """A file above `max_bytes` is not read."""
    (tmp_path / "f").write_bytes(b"12345")

    assert _digest(tmp_path / "f", 4).status == "too_large"
    assert _digest(tmp_path / "f", 5).status == "ok"
    assert _digest(tmp_path / "f", 0).status == "off"


def test_digest_of_what_is_no_regular_file(tmp_path: Path) -> None:
    """FIFOs, sockets, directories and links are never opened: a FIFO would block for ever."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))

        statuses = [_digest(tmp_path / name).status for name in ("fifo", "link", "socket", ".")]

    assert statuses == ["not_regular"] * 4


def test_digest_of_a_file_replaced_by_a_fifo(tmp_path: Path) -> None:
    """What was a file at the look and is a FIFO at the open neither blocks nor is read."""
    (tmp_path / "f").write_bytes(b"x")
    state = look(bytes(tmp_path / "f"))
    assert state is not None
    (tmp_path / "f").unlink()
    os.mkfifo(tmp_path / "f")

    assert Hasher(100).digest(bytes(tmp_path / "f"), state).status in ("vanished", "not_regular")


def test_digest_of_a_file_replaced_by_a_link(tmp_path: Path) -> None:
    """A link in the place of the file is not followed."""
    (tmp_path / "f").write_bytes(b"x")
    state = look(bytes(tmp_path / "f"))
    assert state is not None
    (tmp_path / "f").unlink()
    (tmp_path / "f").symlink_to("/etc/passwd")

    assert Hasher(100).digest(bytes(tmp_path / "f"), state).status == "not_regular"


def test_digest_of_another_file(tmp_path: Path) -> None:
    """Another file of the same name is not the one that was asked about."""
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "g").write_bytes(b"y")
    state = look(bytes(tmp_path / "f"))
    assert state is not None
    (tmp_path / "g").replace(tmp_path / "f")

    assert Hasher(100).digest(bytes(tmp_path / "f"), state).status == "vanished"


def test_digest_of_a_vanished_file(tmp_path: Path) -> None:
    """A file that is gone by now has no content to hash."""
    (tmp_path / "f").write_bytes(b"x")
    state = look(bytes(tmp_path / "f"))
    assert state is not None
    (tmp_path / "f").unlink()

    assert Hasher(100).digest(bytes(tmp_path / "f"), state) == Digest("vanished", None, state)


def test_digest_of_a_file_that_keeps_changing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After three attempts a file that changes under the reader is `unstable`."""
    path = tmp_path / "f"
    path.write_bytes(b"x")
    read = os.read

    def read_and_append(descriptor: int, count: int) -> bytes:
        block = read(descriptor, count)
        if block:
            with path.open("ab") as file:
                file.write(b"more")
        return block[:0] if len(block) < count else block

    state = look(bytes(path))
    assert state is not None
    monkeypatch.setattr("agent.hashing.os.read", read_and_append)
    digest = Hasher(1000).digest(bytes(path), state)

    assert (digest.status, digest.sha256) == ("unstable", None)


def test_digest_of_a_file_that_grows_past_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was small enough at the look and grows while it is read need not have an end."""
    path = tmp_path / "f"
    path.write_bytes(b"x" * 10)
    read = os.read

    def read_and_append(descriptor: int, count: int) -> bytes:
        with path.open("ab") as file:
            file.write(b"more" * 10)
        return read(descriptor, count)

    state = look(bytes(path))
    assert state is not None
    monkeypatch.setattr("agent.hashing.os.read", read_and_append)

    assert Hasher(20).digest(bytes(path), state).status == "too_large"


def test_digest_of_a_sparse_file(tmp_path: Path) -> None:
    """Holes are zeros, as for everyone who reads the file."""
    with (tmp_path / "f").open("wb") as file:
        file.seek(700_000)
        file.write(b"end")

    assert _digest(tmp_path / "f").sha256 == hashlib.sha256(bytes(700_000) + b"end").digest()


def test_digest_that_is_given_up(tmp_path: Path) -> None:
    """Whoever does not want it any more has it end with the block that is being read."""
    (tmp_path / "f").write_bytes(b"x")
    state = look(bytes(tmp_path / "f"))
    assert state is not None
    given_up = threading.Event()
    given_up.set()

    digest = Hasher(100).digest(bytes(tmp_path / "f"), state, None, given_up)

    assert (digest.status, digest.sha256) == ("unstable", None)


def test_look_tells_identity_of_a_renamed_file(tmp_path: Path) -> None:
    """Device, inode and birth time stay with a file whatever its name."""
    (tmp_path / "f").write_bytes(b"x")
    before = look(bytes(tmp_path / "f"))
    (tmp_path / "f").rename(tmp_path / "g")
    after = look(bytes(tmp_path / "g"))

    assert isinstance(before, State)
    assert isinstance(after, State)
    assert before.identity == after.identity
    assert look(bytes(tmp_path / "f")) is None
