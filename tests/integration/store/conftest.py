"""The databases that ClickHouse's HTTP interface is held to by: the store, and ClickHouse itself."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.conftest import CLICKHOUSE_IMAGE
from tests.integration.databases import Place, running_store
from tests.integration.lacking import cannot_start


@pytest.fixture(scope="package", params=["store", "clickhouse"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The store, and a real server where Docker can run one."""
    if request.param == "store":
        with running_store(tmp_path_factory.mktemp("contract") / "store") as store:
            yield store.place
    else:
        yield from _in_docker()


def _in_docker() -> Iterator[Place]:
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("a real ClickHouse needs Docker, which does not run here")
    from testcontainers.community.clickhouse import ClickHouseContainer

    try:
        with ClickHouseContainer(CLICKHOUSE_IMAGE, port=8123) as server:
            host, port = server.get_container_host_ip(), int(server.get_exposed_port(8123))
            yield Place(host, port, server.username, server.password)
    except OSError as error:
        cannot_start("ClickHouse in Docker", error)


@pytest.fixture
def client(database: Place) -> Iterator[Any]:
    """An unmodified clickhouse-connect client."""
    connected = database.connect()
    yield connected
    connected.close()


@pytest.fixture
def table(client: Any) -> str:
    """An empty table of its own."""
    name = f"t_{uuid4().hex}"
    client.command(
        f"CREATE TABLE {name} "
        "(a UInt64, b String, c Nullable(DateTime64(6, 'Asia/Tokyo')), d Array(LowCardinality(String)))"
        " ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"
    )
    return name
