"""One try of a download against a server that misbehaves: what lands in the file, and what is said."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent.hash_rate import HashRate
from processors import targets
from processors.transfer_download import Broken, Download, Head, Refused, Stopped, TransferFailed
from processors.transfer_settings import TransferSettings
from tests.integration.origin import TAG, Origin, origin

SIZE = 3 * 1024 * 1024 + 17


@pytest.fixture(scope="module")
def served() -> Iterator[Origin]:
    """A server of 3 MiB and a bit."""
    with origin(SIZE) as running:
        yield running


class Tries:
    """Tries into one file."""

    def __init__(self, directory: Path, served: Origin) -> None:
        self.part = directory / ".part"
        self.served = served
        self.heads: list[Head] = []

    def of(self, **settings: Any) -> Download:
        """Return a try with settings of its own."""
        allow_private = settings.pop("allow_private", True)
        free = settings.pop("free", 1 << 40)
        return Download(
            self.part,
            TransferSettings(**settings),
            HashRate(settings.get("bytes_per_second", 0)),
            self.heads.append,
            allow_private=allow_private,
            free_bytes=lambda: free,
            with_md5=True,
        )

    def run(self, path: str, validator: str = "", **settings: Any) -> dict[str, str]:
        """Fetch a path; return the digests."""
        _, sums = self.of(**settings).run(self.served.url(path), validator)
        return sums._asdict()

    def fails(self, path: str, validator: str = "", **settings: Any) -> TransferFailed:
        """Fetch a path in vain; return why."""
        with pytest.raises(TransferFailed) as failed:
            self.run(path, validator, **settings)
        return failed.value


@pytest.fixture
def tries(tmp_path: Path, served: Origin) -> Tries:
    """Tries into a fresh directory."""
    return Tries(tmp_path, served)


@pytest.mark.parametrize("path", ["/good/a.bin", "/unsized/a.bin", "/to/good/a.bin", "/to/to/good/a.bin"])
def test_content_comes_whole(tries: Tries, path: str) -> None:
    """With a length or without, directly or by redirect, the bytes and both digests are right."""
    assert tries.run(path) == tries.served.sums

    assert tries.part.read_bytes() == tries.served.content()
    assert tries.heads[0].name == "a.bin"
    assert tries.heads[0].size == (None if "unsized" in path else SIZE)


def test_name_is_that_of_the_server(tries: Tries) -> None:
    """Content-Disposition names the file, whatever the type, and leads nowhere."""
    tries.run("/page/a.bin")

    assert tries.heads[0].name == "named.bin"


def test_rest_is_asked_for_after_a_reset(tries: Tries) -> None:
    """A second try asks for what is missing, on condition that it is the same content."""
    path = "/reset/rest.bin"
    failure = tries.fails(path)
    assert isinstance(failure, Broken)
    held = tries.part.stat().st_size
    assert 0 < held < SIZE

    sums = tries.run(path, tries.heads[0].validator)

    assert tries.served.asked[-1] == (path, f"bytes={held}-", TAG)
    assert (sums, tries.heads[-1].offset) == (tries.served.sums, held)
    assert tries.part.read_bytes() == tries.served.content()


def test_other_content_begins_anew(tries: Tries) -> None:
    """Where the content has changed meanwhile, nothing of the old one stays."""
    path = "/changing/a.bin"
    tries.fails(path)

    assert tries.run(path, tries.heads[0].validator) == tries.served.sums
    assert tries.heads[-1].offset == 0


def test_without_a_validator_nothing_is_resumed(tries: Tries) -> None:
    """Whether the rest belongs to what is there nobody could tell."""
    path = "/untagged/a.bin"
    tries.fails(path)

    assert tries.run(path, tries.heads[0].validator) == tries.served.sums
    assert tries.served.ranges(path) == [None, None]


def test_whole_file_is_not_fetched_again(tries: Tries) -> None:
    """What was whole when its process died is only digested: there is no range behind the end."""
    tries.part.write_bytes(tries.served.content())

    assert tries.run("/satisfied/a.bin", TAG) == tries.served.sums
    assert (tries.heads[0].offset, tries.heads[0].size) == (SIZE, SIZE)


@pytest.mark.parametrize(
    ("path", "settings", "kind", "status"),
    [
        ("/short/a.bin", {}, Broken, "Connection Lost"),
        ("/endless/a.bin", {"max_bytes": 100_000}, Refused, "Error: larger than allowed"),
        ("/good/a.bin", {"max_bytes": 100_000}, Refused, "Error: larger than allowed"),
        ("/drip/a.bin", {"longest_s": 0.1}, Refused, "Error: took too long"),
        ("/silent/a.bin", {"read_timeout_s": 0.1}, Broken, "Connection Lost"),
        ("/good/a.bin", {"free": 1000}, Broken, "Error: no space left on device"),
        ("/nothing/a.bin", {}, Refused, "HTTP Error: 404 Not Found"),
        ("/busy/status.bin", {}, Broken, "HTTP Error: 503 Service Unavailable"),
        ("/loop/a.bin", {}, Refused, "HTTP Error: too many redirects"),
        ("/to_ftp/a.bin", {}, Refused, "Invalid URL Error"),
        ("/good/a.bin", {"allow_private": False}, Refused, "Error: address is not allowed"),
    ],
)
def test_failure_says_what_it_was(
    tries: Tries, path: str, settings: dict[str, Any], kind: type[TransferFailed], status: str
) -> None:
    """Each has its own text, and is tried again only where that may help."""
    failure = tries.fails(path, **settings)

    assert (type(failure), failure.status) == (kind, status)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 1 MiB; the kernel answers a write with an error."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("small_files")
def test_write_that_the_kernel_refuses_is_named(tries: Tries) -> None:
    """What is there by then stays, for a try that has more room."""
    failure = tries.fails("/good/large.bin")

    assert (type(failure), failure.status) == (Broken, "Error: File too large")
    assert tries.part.stat().st_size == 1024 * 1024


@pytest.mark.parametrize(
    "url", ["", "ftp://h/x", "file:///etc/passwd", "http://", "no url", "http://[::1", "//h/x"]
)
def test_url_that_is_none_is_refused(tries: Tries, url: str) -> None:
    """Only http and https, with a host."""
    with pytest.raises(Refused) as refused:
        tries.of().run(url, "")

    assert refused.value.status == "Invalid URL Error"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
)
def test_private_addresses_are_refused(tries: Tries, host: str) -> None:
    """Loopback, link-local and private addresses, however they are written."""
    with pytest.raises(Refused) as refused:
        tries.of(allow_private=False).run(f"http://{host}/x", "")

    assert refused.value.status == "Error: address is not allowed"


def test_redirect_to_a_private_address_is_refused(tries: Tries, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is judged at the moment of connecting: the first host is public here, the second is not."""
    port = tries.served.server.server_port
    judged = targets.is_public
    monkeypatch.setattr(targets, "is_public", lambda address: address == "127.0.0.1" or judged(address))
    handler = tries.served.server.RequestHandlerClass
    monkeypatch.setattr(
        handler,
        "_leads_inside",
        lambda self: self._head(
            302, {"Location": f"http://127.0.0.2:{port}/good/a.bin", "Content-Length": "0"}
        ),
        raising=False,
    )

    failure = tries.fails("/leads-inside/a.bin", allow_private=False)

    assert failure.status == "Error: address is not allowed"
    assert tries.served.ranges("/good/inside.bin") == []


