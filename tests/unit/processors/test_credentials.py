import pytest

from processors import credentials
from processors.credentials import hash_secret, new_key, verify


def test_new_key_is_verified_by_its_secret_alone() -> None:
    """The credential is id and secret; the key holds a hash from which nothing else verifies."""
    key, credential = new_key(["directory_monitor:read"], ["etc-*"], 10)
    identity, _, secret = credential.partition(".")

    assert identity == key.id
    assert secret not in key.secret_hash
    assert verify(secret, key.secret_hash)
    assert not verify(secret + "x", key.secret_hash)
    assert not verify("", key.secret_hash)
    assert key.expires_ns == key.created_ns + 10
    assert (key.scopes, key.projects, key.revoked) == (["directory_monitor:read"], ["etc-*"], False)


def test_new_keys_differ() -> None:
    """No two keys share an id or a secret, and neither holds a separator of the other."""
    credentials_made = {new_key(["admin"], ["*"], None)[1] for _ in range(20)}

    assert len(credentials_made) == 20
    assert all(each.count(".") == 1 and ":" not in each for each in credentials_made)


def test_unknown_scope_is_refused_by_name() -> None:
    """A scope that nobody checks is a mistake."""
    with pytest.raises(ValueError, match="sql:write"):
        new_key(["admin", "sql:write"], ["*"], None)


def test_token_hash_is_salted_and_verdicts_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that was verified once is verified again without the cost; so is a wrong one refused."""
    hashed = hash_secret("DM_SECURE_TOKEN")
    assert hashed != hash_secret("DM_SECURE_TOKEN")
    assert verify("DM_SECURE_TOKEN", hashed)
    assert not verify("other", hashed)

    monkeypatch.setattr(credentials, "_verify_scrypt", None)

    assert verify("DM_SECURE_TOKEN", hashed)
    assert not verify("other", hashed)


@pytest.mark.parametrize(
    "hashed", ["", "plain", "scrypt$", "scrypt$a$b", "scrypt$a$b$c", "sha256$", "md5$00"]
)
def test_unknown_hash_never_matches(hashed: str) -> None:
    """A hash that was damaged, or of another form, opens nothing."""
    assert not verify("", hashed)
    assert not verify("secret", hashed)


def test_verdicts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guesses do not fill the memory."""
    monkeypatch.setattr(credentials, "_REMEMBERED", 3)
    monkeypatch.setattr(credentials, "_verify_scrypt", lambda *_: False)
    monkeypatch.setattr(credentials, "_verdicts", {})

    for guess in range(10):
        verify(str(guess), "scrypt$a$b")

    assert len(credentials._verdicts) == 3
