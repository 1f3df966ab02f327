import pytest

from agent.kafka import KafkaSettings
from processors.registry import Registry


@pytest.fixture
def registry() -> Registry:
    return Registry(KafkaSettings())


def test_entries_come_change_and_go(registry: Registry) -> None:
    """The newest record of a key is what holds; a tombstone removes it."""
    registry._take(b"project/p", b'{"id":"p","created_ns":1}')
    registry._take(b"project/p", b'{"id":"p","created_ns":1,"ingress_token_hash":"h"}')
    registry._take(b"key/k", b'{"id":"k","secret_hash":"s","scopes":[],"projects":[],"created_ns":1}')
    registry._take(b"key/k", None)

    project = registry.project("p")
    assert project is not None
    assert project.ingress_token_hash == "h"
    assert registry.key("k") is None
    assert list(registry.projects) == ["p"]


def test_patterns_allow_by_case_and_only_what_may_be_a_project(registry: Registry) -> None:
    """A pattern is matched with the case as it is, and allows no name that no project may have."""
    registry._take(b"pattern/etc-*", b'{"pattern":"etc-*","created_ns":1}')

    assert registry.allowed("etc-web1")
    assert not registry.allowed("ETC-web1")
    assert not registry.allowed("etc-/..")
    assert not registry.allowed("home")


@pytest.mark.parametrize(
    ("key", "value"),
    [(None, b"{}"), (b"\xff", b"{}"), (b"project/p", b"no"), (b"workflow/w", b"{}"), (b"key/k", b"{}")],
)
def test_unreadable_record_is_left_out(registry: Registry, key: bytes | None, value: bytes) -> None:
    """A record that this version cannot read hides none of the others."""
    registry._take(key, value)

    assert (dict(registry.projects), dict(registry.keys)) == ({}, {})
