"""Where ClickHouse is: what is no URL of it is refused, and nothing secret is said."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from processors.clickhouse import ClickHouseSettings


@pytest.mark.parametrize(
    "url", ["ftp://host", "http://", "http://user:hun/ter@host:8123/db", "http://host:8123db", "http://[::1"]
)
def test_url_of_another_form_is_refused_without_a_word_of_it(url: str) -> None:
    """A password that is not percent-encoded looks like a port: its parser would tell it."""
    with pytest.raises(ValidationError) as raised:
        ClickHouseSettings(url=SecretStr(url))

    (problem,) = raised.value.errors(include_input=False)
    assert problem["msg"] == "Value error, expected http://user:password@host:port/database, or https"
