"""The certificate of a server that speaks TLS itself, from files to what each of the loops wants."""

from __future__ import annotations

import dataclasses
import re
import ssl
from pathlib import Path
from typing import Any

from autobahnlike.asgi.failure import CannotUseCertificate, explain

__all__ = ("Certificate",)

_CERTIFICATE = re.compile(b"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its private key. At least TLS 1.2 is spoken, as is the default of Python and Twisted.

    Attributes:
        chain: the file with the certificate, followed by those of the authorities in between, as PEM.
        key: the file with the private key, as PEM.
    """

    chain: str
    key: str

    @classmethod
    def of(cls, chain: str | None, key: str | None) -> Certificate | None:
        """Make one of what was given, or None if nothing was.

        Raises:
            CannotUseCertificate: there is a key, and no certificate.
        """
        if chain is None:
            if key is not None:
                raise CannotUseCertificate(f"the key {key} is of no use without its certificate", asked_wrongly=True)
            return None
        return cls(chain, key or chain)

    def for_asyncio(self) -> ssl.SSLContext:
        """Return what asyncio wants.

        Raises:
            CannotUseCertificate: the files do not make a TLS server.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.chain, self.key, password=_no_password)
        except (OSError, _NoPassword) as error:
            raise self._refused(error) from None
        return context

    def for_twisted(self) -> Any:
        """Return what Twisted wants: a context factory.

        Raises:
            CannotUseCertificate: the files do not make a TLS server.
        """
        from OpenSSL import SSL, crypto
        from twisted.internet.ssl import CertificateOptions

        try:
            pem = Path(self.chain).read_bytes()
            found = [crypto.load_certificate(crypto.FILETYPE_PEM, each) for each in _CERTIFICATE.findall(pem)]
            if not found:
                raise ValueError("there is no certificate in it")
            key = crypto.load_privatekey(crypto.FILETYPE_PEM, Path(self.key).read_bytes(), _no_password)
            options = CertificateOptions(key, found[0], extraCertChain=found[1:], acceptableProtocols=[b"http/1.1"])
            # Makes the context, and sees whether key and certificate belong together.
            options.getContext().check_privatekey()
        except (OSError, ValueError, crypto.Error, SSL.Error, _NoPassword) as error:
            raise self._refused(error) from None
        return options

    def _refused(self, error: Exception) -> CannotUseCertificate:
        if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
            why = explain(error)
        elif isinstance(error, (ValueError, _NoPassword)):
            why = str(error)
        else:
            why = "they have to be PEM, and to belong together"
        files = self.chain if self.chain == self.key else f"{self.chain} and {self.key}"
        return CannotUseCertificate(f"cannot use certificate and key in {files}: {why}")


class _NoPassword(Exception):
    """The key is encrypted."""


def _no_password(*_: object) -> bytes:
    # Otherwise OpenSSL asks for it on the terminal, also where nobody sits at one.
    raise _NoPassword("the key is encrypted; decrypt it first")
