"""What the server can do beyond RFC 959: FEAT, OPTS, LANG."""

from __future__ import annotations

from fastxfer.core.ftpwire import FACTS
from fastxfer.server.commands.hashing import ALGORITHMS
from fastxfer.server.commands.table import command
from fastxfer.server.replies import OK, reply
from fastxfer.server.session import Session

_UNKNOWN_OPTION = reply(501, "Unknown option.")
_ALWAYS_UTF8 = reply(504, "Names are always UTF-8.")


@command("FEAT", "RFC 2389 section 3", login=False, keeps=True)
def features(session: Session, argument: str) -> bytes:
    """The extensions."""
    lines = []
    if session.runtime.tls_available:
        lines += ["AUTH TLS", "PBSZ", "PROT"]
        if session.config.tls.allow_ccc:
            lines.append("CCC")
    hashes = ";".join(name + ("*" if name == session.hash_algorithm else "") for name in ALGORITHMS)
    facts = "".join(f"{fact}{'*' if fact in session.facts else ''};" for fact in FACTS)
    lines += [
        "AVBL",
        "CLNT",
        "EPRT",
        "EPSV",
        f"HASH {hashes}",
        "HOST",
        "MD5",
        "MDTM",
        "MFMT",
        f"MLST {facts}",
        "MODE Z",
        "RANG STREAM",
        "REST STREAM",
        "SIZE",
        "SITE CHMOD;UTIME;CPFR;CPTO;SYMLINK;MKDIR;RMDIR;HELP",
        "TVFS",
        "UTF8",
        "XCRC",
        "XMD5",
        "XSHA1",
        "XSHA256",
        "XSHA512",
    ]
    return reply(211, ["Extensions supported:", *lines, "END"])


@command("OPTS", "RFC 2389 section 4", syntax="command [options]", login=False, keeps=True)
def options(session: Session, argument: str) -> bytes:
    """Set options of MLST, HASH, MODE Z or UTF8."""
    name, _, value = argument.partition(" ")
    name = name.upper()
    if name == "MLST":
        wanted = [fact.lower() for fact in value.split(";") if fact]
        session.facts = tuple(fact for fact in FACTS if fact in wanted)
        return reply(200, "MLST OPTS " + "".join(f"{fact};" for fact in session.facts))
    if name == "UTF8":
        return OK if value.upper() in ("", "ON", "NLST") else _ALWAYS_UTF8
    if name == "HASH":
        if value:
            if value.upper() not in ALGORITHMS:
                return _UNKNOWN_OPTION
            session.hash_algorithm = value.upper()
        return reply(200, session.hash_algorithm)
    if name == "MODE":
        words = value.upper().split()
        if len(words) == 3 and words[:2] == ["Z", "LEVEL"] and words[2].isdigit() and 1 <= int(words[2]) <= 9:
            session.zlevel = int(words[2])
            return reply(200, f"MODE Z LEVEL set to {words[2]}.")
    return _UNKNOWN_OPTION


@command("LANG", "RFC 2640 section 4.1", syntax="[tag]", login=False, keeps=True)
def language(session: Session, argument: str) -> bytes:
    """The language of the replies, which is English."""
    return OK if argument.lower().split("-")[0] in ("", "en") else reply(504, "Only English is spoken here.")
