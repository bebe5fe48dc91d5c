"""What is known of a server: its FEAT list, who it is, and what it was seen to do. One for all connections to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastxfer.core.ftpwire import parse_feat
from fastxfer.ftp.replies import Reply

__all__ = ["ServerProfile"]

_KINDS = {
    "pure-ftpd": "pure-ftpd",
    "vsftpd": "vsftpd",
    "proftpd": "proftpd",
    "pyftpdlib": "pyftpdlib",
    "filezilla": "filezilla",
    "microsoft ftp": "iis",
    "fastxfer": "fastxfer",
}

_PREOPENING = frozenset({"pure-ftpd", "vsftpd", "fastxfer"})
"""Servers that read the next command only when a transfer has ended, so that EPSV may be sent along with it.

Others (pyftpdlib) would take it at once and drop the transfer for it, or refuse it (ProFTPD)."""

_HASHES = {
    "XCRC": "crc32",
    "XMD5": "md5",
    "MD5": "md5",
    "XSHA": "sha1",
    "XSHA1": "sha1",
    "XSHA256": "sha256",
    "XSHA512": "sha512",
}


@dataclass
class ServerProfile:
    """Shared by the connections to one server.

    Attributes:
        banner: the greeting.
        kind: ``"vsftpd"``, ``"proftpd"`` … where the greeting tells, else "".
        features: FEAT's lines: name in capitals to parameters.
        known: FEAT was asked for (and perhaps not understood).
        pipelining: several commands may be sent in one piece.
        passive_seen: a passive connection has worked: the address may be asked for together with the transfer.
        consenting: a transfer was agreed to with 1xx before its verdict, as it should be.
        extended: EPSV and EPRT were not refused so far.
        epsv_all: EPSV ALL was not refused so far, and nothing else is needed.
        rename: temporary names with a rename were not refused so far.
        refused: commands that were answered with 500 or 502.
        unsettable: commands that were seen not to set a file's time.
        login_directory: the working directory after login, once it was asked for.
    """

    banner: str = ""
    kind: str = ""
    features: dict[str, str] = field(default_factory=dict)
    known: bool = False
    pipelining: bool = True
    passive_seen: bool = False
    consenting: bool = False
    extended: bool = True
    epsv_all: bool = True
    rename: bool = True
    refused: set[str] = field(default_factory=set)
    unsettable: set[str] = field(default_factory=set)
    login_directory: str | None = None

    def greet(self, reply: Reply) -> None:
        """Take the greeting in."""
        self.banner = reply.text
        lowered = self.banner.lower()
        self.kind = next((kind for word, kind in _KINDS.items() if word in lowered), "")

    def learn(self, reply: Reply) -> None:
        """Take FEAT's answer in (RFC 2389, section 3.2)."""
        self.known = True
        self.features = parse_feat(reply.lines) if reply.code == 211 else {}
        # Servers too simple for FEAT may answer what comes in one piece out of order (aioftp does).
        self.pipelining = self.pipelining and reply.code == 211

    def offers(self, name: str) -> bool:
        """Whether FEAT lists *name* and the server did not refuse it since."""
        return name in self.features and name not in self.refused

    def may_try(self, name: str) -> bool:
        """Whether it makes sense to try *name*: listed, or there is no list and it was not refused."""
        return name not in self.refused and (name in self.features or not self.features)

    @property
    def preopening(self) -> bool:
        return self.kind in _PREOPENING

    @property
    def restart(self) -> bool:
        """REST works in stream mode (RFC 3659, section 5)."""
        return "REST" not in self.refused and (not self.features or "STREAM" in self.features.get("REST", "").upper())

    @property
    def machine_listing(self) -> bool:
        """MLSD may be had: FEAT names it as MLST (RFC 3659, section 7.8); some have it without having FEAT."""
        return ("MLST" in self.features or not self.features) and "MLSD" not in self.refused

    def hashes(self) -> dict[str, str]:
        """Checksum algorithms that the server computes: name (``crc32``, ``md5``, ``sha1`` …) to command."""
        found: dict[str, str] = {}
        for command, algorithm in _HASHES.items():
            if self.offers(command):
                found.setdefault(algorithm, command)
        if self.offers("HASH"):
            for name in self.features["HASH"].replace("*", "").split(";"):
                plain = name.strip().lower().replace("-", "")
                if plain:
                    found[plain] = "HASH"
        return found
