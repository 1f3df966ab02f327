"""The attacks of `sql_attacks.txt`, and those that are too long for a line."""

from __future__ import annotations

from pathlib import Path

_FILE = Path(__file__).with_name("sql_attacks.txt")
_SIGNS = str.maketrans({"␤": "\n", "␉": "\t", "␀": "\0"})
_LONG = [
    "(" * 5000,
    "SELECT " + "(" * 3000 + "1" + ")" * 3000,
    "SELECT " + "- " * 4000 + "1",
    "SELECT " + "[" * 3000 + "]" * 3000,
    "SELECT " + "NOT " * 4000 + "1",
    "SELECT " + "if(1," * 2000 + "1" + ",1)" * 2000,
    "SELECT * FROM " + "(SELECT * FROM " * 1000 + "events" + ")" * 1000,
    "SELECT file('/etc/passwd')" + " UNION ALL SELECT 1" * 800,
    "SELECT " + "1," * 1500 + "sleep(3)",
    "SELECT 'x" + "x" * 16000 + "', sleep(3)",
]
_NOTHING = ["", " ", ";", "\0", "SELECT \ud800", "\ufeff", "/*" + " " * 100, "SELECT '" + "\\" * 99]


def attacks(section: str) -> list[str]:
    """Return the queries of the section `refused` or `contained`."""
    text = _FILE.read_text("utf-8").partition(f"\n== {section}")[2].partition("\n== ")[0]
    lines = [line for line in text.split("\n")[1:] if line and not line.startswith("#")]
    more = [*_NOTHING, *_LONG] if section == "refused" else []
    return [line.translate(_SIGNS) for line in lines] + more
