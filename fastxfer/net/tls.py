"""What a client wants of TLS: certificates, versions, ciphers; and the OpenSSL context made of it."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field

__all__ = ["TLSSettings"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True)
class TLSSettings:
    """How a client speaks TLS.

    Attributes:
        verify: check the server's certificate and host name. Switching this off lets anyone in between read and change
            everything.
        ca_file: file of the certificate authorities trusted instead of the system's (PEM).
        ca_directory: directory of such files, hashed as by ``openssl rehash``.
        ca_data: the same as PEM text or DER bytes.
        certificate: file of the client's certificate and its chain (PEM).
        key: file of the client's private key; None where it stands in *certificate*.
        key_password: what *key* is encrypted with.
        ciphers: OpenSSL cipher list for TLS 1.2 and older.
        minimum_version: ``"1.2"`` or ``"1.3"``.
        maximum_version: ``"1.2"``, ``"1.3"`` or None for the newest there is.
        server_hostname: the name that the certificate must bear, where it is not the host connected to.
        context: a ready context that is used as it is; everything above but *server_hostname* is then ignored.
    """

    verify: bool = True
    ca_file: str | os.PathLike[str] | None = None
    ca_directory: str | os.PathLike[str] | None = None
    ca_data: str | bytes | None = None
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    key_password: str | bytes | None = field(default=None, repr=False)
    ciphers: str | None = None
    minimum_version: str = "1.2"
    maximum_version: str | None = None
    server_hostname: str | None = None
    context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        for version in (self.minimum_version, self.maximum_version):
            if version is not None and version not in _VERSIONS:
                raise ValueError(f"unknown TLS version {version!r}: it is '1.2' or '1.3'")
        if self.key is not None and self.certificate is None:
            raise ValueError("a client key is of no use without its certificate")

    def client_context(self) -> ssl.SSLContext:
        """A new context of these settings.

        Raises OSError where a file cannot be read and ssl.SSLError (an OSError too) where its content is not usable.
        """
        if self.context is not None:
            return self.context
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = _VERSIONS[self.minimum_version]
        if self.maximum_version is not None:
            context.maximum_version = _VERSIONS[self.maximum_version]
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca_file is None and self.ca_directory is None and self.ca_data is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if self.ca_file is not None or self.ca_directory is not None or self.ca_data is not None:
            context.load_verify_locations(self.ca_file, self.ca_directory, self.ca_data)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key, self.key_password)
        if self.ciphers is not None:
            context.set_ciphers(self.ciphers)
        return context
