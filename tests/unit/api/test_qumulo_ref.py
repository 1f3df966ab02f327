"""Spellings of `/v1/files/<ref>/…`: paths, ids, and parameters within the last segment."""

from __future__ import annotations

import pytest

from api.qumulo_ref import ATTRIBUTES, NOTIFY, Asked, asked


@pytest.mark.parametrize(
    ("url", "path", "identity"),
    [
        ("/v1/files/%2Fproj_123/notify", b"/proj_123", None),
        ("/v1/files/%2Fproj_123%2Fmy%20dir/notify", b"/proj_123/my dir", None),
        ("/v1/files/my/dir/notify", b"/my/dir", None),
        ("/api/v1/files/my/dir/notify", b"/my/dir", None),
        ("/v1/files//my/dir/notify", b"/my/dir", None),
        ("/v1/files/123/notify", None, "123"),
        ("/v1/files/%2F123/notify", b"/123", None),
        ("/v1/files/123/456/notify", b"/123/456", None),
        ("/v1/files/%2F/notify", b"/", None),
        ("/v1/files/p/notify/notify", b"/p/notify", None),
        ("/v1/files/%2Fp%2Fna%FFme/notify", b"/p/na\xffme", None),
        ("/v1/files/%2Fp%2Fa%26b/notify", b"/p/a&b", None),
    ],
)
def test_ref_is_read(url: str, path: bytes | None, identity: str | None) -> None:
    """One segment or many, encoded or not; digits alone and unencoded are an id."""
    assert asked(url.encode(), b"") == Asked(NOTIFY, path, identity, b"")


def test_parameters_may_stand_in_the_segment() -> None:
    """The manual's `/notify&filter=…&recursive=…` is the same as a query string; both may be given."""
    literal = asked(b"/v1/files/my/dir/notify&filter=child_file_added", b"recursive=True")

    assert literal == Asked(NOTIFY, b"/my/dir", None, b"filter=child_file_added&recursive=True")


def test_attributes_are_told_apart() -> None:
    """`info/attributes` at the end asks for attributes, of a path or an id."""
    assert asked(b"/v1/files/%2Fp%2Fx/info/attributes", b"") == Asked(ATTRIBUTES, b"/p/x", None, b"")
    assert asked(b"/v1/files/17/info/attributes", b"") == Asked(ATTRIBUTES, None, "17", b"")
    assert asked(b"/v1/files/17/acl", b"").action == ""
