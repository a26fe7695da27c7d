"""TLS with what is outside: agreed by the name that was asked for, against an authority that is trusted."""

import datetime as dt
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.egress.fetching import Fetched, fetch
from gateway.egress.refused import NotReached, Why
from governance.core.egress import Egress
from tests.gateway.names import Names
from tests.gateway.site import answer, serving_site


def get(url: str, egress: Egress, tls: ssl.SSLContext | None = None) -> Fetched:
    return fetch(url, egress, deadline=time.monotonic() + 5, most_bytes=1000, tls=tls)


def authority(tmp_path, *hosts: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the server's and the client's side of a certificate of our own for these names."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Worka's tests")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    certificate = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "pem").write_bytes(certificate + private)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "pem")
    return server, ssl.create_default_context(cadata=certificate.decode())


def test_tls_is_agreed_by_the_name_and_not_by_the_address_it_led_to(tmp_path, monkeypatch):
    names = Names(monkeypatch)
    ours, theirs = authority(tmp_path, "shop.example")
    names.lead("shop.example", ["127.0.0.1"])
    names.lead("other.example", ["127.0.0.1"])
    with serving_site(ours) as site:
        ours.sni_callback = lambda _, name, __: site.names.append(name)
        site.pages["/"] = answer("secure")
        egress = site.egress("shop.example", "other.example", http=False)

        found = get(site.url(host="shop.example", scheme="https"), egress, theirs)
        with pytest.raises(NotReached) as other:
            get(site.url(host="other.example", scheme="https"), egress, theirs)
        with pytest.raises(NotReached) as unknown:
            get(site.url(host="shop.example", scheme="https"), egress)

    assert found.content == b"secure"
    assert site.names == ["shop.example", "other.example", "shop.example"]
    assert names.connected == [("127.0.0.1", site.port)] * 3
    assert other.value.why == unknown.value.why == Why.NOT_TRUSTED
    assert "other.example" in str(other.value)
    assert len(site.asked) == 1
