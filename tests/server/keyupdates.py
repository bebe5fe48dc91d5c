"""A TLS client that asks for new keys or a new handshake, by OpenSSL's own library: Python's ``ssl`` cannot ask."""

from __future__ import annotations

import ctypes
import ctypes.util
import socket

TLS_1_2, TLS_1_3 = 0x0303, 0x0304
SSL_CTRL_SET_MIN_PROTO_VERSION, SSL_CTRL_SET_MAX_PROTO_VERSION = 123, 124
UPDATE_REQUESTED = 1


class LibraryMissing(Exception):
    """OpenSSL cannot be loaded."""


def _library() -> ctypes.CDLL:
    name = ctypes.util.find_library("ssl")
    if name is None:
        raise LibraryMissing("no libssl is installed")
    library = ctypes.CDLL(name)
    for function in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(library, function).restype = ctypes.c_void_p
    library.SSL_CTX_new.argtypes = library.SSL_new.argtypes = [ctypes.c_void_p]
    library.SSL_CTX_ctrl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
    library.SSL_set_fd.argtypes = library.SSL_key_update.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.SSL_read.argtypes = library.SSL_write.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    for function in ("SSL_connect", "SSL_do_handshake", "SSL_renegotiate", "SSL_shutdown", "SSL_free", "SSL_CTX_free"):
        getattr(library, function).argtypes = [ctypes.c_void_p]
    return library


class KeyUpdater:
    """One TLS connection over *sock*, which must block and is not closed here."""

    def __init__(self, sock: socket.socket, version: int = TLS_1_3) -> None:
        self._library = _library()
        self._context = self._library.SSL_CTX_new(self._library.TLS_client_method())
        self._library.SSL_CTX_ctrl(self._context, SSL_CTRL_SET_MIN_PROTO_VERSION, version, None)
        self._library.SSL_CTX_ctrl(self._context, SSL_CTRL_SET_MAX_PROTO_VERSION, version, None)
        self._ssl = self._library.SSL_new(self._context)
        self._library.SSL_set_fd(self._ssl, sock.fileno())
        if self._library.SSL_connect(self._ssl) != 1:
            raise ConnectionError("no handshake")

    def ask_for_keys(self) -> bool:
        """Send one KeyUpdate that asks for one in return; False where the connection is gone."""
        return bool(
            self._library.SSL_key_update(self._ssl, UPDATE_REQUESTED) == 1
            and self._library.SSL_do_handshake(self._ssl) == 1
        )

    def renegotiate(self) -> bool:
        """Ask for another handshake (TLS 1.2); whether it took place."""
        return bool(
            self._library.SSL_renegotiate(self._ssl) == 1 and self._library.SSL_do_handshake(self._ssl) == 1
        ) and bool(self.send(b"NOOP\r\n") and self.receive())

    def send(self, data: bytes) -> bool:
        return bool(self._library.SSL_write(self._ssl, data, len(data)) == len(data))

    def receive(self) -> bytes:
        """Some bytes; empty at the end and after a failure."""
        buffer = ctypes.create_string_buffer(65536)
        count = self._library.SSL_read(self._ssl, buffer, len(buffer))
        return buffer.raw[: max(count, 0)]

    def end(self) -> None:
        """Say that nothing more is sent."""
        self._library.SSL_shutdown(self._ssl)

    def close(self) -> None:
        self._library.SSL_free(self._ssl)
        self._library.SSL_CTX_free(self._context)
