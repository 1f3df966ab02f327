"""Names of fetched files: whoever sends them, they are names in one directory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.transfer_names import name_of, safe


@pytest.mark.parametrize(
    ("url", "header", "name"),
    [
        ("http://h/a/genome.zip", None, "genome.zip"),
        ("http://h/a/genome.zip?x=1/2", None, "genome.zip"),
        ("http://h/a%20b.txt", None, "a b.txt"),
        ("http://h/dir/", None, "download"),
        ("http://h", None, "download"),
        ("http://h/x", 'attachment; filename="given.bin"', "given.bin"),
        ("http://h/x", "attachment; filename*=UTF-8''na%C3%AFve.bin", "naïve.bin"),
        ("http://h/x", 'attachment; filename="../../etc/passwd"', "passwd"),
        ("http://h/x", r'attachment; filename="C:\evil.exe"', "evil.exe"),
        ("http://h/x", 'attachment; filename=".part"', "part"),
        ("http://h/x", 'attachment; filename=".."', "x"),
        ("http://h/x", "attachment; filename*=nonsense''%FF", "ÿ"),
        ("http://h/..%2f..%2fpasswd", None, "passwd"),
        ("http://h/a\u202etxt.exe", None, "atxt.exe"),
    ],
)
def test_name_comes_from_the_header_else_the_url(url: str, header: str | None, name: str) -> None:
    """Content-Disposition wins, then the last segment, then a fixed name; none leads out of its directory."""
    assert name_of(url, header) == name


@settings(max_examples=200)
@given(st.text(max_size=400))
def test_any_text_becomes_the_name_of_one_file(text: str) -> None:
    """No separator, nothing hidden, at most what a file system takes."""
    name = safe(text)

    assert 0 < len(name.encode()) <= 255
    assert not name.startswith(".")
    assert not {"/", "\\", "\0", "\n"} & set(name)
