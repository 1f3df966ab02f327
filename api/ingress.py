"""The ingress token: a project's own secret, given beside the key, in a header or in the body."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from typing import Any

from api.errors import Unauthorized
from processors.credentials import verify

HEADER = b"x-directory-monitor-token"
FIELD = "ingressToken"


class IngressTokens:
    """Checks tokens against their hashes.

    A token is checked in a thread, for that takes tens of milliseconds; the right one of a project is known
    again by a digest under a key of this process.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._right: dict[str, bytes] = {}

    async def check(self, in_header: bytes | None, in_body: Any, token_hash: str | None) -> None:
        """Refuse with Unauthorized what does not open the project; `token_hash` None: it has no token.

        Header and body may both hold it, but not two different ones. Every comparison takes constant time.
        """
        written = in_body.encode(errors="surrogatepass") if isinstance(in_body, str) else None
        both = in_header is not None and in_body is not None
        if both and not hmac.compare_digest(in_header or b"", written or b""):
            raise Unauthorized("header and body hold different ingress tokens", code="token_mismatch")
        if token_hash is None:
            return
        given = in_header if in_header is not None else written
        if not given:
            raise Unauthorized("an ingress token is required", code="token_missing")
        if not await self._opens(given, token_hash):
            raise Unauthorized("wrong ingress token", code="token_wrong")

    async def _opens(self, given: bytes, token_hash: str) -> bool:
        digest = hmac.digest(self._key, given, "sha256")
        if hmac.compare_digest(digest, self._right.get(token_hash, b"")):
            return True
        right = await asyncio.to_thread(verify, given.decode(errors="replace"), token_hash)
        if right:
            self._right[token_hash] = digest
        return right
