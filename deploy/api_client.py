"""What commands ask of the api: its answers as they come in, its refusals in its own words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from deploy.connection import ClientSettings
from deploy.extras import needs

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S = 120.0
"""For each part of an answer: longer than a query of the api may take."""


class ApiFailed(Exception):
    """The api did not answer with what was asked for; the message says why."""


@contextmanager
def answered(method: str, path: str, **request: Any) -> Iterator[httpx2.Response]:
    """Enter with an answer of status 200 whose body is still to be read. ApiFailed on any other."""
    with needs("server"):
        import httpx2
    client = ClientSettings()
    headers = {"Authorization": f"Bearer {client.key.get_secret_value()}"} | request.pop("headers", {})
    address = client.url.rstrip("/") + path
    try:
        with httpx2.stream(method, address, headers=headers, timeout=TIMEOUT_S, **request) as answer:
            if answer.status_code != 200:
                raise ApiFailed(_reason(answer, client.url))
            yield answer
    except httpx2.RemoteProtocolError as error:
        raise ApiFailed(f"the answer of the api at {client.url} was cut off: {error}") from None
    except httpx2.TransportError as error:
        raise ApiFailed(
            f"the api at {client.url} does not answer: {error} (check FSWIRE_CLIENT_URL or --data-dir)"
        ) from None


def copy(answer: httpx2.Response, file: BinaryIO) -> None:
    """Write the body of an answer as it comes in."""
    for chunk in answer.iter_bytes():
        file.write(chunk)
    file.flush()


def refuse_terminal(what: str) -> None:
    """Raise ApiFailed where standard output is a terminal, which bytes would only confuse."""
    if sys.stdout.isatty():
        raise ApiFailed(f"{what} is no text: send standard output to a file or a program")


def _reason(answer: httpx2.Response, url: str) -> str:
    answer.read()
    try:
        said = answer.json().get("error")
    except (ValueError, AttributeError):
        said = None
    return said or f"the api at {url} answered {answer.status_code}"
