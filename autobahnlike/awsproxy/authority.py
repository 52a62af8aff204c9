"""A certificate authority of one's own: made when it is first needed, and kept in two files.

Its certificate says for which domains it may be believed (RFC 5280, section 4.2.1.10), so that trusting it means
trusting it with these only.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import ssl
import stat
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ("Authority", "CannotUseAuthority", "domains_of", "write_bundle")

_NAME = "autobahnlike aws-proxy"
_VALIDITY = timedelta(days=3650)
# That of a host is made again long before it ends; browsers and Apple's libraries take none of more than 398 days.
_LEAF_VALIDITY = timedelta(days=90)
_LEAF_USE = timedelta(days=30)
# A clock that is late does not find them to be of the future.
_SKEW = timedelta(days=1)
# How many hosts are remembered. More of them only cost time.
_MAX_HOSTS = 256

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CannotUseAuthority(Exception):
    """There is no authority in the files, and it cannot be made. The text is one line."""


def domains_of(patterns: Sequence[str]) -> list[str]:
    """Return the domains that have all hosts of some patterns: what is behind the last star, in whole labels.

    Raises:
        ValueError: a pattern is for any domain.
    """
    domains: list[str] = []
    for pattern in patterns:
        labels = pattern.split(".")
        wild = max((place for place, label in enumerate(labels) if set(label) & set("*?[")), default=-1)
        domain = ".".join(labels[wild + 1 :])
        if not domain:
            raise ValueError(f"{pattern} is for any domain: write a pattern that ends in one, like *.example.com")
        if domain not in domains:
            domains.append(domain)
    return domains


class Authority:
    """The authority in two files, which are made if there are none.

    Args:
        certificate: the file with its certificate, as PEM. It is no secret.
        key: the file with its private key, as PEM, for nobody but the owner.
        domains: for which domains it has to be, without a leading dot.
        now: returns the time, with its zone.

    Raises:
        CannotUseAuthority: the files cannot be read or written, do not belong together, are for other domains, are out
            of date, or the key can be read by others.
    """

    def __init__(
        self, certificate: Path, key: Path, domains: Sequence[str], now: Callable[[], datetime] | None = None
    ) -> None:
        self._now = now or _now
        self._files = f"{certificate} and {key}"
        try:
            self._key = _load_key(key) or self._make_key(certificate, key)
            self._certificate = _load_certificate(certificate) or self._make_certificate(certificate, domains)
        except OSError as error:
            raise CannotUseAuthority(f"the certificate authority in {self._files}: {error}") from None
        self._check(domains)
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: OrderedDict[str, tuple[datetime, ssl.SSLContext]] = OrderedDict()

    @property
    def pem(self) -> str:
        """The certificate."""
        return self._certificate.public_bytes(Encoding.PEM).decode()

    def context_for(self, host: str) -> ssl.SSLContext:
        """Return what speaks TLS as a host.

        Args:
            host: its name, in lower case, or its address.
        """
        now = self._now()
        known = self._contexts.get(host)
        if known is not None and now < known[0] + _LEAF_USE:
            self._contexts.move_to_end(host)
            return known[1]
        context = self._make_context(host, now)
        self._contexts[host] = (now, context)
        self._contexts.move_to_end(host)
        if len(self._contexts) > _MAX_HOSTS:
            self._contexts.popitem(last=False)
        return context

    def _make_key(self, certificate: Path, key: Path) -> ec.EllipticCurvePrivateKey:
        if certificate.exists():
            raise CannotUseAuthority(f"{certificate} is there, and its key is not: name it, or delete the certificate")
        made = ec.generate_private_key(ec.SECP256R1())
        _write_new(key, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
        # Another process may have been quicker.
        return _load_key(key) or made

    def _make_certificate(self, path: Path, domains: Sequence[str]) -> x509.Certificate:
        now = self._now()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
        public = self._key.public_key()
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + _VALIDITY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(is_authority=True), critical=True)
            .add_extension(x509.NameConstraints([x509.DNSName(domain) for domain in domains], None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        _write_new(path, made.public_bytes(Encoding.PEM), 0o644)
        return _load_certificate(path) or made

    def _check(self, domains: Sequence[str]) -> None:
        certificate = self._certificate
        if certificate.public_key() != self._key.public_key():
            raise CannotUseAuthority(f"{self._files} do not belong together")
        if not certificate.not_valid_before_utc <= self._now() < certificate.not_valid_after_utc:
            raise CannotUseAuthority(f"{self._files} are out of date: delete both, and they are made again")
        try:
            basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
            is_authority = basic.ca
        except x509.ExtensionNotFound:
            is_authority = False
        if not is_authority:
            raise CannotUseAuthority(f"{self._files} are of a server, not of an authority")
        try:
            constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        except x509.ExtensionNotFound:
            # One that was not made here.
            return
        permitted = [name.value for name in constraints.permitted_subtrees or [] if isinstance(name, x509.DNSName)]
        if constraints.permitted_subtrees is not None:
            for domain in domains:
                if not any(domain == each or domain.endswith(f".{each}") for each in permitted):
                    raise CannotUseAuthority(
                        f"{self._files} are for {', '.join(permitted)}, not for {domain}: delete both, and they are"
                        " made again; or name others"
                    )

    def _make_context(self, host: str, now: datetime) -> ssl.SSLContext:
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        public = self._leaf_key.public_key()
        certificate = (
            x509.CertificateBuilder()
            # A common name has 64 characters at most, and means nothing beside the alternative name.
            .subject_name(x509.Name([]))
            .issuer_name(self._certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(min(now + _LEAF_VALIDITY, self._certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(is_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            # RFC 5280, section 4.2.1.6: critical, as there is no subject.
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # The gateway speaks nothing else.
        context.set_alpn_protocols(["http/1.1"])
        # Python loads certificates from files only. The directory is for nobody else.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "leaf.pem")
            path.write_bytes(
                self._leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                + certificate.public_bytes(Encoding.PEM)
            )
            context.load_cert_chain(path)
        return context


def write_bundle(path: Path, authority: Authority) -> None:
    """Write the certificate of an authority, and those that are trusted anyway: of this system, and of certifi.

    A variable like ``AWS_CA_BUNDLE`` replaces all that a programme trusts. It still has to connect to others.

    Args:
        path: the file. What is there is replaced, in one step.
        authority: the authority.

    Raises:
        CannotUseAuthority: the file cannot be written.
    """
    texts = [authority.pem]
    sources = [certifi.where()]
    system = ssl.get_default_verify_paths().cafile
    if system is not None and Path(system).resolve() != path.resolve():
        sources.append(system)
    for source in sources:
        with contextlib.suppress(OSError):
            texts.append(Path(source).read_text(encoding="utf-8", errors="replace"))
    found = dict.fromkeys(each.strip() for text in texts for each in _CERTIFICATE.findall(text))
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(found) + "\n")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise CannotUseAuthority(f"{path} cannot be written: {error}") from None


def _now() -> datetime:
    return datetime.now(UTC)


def _usage(is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    try:
        blob = path.read_bytes()
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CannotUseAuthority(f"{path} can be read by others, who then could be any host to you: chmod 600 {path}")
    try:
        key = load_pem_private_key(blob, None)
    except (TypeError, ValueError):
        raise CannotUseAuthority(f"{path} has no private key as PEM, without a password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CannotUseAuthority(f"{path} has a key that is none of an elliptic curve, which is what it has to be")
    return key


def _load_certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise CannotUseAuthority(f"{path} has no certificate as PEM") from None


def _write_new(path: Path, blob: bytes, mode: int) -> None:
    """Write a file that is not there yet, in one step, so that nobody reads half of it; leave one that is there."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(blob)
        os.chmod(temporary, mode)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
