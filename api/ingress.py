"""The ingress token: a project's own secret, given beside the key, in a header or in the body."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Sequence
from typing import Any

from api.errors import Unauthorized
from api.limits import Limits
from processors.credentials import verify

HEADER = b"x-directory-monitor-token"
FIELD = "ingressToken"


_MOST_KNOWN = 10_000


class IngressTokens:
    """Checks tokens against their hashes.

    A token is checked in a thread, for that takes tens of milliseconds; the right one of a project is known
    again by a digest under a key of this process. How often a key may guess is limited.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._key = secrets.token_bytes(32)
        self._right: dict[str, bytes] = {}

    async def check(self, in_header: bytes | None, in_body: Any, hashes: Sequence[str], key_id: str) -> None:
        """Refuse with Unauthorized what does not open the project; no `hashes`: it has no token.

        Header and body may both hold it, but not two different ones. Every comparison takes constant time.
        `key_id` has come with it; TooManyRequests where that has brought too many wrong ones.
        """
        written = in_body.encode(errors="surrogatepass") if isinstance(in_body, str) else None
        both = in_header is not None and in_body is not None
        if both and not hmac.compare_digest(in_header or b"", written or b""):
            raise Unauthorized("header and body hold different ingress tokens", code="token_mismatch")
        if not hashes:
            return
        given = in_header if in_header is not None else written
        if not given:
            raise Unauthorized("an ingress token is required", code="token_missing")
        if not self._known(given, hashes):
            with self._limits.guessing(f"token {key_id}"):
                await self._verify(given, hashes)

    def _known(self, given: bytes, hashes: Sequence[str]) -> bool:
        digest = hmac.digest(self._key, given, "sha256")
        return any(hmac.compare_digest(digest, self._right.get(hashed, b"")) for hashed in hashes)

    async def _verify(self, given: bytes, hashes: Sequence[str]) -> None:
        for hashed in hashes:
            if await asyncio.to_thread(verify, given.decode(errors="replace"), hashed):
                self._right[hashed] = hmac.digest(self._key, given, "sha256")
                if len(self._right) > _MOST_KNOWN:
                    del self._right[next(iter(self._right))]
                return
        raise Unauthorized("wrong ingress token", code="token_wrong")
