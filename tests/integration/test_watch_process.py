"""`fswire watch` as a process: its messages, both dialects, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import FSWIRE
from tests.integration.watch_client import PATIENCE_S, LocalClient, local_client

pytestmark = pytest.mark.skipif(not Path("/proc/sys/fs/inotify").exists(), reason="there is no inotify here")


@pytest.fixture
def client() -> Iterator[LocalClient]:
    with local_client() as client:
        yield client


def test_batches(tmp_path: Path, client: LocalClient) -> None:
    """One array, in order; what follows a failure of a sequenced one is cancelled; none is none."""
    good = {"type": "watch", "path": str(tmp_path)}
    bad = {"type": "watch", "path": str(tmp_path / "missing")}

    plain = client.ask([good, bad, {"type": "version"}, {"type": "explode"}])
    sequenced = client.ask([good, bad, good], header={"sequence": True})

    assert [each["type"] for each in plain] == ["ok", "error", "version", "error"]
    assert [each.get("kind") for each in sequenced] == [None, "not_found", "interrupted"]
    assert client.ask([]) == []
    (tmp_path / "a").mkdir()
    assert client.changes() == [("create", str(tmp_path / "a"))] * 2


def test_the_seeds_own_form(tmp_path: Path, client: LocalClient) -> None:
    """Bare payloads in, bare payloads out; values that span lines, and two on one."""
    request = json.dumps(
        {"type": "watch", "path": str(tmp_path), "recursive": False, "only": [], "except": []}
    )
    client.send(json.dumps(json.loads(request), indent=4) + "\n")
    assert client.receive() == {"type": "ok"}

    (tmp_path / "a").mkdir()
    created = client.receive()
    client.send('{"type":"version"}{"type":"unwatch","path":"/nowhere"}\n')

    assert (created["type"], created["kind"], created["path"]) == ("change", "create", str(tmp_path / "a"))
    assert [client.receive()["type"], client.receive()["type"]] == ["version", "error"]


def test_bad_messages_are_answered_and_cost_no_other(client: LocalClient) -> None:
    """With the request's id where it can be read."""
    client.send('{"id": "x", "payload": {"type": oops}}\nhello\n{"id": "y", "payload": {"type": "nope"}}\n')

    first, second, third = client.receive(), client.receive(), client.receive()

    assert (first["origin_id"], first["payload"]["kind"]) == ("x", "invalid_data")
    assert (second["type"], second["kind"]) == ("error", "invalid_data")
    assert (third["origin_id"], third["payload"]["kind"]) == ("y", "invalid_input")
    assert client.messages() == []


def test_version(client: LocalClient) -> None:
    """It names fswire, the protocol and the one capability."""
    answer = client.ask({"type": "version"})

    assert answer["server_version"].startswith("fswire ")
    assert (answer["protocol_version"], answer["capabilities"]) == ("0.20.0", ["fs_watch"])


def test_a_client_of_distant(tmp_path: Path) -> None:
    """The greeting, `changed` and `close_write`, as its programs expect."""
    with local_client("--dialect", "distant") as client:
        assert client.receive() == {"type": "auth_initialization", "methods": ["none"]}
        client.send('{"type":"auth_initialization_response","methods":["none"]}\n')
        assert client.receive() == {"type": "auth_start_method", "method": "none"}
        assert client.receive() == {"type": "auth_finished"}
        client.watch(tmp_path, only=["close_write", "create"])
        (tmp_path / "a").write_text("x")

        messages = [message["payload"] for message in client.messages()]
    assert [(each["type"], each["kind"]) for each in messages] == [
        ("changed", "create"),
        ("changed", "close_write"),
    ]


def test_a_client_of_distant_that_skips_its_part(tmp_path: Path) -> None:
    """It is served all the same."""
    with local_client("--dialect=distant") as client:
        assert client.receive()["type"] == "auth_initialization"
        client.watch(tmp_path)
        (tmp_path / "a").mkdir()

        assert client.changes() == [("create", str(tmp_path / "a"))]


