"""Patterns in gitignore's language, on paths that are bytes."""

from __future__ import annotations

import pytest

from agent.patterns import PatternRefused, Patterns, check, depends_on_place


@pytest.mark.parametrize(
    ("patterns", "path", "is_dir", "verdict"),
    [
        (["*.pyc"], b"a/b.pyc", False, True),
        (["*.pyc"], b"a/b.py", False, None),
        (["build/"], b"a/build", True, True),
        (["build/"], b"a/build", False, None),
        (["/build"], b"a/build", False, None),
        (["/build"], b"build", False, True),
        (["src/**/gen"], b"src/a/b/gen", False, True),
        (["build/"], b"build/deep/f", False, True),
        (["*.log", "!keep.log"], b"keep.log", False, False),
        (["!keep.log", "*.log"], b"keep.log", False, True),
        (["# comment", "", "a"], b"a", False, True),
        (["\\#a"], b"#a", False, True),
        (["bad*"], b"bad\xff\xfe", False, True),
        (["bad?"], b"bad\xff", False, True),
        (["*.txt"], b"two\nlines.txt", False, True),
        (["two?lines"], b"two\nlines", False, True),
        (["name"], b"name\n", False, None),
        (["x/*"], b"x/new\nline", False, True),
        (["\u00fc*"], "\u00fcber".encode(), False, True),
    ],
)
def test_pattern_decides(patterns: list[str], path: bytes, *, is_dir: bool, verdict: bool | None) -> None:
    """Patterns mean what git says they mean, for names that are no UTF-8 or hold a line's end as well."""
    assert Patterns(patterns).verdict(path, is_dir=is_dir) is verdict


@pytest.mark.parametrize("pattern", ["[a", "a\\", "!", "[z-a]", "/", "[[:alpha:]]", "two\nlines"])
def test_pattern_without_meaning_is_refused(pattern: str) -> None:
    """What matches nothing, or cannot be parsed, is refused and named: it would hide nothing in silence."""
    with pytest.raises(PatternRefused) as refused:
        check(pattern)

    assert repr(pattern) in str(refused.value)


@pytest.mark.parametrize("pattern", ["", "   ", "# comment", "a", "!a", "**", "a/**/b", "[abc]*.py"])
def test_pattern_with_meaning_is_taken(pattern: str) -> None:
    """Comments and blank lines are allowed, as in a `.gitignore`."""
    check(pattern)


@pytest.mark.parametrize(
    ("patterns", "depends"), [(["*.pyc", "build/", "!x"], False), (["/build"], True), (["a/b"], True)]
)
def test_patterns_that_ask_for_a_place(patterns: list[str], *, depends: bool) -> None:
    """Only a pattern with a slash before its end can change its mind when a directory is renamed."""
    assert depends_on_place(patterns) is depends
