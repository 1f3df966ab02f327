"""Which addresses calls of our own may go to."""

from __future__ import annotations

import pytest

from processors.targets import is_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "::1",
        "fe80::1%eth0",
        "fc00::1",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:a00:1::1",
        "fec0::1",
        "ff02::1",
        "224.0.0.1",
    ],
)
def test_address_that_leads_inside_is_not_public(address: str) -> None:
    """Also where a private IPv4 address is inside of an IPv6 one that a gateway translates."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1", "64:ff9b::808:808", "2002:808:808::1"])
def test_address_of_the_internet_is_public(address: str) -> None:
    """Also where it is reached by way of a translation."""
    assert is_public(address)
