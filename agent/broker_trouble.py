"""Why the broker cannot be used, in words: what it said, and which setting to look at; never a secret.

aiokafka raises that it could not connect, and tells the reason to its own log alone: `Listener` hears it.
"""

from __future__ import annotations

import logging
import ssl
from typing import NamedTuple

from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from agent.kafka import FilesRefused, reason

_LIBRARY = "aiokafka"
_REACHABLE = "the broker, and FSWIRE_KAFKA_BOOTSTRAP_SERVERS"
_OWN_CERTIFICATE = "FSWIRE_KAFKA_SSL_CERTFILE and _SSL_KEYFILE: this client's certificate"
_AUTHORITIES = "FSWIRE_KAFKA_SSL_CAFILE: it must hold the authority of the broker's certificate"
_PASSWORD = "FSWIRE_KAFKA_SASL_USERNAME, _SASL_PASSWORD and _SASL_MECHANISM, and the broker's users"  # noqa: S105
_PROTOCOL = "FSWIRE_KAFKA_SECURITY_PROTOCOL, and the port"
_RIGHTS = "the broker's ACLs for this client"
_EXPIRED = 10
"""X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL's x509_vfy.h."""
_OTHER_NAME = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


class Trouble(NamedTuple):
    """What was said, and what to check."""

    said: str
    check: str


class Listener(logging.Handler):
    """Keeps what aiokafka last logged as the reason of a failed connection; lets nothing of it through."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: Exception | None = None

    def listen(self) -> None:
        """Take the place of aiokafka's log for this process: it says every second what is said once here."""
        library = logging.getLogger(_LIBRARY)
        library.setLevel(self.level)
        library.propagate = False
        library.handlers = [self]

    def emit(self, record: logging.LogRecord) -> None:
        """Remember the error among a line's values."""
        values = record.args if isinstance(record.args, tuple) else ()
        self.heard = next((value for value in values if isinstance(value, Exception)), self.heard)

    def cause(self) -> Exception | None:
        """Return the reason why a connection has just failed, and forget it."""
        heard, self.heard = self.heard, None
        return heard


def explain(error: Exception) -> Trouble:
    """Return what stands between us and the broker."""
    error = _innermost(error)
    if isinstance(error, FilesRefused):
        return Trouble(str(error), "the file, and who may read it")
    if isinstance(error, ssl.SSLCertVerificationError):
        return _refused_by_us(error)
    if isinstance(error, ssl.SSLError):
        return _tls(error)
    if isinstance(error, (AuthenticationFailedError, SaslAuthenticationFailed)):
        return Trouble(f"the broker refused name or password: {_message(error)}", _PASSWORD)
    if isinstance(error, UnsupportedSaslMechanismError):
        return Trouble(_message(error), "FSWIRE_KAFKA_SASL_MECHANISM, and what the broker allows")
    if isinstance(error, (TopicAuthorizationFailedError, ClusterAuthorizationFailedError)):
        return Trouble(f"the broker does not allow it: {_message(error)}", _RIGHTS)
    if isinstance(error, (EOFError, ConnectionResetError)):
        return Trouble("the broker closed the connection at once", _PROTOCOL)
    return Trouble(_message(error), _REACHABLE)


def _refused_by_us(error: ssl.SSLCertVerificationError) -> Trouble:
    said = f"the broker's certificate is refused: {error.verify_message}"
    if error.verify_code == _EXPIRED:
        return Trouble(said, "the date of the broker's certificate, and this machine's clock")
    if error.verify_code in _OTHER_NAME:
        return Trouble(said, "FSWIRE_KAFKA_BOOTSTRAP_SERVERS: names that stand in the broker's certificate")
    return Trouble(said, _AUTHORITIES)


def _tls(error: ssl.SSLError) -> Trouble:
    """An alert is the broker's word on us; anything else is no TLS at all."""
    said = reason(error)
    if "alert" in said:
        return Trouble(f"the broker refuses this client: {said}", _OWN_CERTIFICATE)
    return Trouble(f"no TLS with the broker: {said}", _PROTOCOL)


def _innermost(error: Exception) -> Exception:
    """Follow a closed connection to what closed it."""
    while isinstance(error, KafkaConnectionError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _message(error: Exception) -> str:
    return str(error) or type(error).__name__
