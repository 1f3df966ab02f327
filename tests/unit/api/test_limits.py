"""How often somebody may ask: buckets, keys, addresses, tokens."""

from __future__ import annotations

from typing import Any

import pytest

from api.errors import TooManyRequests
from api.limits import Buckets, Limits
from api.visit import Visit
from processors.credentials import hash_secret
from processors.registry import Project
from tests.unit.api.put import PATH, SEED, assert_error

HISTORY = "/2026-02-01/systems/directory-monitor/proj_123/events.json"


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_bucket_gives_its_burst_then_its_rate() -> None:
    """It is full at first, never more than full, and says when there is one again."""
    clock = Clock()
    buckets = Buckets(2, 3, clock)

    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    clock.now_s += 0.5
    assert [buckets.take("a") for _ in range(2)] == [0, 0.5]
    clock.now_s += 1_000
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b") == 0


def test_bucket_may_owe() -> None:
    """Many at once are taken whole; what was not there has to come before there is another."""
    clock = Clock()
    buckets = Buckets(1, 3, clock)

    assert buckets.take("a", 10) == 0
    assert buckets.take("a") == buckets.wait_s("a") == 8
    clock.now_s += 8
    assert (buckets.wait_s("a"), buckets.take("a")) == (0, 0)


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names there are, only so many are remembered: those used last."""
    monkeypatch.setattr("api.limits._MOST_BUCKETS", 2)
    buckets = Buckets(1, 1, Clock())

    for name in "abc":
        buckets.take(name)

    assert [buckets.wait_s(name) > 0 for name in "abc"] == [False, True, True]


def test_refusal_says_when_to_come_back() -> None:
    """In whole seconds, at least one."""
    limits = Limits(requests_per_s=0.5, requests_burst=1, refusals_per_s=1, refusals_burst=1, clock_s=Clock())
    limits.spend("key")

    with pytest.raises(TooManyRequests) as raised:
        limits.spend("key")
    assert raised.value.headers == {"Retry-After": "2"}


def test_key_that_asks_too_often_is_429(make_stage: Any) -> None:
    """Whatever it asks for; other keys go on, the service answers whom it needs no key of."""
    stage = make_stage(requests_per_s=0.001, requests_burst=2)
    other = {"Authorization": stage.key("other-key", ["directory_monitor:write"], ["proj_*"])}

    allowed = [stage.request("PUT", PATH, json=SEED).status_code, stage.request("GET", HISTORY).status_code]
    refused = stage.request("GET", HISTORY)

    assert allowed == [200, 200]
    assert_error(refused, 429, "rate_limited")
    assert int(refused.headers["retry-after"]) >= 1
    assert stage.request("PUT", PATH, json=SEED, headers=other).status_code == 200
    assert stage.request("GET", "/health/live").status_code == 200


def test_guesses_from_an_address_are_bounded(make_stage: Any) -> None:
    """After so many refusals it is 429, and nothing is looked up; a right key goes on working from there."""
    stage = make_stage(refusals_per_s=0.001, refusals_burst=3)

    answers = [stage.request("PUT", PATH, headers={"Authorization": f"Bearer no{n}.x"}) for n in range(6)]

    assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 3
    assert stage.registry.catch_ups == 3
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert stage.request("PUT", PATH, json=SEED).status_code == 200


def test_guesses_of_a_known_key_are_bounded(make_stage: Any) -> None:
    """The right secret, found after too many wrong ones, does not open either; other keys do."""
    stage = make_stage(refusals_per_s=0.001, refusals_burst=3)
    other = {"Authorization": stage.key("other-key", ["directory_monitor:write"], ["proj_*"])}

    guesses = [
        stage.request("PUT", PATH, headers={"Authorization": f"Bearer writer.{n}"}).status_code
        for n in range(4)
    ]

    assert guesses == [401, 401, 401, 429]
    assert_error(stage.request("PUT", PATH, json=SEED), 429, "too_many_refusals")
    assert stage.request("PUT", PATH, json=SEED, headers=other).status_code == 200


def test_refusals_do_not_tell_known_keys_from_unknown(make_stage: Any) -> None:
    """Once an address has been refused too often, a known key with a wrong secret gets the same answer."""
    stage = make_stage(refusals_per_s=0.001, refusals_burst=1)
    stage.request("PUT", PATH, headers={"Authorization": "Bearer nobody.x"})

    answers = [
        stage.request("PUT", PATH, headers={"Authorization": f"Bearer {name}.x"})
        for name in ("nobody", "writer")
    ]

    assert answers[0].json() == answers[1].json()
    assert answers[0].status_code == answers[1].status_code == 429


def test_wrong_tokens_of_a_key_are_bounded(make_stage: Any) -> None:
    """The right one that was used before goes on working; one that is not known is not even looked at."""
    stage = make_stage(refusals_per_s=0.001, refusals_burst=2)
    stage.registry.add(Project("proj_123", 0, hash_secret("DM")))

    def status(token: str) -> int:
        code: int = stage.request("PUT", PATH, json=SEED | {"ingressToken": token}).status_code
        return code

    assert [status(token) for token in ("DM", "a", "b", "c", "DM")] == [200, 401, 401, 429, 200]


@pytest.mark.parametrize(
    ("remote", "peer"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_peer_of_an_address(remote: str, peer: str) -> None:
    """One site has a whole network of IPv6: it is one."""
    assert Visit(remote).peer == peer
