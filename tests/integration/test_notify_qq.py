"""The real `qq` (PyPI: qumulo_api), unmodified, over TLS: sign-in, change notify, what it asks for beside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.notify_client import SHOWN_S
from tests.integration.notify_stage import await_known
from tests.integration.running import Stack

QQ = str(Path(sys.executable).with_name("qq"))


class Qq:
    """The command line of one person, signed in to the stack."""

    def __init__(self, stack: Stack, home: Path) -> None:
        port = (stack.endpoint.tls_api or "").rpartition(":")[2]
        self._command = [QQ, "--host", "127.0.0.1", "--port", port]
        self._environment = {**os.environ, "HOME": str(home)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SHOWN_S,
            check=False,
        )

    @contextmanager
    def notified(self, shown: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run `fs_notify` with its output in a file; it ends as its standard input does."""
        with shown.open("wb") as output:
            command = [*self._command, "fs_notify", *arguments]
            with subprocess.Popen(
                command,
                env={**self._environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as watcher:
                try:
                    yield watcher
                    watcher.communicate(timeout=SHOWN_S)
                finally:
                    watcher.kill()


@pytest.fixture
def qq(stack: Stack, tmp_path: Path) -> Qq:
    """The client after its `login`."""
    client = Qq(stack, tmp_path)
    key_id, secret = stack.admin_key.split(".", 1)
    signed_in = client.run("login", "--username", key_id, "--password", secret)
    assert signed_in.returncode == 0, signed_in.stderr
    return client


def _until(shown: Path, pattern: str, again: Path | None = None) -> str:
    """Return what was shown once it matches; until then something happens in `again`: qq takes its time."""
    deadline = time.monotonic() + SHOWN_S
    while not re.search(pattern, text := shown.read_text(), re.DOTALL):
        assert time.monotonic() < deadline, text
        if again is not None:
            (again / uuid4().hex).mkdir()
        time.sleep(0.1)
    return text


def test_qq_shows_a_table_of_what_happens(stack: Stack, qq: Qq, tmp_path: Path) -> None:
    """`fs_notify --recursive` prints a line for each notification, as it happens, and ends cleanly."""
    place = stack.watched / f"qq-{uuid4().hex[:8]}"
    place.mkdir()
    await_known(stack, f"/{stack.project}/{place.name}")
    shown = tmp_path / "table"
    with qq.notified(shown, "--path", f"/{stack.project}/{place.name}", "--recursive") as watcher:
        _until(shown, "child_dir_added", again=place)
        (place / "deep").mkdir()
        _until(shown, "child_dir_added +deep ")
        (place / "deep" / "file").write_text("one")
        _until(shown, "child_file_added +deep/file ")
        (place / "deep" / "file").unlink()
        text = _until(shown, "child_file_removed +deep/file")

    assert text.splitlines()[0].split() == ["Type", "Path", "Stream", "Name"]
    assert watcher.returncode == 0, text


def test_qq_prints_json_of_filtered_types(stack: Stack, qq: Qq, tmp_path: Path) -> None:
    """With `--filter` and `--json`, not recursive: lists of the types asked for, by file id as well."""
    place = stack.watched / f"qq-{uuid4().hex[:8]}"
    (place / "dir").mkdir(parents=True)
    await_known(stack, f"/{stack.project}/{place.name}/dir")
    attributes = qq.run("fs_file_get_attr", "--path", f"/{stack.project}/{place.name}")
    identity = json.loads(attributes.stdout)["id"]
    shown = tmp_path / "json"
    types = ("child_dir_added", "child_dir_removed")
    with qq.notified(shown, "--id", identity, "--filter", *types, "--json"):
        _until(shown, "child_dir_added", again=place)
        (place / "dir" / "unseen").mkdir()
        (place / "file").write_text("filtered")
        (place / "dir" / "unseen").rmdir()
        (place / "dir").rmdir()
        _until(shown, '"path": "dir"')

    told = [each for notifications in json.loads(shown.read_text()) for each in notifications]
    assert {each["type"] for each in told} == set(types)
    assert told[-1] == {
        "type": "child_dir_removed",
        "path": "dir",
        "stream_name": None,
        "spine": told[-1]["spine"],
    }
    assert all("/" not in each["path"] for each in told)


def test_qq_finds_what_it_asks_for_beside(stack: Stack, qq: Qq) -> None:
    """Version, who am I, attributes, paths of ids, settings; a refusal in words."""
    place = f"/{stack.project}"
    version, me = qq.run("version"), qq.run("who_am_i")
    attributes = json.loads(qq.run("fs_file_get_attr", "--path", place).stdout)
    resolved = json.loads(qq.run("fs_resolve_paths", "--ids", "2", attributes["id"]).stdout)
    settings = json.loads(qq.run("fs_get_notify_settings").stdout)
    kept = json.loads(qq.run("fs_set_notify_settings", "--recursive-mode", "ENABLED").stdout)
    refused = qq.run("fs_file_get_attr", "--path", f"{place}/none")

    assert json.loads(version.stdout)["revision_id"].startswith("fswire ")
    assert stack.admin_key.split(".")[0] in me.stdout
    assert "directory_monitor:read" in me.stdout
    assert me.returncode == 0, me.stderr
    assert (attributes["path"], attributes["type"]) == (place, "FS_FILE_TYPE_DIRECTORY")
    assert resolved == [{"id": "2", "path": "/"}, {"id": attributes["id"], "path": place}]
    assert settings == kept == {"recursive_mode": "ENABLED"}
    assert "Error 404: fs_no_such_entry_error" in refused.stderr


def test_qq_is_refused_with_a_wrong_password(stack: Stack, tmp_path: Path) -> None:
    """A login with a wrong secret fails, and says so."""
    refused = Qq(stack, tmp_path).run("login", "--username", "nobody", "--password", "wrong")

    assert refused.returncode != 0
    assert "Error 401" in refused.stderr