def test_the_end_of_input_ends_it_after_all_is_told(tmp_path: Path) -> None:
    """What was asked is answered, what has happened is told; the status is 0."""
    with local_client() as client:
        client.watch(tmp_path)
        (tmp_path / "a").mkdir()
        client.send('{"type":"version"}')

        assert client.end() == 0
        assert client.receive()["payload"]["kind"] == "create"
        assert client.receive()["type"] == "version"
        assert client.receive() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    """Cleanly, status 0, with input still open."""
    with local_client() as client:
        client.watch(tmp_path)
        client.process.send_signal(number)

        assert client.process.wait(PATIENCE_S) == 0


def test_it_ends_when_nobody_reads_any_more(tmp_path: Path) -> None:
    """A closed output is the end, and no error."""
    with local_client() as client:
        client.watch(tmp_path)
        assert client.process.stdout is not None
        client.process.stdout.close()
        (tmp_path / "a").mkdir()

        assert client.process.wait(PATIENCE_S) == 0


def test_descriptors_that_do_not_block(tmp_path: Path) -> None:
    """Whoever else has the pipe may have made it so: it is waited for, and no line is lost."""
    (requests, sending), (reading, answers) = os.pipe(), os.pipe()
    for each in (requests, answers):
        os.set_blocking(each, False)
    process = subprocess.Popen([FSWIRE, "watch"], stdin=requests, stdout=answers)
    os.close(requests)
    os.close(answers)
    with os.fdopen(sending, "wb", buffering=0) as asking, os.fdopen(reading, "rb") as told:
        asking.write(b'{"type":"version"}\n')
        first = told.readline()
        asking.write(b'{"type":"version"}\n' * 2_000)
        asking.close()

        assert first == told.readline()
        assert len(told.readlines()) == 1_999
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("redirected", "status", "said"),
    [
        ("<&-", 0, ""),
        (">&-", 0, ""),
        (">/dev/full", 1, "fswire watch: standard output: No space left on device\n"),
    ],
)
def test_input_and_output_that_are_none(redirected: str, status: int, said: str) -> None:
    """Closed ones are the end; an answer that cannot be written is an error that says why."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" watch {redirected}', FSWIRE],
        input='{"type":"version"}\n',
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert (done.returncode, done.stderr) == (status, said)


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    """Absolute paths do not need it."""
    gone = tmp_path / "gone"
    gone.mkdir()
    with local_client(cwd=gone) as client:
        gone.rmdir()
        client.watch(tmp_path)

        assert client.ask({"type": "watch", "path": "."})["kind"] == "not_found"
        assert client.unwatch("")["kind"] == "other"
        assert client.unwatch(tmp_path) == {"type": "ok"}


def test_a_loss_is_said_and_mended(tmp_path: Path, client: LocalClient) -> None:
    """More than the kernel keeps while it cannot read: each watch gets the error, then what it missed."""
    queued = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if queued > 100_000:
        pytest.skip(f"the kernel keeps {queued} events here")
    (tmp_path / "sub").mkdir()
    watched, other = client.watch(tmp_path, only=["create"]), client.watch(tmp_path / "sub")
    files = [tmp_path / f"{number}" for number in range(queued // 2 + 1_000)]
    client.process.send_signal(signal.SIGSTOP)
    for file in files:
        file.touch()
    client.process.send_signal(signal.SIGCONT)

    error = client.await_message(lambda payload: payload["type"] == "error")
    client.await_message(lambda payload: payload.get("path") == str(files[-1]))

    messages = [error, *client.messages()]
    errors = {each["origin_id"]: each["payload"] for each in messages if each["payload"]["type"] == "error"}
    assert set(errors) == {watched, other}
    assert errors[watched]["kind"] == "other"
    assert str(tmp_path) in errors[watched]["description"]
    assert "since" in errors[watched]["description"]
    created = {each["payload"]["path"] for each in messages if each["payload"].get("kind") == "create"}
    assert created == set(map(str, files))
