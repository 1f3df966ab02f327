"""The api against its own description: whatever schemathesis sends, no route ends in a server error."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from api import openapi
from processors import registry
from processors.credentials import new_key
from processors.registry import Project
from tests.integration.running import PATIENCE_S, Stack

pytestmark = [pytest.mark.stack, pytest.mark.filterwarnings("default")]
PROJECT = "described"
SCOPES = ["directory_monitor:read", "directory_monitor:write", "filemonitor:read", "sql:read"]
EXAMPLES = 12
"""Of each route, as many again of what its description forbids: some 20 s in all."""
FEWER = {"/v1/files/resolve": 2, "/v1/files/{ref}/info/attributes": 6}
"""What nobody has could be of a moment ago: it is looked for during two seconds."""

load_all_checks()
AS_DESCRIBED = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
"""Whether what is forbidden is refused is for other tests: the rules say more than JSON Schema can."""
DESCRIBED = schemathesis.openapi.from_dict(openapi.document())
ROUTES = [
    (method, path)
    for path, methods in openapi.document()["paths"].items()
    for method, operation in methods.items()
    if "text/event-stream" not in json.dumps(operation) and "101" not in operation["responses"]
]
"""All but those that stream for ever."""


class OwnAddress(HTTPAdapter):
    """Requests from an address of their own: what they are refused does not count for the other tests."""

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """Connect from there."""
        super().init_poolmanager(*arguments, **named, source_address=("127.0.0.2", 0))


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[requests.Session]:
    """A session with a key that may do what the routes want, but fetch files from elsewhere."""
    key, credential = new_key(SCOPES, ["*"], None)
    asyncio.run(registry.write(stack.kafka, Project(PROJECT, time.time_ns()), key))
    with requests.Session() as session:
        session.mount("http://", OwnAddress())
        session.headers["Authorization"] = f"Bearer {credential}"
        yield session


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_route_is_as_described_and_has_no_server_error(
    stack: Stack, client: requests.Session, method: str, path: str
) -> None:
    """Bodies, parameters and headers of any kind are answered, and in the form that the document says."""
    operation = DESCRIBED[path][method]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

    @given(case=cases, known=st.booleans())
    @settings(
        max_examples=FEWER.get(path, 2 * EXAMPLES),
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def answered(case: Any, known: bool) -> None:
        if known:
            _aim(case)
        case.headers.pop("Authorization", None)
        response = _ready(lambda: case.call(base_url=stack.api, session=client, timeout=PATIENCE_S))
        case.validate_response(response, checks=AS_DESCRIBED)

    answered()


def _ready(call: Callable[[], Any]) -> Any:
    """Return the first answer that is not that a part took over two seconds to say how it is."""
    deadline = time.monotonic() + PATIENCE_S
    while (answer := call()).status_code == 503 and time.monotonic() < deadline:
        if answer.json()["code"] != "not_ready":
            break
    return answer


def _aim(case: Any) -> None:
    """Make a case one of a project that there is, so that it gets further than 404."""
    if "project" not in case.path_parameters:
        return
    case.path_parameters["project"] = PROJECT
    for named in (case.query, case.body):
        if isinstance(named, dict) and "projectId" in named:
            named["projectId"] = PROJECT
