"""What Qumulo's clients ask for around change notify, over a tree, a registry and a hub in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.testclient import TestClient

from api.access import Access
from api.limits import Limits
from api.live import Delivery, Interest, Position, Subscription
from api.notify import MAX_PARAMETERS, Notify
from api.qumulo import COOKIE, MAX_BODY_BYTES, MAX_IDS, PREFIXES, Qumulo, routes
from api.settings import ApiSettings
from api.virtual_tree import VirtualTree
from processors.notify import derived_id
from processors.registry import Key, NotifySettings, Project
from tests.unit.api.conftest import MemoryRegistry
from tests.unit.api.files_table import Rows

FILE = {
    "path": "dir/file",
    "file_id": 77,
    "size": 5000,
    "mode": 0o640,
    "owner_uid": 3,
    "mtime_ns": 1_500_000_001,
}
NOTIFY = "/v1/files/%2Fproj_1/notify"
ADMIN, READER, OTHER, WRITER = (f"{name}.secret" for name in ("admin", "reader", "other", "writer"))
EVENT_STREAM = {"Accept": "text/event-stream"}
SETTINGS = "/v1/file-system/settings/notify"


class View(MemoryRegistry):
    """The registry, settings among it: what was kept is in view once it has caught up."""

    def __init__(self) -> None:
        super().__init__()
        self.notify_settings = NotifySettings()
        self.kept: list[NotifySettings] = []

    async def keep(self, settings: NotifySettings) -> None:
        if self.failing:
            raise KafkaConnectionError
        self.kept.append(settings)

    async def catch_up(self) -> None:
        await super().catch_up()
        self.notify_settings = [self.notify_settings, *self.kept][-1]


class EndingHub:
    """Grants subscriptions that end at once; what they were about is remembered."""

    def __init__(self) -> None:
        self.subscriptions: set[object] = set()
        self.granted: list[Subscription] = []
        self.interests: list[Interest] = []
        self.after: Position | None = None
        self.deliveries: list[Delivery] = []

    @asynccontextmanager
    async def subscribe(
        self, *interests: Interest, after: Position | None = None
    ) -> AsyncIterator[Subscription]:
        subscription = Subscription(10)
        self.granted.append(subscription)
        self.interests += interests
        self.after = after
        for each in self.deliveries:
            subscription.put(each)
        subscription.close()
        await asyncio.sleep(0)
        yield subscription


class Site:
    """The routes, and a client with the reader's key."""

    def __init__(self) -> None:
        self.registry, self.hub = View(), EndingHub()
        self.registry.add(Project("proj_1", 0), Project("hidden", 0))
        for name, scopes, projects in (
            ("admin", ["admin"], ["*"]),
            ("reader", ["directory_monitor:read"], ["proj_*"]),
            ("other", ["directory_monitor:read"], ["proj_1"]),
            ("writer", ["directory_monitor:write"], ["*"]),
        ):
            self.registry.add(
                Key(name, "sha256$" + hashlib.sha256(b"secret").hexdigest(), scopes, projects, 0)
            )
        limits = Limits(requests_per_s=1e6, requests_burst=10**6, refusals_per_s=1e6, refusals_burst=10**6)
        known: Any = lambda: self.registry  # noqa: E731
        tree = VirtualTree(Rows(FILE, {"path": "dir", "is_dir": True}), known, wait_s=0)  # type: ignore[arg-type]
        settings = ApiSettings(max_watchers=2)
        notify = Notify(tree, self.hub, known, settings)  # type: ignore[arg-type]
        qumulo = Qumulo(Access(known, limits), tree, notify, known, self.registry.keep)
        self.client = TestClient(Starlette(routes=routes(qumulo)), raise_server_exceptions=False)

    def ask(self, path: str, key: str | None = READER, method: str = "GET", **arguments: Any) -> Any:
        """Make one request with a key."""
        headers = arguments.pop("headers", {}) | ({"Authorization": f"Bearer {key}"} if key else {})
        return self.client.request(method, path, headers=headers, **arguments)

    def refused(self, path: str, key: str | None = READER, method: str = "GET", **arguments: Any) -> Any:
        """Make one request that is refused in Qumulo's form; return status and class."""
        answer = self.ask(path, key, method, **arguments)
        body = answer.json()
        assert list(body) == ["module", "error_class", "description", "stack", "user_visible", "inner"]
        assert answer.headers["content-type"] == "application/json"
        return answer.status_code, body["error_class"]


