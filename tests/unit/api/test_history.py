"""The history route: parameters, their limits, the queries that they become, and the items that come back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import cursor, history, history_query
from api.cursor import Place
from api.errors import FieldsRefused, Unavailable

PATH = "/2026-02-01/systems/directory-monitor/proj_123/events.json"


def row(number: int, **more: Any) -> dict[str, Any]:
    """A row as ClickHouse answers it."""
    return {
        "event_id": f"e{number}", "project_id": "proj_123", "event": "modified", "path": "a",
        "renamed_to": "", "size": 0, "filetype": "", "hash_status": "", "uid": None, "pid": None, "exe": "",
        "owner_uid": None, "owner_gid": None, "mode": None, "mtime_ns": None, "is_dir": False, "moved": "",
        "changed": [],
        "file_id": 0, "host": "", "agent": "api-1", "source": "http", "duplicate": False, "late": False,
        "key_id": "", "details": "{}", "occurred_us": 1_700_000_000_000_000 + number,
        "sent_us": 1_700_000_000_000_000, "received_us": 1_700_000_000_000_001, "sha256_hex": "",
        "previous_sha256_hex": "",
    } | more  # fmt: skip


def fetch(stage: Any, query: str = "", **parameters: str) -> Any:
    return stage.request("GET", PATH + query, params=parameters or None)


def test_empty_history_has_the_seeds_shape(stage: Any) -> None:
    """Defaults are page 1 of 50; a project without events has none."""
    response = fetch(stage)

    assert response.status_code == 200
    assert response.json() == {
        "status": "fetch",
        "projectId": "proj_123",
        "page": 1,
        "size": 50,
        "count": 0,
        "items": [],
    }


def test_item_leaves_out_what_is_unknown(stage: Any) -> None:
    """An event of which little is known shows what every item has, and no more."""
    stage.database.answers |= {"Row": [row(1)], "_Count": [{"events": 1}]}

    items = fetch(stage).json()["items"]
    assert items == [
        {
            "eventId": "e1",
            "projectId": "proj_123",
            "filename": "a",
            "event": "modified",
            "filesize": 0,
            "timestampUtc": "2023-11-14T22:13:20.000001Z",
            "sentAt": "2023-11-14T22:13:20.000000Z",
            "receivedAt": "2023-11-14T22:13:20.000001Z",
            "host": "",
            "agent": "api-1",
            "source": "http",
            "duplicate": False,
            "workflows": [],
        }
    ]


def test_item_names_the_runs_that_it_triggered(stage: Any) -> None:
    """Each by its workflow's name and newest state; a duplicate triggers none, so none is looked for."""
    runs = [
        {"event_id": "e1", "workflow": "build", "state": "running"},
        {"event_id": "e1", "workflow": "mail", "state": "failed"},
    ]
    rows = [row(3, duplicate=True), row(2), row(1)]
    stage.database.answers |= {"Row": rows, "_Count": [{"events": 3}], "Run": runs}

    items = fetch(stage).json()["items"]
    assert [item["workflows"] for item in items] == [
        [],
        [],
        [{"name": "build", "state": "running"}, {"name": "mail", "state": "failed"}],
    ]
    (asked,) = (bound for sql, bound, _ in stage.database.asked if "runs" in sql)
    assert asked == {"project": "proj_123", "events": ["e2", "e1"]}


def test_item_shows_what_is_known(stage: Any) -> None:
    """Everything that was told, zero ids among it, and what has no column of its own."""
    details = json.dumps({"fields": {"x": 1}, "eventId": "not this one"})
    known = row(
        1, uid=0, pid=7, owner_uid=0, mode=0o644, is_dir=True, moved="within", renamed_to="b", duplicate=True,
        late=True, sha256_hex="ab" * 32, file_id=5, host="h", details=details, filetype="text/plain",
    )  # fmt: skip
    stage.database.answers |= {"Row": [known], "_Count": [{"events": 1}]}

    item = fetch(stage).json()["items"][0]
    assert item["eventId"] == "e1"
    assert item["fields"] == {"x": 1}
    expected = {"uid": 0, "pid": 7, "ownerUid": 0, "mode": 420, "isDir": True, "renamedTo": "b", "late": True}
    expected |= {"sha256": "ab" * 32, "fileId": "5", "duplicate": True, "host": "h", "filetype": "text/plain"}
    assert {name: item.get(name) for name in expected} == expected


