"""The data directory: held by one, remembers, keeps secrets to its owner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy import data_dir, endpoint
from deploy.data_dir import DataDirRefused, Memory

AT = endpoint.Endpoint(
    api="http://127.0.0.1:8080",
    tls_api=None,
    bootstrap_servers="127.0.0.1:9092",
    clickhouse="http://fswire:secret@127.0.0.1:8123",
    admin_key="key.secret",
)


def test_held_twice_names_the_one_who_holds_it(tmp_path: Path) -> None:
    """A second stack on the same directory is refused, with the pid of the first."""
    refused = pytest.raises(DataDirRefused, match=rf"\(pid {os.getpid()}\)")
    with data_dir.held(tmp_path), refused, data_dir.held(tmp_path):
        pass


def test_held_again_after_the_first_let_go(tmp_path: Path) -> None:
    """What was let go can be held."""
    with data_dir.held(tmp_path):
        pass

    with data_dir.held(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_held_makes_a_directory_for_its_owner(tmp_path: Path) -> None:
    """A new data directory is nobody else's."""
    with data_dir.held(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_held_file_is_refused(tmp_path: Path) -> None:
    """A file is no data directory; the message names it."""
    (tmp_path / "file").touch()

    with pytest.raises(DataDirRefused, match="file cannot be used"), data_dir.held(tmp_path / "file"):
        pass


def test_memory_comes_back(tmp_path: Path) -> None:
    """Ports and secrets are the same at the next start, and readable by their owner alone."""
    memory = Memory(ports={"api": 1234}, admin_key="key.secret")

    data_dir.keep(tmp_path, memory)

    assert data_dir.recall(tmp_path) == memory
    assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600


def test_memory_of_a_new_directory_has_a_password_of_its_own(tmp_path: Path) -> None:
    """No two stacks share a password."""
    assert data_dir.recall(tmp_path).clickhouse_password != data_dir.recall(tmp_path).clickhouse_password


def test_memory_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A broken file is named, never taken for an empty one."""
    (tmp_path / "stack.json").write_text("{")

    with pytest.raises(DataDirRefused, match=r"stack\.json cannot be read"):
        data_dir.recall(tmp_path)


def test_endpoint_is_for_its_owner_alone(tmp_path: Path) -> None:
    """The endpoint holds secrets: mode 0600, also where an older file was open to all."""
    (tmp_path / "endpoint.json").touch(mode=0o644)

    endpoint.write(tmp_path, AT)

    assert (tmp_path / "endpoint.json").stat().st_mode & 0o777 == 0o600
    assert endpoint.read(tmp_path) == AT


def test_endpoint_of_a_stopped_stack_is_missing(tmp_path: Path) -> None:
    """Where nothing runs, that is what is said."""
    endpoint.write(tmp_path, AT)
    endpoint.remove(tmp_path)

    with pytest.raises(DataDirRefused, match="no running system"):
        endpoint.read(tmp_path)
