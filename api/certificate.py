"""TLS of the api: the context of a given certificate, or of a self-signed one that is made once and kept."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import socket
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.kafka import reason

NAME = "tls.pem"
"""Key and certificate, readable by their owner alone."""
_VALID = datetime.timedelta(days=3650)
_SKEW = datetime.timedelta(days=1)
_ALPN = ["http/1.1"]


class CertificateRefused(OSError):
    """A certificate or its key cannot be used, or kept; the message names the files."""


def context(certfile: str | None, keyfile: str | None, directory: Path) -> ssl.SSLContext:
    """Return the context of a given certificate; else of the one in `directory`, made if there is none."""
    used = Path(certfile) if certfile else directory / NAME
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_alpn_protocols(_ALPN)
    try:
        if not certfile and not used.exists():
            _write(used, self_signed(["localhost", socket.gethostname()]))
        # Never None: OpenSSL would ask a terminal for the password.
        made.load_cert_chain(used, keyfile, password="")
    except (OSError, ValueError) as error:
        raise CertificateRefused(f"{used}{f', {keyfile}' if keyfile else ''}: {reason(error)}") from error
    return made


def self_signed(names: list[str]) -> bytes:
    """Return a new key and a certificate for names and loopback, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fswire")])
    now = datetime.datetime.now(datetime.UTC)
    loopback = [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
    alternatives = x509.SubjectAlternativeName([*(x509.DNSName(each) for each in names), *loopback])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.") as new:
        new.write(content)
        new.flush()
        # Of two processes that start at the same time the first to come keeps its own.
        with contextlib.suppress(FileExistsError):
            os.link(new.name, path)
