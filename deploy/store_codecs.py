"""Compression on the wire: HTTP's Content-Encoding, and ClickHouse's own checked blocks (`compress=1`).

Every codec is a pair of small objects: `decode(chunk)` or `encode(chunk)` until the end, then `finish()`.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cramjam
import lz4.block
import lz4.frame
from backports import zstd
from clickhouse_cityhash.cityhash import CityHash128

from deploy import store_errors as errors
from deploy.store_errors import StoreError

_CHECKSUM = struct.Struct("<QQ")
_HEADER = struct.Struct("<BII")
_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90
BLOCK_BYTES = 1024 * 1024
"""ClickHouse cuts what it compresses into blocks of at most this size."""
_MAX_BLOCK_BYTES = 1024 * 1024 * 1024


class Decoder:
    """Undoes one Content-Encoding; several compressed streams may follow each other."""

    def __init__(self, new: Callable[[], Any]) -> None:
        self._new = new
        self._stream = new()

    def decode(self, chunk: bytes) -> bytes:
        """Return what the bytes so far hold. Raises StoreError for bytes that are not so encoded."""
        out = []
        try:
            while chunk:
                if self._stream.eof:
                    self._stream = self._new()
                out.append(self._stream.decompress(chunk))
                chunk = self._stream.unused_data if self._stream.eof else b""
        except (zlib.error, lzma.LZMAError, zstd.ZstdError, OSError, RuntimeError, EOFError) as error:
            raise StoreError(
                errors.CANNOT_DECOMPRESS, f"Cannot decompress the request's body: {error}"
            ) from None
        return b"".join(out)

    def finish(self) -> bytes:
        """Return what was held back; StoreError if the input stopped in the middle."""
        if not self._stream.eof:
            raise StoreError(errors.CANNOT_DECOMPRESS, "Cannot decompress the request's body: it is cut off")
        return b""


class BrotliDecoder:
    """Undoes `br`, at once and at the end: cramjam has no incremental reader of it."""

    def __init__(self) -> None:
        self._held = bytearray()

    def decode(self, chunk: bytes) -> bytes:
        """Keep the bytes."""
        self._held += chunk
        return b""

    def finish(self) -> bytes:
        """Return all of it."""
        try:
            return bytes(cramjam.brotli.decompress(bytes(self._held)))
        except cramjam.DecompressionError as error:
            raise StoreError(
                errors.CANNOT_DECOMPRESS, f"Cannot decompress the request's body: {error}"
            ) from None


class BlockDecoder:
    """Undoes ClickHouse's own compression (`decompress=1`): checksum, method, two sizes, data."""

    def __init__(self) -> None:
        self._held = bytearray()

    def decode(self, chunk: bytes) -> bytes:
        """Return the content of the blocks that are complete."""
        self._held += chunk
        out, start = [], 0
        prefix = _CHECKSUM.size + _HEADER.size
        while len(self._held) - start >= prefix:
            method, packed, plain = _HEADER.unpack_from(self._held, start + _CHECKSUM.size)
            if max(packed, plain) > _MAX_BLOCK_BYTES or packed < _HEADER.size:
                raise StoreError(errors.CANNOT_DECOMPRESS, "Wrong size of a compressed block")
            end = start + _CHECKSUM.size + packed
            if len(self._held) < end:
                break
            out.append(_unpack(bytes(self._held[start:end]), method, plain))
            start = end
        del self._held[:start]
        return b"".join(out)

    def finish(self) -> bytes:
        """Return nothing more; StoreError if a block is not complete."""
        if self._held:
            raise StoreError(errors.CANNOT_DECOMPRESS, "Cannot read the last compressed block: it is cut off")
        return b""


class BlockEncoder:
    """ClickHouse's own compression (`compress=1`) of an answer."""

    def __init__(self, method: str) -> None:
        self._zstd = method.upper() == "ZSTD"

    def encode(self, chunk: bytes) -> bytes:
        """Return the chunk as complete blocks."""
        pieces = (chunk[at : at + BLOCK_BYTES] for at in range(0, len(chunk), BLOCK_BYTES))
        return b"".join(self._block(piece) for piece in pieces)

    def finish(self) -> bytes:
        """Return nothing: every block went out whole."""
        return b""

    def _block(self, piece: bytes) -> bytes:
        method = _ZSTD if self._zstd else _LZ4
        data = zstd.compress(piece, 1) if self._zstd else lz4.block.compress(piece, store_size=False)
        body = _HEADER.pack(method, len(data) + _HEADER.size, len(piece)) + data
        return _checksum(body) + body