def test_name_that_resolves_inside_is_refused(tries: Tries, monkeypatch: pytest.MonkeyPatch) -> None:
    """A public name whose address is private by the time of connecting leads nowhere."""
    found = [(2, 1, 6, "", ("10.1.2.3", 80))]
    monkeypatch.setattr(targets.socket, "getaddrinfo", lambda *_, **__: found)

    with pytest.raises(Refused) as refused:
        tries.of(allow_private=False).run("http://files.example/a.bin", "")

    assert refused.value.status == "Error: address is not allowed"


def test_host_and_name_stay_those_of_the_url(tries: Tries, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the judged address; the server is asked by the name, after a redirect too."""
    asked: list[str] = []
    send = httpx2.HTTPTransport.handle_request

    def noted(self: httpx2.HTTPTransport, request: httpx2.Request) -> httpx2.Response:
        asked.append(f"{request.url.host} {request.headers['host'].partition(':')[0]}")
        return send(self, request)

    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", noted)

    tries.of().run(tries.served.url("/to/good/a.bin").replace("127.0.0.1", "localhost"), "")

    assert set(asked) <= {"127.0.0.1 localhost", "::1 localhost"}
    assert asked.count("127.0.0.1 localhost") == 2


def test_nobody_listens(tries: Tries) -> None:
    """A connection that cannot be made is worth another try."""
    with pytest.raises(Broken) as broken:
        tries.of().run("http://127.0.0.1:1/a.bin", "")

    assert broken.value.status == "Connection Error"


@pytest.mark.parametrize("path", ["/drip/a.bin", "/endless/a.bin"])
def test_stop_ends_a_try(tries: Tries, path: str) -> None:
    """From another thread, also while the server sends nothing."""
    download = tries.of()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            download.run(tries.served.url(path), "")
        except (TransferFailed, Stopped) as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not download.written:
        thread.join(0.01)
    download.stop()
    thread.join(30)

    assert [type(error) for error in ended] == [Stopped]


def test_rate_is_kept(tries: Tries, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is taken is accounted for, and waited for."""
    waited: list[float] = []
    download = tries.of(bytes_per_second=1024 * 1024)
    monkeypatch.setattr(download._stopped, "wait", lambda pause_s: waited.append(pause_s) or False)

    download.run(tries.served.url("/good/a.bin"), "")

    assert sum(waited) > 1
