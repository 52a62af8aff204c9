"""The certificate of a server that speaks TLS itself, from files to what each of the loops wants."""

from __future__ import annotations

import dataclasses
import ssl
from pathlib import Path
from typing import Any

from autobahnlike.asgi.failure import CannotUseCertificate, explain

__all__ = ("Certificate",)

_ENCRYPTED = "the key is encrypted; decrypt it first"


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
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from OpenSSL import SSL
        from twisted.internet.ssl import CertificateOptions

        options = CertificateOptions(acceptableProtocols=[b"http/1.1"])
        # It keeps this one. Given certificate and key as objects, it would use them in a way that pyOpenSSL deprecates.
        context = options.getContext()
        try:
            # OpenSSL does not say that it cannot read a file, and asks for the password of an encrypted key.
            Path(self.chain).read_bytes()
            load_pem_private_key(Path(self.key).read_bytes(), None)
            context.use_certificate_chain_file(self.chain)
            context.use_privatekey_file(self.key)
            context.check_privatekey()
        except TypeError:
            # What cryptography raises if a key needs a password.
            raise self._refused(_NoPassword(_ENCRYPTED)) from None
        except (OSError, ValueError, SSL.Error) as error:
            raise self._refused(error) from None
        return options

    def _refused(self, error: Exception) -> CannotUseCertificate:
        if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
            why = explain(error)
        elif isinstance(error, _NoPassword):
            why = str(error)
        else:
            why = "they have to be PEM, and to belong together"
        files = self.chain if self.chain == self.key else f"{self.chain} and {self.key}"
        return CannotUseCertificate(f"cannot use certificate and key in {files}: {why}")


class _NoPassword(Exception):
    """The key is encrypted."""


def _no_password(*_: object) -> bytes:
    # Otherwise OpenSSL asks for it on the terminal, also where nobody sits at one.
    raise _NoPassword(_ENCRYPTED)
