"""The file monitor's methods: what each does to rows and lists, as Tastypie's clients rely on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.api.file_monitor import LIST, Monitor, serving


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    """An empty file monitor."""
    with serving() as stage:
        yield stage


def test_post_makes_a_queued_transfer(monitor: Monitor) -> None:
    """201 with an empty body and the new uri; sizes on the wire are strings, times have an offset."""
    answer = monitor.send("POST", body={"url": "http://h/f.bin", "tags": "reference", "id": 77, "x": 1})

    assert (answer.status_code, answer.content, answer.headers["location"]) == (201, b"", f"{LIST}1/")
    shown = monitor.get(f"{LIST}1/")
    moment = shown.pop("created")
    assert moment == shown.pop("updated")
    assert moment.endswith("+00:00")
    assert shown == {
        "celery_task_id": "",
        "id": 1,
        "local_dir": "",
        "md5sum": None,
        "name": "",
        "progress": "0",
        "resource_uri": f"{LIST}1/",
        "size": None,
        "status": "Queued",
        "tags": "reference",
        "url": "http://h/f.bin",
    }


@pytest.mark.parametrize("body", [{}, {"url": None}, {"url": None, "tags": None, "progress": None}])
def test_post_needs_nothing(monitor: Monitor, body: dict[str, Any]) -> None:
    """Null in a field that cannot be null is as if it were not there."""
    assert monitor.send("POST", body=body).status_code == 201

    assert monitor.get(f"{LIST}1/")["url"] == ""


def test_put_changes_what_it_names_and_makes_what_is_absent(monitor: Monitor) -> None:
    """204 and every other field as it was; an unknown id is 201."""
    monitor.make(name="a", tags="t", md5sum="x", size=5)

    changed = monitor.send("PUT", f"{LIST}1/", {"name": "b", "md5sum": None, "size": " 12 ", "progress": 7})
    made = monitor.send("PUT", f"{LIST}9/", {"status": "Mine"})

    assert (changed.status_code, changed.content) == (204, b"")
    shown = monitor.get(f"{LIST}1/")
    assert (shown["name"], shown["tags"], shown["md5sum"]) == ("b", "t", None)
    assert (shown["size"], shown["progress"]) == ("12", "7")
    assert (made.status_code, made.headers["location"]) == (201, f"{LIST}9/")
    assert monitor.make() == 2


def test_patch_and_delete(monitor: Monitor) -> None:
    """PATCH is 202, DELETE 204; both are 404 without a body once there is nothing; `updated` tells."""
    monitor.make()
    before = monitor.get(f"{LIST}1/")

    patched = monitor.send("PATCH", f"{LIST}1/", {"created": "2017-03-14T03:41:11+02:00", "tags": 5})

    assert (patched.status_code, patched.content) == (202, b"")
    shown = monitor.get(f"{LIST}1/")
    assert (shown["created"], shown["tags"]) == ("2017-03-14T01:41:11.000000+00:00", "5")
    assert shown["updated"] > before["updated"]
    assert monitor.send("DELETE", f"{LIST}1/").status_code == 204
    for method, body in (("DELETE", None), ("PATCH", {}), ("GET", None)):
        answer = monitor.send(method, f"{LIST}1/", body)
        assert (answer.status_code, answer.content) == (404, b""), method


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_what_a_client_cannot_write_is_ignored(monitor: Monitor, method: str) -> None:
    """Ids, uris and the last write's time are fswire's; `created` is written as it comes."""
    moment = "2016-10-17T17:31:28.000000+00:00"
    monitor.make(name="first")
    monitor.make(name="second")
    body = {"id": 1, "resource_uri": f"{LIST}1/", "updated": moment, "created": moment, "status": "x" * 60}

    monitor.send(method, LIST if method == "POST" else f"{LIST}2/", body)

    shown = monitor.get(f"{LIST}{3 if method == 'POST' else 2}/")
    assert (shown["created"], shown["status"]) == (moment, "x" * 60)
    assert shown["updated"] > moment
    assert monitor.get(f"{LIST}1/")["name"] == "first"


def test_list_is_newest_first_and_paged(monitor: Monitor) -> None:
    """20 unless told otherwise, relative uris of the pages before and after with all other parameters."""
    for number in range(25):
        monitor.make(tags="a b" if number % 2 else "c")

    first = monitor.get(LIST)
    assert [each["id"] for each in first["objects"]] == list(range(25, 5, -1))
    expected = {"limit": 20, "offset": 0, "previous": None, "total_count": 25}
    assert first["meta"] == expected | {"next": f"{LIST}?offset=20&limit=20"}
    middle = monitor.get(f"{LIST}?limit=5&tags=a+b&offset=5&format=json")["meta"]
    assert middle["next"] == f"{LIST}?offset=10&limit=5&tags=a+b&format=json"
    assert middle["previous"] == f"{LIST}?offset=0&limit=5&tags=a+b&format=json"
    assert monitor.get(f"{LIST}?limit=0")["meta"]["limit"] == 1000
    assert monitor.get(f"{LIST}?limit=5000")["meta"]["limit"] == 1000
    assert monitor.ids("offset=1000") == []


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=x", "offset=-5", "offset=x", f"offset={2**70}", "limit="]
)
def test_bad_paging_is_400(monitor: Monitor, query: str) -> None:
    """A limit or an offset that is no number from 0 on is named."""
    answer = monitor.send("GET", f"{LIST}?{query}")

    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_list_is_filtered_and_ordered(monitor: Monitor) -> None:
    """All filters hold together; `order_by` may be repeated, and `sort_by` is its older name."""
    monitor.make(name="b", size=10)
    monitor.make(name="a", size=9)
    monitor.make(name="b", size=None)

    assert monitor.ids("size__gt=8&name__in=a,c") == [2]
    assert monitor.ids("order_by=size") == [2, 1, 3]
    assert monitor.ids("order_by=-size") == [3, 1, 2]
    assert monitor.ids("order_by=name&order_by=-id") == [2, 3, 1]
    assert monitor.ids("sort_by=id") == [1, 2, 3]
    assert monitor.ids("nonsense=1&name__startswith=b&name__regex=%5Eb") == [3, 1]


@pytest.mark.parametrize(
    "query",
    [
        "name__foo=1",
        "resource_uri=x",
        "id=x",
        "name__regex=(",
        "size__range=1",
        "order_by=x",
        "order_by=name__x",
        "%FF=1&name=%FF",
    ],
)
def test_bad_query_is_400(monitor: Monitor, query: str) -> None:
    """A lookup, a value, an order that cannot be: said in `error`, by reads and by writes of the list."""
    for method, body in (("GET", None), ("DELETE", None), ("PUT", {"objects": []})):
        if method == "GET" or "order_by" not in query:
            answer = monitor.send(method, f"{LIST}?{query}", body)
            assert (answer.status_code, list(answer.json())) == (400, ["error"]), method


def test_put_list_replaces_what_the_filters_match(monitor: Monitor) -> None:
    """204, new ids for what is sent; a bad object undoes all of it."""
    for tags in "aab":
        monitor.make(tags=tags)

    bad = monitor.send("PUT", f"{LIST}?tags=a", {"objects": [{"status": "x"}, {"size": "abc"}]})
    assert (bad.status_code, monitor.ids("")) == (400, [3, 2, 1])
    done = monitor.send("PUT", f"{LIST}?tags=a", {"objects": [{"status": "x", "id": 1}]})

    assert (done.status_code, done.content, monitor.ids("")) == (204, b"", [4, 3])


def test_patch_list_is_whole_or_nothing(monitor: Monitor) -> None:
    """202: some written, some made, some deleted; 404 where a uri to delete is not there."""
    for _ in range(3):
        monitor.make()
    objects = [
        {"resource_uri": f"{LIST}1/", "tags": "t"},
        {"resource_uri": f"{LIST}77/", "status": "made"},
        {},
    ]

    undone = monitor.send("PATCH", body={"objects": objects, "deleted_objects": [f"{LIST}2/", f"{LIST}99/"]})
    assert (undone.status_code, monitor.ids(""), monitor.get(f"{LIST}1/")["tags"]) == (404, [3, 2, 1], "")
    done = monitor.send("PATCH", body={"objects": objects, "deleted_objects": [f"{LIST}2/"]})

    assert (done.status_code, done.content) == (202, b"")
    assert monitor.ids("") == [5, 4, 3, 1]
    assert (monitor.get(f"{LIST}1/")["tags"], monitor.get(f"{LIST}4/")["status"]) == ("t", "made")


@pytest.mark.parametrize(
    ("second", "status"),
    [({"size": "abc"}, 400), ({"tags": []}, 400), ({"resource_uri": "/elsewhere/1/"}, 404), (7, 400)],
)
def test_patch_list_with_a_bad_object_changes_nothing(monitor: Monitor, second: Any, status: int) -> None:
    """Also not what stood before it."""
    monitor.make(tags="before")
    first = {"resource_uri": f"{LIST}1/", "tags": "after"}

    answer = monitor.send("PATCH", body={"objects": [first, {}, second], "deleted_objects": [f"{LIST}1/"]})

    assert answer.status_code == status
    assert (monitor.ids(""), monitor.get(f"{LIST}1/")["tags"]) == ([1], "before")


@pytest.mark.parametrize(
    "body", [{}, {"objects": {}}, {"objects": [1]}, {"objects": [], "deleted_objects": 1}, []]
)
def test_list_body_without_objects_is_400(monitor: Monitor, body: Any) -> None:
    """A body that is no list of objects changes nothing."""
    for method in ("PUT", "PATCH"):
        assert monitor.send(method, body=body).status_code == 400


def test_delete_list_ignores_limit(monitor: Monitor) -> None:
    """Everything that the filters match goes, whatever the limit."""
    for tags in "aab":
        monitor.make(tags=tags)

    assert monitor.send("DELETE", f"{LIST}?tags=a&limit=1").status_code == 204
    assert monitor.ids("") == [3]
    assert monitor.send("DELETE").status_code == 204
    assert (monitor.ids(""), monitor.make()) == ([], 4)


def test_set_names_what_it_does_not_find(monitor: Monitor) -> None:
    """Objects in the order asked for; `not_found` only where something is missing."""
    monitor.make()
    monitor.make()

    both = monitor.get(f"{LIST}set/2;1/")
    assert ([each["id"] for each in both["objects"]], list(both)) == ([2, 1], ["objects"])
    assert monitor.get(f"{LIST}set/1;999/")["not_found"] == ["999"]
    bad = monitor.send("GET", f"{LIST}set/1;abc/")
    assert (bad.status_code, list(bad.json())) == (404, ["error_message"])


def test_schema_is_that_of_the_reference(monitor: Monitor) -> None:
    """Every field with its seven properties, as Torrent Server's reference shows them."""
    schema = monitor.get(f"{LIST}schema/")

    methods = ["get", "post", "put", "delete", "patch"]
    assert schema["allowed_detail_http_methods"] == schema["allowed_list_http_methods"] == methods
    assert (schema["default_format"], schema["default_limit"]) == ("application/json", 20)
    fields = schema["fields"]
    assert len(fields) == 13
    assert fields["url"]["default"] == "No default provided."
    assert (fields["created"]["default"], fields["progress"]["default"]) == (True, 0)
    assert {name for name, each in fields.items() if each["nullable"]} == {"md5sum", "size"}
    assert {name for name, each in fields.items() if each["blank"]} == {
        "updated",
        "created",
        "celery_task_id",
        "id",
    }
    assert [name for name, each in fields.items() if each["unique"]] == ["id"]
    assert [name for name, each in fields.items() if each["readonly"]] == ["resource_uri"]
    assert len(schema["ordering"]) == len(schema["filtering"]) == 12


