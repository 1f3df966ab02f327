"""Transfers through real processes: fetched, resumed, refused, cancelled, told to their project."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processors import topics
from tests.integration.fetching import LIST, PROJECT, Site
from tests.integration.normalizing import read_until, shown
from tests.integration.origin import Origin, origin

pytestmark = pytest.mark.stack
SIZE = int(os.environ.get("FSWIRE_TEST_TRANSFER_BYTES", 24 * 1024 * 1024))
"""500 MB in the full size; what the killed worker has by then is paced by the server, not by time."""


@pytest.fixture(scope="module")
def served() -> Iterator[Origin]:
    """A server that files are fetched from."""
    with origin(SIZE) as running:
        yield running


def path_of(transfer: dict[str, Any]) -> Path:
    """Return where a transfer's file is."""
    return Path(transfer["local_dir"]) / transfer["name"]


def events_of(site: Site, name: str, count: int) -> list[Any]:
    """Return the events that the project was told of a file."""
    found = read_until(
        site.kafka,
        topics.DONUTWORK,
        lambda records: sum(shown(each)["filename"].endswith(name) for each in records) >= count,
    )
    return [shown(each) for each in found if shown(each)["filename"].endswith(name)]


def states_of(site: Site, uri: str) -> list[str]:
    """Return the states that a transfer went through, each once."""
    key = uri.split("/")[-2].encode()

    def is_complete(records: list[Any]) -> bool:
        return any(each.key == key and shown(each)["status"] == "Complete" for each in records)

    records = read_until(site.kafka, topics.TRANSFERS, is_complete)
    return list(dict.fromkeys(shown(each)["status"] for each in records if each.key == key))


def test_transfer_goes_through_its_states_to_complete(site: Site, served: Origin) -> None:
    """A file in a fresh directory under the root, right to the byte, and an event of its project."""
    uri = site.make(url=served.url("/good/whole.bin"), tags="reference")

    done = site.ended(uri)

    assert states_of(site, uri) == ["Queued", "Starting", "Downloading", "Complete"]
    assert (done["status"], done["name"], done["size"]) == ("Complete", "whole.bin", str(SIZE))
    assert (done["progress"], done["md5sum"], len(done["celery_task_id"])) == (str(SIZE), None, 36)
    assert Path(done["local_dir"]).parent == site.root
    assert path_of(done).read_bytes() == served.content()
    (event,) = events_of(site, "whole.bin", 1)
    assert (event["event"], event["projectId"], event["filesize"]) == ("created", PROJECT, SIZE)
    assert event["sha256"] == served.sums["sha256"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/reset/again.bin", {}, "Complete"),
        ("/busy/again.bin", {}, "Complete"),
        ("/unsized/again.bin", {}, "Complete"),
        ("/to/good/again.bin", {}, "Complete"),
        ("/changing/again.bin", {}, "Complete"),
        ("/good/sum.bin", {"md5sum": "0" * 32}, "Error: identity hash mismatch"),
        ("/nothing/x.bin", {}, "HTTP Error: 404 Not Found"),
        ("/short/x.bin", {}, "Connection Lost"),
        ("/to_ftp/x.bin", {}, "Invalid URL Error"),
    ],
)
def test_how_transfers_end(site: Site, served: Origin, path: str, body: dict[str, str], status: str) -> None:
    """What a server breaks is mended where it can be, and named where it cannot."""
    done = site.ended(site.make(url=served.url(path), **body))

    assert done["status"] == status
    if status == "Complete":
        assert path_of(done).read_bytes() == served.content()


@pytest.mark.parametrize("url", ["", "ftp://h/x", "no url"])
def test_url_that_is_none_is_named(site: Site, url: str) -> None:
    """It is stored as it came, and the transfer says what is wrong."""
    done = site.ended(site.make(url=url))

    assert (done["status"], done["url"]) == ("Invalid URL Error", url)


def test_right_sum_is_checked_and_kept(site: Site, served: Origin) -> None:
    """An expected MD5 that is right changes nothing."""
    done = site.ended(site.make(url=served.url("/good/summed.bin"), md5sum=served.sums["md5"].upper()))

    assert (done["status"], done["md5sum"]) == ("Complete", served.sums["md5"].upper())


def test_directory_of_a_client_is_never_touched(site: Site, served: Origin, tmp_path: Path) -> None:
    """A `local_dir` outside the root stays as it was sent; nothing is written there, nothing removed."""
    (tmp_path / "precious").write_text("data")
    uri = site.make(url=served.url("/good/elsewhere.bin"), local_dir=str(tmp_path))
    done = site.ended(uri)
    kept = sorted(path.name for path in tmp_path.iterdir())
    site.send("DELETE", uri)

    assert (done["status"], done["local_dir"], kept) == ("Complete", str(tmp_path), ["precious"])
    site.until(lambda: not list(site.root.glob("*/elsewhere.bin")), "what fswire wrote is removed")
    assert (tmp_path / "precious").read_text() == "data"


