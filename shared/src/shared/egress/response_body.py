"""Read a response's body within a budget of decoded bytes, whatever the peer sends."""

import zlib
from dataclasses import dataclass
from typing import Final

from aiohttp import StreamReader

from shared.egress.errors import ResponseMalformed

# A compressed body is hardly ever longer than what it holds. Beyond this many extra bytes it is padding.
WIRE_BYTES_EXTRA_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Body:
    """``content`` is decoded; ``truncated`` says that there was more; ``complete`` that the message ended on the wire."""

    content: bytes
    truncated: bool
    complete: bool


EMPTY_BODY: Final = Body(b"", truncated=False, complete=True)


async def read_body(stream: StreamReader, *, compression: str | None, bytes_max: int, status: int) -> Body:
    """Return at most ``bytes_max`` decoded bytes and stop reading there.

    ``compression`` ``gzip`` and ``deflate`` are decoded, although the request asked for none; other codings are kept as they
    came. Raises ``ResponseMalformed`` for a coding that does not decode, and lets aiohttp's errors of a broken stream through.
    """
    if compression in {"gzip", "deflate"}:
        return await _read_compressed(stream, compression=compression, bytes_max=bytes_max, status=status)
    if stream.is_eof():  # nearly every answer arrives together with its headers
        return _cut(stream.read_nowait(-1), bytes_max, complete=True)
    content = bytearray()
    while len(content) <= bytes_max:
        chunk = await stream.readany()
        if not chunk:
            return Body(bytes(content), truncated=False, complete=True)
        content += chunk
    return _cut(content, bytes_max, complete=stream.is_eof())


def _cut(content: bytes | bytearray, bytes_max: int, *, complete: bool) -> Body:
    if not content:
        return EMPTY_BODY
    return Body(bytes(content[:bytes_max]), truncated=len(content) > bytes_max, complete=complete)


async def _read_compressed(stream: StreamReader, *, compression: str, bytes_max: int, status: int) -> Body:
    """Decode in steps that can never produce more than one byte beyond the budget: a bomb stays a bomb on the wire."""
    content = bytearray()
    wire_bytes = 0
    decoder = None
    while chunk := await stream.readany():
        wire_bytes += len(chunk)
        decoder = decoder or _decoder(compression, chunk[0])
        if not decoder.eof:
            try:
                content += decoder.decompress(decoder.unconsumed_tail + chunk, bytes_max + 1 - len(content))
            except zlib.error as error:
                raise ResponseMalformed(f"the body is not valid {compression}", status=status) from error
        if len(content) > bytes_max or wire_bytes > bytes_max + WIRE_BYTES_EXTRA_MAX:
            return Body(bytes(content[:bytes_max]), truncated=True, complete=False)
    if decoder is not None and not decoder.eof:
        raise ResponseMalformed(f"the {compression} body ends early", status=status)
    return Body(bytes(content), truncated=False, complete=True)


def _decoder(compression: str, first_byte: int) -> "zlib._Decompress":
    if compression == "gzip":
        return zlib.decompressobj(16 + zlib.MAX_WBITS)
    # "deflate" should mean zlib's format (low four bits 8); some servers send the bare stream.
    return zlib.decompressobj(zlib.MAX_WBITS if first_byte & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS)
