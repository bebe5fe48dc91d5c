"""TLS contexts of the server, made anew when the certificate on the disk has changed."""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fastxfer.server.config import TlsConfig

__all__ = ["Certificates", "ReadyContext"]

logger = logging.getLogger("fastxfer.server")

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Certificates:
    """Makes contexts of the files that *tls* names.

    Connections that stand keep the context they began with; new ones get the new certificate, without a restart.
    A replacement that cannot be used (a key that does not fit, half a file) is reported and the old one kept.

    Raises:
        ValueError: a setting is not understood.
        OSError: a file cannot be read or used (ssl.SSLError is an OSError).
    """

    def __init__(self, tls: TlsConfig) -> None:
        if tls.min_version not in _VERSIONS:
            raise ValueError(f"tls.min_version is 1.2 or 1.3, not {tls.min_version!r}")
        if tls.require_client_cert and not tls.client_ca:
            raise ValueError("tls.require_client_cert needs tls.client_ca")
        self._tls = tls
        self._stamp = self._look()
        self._looked = time.monotonic()
        self._complaint = ""
        self._texts = self._read()
        self._context = self._make(self._texts)

    def control_context(self) -> ssl.SSLContext:
        """The context for a new control connection and its data connections.

        Where data connections must resume the session of their own control connection, every control connection
        gets a context of its own: a ticket of somebody else's session is then worth nothing.
        """
        self.refresh()
        if self._tls.require_session_reuse:
            return self._make(self._texts)
        return self._context

    @property
    def context(self) -> ssl.SSLContext:
        """The context of now."""
        self.refresh()
        return self._context

    def refresh(self, *, now: bool = False) -> None:
        """Look whether the files have changed, if it is time to or that is wanted *now*."""
        clock = time.monotonic()
        if not now and (not self._tls.reload or clock - self._looked < self._tls.reload):
            return
        self._looked = clock
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            texts = self._read()
            context = self._make(texts)
            if texts.get(self._tls.client_ca) == self._texts.get(self._tls.client_ca):
                # Into the context that is in use: whoever holds it (HTTPS does) has the new certificate from now on.
                self._load(self._context, texts)
            else:
                # What a context trusts cannot be taken away from it.
                self._context.sni_callback = self._hand_on
                self._context = context
        except OSError as error:
            if str(error) != self._complaint:
                logger.error("the changed certificate %s cannot be used, the old one stays: %s", self._tls.cert, error)
            self._complaint = str(error)
            return
        self._stamp = stamp
        self._texts = texts
        logger.info("certificate %s loaded anew", self._tls.cert)

    def _hand_on(self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Let *connection*, which began with a *context* that has had its day, go on with the one of now."""
        connection.context = self._context

    @property
    def _names(self) -> list[str]:
        return [name for name in (self._tls.cert, self._tls.key, self._tls.client_ca) if name]

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        return tuple((status.st_mtime_ns, status.st_size, status.st_ino) for status in map(os.stat, self._names))

    def _read(self) -> dict[str, bytes]:
        """What is in the files: contexts are made of it later too, when the files have become others or unreadable."""
        return {name: Path(name).read_bytes() for name in self._names}

    def _make(self, texts: dict[str, bytes]) -> ssl.SSLContext:
        tls = self._tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[tls.min_version]
        context.options |= ssl.OP_NO_COMPRESSION | getattr(ssl, "OP_NO_RENEGOTIATION", 0)
        context.set_alpn_protocols(["ftp"])
        if tls.ciphers:
            context.set_ciphers(tls.ciphers)
        self._load(context, texts)
        if tls.client_ca:
            context.verify_mode = ssl.CERT_REQUIRED if tls.require_client_cert else ssl.CERT_OPTIONAL
        return context

    def _load(self, context: ssl.SSLContext, texts: dict[str, bytes]) -> None:
        tls = self._tls
        with contextlib.ExitStack() as files:
            cert = files.enter_context(_file_with(texts[tls.cert]))
            key = files.enter_context(_file_with(texts[tls.key])) if tls.key else None
            try:
                # Without a password OpenSSL would ask for one at the terminal.
                context.load_cert_chain(cert, key, tls.key_password)
            except ssl.SSLError as error:
                encrypted = b"ENCRYPTED" in texts[tls.key or tls.cert]
                because = " (the key is encrypted: see tls.key_password)" if encrypted else ""
                raise ssl.SSLError(error.errno, f"{tls.key or tls.cert} cannot be used: {error}{because}") from error
            if tls.client_ca:
                context.load_verify_locations(files.enter_context(_file_with(texts[tls.client_ca])))


@contextlib.contextmanager
def _file_with(text: bytes) -> Iterator[str]:
    """The name of a file that holds *text* and that nobody else can read: OpenSSL reads private keys from no memory."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, text)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        yield file.name


class ReadyContext(Certificates):
    """One context that the application has made, and keeps up to date itself."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def control_context(self) -> ssl.SSLContext:
        return self._context

    def refresh(self, *, now: bool = False) -> None:
        """Nothing is read anew."""
