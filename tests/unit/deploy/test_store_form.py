"""Multipart forms, however they are cut into chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.store_errors import StoreError
from deploy.store_form import Form

_BODY = (
    b'--B\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT 1\r\n'
    b'--B\r\nContent-Disposition: form-data; name="t"; filename="t.csv"\r\n'
    b"Content-Type: text/csv\r\n\r\n1,a\r\n\r\n--A\r\n2,b\r\n"
    b'--B\r\nContent-Disposition: form-data; name="param_x"\r\n\r\n\r\n--B--\r\n'
)


async def _cut(body: bytes, step: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), step):
        yield body[at : at + step]


@given(step=st.integers(1, len(_BODY)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_form_reads_fields_and_files(tmp_path: Path, step: int) -> None:
    """Fields come as bytes, files as files; what only looks like a boundary is data."""
    form = Form(b"B", tmp_path)

    asyncio.run(form.read(_cut(_BODY, step)))

    assert form.fields == {"query": b"SELECT 1", "param_x": b""}
    assert form.files["t"].read() == b"1,a\r\n\r\n--A\r\n2,b"
    form.close()


def test_form_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """A form without its end would run a query on half of the data."""
    form = Form(b"B", tmp_path)

    with pytest.raises(StoreError, match="cut off"):
        asyncio.run(form.read(_cut(_BODY[:-20], 50)))
    form.close()
