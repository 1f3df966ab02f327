"""A completed transfer is a file-system event like any other: whoever follows its project is told of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import ClientConnection, connect

from agent.kafka import KafkaSettings
from processors import credentials, registry
from processors.workflow import Action, ToTopic, Workflow
from tests.integration.fetching import PROJECT, Site
from tests.integration.normalizing import make_topic, read_count, shown
from tests.integration.notify_client import watching
from tests.integration.origin import Origin, origin
from tests.integration.sinking import Line, sink_process, store_with_schema

pytestmark = pytest.mark.stack
PATIENCE_S = 60
FILE = "subscribed.bin"
HISTORY = f"/2026-02-01/systems/directory-monitor/{PROJECT}/events.json"


@pytest.fixture(scope="module")
def served() -> Iterator[Origin]:
    """A server that the file is fetched from."""
    with origin(100_000) as running:
        yield running


@pytest.fixture(scope="module")
def line(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The site's topics on their way to a database."""
    directory = tmp_path_factory.mktemp("line")
    with store_with_schema(directory) as store:
        line = Line(site.kafka, store, f"{site.kafka.topic_prefix}sink")
        with sink_process(line, directory / "sink.log"):
            yield line


class Project:
    """A key of the project, and an api process over the database."""

    def __init__(self, site: Site, line: Line, servers: ExitStack) -> None:
        key, self.key = credentials.new_key(["directory_monitor:read"], [PROJECT], None)
        asyncio.run(registry.write(site.kafka, key))
        self.client = site.api(servers, FSWIRE_CLICKHOUSE_URL=line.store.place.url)
        self.client.headers["authorization"] = f"Bearer {self.key}"
        self.url = str(self.client.base_url)
        self._site = site
        site.until(self._is_ready, "an api process with a database is ready")

    def history(self) -> Any:
        """Return the item of the file in the project's history."""
        self._site.until(lambda: bool(self._items()), "history has the file")
        (item,) = self._items()
        return item

    def _items(self) -> list[Any]:
        items = self.client.get(HISTORY, params={"count": 100}).json()["items"]
        return [each for each in items if each["filename"].endswith(f"/{FILE}")]

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx2.HTTPError:
            return False


@pytest.fixture
def project(site: Site, line: Line) -> Iterator[Project]:
    """The project, as its readers see it."""
    with ExitStack() as servers:
        yield Project(site, line, servers)


def told_by(socket: ClientConnection, kind: str) -> str:
    """Return the path of the first change of a kind of the file."""
    while True:
        payload = json.loads(socket.recv(PATIENCE_S))["payload"]
        if payload.get("kind") == kind and payload["path"].endswith(f"/{FILE}"):
            return str(payload["path"])


def handed_on(site: Site) -> KafkaSettings:
    """Apply a workflow that hands what is created there on; return settings whose prefix leads there."""
    elsewhere = site.kafka.model_copy(update={"topic_prefix": site.kafka.topic_prefix.replace(".", "-")})
    topic = elsewhere.topic("created")
    asyncio.run(make_topic(site.kafka, topic))
    trigger = f"DirectoryMonitor.{PROJECT}.created.notify"
    action = Action(topic=ToTopic(topic))
    asyncio.run(registry.write(site.kafka, Workflow("hand-on", PROJECT, trigger, action, include=(FILE,))))
    return elsewhere


def test_completed_transfer_is_told_to_every_subscriber(site: Site, project: Project, served: Origin) -> None:
    """History, `watch`, `notify` and a workflow of its project have it, each once."""
    elsewhere = handed_on(site)
    with (
        connect(
            project.url.replace("http", "ws", 1) + "/watch",
            additional_headers={"Authorization": f"Bearer {project.key}"},
        ) as socket,
        watching(project.url, f"/{PROJECT}", project.key, recursive=True) as stream,
    ):
        socket.send(
            json.dumps({"id": "w", "payload": {"type": "watch", "path": f"/{PROJECT}", "recursive": True}})
        )
        assert json.loads(socket.recv(PATIENCE_S))["payload"] == {"type": "ok"}
        uri = site.make(url=served.url(f"/good/{FILE}"))
        done = site.ended(uri)
        filename = f"{Path(done['local_dir']).name}/{FILE}"
        changed = told_by(socket, "create")
        stream.told(until=("child_file_added", filename))

    handed = read_count(elsewhere, "created", 1)
    item = project.history()
    assert done["status"] == "Complete"
    assert (item["event"], item["filename"], item["filesize"]) == ("created", filename, served.size)
    assert item["sha256"] == served.sums["sha256"]
    assert changed == f"/{PROJECT}/{filename}"
    assert [(shown(each)["eventId"], shown(each)["filename"]) for each in handed] == [
        (item["eventId"], filename)
    ]


def test_sums_of_a_transfer_are_in_its_row(site: Site, line: Line, served: Origin) -> None:
    """Both, also where a client expected none: then its resource goes on to show none."""
    uri = site.make(url=served.url("/good/summed-row.bin"))
    where = f"FROM transfers WHERE transfer_id = {uri.split('/')[-2]} AND md5 != ''"
    site.until(lambda: bool(line.query(f"SELECT 1 {where}")), "the transfer's last state is a row")

    (row,) = line.query(f"SELECT status, lower(hex(sha256)), md5, md5sum {where}")
    assert row == ("Complete", served.sums["sha256"], served.sums["md5"], "")
    assert site.get(uri)["md5sum"] is None
