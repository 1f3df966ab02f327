"""What is wrong with the broker is said in words, with the setting to look at, and without secrets."""

from __future__ import annotations

import asyncio
import logging
import ssl

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from agent.broker_trouble import Listener, explain
from agent.kafka import FilesRefused, KafkaSettings


def _certificate(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def _alert(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] (_ssl.c:2580)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "said", "check"),
    [
        (_certificate(10, "certificate has expired"), "has expired", "clock"),
        (_certificate(19, "self-signed certificate"), "self-signed", "FSWIRE_KAFKA_SSL_CAFILE"),
        (_certificate(62, "Hostname mismatch"), "Hostname", "FSWIRE_KAFKA_BOOTSTRAP_SERVERS"),
        (_alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "certificate required", "FSWIRE_KAFKA_SSL_CERTFILE"),
        (_alert("WRONG_VERSION_NUMBER"), "wrong version number", "FSWIRE_KAFKA_SECURITY_PROTOCOL"),
        (SaslAuthenticationFailed("bad user"), "bad user", "FSWIRE_KAFKA_SASL_PASSWORD"),
        (UnsupportedSaslMechanismError("PLAIN"), "PLAIN", "FSWIRE_KAFKA_SASL_MECHANISM"),
        (TopicAuthorizationFailedError("fswire.raw"), "fswire.raw", "ACLs"),
        (asyncio.IncompleteReadError(b"", 4), "closed the connection", "FSWIRE_KAFKA_SECURITY_PROTOCOL"),
        (ConnectionRefusedError(111, "refused"), "refused", "FSWIRE_KAFKA_BOOTSTRAP_SERVERS"),
        (FilesRefused("FSWIRE_KAFKA_SSL_CAFILE = 'x': no"), "FSWIRE_KAFKA_SSL_CAFILE = 'x'", "the file"),
    ],
)
def test_trouble_names_what_to_check(error: Exception, said: str, check: str) -> None:
    """Each kind of error leads to the setting, or the thing, that is to be put right."""
    trouble = explain(error)

    assert said in trouble.said
    assert check.replace("FSWIRE_KAFKA_SASL_PASSWORD", "_SASL_PASSWORD") in trouble.check


def test_closed_connection_is_explained_by_what_closed_it() -> None:
    """aiokafka says `closed`; the reason stands behind it."""
    closed = KafkaConnectionError("Connection at 127.0.0.1:9093 closed")
    closed.__cause__ = _alert("SSLV3_ALERT_CERTIFICATE_EXPIRED")

    assert "certificate expired" in explain(closed).said


def test_listener_keeps_the_reason_of_a_failed_connection() -> None:
    """What aiokafka tells its log alone becomes the cause, once, and is printed nowhere."""
    listener = Listener()
    library = logging.getLogger("aiokafka")
    before = library.handlers, library.propagate
    listener.listen()
    try:
        reason = ConnectionRefusedError("refused")
        logging.getLogger("aiokafka.client").error('Unable connect to "%s:%s": %s', "h", 9092, reason)
    finally:
        library.handlers, library.propagate = before

    assert listener.cause() is reason
    assert listener.cause() is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"ssl_cafile": "nowhere.pem"}, "FSWIRE_KAFKA_SSL_CAFILE = 'nowhere.pem': No such file"),
        ({"ssl_certfile": "c.pem", "ssl_keyfile": "k.pem"}, "'c.pem', FSWIRE_KAFKA_SSL_KEYFILE = 'k.pem'"),
    ],
)
def test_missing_file_is_named_with_its_setting(fields: dict[str, str], named: str) -> None:
    """OpenSSL does not say which file it could not read."""
    settings = KafkaSettings(security_protocol="SSL", **fields)  # type: ignore[arg-type]
    with pytest.raises(FilesRefused, match=named):
        settings.client()
