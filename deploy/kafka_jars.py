"""The jars of Apache Kafka: resolved once by jgo into a cache, checked against a committed lock before use.

In flows `kafka-4.3.1.lock`, one `group:artifact:version bytes sha256` a line; out flows a class path. A jar
whose size or sum differs is never put on it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = "4.3.1"
COORDINATE = f"org.apache.kafka:kafka_2.13:{VERSION}"
BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
"""Binds Kafka's logging to the log4j that its jars bring; Kafka's own distribution adds it too."""
LOCK = Path(__file__).with_name(f"kafka-{VERSION}.lock")

Progress = Callable[[int, int], None]
"""Called with the bytes that just arrived and the bytes of all downloads; from several threads."""


class JarsRefused(Exception):
    """A jar could not be had, or is not the one that the lock names."""


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    coordinate: str
    size_bytes: int
    sha256: str

    def is_at(self, path: Path) -> bool:
        """Tell whether the file at `path` is this jar."""
        return path.is_file() and path.stat().st_size == self.size_bytes and _sha256(path) == self.sha256


def read_lock(lock: Path = LOCK) -> list[Jar]:
    """Return the jars that the lock names, in the order of the class path."""
    rows = (line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#"))
    return [Jar(coordinate, int(size), sha256) for coordinate, size, sha256 in rows]


def cache_dir() -> Path:
    """Return where downloads are kept: `$XDG_CACHE_HOME/fswire/maven`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fswire" / "maven"


def class_path(progress: Progress = lambda _arrived, _total: None, cache: Path | None = None) -> list[Path]:
    """Return the paths of all jars, downloading what is not here and verifying every one.

    Called before each start of the broker; with everything in the cache it needs no network. Raises
    JarsRefused.
    """
    cache = cache or cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    jars = read_lock()
    with _alone(cache):
        missing = [jar for jar in jars if not jar.is_at(_path(cache, jar))]
        _fetch(cache, missing, progress)
    return [_path(cache, jar) for jar in jars]


def _fetch(cache: Path, jars: list[Jar], progress: Progress) -> None:
    if not jars:
        return
    total = sum(jar.size_bytes for jar in jars)
    download = _downloader(cache, lambda arrived: progress(arrived, total))
    for jar in jars:
        _path(cache, jar).unlink(missing_ok=True)  # cut short by an earlier end, or not the jar it claims
    # A handful at once hides the round trips; more only gets a client limited.
    with ThreadPoolExecutor(4) as pool:
        for jar, path in zip(jars, pool.map(download, jars), strict=True):
            if not jar.is_at(path):
                raise JarsRefused(
                    f"{jar.coordinate} was downloaded to {path}, but is not the file that {LOCK.name} names "
                    f"(expected {jar.size_bytes} bytes, sha256 {jar.sha256})"
                )


def _downloader(cache: Path, arrived: Callable[[int], None]) -> Callable[[Jar], Path]:
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext, PythonResolver

    @contextmanager
    def shown(_filename: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield arrived

    settings = GlobalSettings.load()
    context = MavenContext(resolver=PythonResolver(progress_callback=shown), repo_cache=cache, timeout=60)
    context.remote_repos.update(settings.repositories)

    def download(jar: Jar) -> Path:
        group, artifact, version = jar.coordinate.split(":")
        try:
            path: Path = context.project(group, artifact).at_version(version).artifact().resolve()
        except Exception as error:  # jgo lets every kind of its HTTP client's errors through
            raise JarsRefused(
                f"cannot download {jar.coordinate}: {error}; the first start needs the network"
            ) from error
        return path

    return download


def _path(cache: Path, jar: Jar) -> Path:
    group, artifact, version = jar.coordinate.split(":")
    return cache.joinpath(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Two first starts at once share one download."""
    with (cache / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_lock(lock: Path = LOCK) -> None:
    """Resolve `COORDINATE` afresh and write the lock: for whoever raises the version."""
    import jgo

    kafka: list[Any] = jgo.resolve(COORDINATE)
    binding: Any = jgo.resolve(BINDING)[0]
    lines = [
        f"# The jars of {COORDINATE}: coordinate, bytes, sha256; `python -m deploy.kafka_jars` writes it."
    ]
    for artifact in [*kafka, binding]:
        path = artifact.resolve()
        name = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
        lines.append(f"{name} {path.stat().st_size} {_sha256(path)}")
    lock.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write_lock()
