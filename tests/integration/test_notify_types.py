"""All 24 types of change notify, each from a real file operation on a real disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import uuid4

import pytest

from api.notify_view import TYPES
from tests.held import held
from tests.integration.notify_client import SHOWN_S, Stream, watching
from tests.integration.notify_stage import await_known
from tests.integration.running import FSWIRE, Stack
from tests.unit.agent.attributes import ACCESS, NODUMP, READABLE_BY_1000, set_attribute, toggle_flag

ROOT = os.geteuid() == 0


class Agent:
    """The agent of one tree, stopped and started again."""

    def __init__(self, stack: Stack, directory: Path, project: str) -> None:
        self.tree = directory / "tree"
        self.tree.mkdir()
        self.project = project
        self._log = directory / "agent.log"
        self._environment = {
            **os.environ,
            "FSWIRE_AGENT_STATE_DIR": str(directory / "state"),
            "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it; return when it has looked at the tree."""
        with self._log.open("wb") as log:
            command = [FSWIRE, "agent", str(self.tree), "--project", self.project]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        deadline = time.monotonic() + SHOWN_S
        while '"started"' not in self._log.read_text():
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def held(self) -> AbstractContextManager[None]:
        """Stop it where it is: what the block does it sees at one time."""
        assert self._process is not None
        return held(self._process)

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(SHOWN_S)
            self._process = None


@pytest.fixture
def agent(stack: Stack, tmp_path: Path) -> Iterator[Agent]:
    """An agent with an empty tree and a project of its own."""
    project = f"types-{uuid4().hex[:8]}"
    assert stack.command("project", "create", project).returncode == 0
    made = Agent(stack, tmp_path, project)
    made.start()
    yield made
    made.stop()


class Teller:
    """What a stream has told; every step waits for its own types."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.told: set[str] = set()
        self.streams: list[tuple[str, str]] = []

    def tells(self, *types: str) -> None:
        """Return when all these types were told, since the call before."""
        missing = set(types)
        while missing:
            for each in self._stream.until(lambda event: isinstance(event.data, list)).data:
                missing.discard(each["type"])
                self.told.add(each["type"])
                if each["stream_name"] is not None:
                    self.streams.append((each["type"], each["stream_name"]))


@pytest.mark.skipif(not ROOT, reason="only root may give files away")
def test_every_type_comes_from_a_real_operation(stack: Stack, agent: Agent) -> None:
    """Names, content, times, owners, rights, flags and user attributes really change, and are told."""
    directory = agent.tree / "watched"
    directory.mkdir()
    await_known(stack, f"/{agent.project}/watched")
    file = directory / "file"
    with watching(stack.api, f"/{agent.project}/watched", stack.admin_key) as stream:
        teller = Teller(stream)
        file.write_bytes(b"one")
        teller.tells("child_file_added")
        _change_names(directory, teller)
        _change_content(file, teller)
        _change_attributes(file, teller)
        _change_streams(file, teller, agent)
        agent.stop()
        _replace(file)
        agent.start()
        teller.tells("child_btime_changed")
        shutil.rmtree(directory)
        teller.tells("self_removed")
        rest = stream.rest()

    assert teller.told == TYPES
    assert rest == []
    assert teller.streams == [
        ("child_stream_added", "kind"),
        ("child_stream_data_written", "kind"),
        ("child_stream_size_changed", "kind"),
        ("child_stream_moved_from", "kind"),
        ("child_stream_moved_to", "sort"),
        ("child_stream_removed", "sort"),
    ]


def _change_names(directory: Path, teller: Teller) -> None:
    (directory / "dir").mkdir()
    (directory / "dir").rename(directory / "moved")
    (directory / "moved").rmdir()
    teller.tells("child_dir_added", "child_dir_moved_from", "child_dir_moved_to", "child_dir_removed")
    (directory / "file").rename(directory / "other")
    (directory / "other").rename(directory / "file")
    (directory / "short").write_bytes(b"")
    (directory / "short").unlink()
    teller.tells("child_file_moved_from", "child_file_moved_to", "child_file_removed")


def _change_content(file: Path, teller: Teller) -> None:
    with file.open("ab") as written:
        written.write(b"and more")
    teller.tells("child_data_written", "child_size_changed", "child_mtime_changed")
    os.utime(file, (1_000_000_000, 1_100_000_000))
    teller.tells("child_atime_changed", "child_mtime_changed")


def _change_attributes(file: Path, teller: Teller) -> None:
    os.chown(file, 1234, -1)
    teller.tells("child_owner_changed")
    os.chown(file, -1, 1235)
    teller.tells("child_group_changed")
    file.chmod(0o640)
    teller.tells("child_acl_changed")
    set_attribute(file, ACCESS, READABLE_BY_1000)
    teller.tells("child_acl_changed")


def _change_streams(file: Path, teller: Teller, agent: Agent) -> None:
    # The kernel does not tell of flags: they are seen with the next change that it tells of.
    toggle_flag(file, NODUMP)
    set_attribute(file, "user.kind", b"a")
    teller.tells("child_extra_attrs_changed", "child_stream_added")
    set_attribute(file, "user.kind", b"abc")
    teller.tells("child_stream_data_written", "child_stream_size_changed")
    with agent.held():
        set_attribute(file, "user.sort", b"abc")
        os.removexattr(file, "user.kind")
    teller.tells("child_stream_moved_from", "child_stream_moved_to")
    os.removexattr(file, "user.sort")
    teller.tells("child_stream_removed")


def _replace(file: Path) -> None:
    """Put another file, with a birth time of its own, into the place."""
    file.unlink()
    file.write_bytes(b"another")
