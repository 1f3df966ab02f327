"""Which format a client gets: what its Accept header likes best of what there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.accept import chosen
from api.errors import NotAcceptable

OFFERED = {"application/json": "json", "text/csv": "csv", "application/vnd.apache.parquet": "parquet"}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "json"),
        (b"", "json"),
        (b"*/*", "json"),
        (b"text/csv", "csv"),
        (b"TEXT/CSV; charset=utf-8", "csv"),
        (b"text/*", "csv"),
        (b"text/html, application/vnd.apache.parquet", "parquet"),
        (b"application/json;q=0.5, text/csv;q=0.7", "csv"),
        (b"application/json; q=0, */*; q=0.1", "csv"),
        (b"text/csv, application/json", "json"),
        (b"not a media type, text/csv", "csv"),
    ],
)
def test_chosen_is_what_the_client_likes_best(accept: bytes | None, expected: str) -> None:
    """By quality, the most specific range speaking for each; the first that is offered of equals."""
    assert chosen(accept, OFFERED) == expected


@pytest.mark.parametrize("accept", [b"image/png", b"text/csv;q=0", b"application/json;q=0.0", b"nonsense"])
def test_nothing_acceptable_is_refused(accept: bytes) -> None:
    """406 names what there is."""
    with pytest.raises(NotAcceptable, match=r"application/json, text/csv, application/vnd\.apache\.parquet"):
        chosen(accept, OFFERED)


@given(st.binary(max_size=200))
def test_any_header_is_answered(accept: bytes) -> None:
    """Whatever stands in the header, it is an answer or a refusal."""
    try:
        assert chosen(accept, OFFERED) in OFFERED.values()
    except NotAcceptable as refused:
        assert refused.status == 406