def test_root_needs_no_key(monitor: Monitor) -> None:
    """The root names list and schema to anybody."""
    answer = monitor.send("GET", "/rundb/api/v1/", headers={"authorization": ""})

    assert answer.json() == {"filemonitor": {"list_endpoint": LIST, "schema": f"{LIST}schema/"}}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_path_without_its_slash_is_301(monitor: Monitor, method: str) -> None:
    """Any method, with the query that was sent."""
    for path in ("/rundb/api/v1", LIST[:-1], f"{LIST}1", f"{LIST}set/1;2", f"{LIST}schema"):
        answer = monitor.send(method, f"{path}?a=1")
        assert answer.status_code == 301
        assert answer.headers["location"].endswith(f"{path}/?a=1")


def test_methods_that_there_are_not(monitor: Monitor) -> None:
    """OPTIONS tells, other methods are 405 with `Allow`, POST on one transfer is 501, HEAD a GET."""
    every = "GET,POST,PUT,DELETE,PATCH"
    options = monitor.send("OPTIONS", headers={"authorization": ""})
    assert (options.status_code, options.headers["allow"]) == (200, every)
    for path, allowed in (
        (LIST, every),
        (f"{LIST}1/", every),
        (f"{LIST}schema/", "GET"),
        (f"{LIST}set/1/", "GET"),
    ):
        refused = monitor.send("TRACE", path)
        assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    assert monitor.send("DELETE", f"{LIST}schema/").status_code == 405
    assert monitor.send("POST", f"{LIST}1/", {}).status_code == 501
    assert monitor.send("HEAD").status_code == 200


def test_post_may_stand_for_another_method(monitor: Monitor) -> None:
    """Clients that cannot send PATCH name it in `X-HTTP-Method-Override`."""
    monitor.make()

    answer = monitor.send("POST", f"{LIST}1/", {"tags": "t"}, headers={"x-http-method-override": "PATCH"})

    assert (answer.status_code, monitor.get(f"{LIST}1/")["tags"]) == (202, "t")