def test_next_is_there_while_there_is_more(stage: Any) -> None:
    """One row more than asked for is read, and tells whether there is a next page; it is not shown."""
    stage.database.answers |= {"Row": [row(3), row(2), row(1)], "_Count": [{"events": 9}]}
    page = fetch(stage, size="2").json()
    stage.database.answers["Row"] = [row(1)]
    last = fetch(stage, size="2", cursor=page["next"]).json()

    assert [item["eventId"] for item in page["items"]] == ["e3", "e2"]
    assert (page["count"], page["size"]) == (9, 2)
    assert "next" not in last
    sql, bound, _ = next(asked for asked in reversed(stage.database.asked) if "after_us" in asked[1])
    assert "occurred <=" in sql
    assert (bound["after_us"], bound["after_id"], bound["rows"]) == (row(2)["occurred_us"], "e2", 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "0"), ("size", "201"), ("size", "-1"), ("size", "5.0"), ("size", "five"), ("size", ""),
        ("size", "٥"), ("size", "9" * 5000), ("size", " 5"), ("size", "1_0"), ("size", "+5"),
        ("page", "0"), ("page", "-1"), ("page", "x"), ("page", ""), ("page", "9" * 30),
        ("event", ""), ("event", "x" * 65), ("pathLike", "x" * 4097), ("sha256", "abc"), ("sha256", "g" * 64),
        ("host", ""), ("host", "h" * 256), ("from", "yesterday"), ("to", "2026-13-01T00:00:00Z"),
        ("from", "1899-12-31T23:59:59Z"), ("cursor", ""), ("cursor", "abc"), ("cursor", "☃"),
        ("cursor", "A" * 9000),        ("projectId", "other"),
    ],
)  # fmt: skip
def test_parameter_out_of_range_is_422(stage: Any, name: str, value: str) -> None:
    """A bad parameter is refused and named, never clamped."""
    response = fetch(stage, **{name: value})

    assert response.status_code == 422
    assert [detail["field"] for detail in response.json()["details"]] == [name]
    assert not stage.database.asked


def test_every_bad_parameter_is_named(stage: Any) -> None:
    """One answer tells all that is wrong."""
    response = fetch(stage, size="0", page="0", event="")

    assert {detail["field"] for detail in response.json()["details"]} == {"size", "page", "event"}


@pytest.mark.parametrize("query", ["?size=1&size=1", "?pathLike=%FF", "?pathLike=%E2%98", "?" + "a=1&" * 200])
def test_query_that_cannot_be_read_is_422(stage: Any, query: str) -> None:
    """Repeated parameters, bytes that are no UTF-8, or too many of them."""
    assert fetch(stage, query).status_code == 422


def test_unknown_parameters_are_ignored(stage: Any) -> None:
    """As in the body of a PUT."""
    assert fetch(stage, _="123", projectId="proj_123").status_code == 200


def test_range_must_not_end_before_it_begins(stage: Any) -> None:
    """Such a range is a mistake, not an empty result."""
    response = fetch(stage, **{"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"})

    assert response.json()["details"][0]["field"] == "to"


def test_filters_are_bound_not_written(stage: Any) -> None:
    """What a reader sends reaches ClickHouse as parameters only."""
    fetch(
        stage, event="Create", pathLike="'%_\\", sha256="AB" * 32, host="h'", page="3", size="10",
        **{"from": "2026-01-01T00:00:00+01:00", "to": "2026-01-01 00:00:00"},
    )  # fmt: skip

    sql, bound, settings = stage.database.asked[0]
    assert bound == {
        "project": "proj_123", "event": "created", "path_like": "'%_\\", "path_pattern": "%'\\%\\_\\\\%",
        "sha256": "ab" * 32, "host": "h'", "from_us": 1767222000000000, "to_us": 1767225600000000, "rows": 11,
        "offset": 20,
    }  # fmt: skip
    assert "h'" not in sql
    assert settings["max_execution_time"] == 10


