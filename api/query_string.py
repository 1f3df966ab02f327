"""A request's query string, read strictly: every parameter once, percent escapes that are UTF-8."""

from __future__ import annotations

from urllib.parse import parse_qsl

from api.errors import Detail, FieldsRefused

MAX_PARAMETERS = 100


def parameters(query_string: bytes, project: str) -> dict[str, str]:
    """Return the parameters by name. FieldsRefused: repeated, not UTF-8, or a `projectId` not the path's."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError:
        raise FieldsRefused(
            [Detail("query", f"must be UTF-8, percent-encoded, at most {MAX_PARAMETERS} parameters")]
        ) from None
    given = dict(pairs)
    if len(given) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise FieldsRefused([Detail(name[:100], "must be given once") for name in repeated])
    if given.get("projectId", project) != project:
        raise FieldsRefused([Detail("projectId", "must be the project of the path")])
    return given
