"""What commands print: tables for people, lines for programs."""

from __future__ import annotations

import pytest

from deploy import output


def test_table_shows_control_characters_and_never_sends_them(capsys: pytest.CaptureFixture[str]) -> None:
    """A file's name must not move the cursor of whoever lists it, nor begin a row of its own."""
    output.table(("path",), [("a\x1b[31mb\x00\x9b\nc",)])

    shown = capsys.readouterr().out
    assert r"a\x1b[31mb\x00\x9b\x0ac" in shown
    assert not {"\x1b", "\x00", "\x9b"} & set(shown)


def test_lines_keep_what_a_program_has_to_read(capsys: pytest.CaptureFixture[str]) -> None:
    """As ClickHouse's TSVWithNames: what would end a cell or a line is escaped, nothing else is."""
    output.rows(("path", "size"), [("a\tb\n\\\x1b", None)])

    assert capsys.readouterr().out == "path\tsize\na\\tb\\n\\\\\x1b\t\\N\n"