def test_plus_of_an_offset_may_be_unescaped(stage: Any) -> None:
    """`+01:00` in a query arrives as a space."""
    assert fetch(stage, "?from=2026-01-01T00:00:00+01:00").status_code == 200
    assert stage.database.asked[0][1]["from_us"] == 1767222000000000


def test_empty_path_like_does_not_filter(stage: Any) -> None:
    """Every name holds the empty string."""
    fetch(stage, pathLike="")

    assert "path_like" not in stage.database.asked[0][1]


def test_page_far_past_the_end_is_empty(stage: Any) -> None:
    """200 with no items, and an offset that ClickHouse can hold."""
    assert fetch(stage, page=str(10**14)).status_code == 200
    assert stage.database.asked[0][1]["offset"] < 2**63


def test_database_that_is_down_is_503(stage: Any) -> None:
    """History needs ClickHouse; writing does not."""
    stage.database.answers["_Count"] = Unavailable(
        "the database does not answer", code="database_unavailable"
    )

    response = fetch(stage)
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert "retry-after" in response.headers
    event = {"projectId": "proj_123", "filename": "a", "event": "created", "filesize": 1}
    assert stage.request("PUT", "/2026-02-01/directory-monitor/proj_123.json", json=event).status_code == 200


def test_cursor_belongs_to_its_query(stage: Any) -> None:
    """A cursor is refused with other filters, with a page, in another project, and when it is damaged."""
    stage.database.answers["Row"] = [row(3), row(2)]
    following = fetch(stage, size="1", event="modified").json()["next"]
    damaged = following[:-1] + ("A" if following[-1] != "A" else "B")

    assert fetch(stage, event="modified", cursor=following).status_code == 200
    assert fetch(stage, event="created", cursor=following).status_code == 422
    assert fetch(stage, event="modified", cursor=damaged).status_code == 422
    assert fetch(stage, event="modified", cursor=following, page="2").status_code == 422
    stage.registry.patterns.add("proj_*")
    other = PATH.replace("proj_123", "proj_4")
    assert stage.request("GET", other, params={"event": "modified", "cursor": following}).status_code == 422


@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=128), st.binary())
def test_cursor_is_read_back(occurred_us: int, event_id: str, scope: bytes) -> None:
    """Every place survives, with the scope that it was made for."""
    place = Place(occurred_us, event_id)

    assert cursor.decode(cursor.encode(place, scope), scope) == place


@given(st.text())
def test_no_text_is_a_cursor(text: str) -> None:
    """Whatever is given as a cursor is refused with a reason."""
    with pytest.raises(ValueError, match="cursor"):
        cursor.decode(text, b"")


names = st.sampled_from(["size", "page", "event", "pathLike", "from", "to", "sha256", "host", "cursor", "x"])


@given(st.dictionaries(names, st.text() | st.integers().map(str)))
def test_any_parameters_are_answered(parameters: dict[str, str]) -> None:
    """No parameters make the reader fail in another way than by refusing, and what it takes can be asked."""
    try:
        query = history_query.read(parameters, "p")
    except FieldsRefused as refused:
        assert refused.details
        return

    sql, bound = history.page_sql(query)
    assert bound["rows"] == query.size + 1
    assert all(f"{{{name}:" in sql for name in bound)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_history_is_only_read(stage: Any, method: str) -> None:
    """Another method is 405 and told what is allowed."""
    response = stage.request(method, PATH)

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"
    assert response.json()["code"] == "method_not_allowed"


def test_head_is_answered(stage: Any) -> None:
    """HEAD is GET without the body."""
    assert stage.request("HEAD", PATH).status_code == 200