@pytest.fixture
def site() -> Iterator[Site]:
    """One api; all of a test's requests have one event loop."""
    made = Site()
    with made.client:
        yield made


@pytest.mark.parametrize("prefix", PREFIXES)
def test_version_is_for_everybody(site: Site, prefix: str) -> None:
    """Qumulo's clients ask for it before they sign in."""
    answer = site.ask(f"{prefix}/version", key=None)

    assert answer.status_code == 200
    assert answer.json()["revision_id"].startswith("fswire ")
    assert answer.json().keys() == {"revision_id", "build_id", "flavor", "build_date"}


def test_sign_in_gives_the_token_of_a_key(site: Site) -> None:
    """The id is the user name, the secret the password; a browser's cookie is for files alone."""
    body = {"username": "reader", "password": "secret"}
    answer = site.ask("/v1/session/login", key=None, method="POST", json=body)

    cookies = answer.headers.get_list("set-cookie")
    assert answer.json() == {"bearer_token": READER}
    assert [each.partition(";")[0] for each in cookies] == [f"{COOKIE}={READER}"] * 2
    assert ["Path=/v1/files" in cookies[0], "Path=/api/v1/files" in cookies[1]] == [True, True]
    assert all("HttpOnly" in each and "SameSite=strict" in each for each in cookies)
    site.client.cookies.clear()
    assert site.refused("/v1/files/77/info/attributes", None)[0] == 401
    with_cookie = {"Cookie": f"{COOKIE}={READER}"}
    assert site.ask("/v1/files/77/info/attributes", key=None, headers=with_cookie).status_code == 200
    assert site.refused("/v1/session/who-am-i", None, headers=with_cookie)[0] == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"username":"reader","password":"wrong"}', 401),
        (b'{"username":"nobody","password":"secret"}', 401),
        (b'{"username":"reader"}', 400),
        (b'{"username":"reader","password":7}', 400),
        (b"\xff", 400),
        (b"[]", 400),
        (b" " * (MAX_BODY_BYTES + 1), 413),
    ],
)
def test_sign_in_that_is_refused(site: Site, body: bytes, status: int) -> None:
    """A wrong secret, an unknown id and what is no sign-in at all."""
    assert site.refused("/v1/session/login", None, "POST", content=body)[0] == status


def test_who_am_i_and_roles(site: Site) -> None:
    """A key's id is its name, its scopes are its roles; the number is the same every time."""
    me, again = (site.ask("/v1/session/who-am-i").json() for _ in range(2))

    assert me == again
    assert me["name"] == "reader"
    assert me["id"].isdigit()
    assert me["id"] != site.ask("/v1/session/who-am-i", OTHER).json()["id"]
    assert site.ask("/v1/session/roles").json() == [{"role_name": "directory_monitor:read"}]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/session/who-am-i"),
        ("GET", "/v1/session/roles"),
        ("GET", SETTINGS),
        ("PUT", SETTINGS),
        ("POST", "/v1/files/resolve"),
        ("GET", "/v1/files/77/info/attributes"),
        ("GET", NOTIFY),
    ],
)
@pytest.mark.parametrize("key", [None, "reader.wrong", "nobody.secret"])
def test_key_is_needed(site: Site, method: str, path: str, key: str | None) -> None:
    """No key, a wrong secret and an unknown one: 401, before anything else is looked at."""
    assert site.refused(path, key, method) == (401, "http_unauthorized_error")


@pytest.mark.parametrize("path", ["/v1/files/77/info/attributes", NOTIFY, "/v1/files/resolve"])
def test_scope_is_needed_to_see_files(site: Site, path: str) -> None:
    """A key that may write alone sees none."""
    method = "POST" if path.endswith("resolve") else "GET"

    assert site.refused(path, WRITER, method, json=[]) == (403, "http_forbidden_error")


def test_settings_are_changed_by_admins_alone(site: Site) -> None:
    """Everybody reads them; a change is in view when it is answered."""
    before = site.ask(SETTINGS).json()
    refused = site.refused(SETTINGS, READER, "PUT", json={"recursive_mode": "DISABLED_ERROR"})
    changed = site.ask(SETTINGS, ADMIN, "PUT", json={"recursive_mode": "DISABLED_ERROR"}).json()

    assert before == {"recursive_mode": "ENABLED"}
    assert refused == (403, "http_forbidden_error")
    assert changed == site.ask(SETTINGS).json() == {"recursive_mode": "DISABLED_ERROR"}
    assert site.refused(f"{NOTIFY}?recursive=true") == (400, "fs_notify_recursive_disabled_error")


