"""Formats of answers, and what is compressed on the way in and out."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from deploy import store_codecs
from tests.integration.databases import Place

pytestmark = pytest.mark.stack


@pytest.mark.parametrize(
    "format_name", ["JSON", "JSONCompact", "CSVWithNames", "TSVWithNamesAndTypes", "XML"]
)
def test_formats_with_a_frame_come_whole(database: Place, format_name: str) -> None:
    """Formats with a beginning and an end have each once, however many blocks lie between."""
    with database.http() as http:
        answer = http.post("/", content=f"SELECT number AS n FROM numbers(200000) FORMAT {format_name}")

    text = answer.text
    if format_name.startswith("JSON"):
        assert len(json.loads(text)["data"]) == 200_000
    else:
        frame = {"CSVWithNames": '"n"', "TSVWithNamesAndTypes": "UInt64", "XML": "</result>"}[format_name]
        assert (text.count(frame), text.count("199999")) == (1, 1)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4", "br"])
def test_answers_are_compressed_on_request(database: Place, encoding: str) -> None:
    """Accept-Encoding with enable_http_compression compresses the answer."""
    with (
        database.http() as http,
        http.stream(
            "POST",
            "/",
            params={"enable_http_compression": "1"},
            content="SELECT number FROM numbers(100000) FORMAT TSV",
            headers={"Accept-Encoding": encoding},
        ) as answer,
    ):
        raw = b"".join(answer.iter_raw())

    decoder = store_codecs.decoder(answer.headers["Content-Encoding"])
    assert decoder is not None
    lines = (decoder.decode(raw) + decoder.finish()).split(b"\n")
    assert (len(lines), lines[99_999]) == (100_001, b"99999")


def test_bodies_may_be_compressed(database: Place, client: Any, table: str) -> None:
    """Content-Encoding of a body is undone."""
    body = gzip.compress(b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n')
    with database.http() as http:
        answer = http.post(
            "/",
            params={"query": f"INSERT INTO {table} FORMAT JSONEachRow"},
            content=body,
            headers={"Content-Encoding": "gzip"},
        )

    assert answer.status_code == 200, answer.text
    assert client.query(f"SELECT a, b FROM {table} ORDER BY a").result_rows == [(1, "x"), (2, "y")]


@pytest.mark.parametrize("method", ["LZ4", "ZSTD"])
def test_native_compression_works_both_ways(database: Place, client: Any, table: str, method: str) -> None:
    """`compress` and `decompress` are ClickHouse's own checked blocks."""
    encoder, decoder = store_codecs.BlockEncoder(method), store_codecs.BlockDecoder()
    with database.http() as http:
        http.post(
            "/",
            params={"query": f"INSERT INTO {table} (a, b) FORMAT TSV", "decompress": "1"},
            content=encoder.encode(b"1\tone\n2\ttwo\n"),
        ).raise_for_status()
        params = {"compress": "1", "network_compression_method": method}
        answer = http.post("/", params=params, content=f"SELECT a, b FROM {table} ORDER BY a FORMAT TSV")

    assert decoder.decode(answer.content) + decoder.finish() == b"1\tone\n2\ttwo\n"