def test_what_a_client_names_leads_nowhere(site: Site, served: Origin) -> None:
    """A name with a way out in it, the directory of another transfer: neither is written to, nor removed."""
    other = site.ended(site.make(url=served.url("/good/others.bin")))
    uri = site.make(url=served.url("/good/named.bin"), name="../../out.bin", local_dir=other["local_dir"])
    done = site.ended(uri)
    site.send("PATCH", uri, {"local_dir": other["local_dir"], "name": other["name"]})
    site.send("DELETE", uri)

    assert (done["status"], Path(done["local_dir"]).parent) == ("Complete", site.root)
    assert done["local_dir"] != other["local_dir"]
    site.until(lambda: not Path(done["local_dir"]).exists(), "what fswire wrote is removed")
    assert path_of(other).read_bytes() == served.content()
    assert not list(site.directory.rglob("out.bin"))


def test_delete_cancels_and_removes_what_was_written(site: Site, served: Origin) -> None:
    """A transfer under way ends, and its directory goes; one that was complete is told to its project."""
    served.half.clear()
    served.gate.clear()
    uri = site.make(url=served.url("/paced/cancelled.bin"))
    site.until(lambda: int(site.get(uri)["progress"]) > 0, "progress is told")
    directory = Path(site.get(uri)["local_dir"])

    assert site.send("DELETE", uri).status_code == 204
    site.until(lambda: not directory.exists(), "the directory is removed")
    done = site.make(url=served.url("/good/gone.bin"))
    site.ended(done)
    site.send("DELETE", done)
    assert [event["event"] for event in events_of(site, "gone.bin", 2)] == ["created", "deleted"]


def test_progress_overwrites_nothing_of_a_client(site: Site, served: Origin) -> None:
    """What a client writes while bytes come in stays, and progress goes on."""
    served.half.clear()
    served.gate.clear()
    uri = site.make(url=served.url("/paced/patched.bin"))
    site.until(lambda: int(site.get(uri)["progress"]) > 0, "progress is told")
    site.send("PATCH", uri, {"tags": "mine", "name": "renamed", "status": "Hold on"})
    before = site.get(uri)["updated"]
    site.until(lambda: site.get(uri)["updated"] > before, "progress is told again")

    assert [site.get(uri)[name] for name in ("tags", "name", "status")] == ["mine", "renamed", "Hold on"]
    served.gate.set()
    site.until(lambda: site.get(uri)["status"] == "Complete", "it is complete")
    assert [site.get(uri)[name] for name in ("tags", "name")] == ["mine", "renamed"]


def test_killed_worker_resumes_what_it_was_at(site: Site, served: Origin) -> None:
    """SIGKILL in the middle: the next process asks for the rest alone, the digest of the whole is right."""
    served.half.clear()
    served.gate.clear()
    path = "/paced/killed.bin"
    uri = site.make(url=served.url(path))
    assert served.half.wait(60)
    site.until(lambda: int(site.get(uri)["progress"]) >= SIZE // 4, "progress is told")
    run, reached = site.get(uri)["celery_task_id"], int(site.get(uri)["progress"])

    site.worker.kill()
    served.gate.set()
    site.worker.start()
    done = site.ended(uri)

    assert (done["status"], done["celery_task_id"]) == ("Complete", run)
    first, *again = served.ranges(path)
    assert (first, len(again)) == (None, 1)
    assert int(str(again[0]).removeprefix("bytes=").rstrip("-")) >= reached
    assert path_of(done).read_bytes() == served.content()
    (event,) = events_of(site, "killed.bin", 1)
    assert event["sha256"] == served.sums["sha256"]


def test_outside_transfer_is_left_alone(site: Site) -> None:
    """A status of the client's own: nothing is fetched, also not by the next worker."""
    uri = site.make(url="http://127.0.0.1:1/x", status="Complete", progress=5)
    site.worker.kill()
    site.worker.start()
    ended = site.ended(site.make(url=""))

    assert ended["status"] == "Invalid URL Error"
    shown_now = site.get(uri)
    assert (shown_now["status"], shown_now["progress"], shown_now["local_dir"]) == ("Complete", "5", "")
    assert site.get(f"{LIST}?id={uri.split('/')[-2]}")["meta"]["total_count"] == 1