@pytest.mark.parametrize("body", [b"{}", b'{"recursive_mode":"enabled"}', b'{"recursive_mode":null}', b"no"])
def test_settings_that_are_none_change_nothing(site: Site, body: bytes) -> None:
    """An empty object is no way to switch recursion on again."""
    assert site.refused(SETTINGS, ADMIN, "PUT", content=body) == (400, "http_bad_request_error")
    assert site.registry.kept == []


def test_settings_without_a_broker_are_503(site: Site) -> None:
    """Nothing was promised, and the refusal says so in Qumulo's form."""
    site.registry.failing = True

    refused = site.refused(SETTINGS, ADMIN, "PUT", json={"recursive_mode": "ENABLED"})

    assert refused == (503, "http_service_unavailable_error")


def test_attributes_of_a_file(site: Site) -> None:
    """What the row tells, numbers beyond 32 bits as strings; what nobody knows is null."""
    found = site.ask("/v1/files/%2Fproj_1%2Fdir%2Ffile/info/attributes").json()

    assert found == site.ask("/v1/files/77/info/attributes").json()
    assert (found["path"], found["name"], found["id"]) == ("/proj_1/dir/file", "file", "77")
    assert (found["type"], found["size"], found["blocks"]) == ("FS_FILE_TYPE_FILE", "5000", "2")
    assert (found["mode"], found["owner"], found["group"]) == ("0640", "3", None)
    assert found["owner_details"] == {"id_type": "NFS_UID", "id_value": "3"}
    assert (found["modification_time"], found["access_time"]) == ("1970-01-01T00:00:01.500000001Z", None)


def test_attributes_of_a_project_and_what_is_hidden(site: Site) -> None:
    """A project's root has an id of its own; another's project is no more there than what never was."""
    project = site.ask("/v1/files/proj_1/info/attributes").json()

    assert (project["type"], project["id"]) == ("FS_FILE_TYPE_DIRECTORY", derived_id("proj_1", ""))
    assert project["child_count"] is None
    for ref in ("hidden", "proj_1%2Fnone", "78", derived_id("hidden", ""), "9" * 30):
        assert site.refused(f"/v1/files/{ref}/info/attributes") == (404, "fs_no_such_entry_error")
    assert site.refused("/v1/files/77/acl") == (404, "fs_no_such_entry_error")


def test_resolve_gives_the_path_of_each_id(site: Site) -> None:
    """As strings or numbers, in the order asked, the same twice."""
    answer = site.ask("/v1/files/resolve", method="POST", json=["77", 2, "77"])

    assert [(each["id"], each["path"]) for each in answer.json()] == [
        ("77", "/proj_1/dir/file"),
        ("2", "/"),
        ("77", "/proj_1/dir/file"),
    ]
    assert site.ask("/v1/files/resolve", method="POST", json=[]).json() == []


@pytest.mark.parametrize("ids", [["77", "78"], [derived_id("hidden", "")], ["x"], [-1], ["²"], ["9" * 5_000]])
def test_resolve_of_an_unknown_id_is_404(site: Site, ids: list[object]) -> None:
    """One that nothing has, that is another's, or that is no id at all, however long."""
    assert site.refused("/v1/files/resolve", READER, "POST", json=ids) == (404, "fs_no_such_entry_error")


def test_resolve_is_bounded(site: Site) -> None:
    """So many ids at one time, and nothing else in the list."""
    too_many = site.refused("/v1/files/resolve", READER, "POST", json=["77"] * (MAX_IDS + 1))

    assert too_many == (400, "http_bad_request_error")
    assert len(site.ask("/v1/files/resolve", method="POST", json=["77"] * MAX_IDS).json()) == MAX_IDS
    assert site.refused("/v1/files/resolve", READER, "POST", json=[{}])[0] == 400


@pytest.mark.parametrize(
    ("query", "recursive"),
    [
        ("", False),
        ("?recursive=False", False),
        ("?recursive=TRUE", True),
        ("&filter=self_removed&recursive=tRue", True),
    ],
)
def test_stream_is_granted(site: Site, query: str, recursive: bool) -> None:
    """With the exact content type, no parameter of it, and no recursion unless it is asked for."""
    answer = site.ask(NOTIFY + query)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-source")
    assert answer.text == ": watching\n\n"
    assert [(each.path, each.recursive) for each in site.hub.interests] == [(b"/proj_1", recursive)]


