"""The jars of the broker: only those that the lock names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from deploy.kafka_jars import VERSION, Jar, cache_dir, read_lock


def test_lock_names_every_jar_once() -> None:
    """Kafka's 45 jars and the logging binding, each with a size and a sum, and no host."""
    jars = read_lock()

    assert len({jar.coordinate for jar in jars}) == len(jars) == 46
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in jars)
    assert all(len(jar.coordinate.split(":")) == 3 for jar in jars)
    assert f"org.apache.kafka:kafka_2.13:{VERSION}" in {jar.coordinate for jar in jars}


def test_jar_is_recognised_by_its_content(tmp_path: Path) -> None:
    """A file of another content, even of the same size, is not the jar."""
    jar = Jar("a:b:1", 4, hashlib.sha256(b"good").hexdigest())
    for name, content in (("good", b"good"), ("bad", b"evil"), ("short", b"goo")):
        (tmp_path / name).write_bytes(content)

    found = [jar.is_at(tmp_path / name) for name in ("good", "bad", "short", "missing")]

    assert found == [True, False, False, False]


def test_cache_is_below_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Downloads go where the user keeps such things."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert cache_dir() == tmp_path / "fswire" / "maven"
