"""The api's certificate: made once and kept, or given; what cannot be used is refused by name."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from api.certificate import NAME, CertificateRefused, context, self_signed
from api.serve import main


def presented(server: ssl.SSLContext) -> bytes:
    """Return the certificate that a client is shown, DER; the handshake is made over HTTP/1.1."""
    mine, theirs = socket.socketpair()
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_alpn_protocols(["h2", "http/1.1"])

    def serve() -> None:
        with server.wrap_socket(theirs, server_side=True) as secured:
            secured.recv(1)

    serving = threading.Thread(target=serve)
    serving.start()
    with client.wrap_socket(mine) as secured:
        assert secured.selected_alpn_protocol() == "http/1.1"
        shown = secured.getpeercert(binary_form=True)
        secured.send(b"x")
    serving.join(30)
    assert shown is not None
    return shown


@pytest.fixture
def given(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key, each in a file of its own."""
    key, mark, certificate = self_signed(["given.example"]).partition(b"-----BEGIN CERTIFICATE-----")
    paths = tmp_path / "given.crt", tmp_path / "given.key"
    paths[0].write_bytes(mark + certificate)
    paths[1].write_bytes(key)
    return paths


def test_certificate_is_made_once_and_kept(tmp_path: Path) -> None:
    """The first start makes one that its owner alone can read; the next ones serve the same."""
    directory = tmp_path / "data" / "api"

    first, second = presented(context(None, None, directory)), presented(context(None, None, directory))

    assert first == second
    assert [each.name for each in directory.iterdir()] == [NAME]
    assert (directory / NAME).stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


def test_two_that_start_at_one_time_serve_the_same(tmp_path: Path) -> None:
    """Whoever comes second finds a certificate there, and leaves it."""
    contexts: list[ssl.SSLContext] = []
    starts = [
        threading.Thread(target=lambda: contexts.append(context(None, None, tmp_path))) for _ in range(8)
    ]
    for start in starts:
        start.start()
    for start in starts:
        start.join(30)

    assert len(contexts) == 8
    assert len({presented(each) for each in contexts}) == 1
    assert [each.name for each in tmp_path.iterdir()] == [NAME]


def test_own_certificate_is_for_loopback_and_this_machine() -> None:
    """A client on this machine can check it; it vouches for no other, and lasts for years."""
    made = x509.load_pem_x509_certificate(self_signed(["localhost", "box.example"]))
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == ["localhost", "box.example"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days > 3_000


@pytest.mark.parametrize("together", [False, True])
def test_given_certificate_is_served(tmp_path: Path, given: tuple[Path, Path], *, together: bool) -> None:
    """With its key beside it or in the same file; none is made."""
    certificate, key = given
    if together:
        certificate.write_bytes(key.read_bytes() + certificate.read_bytes())

    served = context(str(certificate), None if together else str(key), tmp_path / "data")

    expected = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert x509.load_der_x509_certificate(presented(served)) == expected
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("fault", ["missing", "garbled", "without a key", "another's key", "locked key"])
def test_certificate_that_cannot_be_used_is_refused(
    tmp_path: Path, given: tuple[Path, Path], fault: str
) -> None:
    """The message names the files, and nobody is asked for a password."""
    certificate, key = given
    if fault == "missing":
        certificate.unlink()
    elif fault == "garbled":
        certificate.write_bytes(b"no certificate")
    elif fault == "another's key":
        key.write_bytes(self_signed(["other.example"]))
    elif fault == "locked key":
        key.write_bytes(locked())

    with pytest.raises(CertificateRefused) as refused:
        context(str(certificate), None if fault == "without a key" else str(key), tmp_path / "data")

    assert str(certificate) in str(refused.value)
    assert fault == "without a key" or str(key) in str(refused.value)


def test_process_says_which_certificate_it_cannot_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`fswire api --tls-port` does not begin without TLS; it ends with 1."""
    monkeypatch.setattr("agent.log.configure", lambda _: None)
    monkeypatch.setenv("FSWIRE_API_PORT", "0")
    monkeypatch.setenv("FSWIRE_API_TLS_CERTFILE", str(tmp_path / "none.pem"))

    assert main(tls_port=0) == 1
    assert f"TLS cannot be had: {tmp_path / 'none.pem'}: " in capsys.readouterr().err


def locked() -> bytes:
    """Return a key that is encrypted with a password."""
    made = ec.generate_private_key(ec.SECP256R1())
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))


def test_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A certificate that cannot be kept would be another one after each start."""
    (tmp_path / "file").touch()

    with pytest.raises(CertificateRefused, match="file/data"):
        context(None, None, tmp_path / "file" / "data")
