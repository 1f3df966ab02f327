"""How pages write values: what cannot be seen is made visible, what could be markup is text."""

from __future__ import annotations

import base64

import pytest

from api.pages import attributes, event_row, shown


@pytest.mark.parametrize(
    ("name", "html"),
    [
        ("plain.txt", "plain.txt"),
        ("<b>&\"'", "&lt;b&gt;&amp;&#34;&#39;"),
        ("a\nb", 'a<span class="code" title="control character">U+000A</span>b'),
        ("\u202e", '<span class="code" title="right-to-left override">U+202E</span>'),
        ("\u00ad", '<span class="code" title="soft hyphen">U+00AD</span>'),
        ("日本 é", "日本 é"),
    ],
)
def test_name_shows_every_character(name: str, html: str) -> None:
    """Nothing of a name is markup, and nothing of it is invisible."""
    assert str(shown.name(name)) == html


def test_name_shows_bytes_that_are_not_utf8() -> None:
    """Where the bytes are known, they stand in place of U+FFFD."""
    html = str(shown.name("caf\ufffd.txt", base64.b64encode(b"caf\xe9.txt").decode()))

    assert html == 'caf<span class="code" title="a byte that is not UTF-8">\\xe9</span>.txt'


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0423, "42 ms"),
        (2.46, "2.5 s"),
        (42, "42 s"),
        (125, "2 min"),
        (7_300, "2 h"),
        (200_000, "2 d"),
        (10**8, "3.2 years"),
        (None, "–"),
    ],
)
def test_duration_has_one_unit(seconds: float | None, text: str) -> None:
    """A length of time is read at a glance."""
    assert shown.duration(seconds).replace("\u2009", " ") == text


def test_moment_has_the_exact_time_in_its_title() -> None:
    """How long ago, and on demand the microsecond."""
    html = str(shown.moment(1_795_000_000_123_456))

    assert 'title="2026-11-18 11:06:40.123456 UTC"' in html


@pytest.mark.parametrize(
    ("count_bytes", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 2**40, "3.0 TiB")]
)
def test_size_has_its_unit_and_every_byte(count_bytes: int, text: str) -> None:
    """Rounded in the text, exact in the title."""
    html = str(shown.size(count_bytes)).replace("\u2009", " ")

    assert html == f'<span title="{count_bytes:,} B">{text}</span>'.replace(",", " ")


def test_attributes_are_shown_before_and_after() -> None:
    """Each attribute that an event changed, in words; content by its digests."""
    row = event_row.of_item(
        {
            "eventId": "evt_1",
            "projectId": "p",
            "filename": "a",
            "event": "attributes",
            "filesize": 5,
            "timestampUtc": "2026-11-21T01:20:00.123456Z",
            "host": "h",
            "source": "kernel",
            "mode": 0o600,
            "ownerUid": 7,
            "changed": ["mode", "uid", "size"],
            "previous": {"mode": 0o644, "uid": 0, "size": 4},
            "sha256": "bb" * 32,
            "previousSha256": "aa" * 32,
        }
    )

    told = {each.attribute: (str(each.before), str(each.after)) for each in attributes.differences(row)}

    assert told["mode"] == ("-rw-r--r-- (0644)", "-rw------- (0600)")
    assert told["owner"] == ("0", "7")
    assert ["a" * 10 in told["content"][0], "b" * 10 in told["content"][1]] == [True, True]
    assert list(told) == ["content", "mode", "owner", "size"]
