"""TLS always: the installation's own certificate authority, made at the first start, and certificates by it for the portal and the rooms.

RFC 5280 profiles, ECDSA P-256. The authority's key is root's alone; a service's key is readable by that service. Certificates from files,
by setting, take their place.
"""

import ipaddress
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sekisho.system.files import write_whole

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 397  # what browsers accept at most
RENEW_DAYS = 30


def make_authority(folder: Path, name: str, now: datetime) -> Path:
    """The authority's certificate; made with its key if it is not there."""
    certificate_path, key_path = folder / "ca.pem", folder / "ca.key"
    if not certificate_path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Sekisho {name}")])
        builder = _builder(subject, subject, key.public_key(), now, AUTHORITY_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        write_whole(key_path, _private(key), mode=0o600)
        write_whole(certificate_path, _pem(builder.sign(key, hashes.SHA256())), mode=0o644)
    return certificate_path


def make_certificate(folder: Path, names: tuple[str, ...], target: Path, key_target: Path, now: datetime) -> bool:
    """A certificate by the authority for host names and addresses, unless a good one is there. True if a new one was made."""
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    if target.exists() and _is_good(x509.load_pem_x509_certificates(target.read_bytes())[0], authority, names, now):
        return False
    signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    builder = _builder(subject, authority.subject, key.public_key(), now, CERTIFICATE_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    write_whole(key_target, _private(key), mode=0o600)
    write_whole(target, _pem(builder.sign(signer, hashes.SHA256())) + _pem(authority), mode=0o644)
    return True


def fingerprint(certificate: Path) -> str:
    """SHA-256 of a certificate's DER form, as browsers show it."""
    digest = x509.load_pem_x509_certificate(certificate.read_bytes()).fingerprint(hashes.SHA256())
    return ":".join(f"{byte:02X}" for byte in digest)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _is_good(found: x509.Certificate, authority: x509.Certificate, names: tuple[str, ...], now: datetime) -> bool:
    held = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    fresh = found.not_valid_after_utc - now > timedelta(days=RENEW_DAYS)
    return fresh and found.issuer == authority.subject and set(held) == {_alternative(name) for name in names}


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
