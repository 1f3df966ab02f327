"""Templates in, pages out: one Jinja2 environment that escapes everything, and what templates may use."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api import auth
from api.pages import shown

_NAVIGATION = (
    ("", "Overview", auth.READ),
    ("projects", "Projects", auth.READ),
    ("agents", "Agents", auth.READ),
    ("gaps", "Gaps", auth.READ),
    ("workflows", "Workflows and runs", auth.READ),
    ("dead-letters", "Dead letters", auth.READ),
    ("files", "Files", auth.READ),
    ("transfers", "Transfers", auth.FILES_READ),
)
"""Path below `/pages/`, name, and the scope that a key needs to see it."""


class Site:
    """Renders pages; one for the process."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("api.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= shown.FILTERS
        self._environment.globals["asset"] = _Assets()

    def page(
        self,
        request: Request,
        template: str,
        *,
        title: str,
        status: int = 200,
        headers: dict[str, str] | None = None,
        **context: Any,
    ) -> Response:
        """Return a page. The template sees `reader` (None before sign-in), `csrf`, `navigation`, `here`.

        `reader` and `csrf` are there once `Sessions.reader` or `Sessions.visitor` has looked at the request.
        """
        reader = getattr(request.state, "reader", None)
        here = request.url.path.removeprefix("/pages/").split("/")[0]
        shared = {
            "title": title,
            "reader": reader,
            "csrf": getattr(request.state, "csrf", ""),
            "navigation": [entry for entry in _NAVIGATION if reader and reader.may(entry[2])],
            "here": here,
        }
        text = self._environment.get_template(template).render(shared | context)
        return HTMLResponse(text, status, {"Cache-Control": "no-store", **(headers or {})})

    def part(self, template: str, **context: Any) -> str:
        """Return a piece of a page, for a script of ours to put into it."""
        return self._environment.get_template(template).render(context)


class _Assets:
    """URL of a static file: it changes with the content, so that browsers may keep the file for good."""

    def __init__(self) -> None:
        self._urls: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        if name not in self._urls:
            content = (files("api.pages") / "static" / name).read_bytes()
            self._urls[name] = f"/pages/static/{name}?{hashlib.sha256(content).hexdigest()[:12]}"
        return self._urls[name]