class Encoder:
    """Applies one Content-Encoding to an answer; what goes in can be read at once."""

    def __init__(self, compress: Callable[[bytes], bytes], flush: Callable[[], bytes]) -> None:
        self._compress = compress
        self._flush = flush

    def encode(self, chunk: bytes) -> bytes:
        """Return what is ready."""
        return bytes(self._compress(chunk))

    def finish(self) -> bytes:
        """Return the rest."""
        return bytes(self._flush())


def decoder(encoding: str) -> Decoder | BrotliDecoder | None:
    """Return what undoes a Content-Encoding; None for none. StoreError for one that ClickHouse lacks."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name == "br":
        return BrotliDecoder()
    readers: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.decompressobj(31),
        "deflate": zlib.decompressobj,
        "zstd": zstd.ZstdDecompressor,
        "lz4": lz4.frame.LZ4FrameDecompressor,
        "xz": lzma.LZMADecompressor,
        "bz2": bz2.BZ2Decompressor,
    }
    if name not in readers:
        raise StoreError(errors.NOT_IMPLEMENTED, f"Unknown compression method '{name}'")
    return Decoder(readers[name])


def choose(accept_encoding: str) -> str | None:
    """Return the encoding of an answer: ClickHouse prefers them in this order, whatever their weights."""
    offered = {part.split(";")[0].strip().lower() for part in accept_encoding.split(",")}
    return next(
        (name for name in ("br", "lz4", "gzip", "deflate", "xz", "zstd", "bz2") if name in offered), None
    )


def encoder(name: str, level: int) -> Encoder:
    """Return what applies a Content-Encoding that `choose` gave."""
    if name in ("gzip", "deflate"):
        stream = zlib.compressobj(level, wbits=31 if name == "gzip" else 15)
        return Encoder(stream.compress, stream.flush)
    if name == "zstd":
        packer = zstd.ZstdCompressor(level=level)
        return Encoder(packer.compress, packer.flush)
    if name == "lz4":
        return _lz4_encoder()
    if name == "br":
        return _brotli_encoder(level)
    other = lzma.LZMACompressor(preset=level) if name == "xz" else bz2.BZ2Compressor(level)
    return Encoder(other.compress, other.flush)


def _lz4_encoder() -> Encoder:
    frame = lz4.frame.LZ4FrameCompressor()
    begun: list[bytes] = [frame.begin()]

    def compress(chunk: bytes) -> bytes:
        return (begun.pop() if begun else b"") + bytes(frame.compress(chunk))

    def flush() -> bytes:
        return (begun.pop() if begun else b"") + bytes(frame.flush())

    return Encoder(compress, flush)


def _brotli_encoder(level: int) -> Encoder:
    packer = cramjam.brotli.Compressor(level)

    def compress(chunk: bytes) -> bytes:
        packer.compress(chunk)
        return bytes(packer.flush())

    return Encoder(compress, lambda: bytes(packer.finish()))


def _unpack(block: bytes, method: int, plain: int) -> bytes:
    if _checksum(block[_CHECKSUM.size :]) != block[: _CHECKSUM.size]:
        raise StoreError(errors.CHECKSUM_DOESNT_MATCH, "Checksum doesn't match: corrupted data")
    data = block[_CHECKSUM.size + _HEADER.size :]
    try:
        if method == _LZ4:
            return bytes(lz4.block.decompress(data, uncompressed_size=plain))
        if method == _ZSTD:
            return zstd.decompress(data)
    except (lz4.block.LZ4BlockError, zstd.ZstdError) as error:
        raise StoreError(errors.CANNOT_DECOMPRESS, f"Cannot decompress a block: {error}") from None
    if method == _NONE:
        return data
    raise StoreError(errors.NOT_IMPLEMENTED, f"Unknown compression method of a block: {method:#04x}")


def _checksum(body: bytes) -> bytes:
    value: int = CityHash128(body)
    return _CHECKSUM.pack(value >> 64, value & 0xFFFFFFFFFFFFFFFF)
