"""One try to fetch a URL into a file: on a thread, streamed, digested beside the network.

TransferFailed          `status` is what clients see
├── Broken              retriable: the next try may bring more, from where this one ended
└── Refused             no try will
Stopped                 somebody asked for the end
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import httpcore2
import httpx2

from agent.hash_rate import HashRate
from processors.targets import PublicThreadTransport, TargetRefused
from processors.transfer_digests import Digests, Sums, digests_of
from processors.transfer_names import name_of
from processors.transfer_settings import TransferSettings

INVALID_URL = "Invalid URL Error"
CONNECTION = "Connection Error"
LOST = "Connection Lost"
MISMATCH = "Error: identity hash mismatch"
_READ_BYTES = 1024 * 1024
_REDIRECTS = 10
_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))
"""Answers after which another try may do better."""
_DISK = frozenset((errno.ENOSPC, errno.EDQUOT))


class TransferFailed(Exception):
    """A try failed; `status` is for clients, at most 60 characters, the message for operators."""

    retriable = False

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status[:60]


class Broken(TransferFailed):
    """The next try may succeed."""

    retriable = True


class Refused(TransferFailed):
    """No try will succeed."""


class Stopped(Exception):
    """`stop` was called."""


class Head(NamedTuple):
    """What a server said before the content."""

    size: int | None
    name: str
    validator: str
    """Strong ETag or date, by which the rest can be asked for; empty: there is none."""
    offset: int
    """Bytes that were there already."""


class Download:
    """Fetches into `part`; `told` is called on the thread once the server has answered."""

    def __init__(
        self,
        part: Path,
        settings: TransferSettings,
        rate: HashRate,
        told: Callable[[Head], None],
        *,
        allow_private: bool,
        free_bytes: Callable[[], int],
        with_md5: bool = False,
    ) -> None:
        self.written = 0
        """Bytes in the file by now."""
        self._part = part
        self._settings = settings
        self._rate = rate
        self._told = told
        self._allow_private = allow_private
        self._free_bytes = free_bytes
        self._with_md5 = with_md5
        self._stopped = threading.Event()
        self._socket: socket.socket | None = None
        self._began = time.monotonic()

    def stop(self) -> None:
        """End the fetching soon, from any thread."""
        self._stopped.set()
        connected = self._socket
        if connected is not None:
            try:
                connected.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it ended by itself

    def run(self, url: str, validator: str) -> tuple[Head, Sums]:
        """Fetch the whole, or the rest where a part of content with this validator is there.

        Raises TransferFailed or Stopped.
        """
        try:
            return self._run(_checked(url), validator)
        except TargetRefused as error:
            raise Refused("Error: address is not allowed", str(error)) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise Refused(INVALID_URL, str(error)) from error
        except httpx2.TooManyRedirects as error:
            raise Refused("HTTP Error: too many redirects", str(error)) from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise Broken(CONNECTION, str(error) or type(error).__name__) from error
        except (httpx2.HTTPError, httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            self._raise_if_stopped()
            raise Broken(LOST, str(error) or type(error).__name__) from error
        except OSError as error:
            self._raise_if_stopped()
            full = error.errno in _DISK
            status = "Error: no space left on device" if full else f"Error: {error.strerror or 'disk'}"
            raise Broken(status, str(error)) from error

    def _run(self, url: httpx2.URL, validator: str) -> tuple[Head, Sums]:
        held = self._part.stat().st_size if validator and self._part.exists() else 0
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "fswire-transfers"}
        if held:
            headers |= {"Range": f"bytes={held}-", "If-Range": validator}
        with self._client() as client, client.stream("GET", url, headers=headers) as response:
            self._raise_if_stopped()
            if response.status_code == 416 and _total(response) == held:
                head = _head(url, response, held, held)._replace(validator=validator)
                self._told(head)
                return head, digests_of(self._part, with_md5=self._with_md5)
            head = self._answered(url, response, held, validator)
            self._socket = response.extensions["network_stream"].get_extra_info("socket")
            self._told(head)
            return head, self._receive(response, head)

    def _client(self) -> httpx2.Client:
        settings = self._settings
        return httpx2.Client(
            transport=PublicThreadTransport(allow_private=self._allow_private),
            follow_redirects=True,
            max_redirects=_REDIRECTS,
            trust_env=False,
            timeout=httpx2.Timeout(settings.read_timeout_s, connect=settings.connect_timeout_s),
        )

    def _answered(self, url: httpx2.URL, response: httpx2.Response, held: int, validator: str) -> Head:
        """Return what the answer promises. Raises TransferFailed where that is no content."""
        status = response.status_code
        if status == 206 and held:
            return _resumed(url, response, held, validator)
        if status == 200:
            head = _head(url, response, 0, _length(response))
            self._check_size(head.size or 0, head.size or 0)
            return head
        if status == 416:
            self._part.unlink(missing_ok=True)
            raise Broken(LOST, "the rest that was asked for is not there: from the beginning")
        failure = Broken if status in _AGAIN else Refused
        raise failure(
            f"HTTP Error: {status} {response.reason_phrase}".rstrip(), f"the server answered {status}"
        )

    def _receive(self, response: httpx2.Response, head: Head) -> Sums:
        with self._part.open("r+b" if head.offset else "wb", buffering=0) as file:
            file.seek(head.offset)
            file.truncate()
            self.written = head.offset
            digests = Digests(self._part, with_md5=self._with_md5)
            try:
                self._copy(response, file, digests)
                self._raise_if_stopped()  # an end of the connection that was ours is none of the content
                if head.size is not None and self.written != head.size:
                    raise Broken(LOST, f"{self.written} of {head.size} bytes came")
                return digests.finish()
            finally:
                digests.close()

    def _copy(self, response: httpx2.Response, file: BinaryIO, digests: Digests) -> None:
        digests.grow(self.written)
        for chunk in _chunks(response, self._settings.read_timeout_s):
            self._raise_if_stopped()
            self._check_size(self.written + len(chunk), len(chunk))
            left = memoryview(chunk)
            while left:
                left = left[file.write(left) :]
            self.written += len(chunk)
            digests.grow(self.written)
            if pause_s := self._rate.take(len(chunk)):
                self._stopped.wait(pause_s)
            if time.monotonic() - self._began > self._settings.longest_s:
                raise Refused("Error: took too long", f"not whole within {self._settings.longest_s:g} s")

    def _check_size(self, size: int, more: int) -> None:
        if size > self._settings.max_bytes:
            raise Refused("Error: larger than allowed", f"more than {self._settings.max_bytes} bytes")
        if more and self._free_bytes() < more + self._settings.free_bytes:
            raise Broken(
                "Error: no space left on device",
                f"{self._settings.free_bytes} bytes must stay free",
            )

    def _raise_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise Stopped


def _chunks(response: httpx2.Response, timeout_s: float) -> Iterator[bytes]:
    """Yield the content as it comes: of no fixed size, so that a server that drips is seen to drip.

    What has a length is read from the connection itself: through the parser it would take twice the time.
    """
    chunks = response.iter_raw()
    left = None if "transfer-encoding" in response.headers else _length(response)
    if left is None:
        yield from chunks
        return
    first = next(chunks, b"")  # all that the parser holds
    yield first
    left -= len(first)
    connection = response.extensions["network_stream"]
    while left and (chunk := connection.read(min(left, _READ_BYTES), timeout_s)):
        left -= len(chunk)
        yield chunk


def _checked(url: str) -> httpx2.URL:
    try:
        checked = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError, TypeError) as error:
        raise Refused(INVALID_URL, str(error)) from error
    if checked.scheme not in ("http", "https") or not checked.host:
        raise Refused(INVALID_URL, f"expected http:// or https:// and a host, got {url[:200]!r}")
    return checked


def _head(url: httpx2.URL, response: httpx2.Response, offset: int, size: int | None) -> Head:
    name = name_of(str(url), response.headers.get("content-disposition"))
    return Head(size, name, _validator(response), offset)


def _resumed(url: httpx2.URL, response: httpx2.Response, held: int, validator: str) -> Head:
    """Return what a 206 promises, if it is the rest of what is there."""
    unit, _, rest = response.headers.get("content-range", "").partition(" ")
    first, _, _ = rest.partition("-")
    told = _validator(response)
    if unit != "bytes" or first != str(held) or (told and told != validator):
        raise Broken(LOST, f"another range came than was asked for: {rest[:100]}")
    return _head(url, response, held, _total(response))._replace(validator=validator)


def _total(response: httpx2.Response) -> int | None:
    total = response.headers.get("content-range", "").rpartition("/")[2]
    return int(total) if total.isascii() and total.isdigit() else None


def _length(response: httpx2.Response) -> int | None:
    length = response.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else None


def _validator(response: httpx2.Response) -> str:
    """Return what `If-Range` takes (RFC 9110, 13.1.5): a strong ETag, else the date of the last change."""
    tag = response.headers.get("etag", "")
    if tag.startswith('"'):
        return str(tag)
    return "" if tag else str(response.headers.get("last-modified", ""))
