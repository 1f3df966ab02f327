"""The store as a process: what survives, and what it refuses."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.databases import PASSWORD, PATIENCE_S, StoreProcess, running_store

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_rows_survive_the_end_of_the_process(tmp_path: Path, number: signal.Signals) -> None:
    """What was answered is there after a restart, however the process ended."""
    with running_store(tmp_path / "store") as store:
        client = store.place.connect()
        client.command("CREATE TABLE kept (a Int32) ENGINE = MergeTree ORDER BY a")
        client.command("INSERT INTO kept VALUES (1), (2)")
        client.close()
        status = store.end(number)
        store.start()
        client = store.place.connect()
        count = client.command("SELECT count() FROM kept")
        client.close()

    assert count == 2
    assert status == (0 if number is not signal.SIGKILL else -signal.SIGKILL)


def test_second_process_on_a_directory_is_refused(tmp_path: Path) -> None:
    """One process per data directory; the message names directory and owner."""
    with running_store(tmp_path / "store") as store:
        second = StoreProcess(tmp_path / "store")
        second.log = tmp_path / "second.log"
        second.launch()
        status = second.process.wait(PATIENCE_S)
        said = second.log.read_text()
        owner = store.process.pid

    assert status == 1
    assert f"{tmp_path / 'store'} is in use by process {owner}" in said


def test_store_whose_port_is_taken_ends(tmp_path: Path) -> None:
    """The log has the address, the status is that of any refusal, and the directory is let go."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings = {"FSWIRE_STORE_PORT": str(port), "FSWIRE_STORE_DATA_DIR": str(tmp_path / "store")}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "deploy.command", "store"],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    assert done.returncode == 1
    assert f"('127.0.0.1', {port})" in done.stderr
    assert "Traceback" not in done.stderr


def test_client_that_hangs_up_stops_its_query(tmp_path: Path) -> None:
    """A query whose client is gone is killed, and the store goes on."""
    with running_store(tmp_path / "store") as store, store.place.http() as http:
        query = "SELECT sum(cityHash64(number)) FROM numbers(100000000000000)"
        with pytest.raises(TimeoutError), store.place.http() as leaving:
            _post_and_leave(leaving, query)
        running = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sum(cityHash64%'"
        # Each look waits on the server for a moment; the kill takes effect between two of the query's blocks.
        looks = (http.post("/", content=f"{running} AND NOT sleep(0.05)").text for _ in range(200))
        ended = "0\n" in looks

    assert ended


def _post_and_leave(client: object, query: str) -> None:
    import httpx2

    assert isinstance(client, httpx2.Client)
    try:
        client.post("/", content=query, timeout=1)
    except httpx2.TimeoutException:
        raise TimeoutError from None


def test_store_reachable_from_outside_needs_a_password(tmp_path: Path) -> None:
    """An address other than loopback without a password is refused."""
    environment = dict(os.environ, FSWIRE_STORE_HOST="0.0.0.0", FSWIRE_STORE_DATA_DIR=str(tmp_path / "store"))
    ended = subprocess.run(
        [sys.executable, "-c", "from deploy.store import main; main()"],
        env=environment,
        capture_output=True,
        text=True,
    )

    assert ended.returncode != 0
    assert "FSWIRE_STORE_PASSWORD" in ended.stderr


def test_password_is_never_logged(tmp_path: Path) -> None:
    """Neither a right nor a wrong password is in the log."""
    with running_store(tmp_path / "store") as store, store.place.http() as http:
        http.post("/", content="SELEC", params={"password": "wrong-one"}, auth=None)
        http.post("/", content="SELEC", auth=(store.place.user, "wrong-two"))
        store.end()
        said = store.log.read_text()

    assert all(secret not in said for secret in (PASSWORD, "wrong-one", "wrong-two"))


def test_engine_reaches_neither_files_nor_hosts(tmp_path: Path) -> None:
    """What a server would ask a grant for is refused, however it is written; no file is told."""
    told = tmp_path / "told.csv"
    told.write_text("a secret\n")
    with running_store(tmp_path / "store") as store, store.place.http() as http:
        queries = [
            f"SELECT * FROM file('{told}', 'LineAsString')",
            f"SELECT `file`('{told}')",
            f"SELECT * FROM '{told}'",
            f'SELECT * FROM "{told}"',
            f"SELECT * FROM default.`{told}`",
            f"DESCRIBE TABLE '{told}'",
            f"CREATE DATABASE files ENGINE = Filesystem('{tmp_path}')",
            f"SELECT * FROM url('{store.place.base}/ping', 'LineAsString')",
            f"SELECT * FROM s3('{store.place.base}/ping', 'LineAsString')",
        ]
        answers = [http.post("/", content=query) for query in queries]

    assert {answer.headers.get("X-ClickHouse-Exception-Code") for answer in answers} == {"291"}
    assert not any("a secret" in answer.text for answer in answers)
