"""Compression of bodies and answers."""

from __future__ import annotations

import gzip
import zlib

import cramjam
import lz4.frame
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from deploy import store_codecs as codecs
from deploy.store_errors import StoreError

_PACK = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
    "lz4": lz4.frame.compress,
    "br": lambda data: bytes(cramjam.brotli.compress(data)),
}
_UNPACK = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": zstd.decompress,
    "lz4": lz4.frame.decompress,
    "br": lambda data: bytes(cramjam.brotli.decompress(data)),
}


@pytest.mark.parametrize("encoding", _PACK)
@given(data=st.binary(min_size=1, max_size=3000), at=st.integers(0, 3000))
def test_decoder_undoes_a_content_encoding_in_pieces(encoding: str, data: bytes, at: int) -> None:
    """However the bytes are cut on their way, the body comes out as it went in."""
    packed = _PACK[encoding](data)
    decoder = codecs.decoder(encoding)
    assert decoder is not None

    decoded = decoder.decode(packed[:at]) + decoder.decode(packed[at:]) + decoder.finish()

    assert decoded == data


def test_decoder_reads_streams_that_follow_each_other() -> None:
    """Clients compress block by block and send one stream after the other."""
    decoder = codecs.decoder("lz4")
    assert decoder is not None

    decoded = decoder.decode(lz4.frame.compress(b"a") + lz4.frame.compress(b"b")) + decoder.finish()

    assert decoded == b"ab"


@pytest.mark.parametrize("encoding", _UNPACK)
def test_encoder_applies_a_content_encoding(encoding: str) -> None:
    """Every encoding that is chosen can be read by its ordinary reader."""
    encoder = codecs.encoder(encoding, 3)

    packed = encoder.encode(b"one ") + encoder.encode(b"two") + encoder.finish()

    assert _UNPACK[encoding](packed) == b"one two"


@pytest.mark.parametrize("method", ["LZ4", "ZSTD"])
@given(chunks=st.lists(st.binary(min_size=1, max_size=500), max_size=4), step=st.integers(1, 60))
def test_blocks_come_out_as_they_went_in(method: str, chunks: list[bytes], step: int) -> None:
    """ClickHouse's own blocks survive being cut anywhere."""
    encoder, decoder = codecs.BlockEncoder(method), codecs.BlockDecoder()
    packed = b"".join(map(encoder.encode, chunks))

    decoded = b"".join(decoder.decode(packed[at : at + step]) for at in range(0, len(packed), step))

    assert decoded + decoder.finish() == b"".join(chunks)


def test_block_decoder_refuses_a_changed_byte() -> None:
    """A block whose checksum does not match is refused with ClickHouse's code."""
    packed = bytearray(codecs.BlockEncoder("LZ4").encode(b"some data"))
    packed[-1] ^= 1

    with pytest.raises(StoreError) as refused:
        codecs.BlockDecoder().decode(bytes(packed))

    assert refused.value.code == 40


@pytest.mark.parametrize("body", [b"\x1f\x8bgarbage", gzip.compress(b"cut off")[:-4]])
def test_decoder_refuses_what_is_not_so_encoded(body: bytes) -> None:
    """Bytes of another encoding, or too few of them, are an error of the request."""
    decoder = codecs.decoder("gzip")
    assert decoder is not None

    with pytest.raises(StoreError):
        decoder.decode(body)
        decoder.finish()


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [("gzip, deflate", "gzip"), ("lz4,zstd", "lz4"), ("identity", None), ("br;q=0.1", "br")],
)
def test_choose_prefers_as_clickhouse_does(accepted: str, chosen: str | None) -> None:
    """The order of preference is the server's, not the client's."""
    assert codecs.choose(accepted) == chosen
