"""Values as people read them: names with what is invisible made visible, times, sizes, counts. Pure."""

from __future__ import annotations

import base64
import binascii
import stat
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from markupsafe import Markup, escape

from processors.instants import iso

_YEAR_S = 86_400 * 365.25
_STEPS = ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (_YEAR_S * 2, 86_400, "d"))
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_THIN_SPACE = "\u2009"
_INVISIBLE = frozenset(("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"))
"""Unicode categories whose characters show nothing, or change how their neighbours are shown."""


def name(text: str, name_b64: str = "") -> Markup:
    """Return a file's name for a page: what cannot be seen, or is no UTF-8, stands as a marked code.

    `name_b64`: the name's bytes, where the text has U+FFFD in their place.
    """
    if name_b64:
        with suppress(binascii.Error, ValueError):
            text = base64.b64decode(name_b64, validate=True).decode("utf-8", "surrogateescape")
    return Markup("").join(_visible(character) for character in text)


def name_or_markup(value: Any) -> Markup:
    """Return what is made for pages as it is, anything else as a name."""
    return value if isinstance(value, Markup) else name(str(value))


def _visible(character: str) -> Markup | str:
    if "\udc80" <= character <= "\udcff":
        code, told = f"\\x{ord(character) - 0xDC00:02x}", "a byte that is not UTF-8"
    elif unicodedata.category(character) in _INVISIBLE:
        code, told = f"U+{ord(character):04X}", unicodedata.name(character, "control character").lower()
    elif character == "\ufffd":
        code, told = character, "something that was not UTF-8"
    else:
        return escape(character)
    return Markup('<span class="code" title="{}">{}</span>').format(told, code)


def moment(occurred_us: int | None) -> Markup:
    """Return a Unix time in microseconds as the time ago; its title has the exact UTC."""
    if occurred_us is None:
        return Markup('<span class="quiet">–</span>')
    exact = iso(occurred_us * 1000)
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(
        exact, exact.replace("T", " ").replace("Z", " UTC"), ago(time.time() - occurred_us / 1e6)
    )


def exactly_iso(text: str) -> Markup:
    """Return a moment of a history item, `2026-11-21T01:20:00.123456Z`, as `exactly` shows it."""
    full = text.replace("T", " ").replace("Z", " UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(text, full, full[:-7])


def utc(occurred_us: float) -> str:
    """Return a Unix time in microseconds as plain text, to the second."""
    return iso(int(occurred_us) * 1000)[:19].replace("T", " ") + " UTC"


def exactly(occurred_us: int | None) -> Markup:
    """Return a Unix time in microseconds as date and time in UTC, to the millisecond; all in its title."""
    if occurred_us is None:
        return Markup('<span class="quiet">–</span>')
    return exactly_iso(iso(occurred_us * 1000))


def ago(seconds: float) -> str:
    """Return how long ago, or how far ahead, in one unit."""
    length = duration(abs(seconds))
    if abs(seconds) < 1:
        return "now"
    return f"{length} ago" if seconds > 0 else f"in {length}"


def duration(seconds: float | None) -> str:
    """Return a length of time in one unit."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f}{_THIN_SPACE}ms"
    if seconds < 10:
        return f"{seconds:.1f}{_THIN_SPACE}s"
    for below, unit_s, unit in _STEPS:
        if seconds < below:
            return f"{seconds // unit_s:.0f}{_THIN_SPACE}{unit}"
    return f"{seconds / _YEAR_S:.1f}{_THIN_SPACE}years"


def size(count_bytes: float | None) -> Markup:
    """Return a number of bytes in its unit; its title has them all."""
    if count_bytes is None:
        return Markup('<span class="quiet">–</span>')
    value, unit = float(count_bytes), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    digits = 0 if unit == 0 or value >= 100 else 1
    return Markup('<span title="{}{}B">{}{}{}</span>').format(
        count(count_bytes), _THIN_SPACE, f"{value:.{digits}f}", _THIN_SPACE, _UNITS[unit]
    )


def count(number: float | None) -> str:
    """Return a whole number with its thousands apart."""
    return "–" if number is None else f"{number:,.0f}".replace(",", _THIN_SPACE)


def rate(per_second: float) -> str:
    """Return how often something happens, in the unit that gives a readable number."""
    units = ((1, "s"), (60, "min"), (3600, "h"), (86_400, "d"))
    factor, unit = next((each for each in units if per_second * each[0] >= 1), units[-1])
    number = per_second * factor
    return f"{number:,.0f}/{unit}".replace(",", _THIN_SPACE) if number >= 10 else f"{number:.1f}/{unit}"


def mode(bits: int | None, is_dir: bool = False) -> str:
    """Return permission bits as `ls` writes them."""
    return "–" if bits is None else stat.filemode(bits | (stat.S_IFDIR if is_dir else stat.S_IFREG))


def digest(hex_digits: str) -> Markup:
    """Return the beginning of a sha256; its title has all of it."""
    if not hex_digits:
        return Markup('<span class="quiet">–</span>')
    return Markup('<code class="digest" title="sha256 {}">{}</code>').format(hex_digits, hex_digits[:10])


FILTERS: dict[str, Callable[..., Any]] = {
    "name": name,
    "name_or_markup": name_or_markup,
    "moment": moment,
    "exactly": exactly,
    "exactly_iso": exactly_iso,
    "utc": utc,
    "duration": duration,
    "bytes": size,
    "count": count,
    "rate": rate,
    "mode": mode,
    "digest": digest,
}
"""For templates, by name."""
