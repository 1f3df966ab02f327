import random

import pytest

from agent.scopes import Scope, Scopes


def scopes(*given: tuple[bytes, bool]) -> Scopes:
    made = Scopes()
    for path, recursive in given:
        made.add(Scope(path, recursive))
    return made


@pytest.mark.parametrize(
    ("path", "recursive", "shown"),
    [
        (b"a", True, {b"a", b"a/b", b"a/b/c"}),
        (b"a", False, {b"a", b"a/b"}),
        (b"a/b", False, {b"a/b", b"a/b/c"}),
        (b"ab", True, {b"ab"}),
        (b"", True, {b"", b"a", b"ab", b"a/b", b"a/b/c"}),
        (b"", False, {b"", b"a", b"ab"}),
    ],
)
def test_what_a_scope_shows(path: bytes, recursive: bool, shown: set[bytes]) -> None:
    """Itself and what is directly in it, or all below it."""
    made = scopes((path, recursive))

    files = {each for each in (b"", b"a", b"ab", b"a/b", b"a/b/c") if made.shows(each, is_dir=False)}
    assert files == shown


def test_the_way_to_a_scope_is_seen() -> None:
    """Directories above it are shown, and only the names that lead on are looked at in them."""
    made = scopes((b"a/b/c", True), (b"a/x", False))

    assert made.shows(b"a", is_dir=True)
    assert made.shows(b"a/b", is_dir=True)
    assert not made.shows(b"a", is_dir=False)
    assert not made.shows(b"a/y", is_dir=True)
    assert [made.names(path) for path in (b"", b"a", b"a/b")] == [[b"a"], [b"b", b"x"], [b"c"]]
    assert made.names(b"a/b/c") is None
    assert made.names(b"a/b/c/d") is None
    assert made.names(b"a/x") is None
    assert made.names(b"a/x/deep") == []


def test_a_scope_is_counted() -> None:
    """What was asked for twice is shown until it was taken back twice; then nothing is left of it."""
    made = scopes((b"a/b", True), (b"a/b", True), (b"a/b", False))

    made.remove(Scope(b"a/b", True))
    assert made.shows(b"a/b/c/d", is_dir=False)
    made.remove(Scope(b"a/b", True))
    assert not made.shows(b"a/b/c/d", is_dir=False)
    assert made.shows(b"a/b/c", is_dir=False)
    made.remove(Scope(b"a/b", False))
    assert (made.names(b""), made._ways, made._paths, made._recursive) == ([], {}, {}, {})


def test_any_order_of_adding_and_removing_ends_the_same() -> None:
    """Only what is asked for now counts, not how it came to that."""
    generator = random.Random(3)
    paths = [b"", b"a", b"a/b", b"a/b/c", b"ab", b"x/y"]
    given = [(generator.choice(paths), generator.random() < 0.5) for _ in range(60)]
    made = scopes(*given)
    generator.shuffle(given)
    for path, recursive in given[20:]:
        made.remove(Scope(path, recursive))

    fresh = scopes(*given[:20])
    for path in [*paths, b"a/b/c/d", b"q"]:
        assert made.names(path) == fresh.names(path)
        for is_dir in (False, True):
            assert made.shows(path, is_dir=is_dir) == fresh.shows(path, is_dir=is_dir)