def test_stream_has_the_type_that_is_asked_for(site: Site) -> None:
    """`text/event-stream`, with ids, is for who accepts it alone; HEAD tells which it would be."""
    answer = site.ask(NOTIFY, headers=EVENT_STREAM)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.text.startswith(": watching\nid: ")
    assert site.ask(NOTIFY, headers={"Accept": "*/*"}).headers["content-type"] == "text/event-source"
    assert (
        site.ask(NOTIFY, method="HEAD", headers=EVENT_STREAM).headers["content-type"] == "text/event-stream"
    )
    assert len(site.hub.granted) == 2


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", NOTIFY, "GET, HEAD"),
        ("OPTIONS", NOTIFY, "GET, HEAD"),
        ("DELETE", SETTINGS, "GET, HEAD, PUT"),
        ("GET", "/v1/session/login", "POST"),
    ],
)
def test_wrong_method_is_refused_in_qumulos_form(site: Site, method: str, path: str, allowed: str) -> None:
    """Every error of these routes has the one form, and says what is allowed."""
    for prefix in ("", "/api"):
        assert site.refused(prefix + path, None, method) == (405, "http_method_not_allowed_error")
        assert site.ask(prefix + path, None, method).headers["allow"] == allowed


@pytest.mark.parametrize(
    "query",
    [
        "?filter=",
        "?filter=child_file_added,",
        "?filter=CHILD_FILE_ADDED",
        "?filter=child_file_added&filter=self_removed",
        "&filter=self_removed?filter=self_removed",
        "?recursive=1",
        "?recursive=",
        "?recursive=%FF",
        "?" + "&".join(f"p{number}=" for number in range(MAX_PARAMETERS + 1)),
    ],
)
def test_stream_with_bad_parameters_is_400(site: Site, query: str) -> None:
    """An unknown or empty type, a boolean that is none, one parameter twice, too many."""
    assert site.refused(NOTIFY + query) == (400, "http_bad_request_error")


def test_stream_of_a_file_or_of_nothing_is_refused(site: Site) -> None:
    """Directories alone are watched."""
    assert site.refused("/v1/files/77/notify") == (400, "fs_not_a_directory_error")
    assert site.refused("/v1/files/%2Fproj_1%2Fnone/notify") == (404, "fs_no_such_entry_error")
    assert site.refused("/v1/files/hidden/notify") == (404, "fs_no_such_entry_error")


def test_watchers_are_bounded(site: Site) -> None:
    """Where as many streams are open as may be, one more is told to come again."""
    site.hub.subscriptions = {1, 2}

    assert site.refused(NOTIFY) == (503, "fs_notify_too_many_watchers_error")
    assert site.ask(NOTIFY).headers["retry-after"] == "1"
    site.hub.subscriptions.pop()
    assert site.ask(NOTIFY).status_code == 200


def test_overrun_is_told_once_to_whom_it_concerns(site: Site) -> None:
    """The next request of that key for that directory; not one that resumes, nor anybody else's."""
    site.ask(NOTIFY)
    assert site.hub.granted[0].when_cut is not None
    site.hub.granted[0].when_cut()
    resuming = {"Accept": "text/event-stream", "Last-Event-ID": "old"}

    assert site.ask(NOTIFY, OTHER).status_code == 200
    assert site.ask("/v1/files/proj_1/dir/notify").status_code == 200
    assert site.ask(NOTIFY, headers=resuming).status_code == 200
    assert site.refused(NOTIFY) == (503, "fs_notify_overrun_error")
    assert site.ask(NOTIFY).status_code == 200


def test_root_is_watched_by_the_projects_of_the_key(site: Site) -> None:
    """A key that names its projects reads their partitions alone; a pattern may match one to come."""
    site.ask("/v1/files/2/notify", OTHER)
    named, site.hub.interests = site.hub.interests, []
    site.ask("/v1/files/%2F/notify")

    assert [(each.project, each.path) for each in named] == [("proj_1", b"/proj_1")]
    assert [(each.project, each.path) for each in site.hub.interests] == [(None, b"/")]


@pytest.mark.parametrize("keep_alive_s", [0, 20.1, 60])
def test_keep_alives_cannot_be_set_too_far_apart(keep_alive_s: float) -> None:
    """Qumulo's client gives up after 60 s of silence."""
    with pytest.raises(ValidationError):
        ApiSettings(keep_alive_s=keep_alive_s)
