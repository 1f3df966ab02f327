"""Sessions of the pages: a key signs in, a signed cookie stands for it, every form carries its token.

Nothing is kept here: the cookie names the key and an end, and is signed with a secret that all api processes
share, and with the key's hash, so that any of them can read it. The key itself is looked up at each request:
one that is revoked or has expired has no session any more.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import Response

from api import auth, visit
from api.access import Access
from api.body import read_body
from api.errors import BadRequest, Forbidden, Unauthorized
from api.settings import ApiSettings
from api.sql_rows import row_filter
from processors.registry import Key

MAX_FORM_BYTES = 64 * 1024
MAX_FORM_FIELDS = 1_000
FIELD = "csrf"
"""Name of the field that every form carries."""


class SignInNeeded(Exception):
    """No session, or one that has ended: the browser is sent to the sign-in page."""


@dataclass(frozen=True)
class Reader:
    """Who reads a page: a key that counts at this moment."""

    key: Key

    @property
    def rows(self) -> str:
        """SQL: the condition on `project_id` that holds for the rows that this key may read."""
        return "1" if auth.covers_all(self.key) else f"({row_filter(self.key.projects)})"

    def may(self, scope: str) -> bool:
        """Tell whether the key has a scope."""
        return auth.has_scope(self.key, scope)

    def covers(self, project: str) -> bool:
        """Tell whether the key reaches a project."""
        return auth.covers(self.key, project)

    def require(self, scope: str | None, project: str | None = None) -> None:
        """Raise Forbidden unless the key has the scope and reaches the project, where they are given."""
        if scope is not None:
            auth.check_scope(self.key, scope)
        if project is not None:
            auth.check_project(self.key, project)


class Sessions:
    """Makes and reads cookies; one for the process."""

    def __init__(
        self, access: Access, secret: bytes, lifetime_s: int, clock_s: Callable[[], float] = time.time
    ) -> None:
        self._access = access
        self._secret = secret
        self._lifetime_s = lifetime_s
        self._clock_s = clock_s
        # Cookies are shared by all ports of a host: several stacks on it need names of their own.
        self._cookie = "fswire_session_" + self._mac("name")[:8]
        self._visitor_cookie = "fswire_visitor_" + self._mac("name")[:8]

    @classmethod
    def of(cls, settings: ApiSettings, access: Access) -> Sessions:
        """Return the sessions of this process; without a secret in the settings they end with it."""
        given = settings.session_secret
        secret = given.get_secret_value().encode() if given is not None else secrets.token_bytes(32)
        return cls(access, secret, settings.session_hours * 3600)

    async def reader(
        self, request: Request, scope: str | None = auth.READ, project: str | None = None
    ) -> Reader:
        """Return who reads a page; SignInNeeded, Forbidden (no scope, another project), NotFound,
        TooManyRequests.

        Every page calls it first; `scope` None asks for a session alone.
        From then on `request.state` has `reader` and `csrf` for the templates.
        """
        visit.note(scope=scope, project=project)
        token = request.cookies.get(self._cookie)
        key = await self._key(token) if token else None
        if token is None or key is None:
            raise SignInNeeded
        reader = Reader(key)
        self._access.admit(key)
        request.state.reader, request.state.csrf = reader, self._mac("csrf", token)
        reader.require(scope, project)
        if project is not None:
            await self._access.require_project(project)
        return reader

    async def form(self, request: Request) -> dict[str, str]:
        """Return the fields of a form that was sent by a page of ours; Forbidden for any other.

        The one place where the token of a change is checked; call it after `reader` (or `visitor`).
        """
        if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
            raise BadRequest("a form is expected")
        body = await read_body(request.scope, request.receive, MAX_FORM_BYTES)
        try:
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS))
        except ValueError:
            raise BadRequest("the form cannot be read") from None
        if not hmac.compare_digest(fields.pop(FIELD, "").encode(), request.state.csrf.encode()):
            raise Forbidden("this form is out of date: go back, load the page again", code="form_refused")
        return fields

    def visitor(self, request: Request) -> str:
        """Return the cookie that stands for a browser before it signs in, made if need be."""
        visitor = request.cookies.get(self._visitor_cookie) or secrets.token_urlsafe(24)
        request.state.csrf = self._mac("csrf", visitor)
        return visitor

    def keep_visitor(self, request: Request, response: Response, visitor: str) -> Response:
        """Hand the browser the visitor's cookie."""
        self._set(request, response, self._visitor_cookie, visitor, None)
        return response

    async def begin(self, request: Request, response: Response, credential: str) -> Key:
        """Sign in with `ID.SECRET`: the response gets the cookie. Unauthorized if no such key counts."""
        key = await self._access.authenticate(b"Bearer " + credential.strip().encode())
        named = f"{key.id}.{int(self._clock_s()) + self._lifetime_s}.{secrets.token_urlsafe(12)}"
        token = f"{named}.{self._signature(named, key)}"
        self._set(request, response, self._cookie, token, self._lifetime_s)
        return key

    def end(self, response: Response) -> None:
        """Sign out: the response takes the cookie away."""
        response.delete_cookie(self._cookie, path="/pages", httponly=True, samesite="lax")

    async def _key(self, token: str) -> Key | None:
        named, _, signature = token.rpartition(".")
        key_id, _, rest = named.partition(".")
        ends_s = rest.partition(".")[0]
        if not ends_s.isdecimal() or int(ends_s) <= self._clock_s():
            return None
        try:
            key = await self._access.key(key_id)
        except Unauthorized:
            return None
        genuine = hmac.compare_digest(self._signature(named, key).encode(), signature.encode())
        return key if genuine else None

    def _signature(self, named: str, key: Key) -> str:
        return self._mac("session", named, key.secret_hash)

    def _mac(self, *texts: str) -> str:
        return hmac.digest(self._secret, "\0".join(texts).encode("utf-8", "replace"), hashlib.sha256).hex()

    def _set(self, request: Request, response: Response, name: str, value: str, lives_s: int | None) -> None:
        response.set_cookie(
            name,
            value,
            max_age=lives_s,
            path="/pages",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )


def sign_in_url(request: Request) -> str:
    """Return the sign-in page, which leads back to where the browser wanted to go."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return "/pages/sign-in" + (f"?next={quote(wanted, safe='')}" if request.method == "GET" else "")


def own_page(address: str) -> str:
    """Return an address if it is one of our pages, else the first of them: nobody is led elsewhere."""
    plain = address.isascii() and address.isprintable() and "\\" not in address
    return address if plain and address.startswith("/pages/") else "/pages/"
