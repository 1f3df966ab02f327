"""What a request of ClickHouse's HTTP interface asks for."""

from __future__ import annotations

import base64

import pytest

from deploy.store_errors import EngineError, StoreError
from deploy.store_request import Request


def _request(query: str = "", method: str = "POST", **headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request.of({"method": method, "path": "/", "query_string": query.encode(), "headers": pairs})


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (_request("user=u&password=p"), ("u", "p")),
        (_request(), ("default", "")),
        (_request(x_clickhouse_user="u", x_clickhouse_key="p"), ("u", "p")),
        (_request(authorization="Basic " + base64.b64encode(b"u:p:q").decode()), ("u", "p:q")),
    ],
)
def test_credentials_come_from_wherever_clickhouse_looks(
    request_: Request, expected: tuple[str, str]
) -> None:
    """Headers, Basic authentication and the URL are all read."""
    assert request_.credentials() == expected


def test_scope_separates_settings_from_everything_else() -> None:
    """What the interface itself uses, and parameters, are no settings."""
    request = _request(
        "query=SELECT+1&database=d&max_threads=2&param_x=a%09b&default_format=CSV&session_id=s"
    )

    scope = request.scope("mark", {"param_y": b"z"})

    assert scope.settings == {"max_threads": "2"}
    assert scope.parameters == {"x": "a\tb", "y": "z"}
    assert (scope.database, scope.mark) == ("d", "mark")


@pytest.mark.parametrize(("query", "readonly"), [("", "2"), ("readonly=0", "2"), ("readonly=1", "1")])
def test_scope_of_a_get_is_read_only(query: str, readonly: str) -> None:
    """GET cannot write, whatever it asks for."""
    assert _request(query, method="GET").scope("", {}).settings["readonly"] == readonly


def test_secrets_are_not_shown() -> None:
    """A request can be printed without its password."""
    request = _request("password=hunter2", x_clickhouse_key="hunter2")

    assert "hunter2" not in repr(request)


def test_structure_of_a_table_without_names_numbers_them() -> None:
    """Types alone give the columns ClickHouse's names."""
    assert _request("t_types=Int8,String").structure_of("t") == ("_1 Int8, _2 String", "TabSeparated")


def test_number_that_is_none_is_refused() -> None:
    """A parameter of the interface that is no number is an error of the request."""
    with pytest.raises(StoreError):
        _request("buffer_size=many").number("buffer_size", 1)


@pytest.mark.parametrize(
    ("message", "code", "name", "status"),
    [
        (
            "Code: 60. DB::Exception: Unknown table x. (UNKNOWN_TABLE) (version 26.9.2.1)",
            60,
            "UNKNOWN_TABLE",
            404,
        ),
        ("Streaming failed: Code: 62. DB::Exception: Syntax (a b). (SYNTAX_ERROR)", 62, "SYNTAX_ERROR", 400),
        ("what is this", 1002, "UNKNOWN_EXCEPTION", 500),
    ],
)
def test_engine_error_reads_code_name_and_status(message: str, code: int, name: str, status: int) -> None:
    """The engine's message gives what ClickHouse puts into headers and status."""
    error = EngineError.read(message)

    assert (error.code, error.name, error.status) == (code, name, status)
    assert error.line("v").startswith(f"Code: {code}. DB::Exception: ")
    assert error.line("v").endswith(f"({name}) (version v)\n")
