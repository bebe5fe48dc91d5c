"""TLS, and the two tables of the API."""

from __future__ import annotations

import mimetypes
import os
import ssl
from dataclasses import dataclass

from fastxfer.net.tls import TLSSettings

__all__ = ["SSL", "codes", "types"]


@dataclass(frozen=True)
class SSL:
    """TLS settings of a client or server. Files are read when they are used, not before.

    Args:
        verify: check the server's certificate and name. Without it anyone in between can read and change everything.
        cert: PEM file with the certificate to show (and its chain).
        key: PEM file with its private key, if it is not in *cert*.
        bundle: PEM file with the authorities to trust instead of the system's.
        ciphers: OpenSSL cipher list for TLS 1.2.
        context: a ready context, used as it is instead of all the above.

    Raises:
        ValueError: a key without its certificate.
    """

    verify: bool = True
    cert: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    bundle: str | os.PathLike[str] | None = None
    ciphers: str | None = None
    context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        if self.key is not None and self.cert is None:
            raise ValueError("a key is of no use without its certificate")

    def client_settings(self) -> TLSSettings:
        """The same for a client."""
        return TLSSettings(
            verify=self.verify,
            ca_file=self.bundle,
            certificate=self.cert,
            key=self.key,
            ciphers=self.ciphers,
            context=self.context,
        )


codes: dict[int, str] = {
    110: "Restart marker reply",
    120: "Service ready in some minutes",
    125: "Data connection already open; transfer starting",
    150: "File status okay; about to open data connection",
    200: "Command okay",
    202: "Command not implemented, superfluous at this site",
    211: "System status, or system help reply",
    212: "Directory status",
    213: "File status",
    214: "Help message",
    215: "NAME system type",
    220: "Service ready for new user",
    221: "Service closing control connection",
    225: "Data connection open; no transfer in progress",
    226: "Closing data connection",
    227: "Entering Passive Mode",
    229: "Entering Extended Passive Mode",
    230: "User logged in, proceed",
    232: "User logged in, authorized by security data exchange",
    234: "Security data exchange complete",
    235: "Security data exchange successful, more is needed",
    250: "Requested file action okay, completed",
    257: "PATHNAME created",
    331: "User name okay, need password",
    332: "Need account for login",
    334: "Requested security mechanism is okay",
    336: "User name okay, need password; challenge follows",
    350: "Requested file action pending further information",
    421: "Service not available, closing control connection",
    425: "Can't open data connection",
    426: "Connection closed; transfer aborted",
    430: "Invalid user name or password",
    431: "Need some unavailable resource to process security",
    434: "Requested host unavailable",
    450: "Requested file action not taken; file busy",
    451: "Requested action aborted; local error in processing",
    452: "Requested action not taken; insufficient storage space",
    500: "Syntax error, command unrecognized",
    501: "Syntax error in parameters or arguments",
    502: "Command not implemented",
    503: "Bad sequence of commands",
    504: "Command not implemented for that parameter",
    521: "Data connection cannot be opened with this PROT setting",
    522: "Network protocol not supported, or TLS session not reused",
    530: "Not logged in",
    532: "Need account for storing files",
    533: "Command protection level denied for policy reasons",
    534: "Request denied for policy reasons",
    535: "Failed security check",
    536: "Requested PROT level not supported by mechanism",
    550: "Requested action not taken; file unavailable",
    551: "Requested action aborted; page type unknown",
    552: "Requested file action aborted; exceeded storage allocation",
    553: "Requested action not taken; file name not allowed",
}
"""FTP reply codes and what they mean (RFC 959, 2228, 2428, 4217)."""

types: dict[str, str] = dict(mimetypes.types_map)
"""Media types by file name extension."""
