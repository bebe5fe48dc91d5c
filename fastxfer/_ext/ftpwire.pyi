"""The bytes of FTP: command and reply lines, listings read and listings written. No I/O but :class:`DirectoryLister`.

Names and text are ``str``; bytes that are not valid in the encoding become surrogates (``surrogateescape``), so that
every file name survives the way in and out. Work and memory are linear in what is fed, whatever it is.

Names in this module:

- server, control channel: :class:`CommandReader`, :func:`format_reply`, :func:`quote_path`
- client, control channel: :class:`ReplyReader`, :exc:`MalformedReply`, :func:`format_command`, :func:`parse_pasv`,
  :func:`parse_epsv`, :func:`parse_pwd`, :func:`parse_size`, :func:`parse_feat`, :func:`parse_mlst`
- both: :func:`parse_time`, :func:`format_time`
- client, listings: :class:`Entry`, :class:`ListingReader`, :func:`parse_listing`
- server, listings: :class:`ListItem`, :func:`format_list`, :func:`format_mlsd`, :func:`format_names`,
  :func:`is_listable`, :class:`DirectoryLister`
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, final

from typing_extensions import Buffer

LINE_EMPTY: Final[str]
"""Argument of a refused command: nothing before the end of line."""
LINE_TOO_LONG: Final[str]
"""Argument of a refused command: longer than ``max_line``; the rest of the line is thrown away as it comes."""
LINE_HAS_NUL: Final[str]
"""Argument of a refused command: a NUL in it."""
LINE_HAS_CR: Final[str]
"""Argument of a refused command: a CR that no LF follows."""

@final
class CommandReader:
    """Takes the bytes of a control connection in any pieces and gives the commands in them (RFC 959 section 5.3).

    A line ends at LF; one CR before it is dropped. Telnet commands (RFC 854) are taken out: two-byte ones (IAC IP, IAC
    DM of an urgent ABOR ...), option negotiations, subnegotiations; IAC IAC is a single 0xFF. An IAC at the start of
    a line before a letter is dropped: what is left where the DM went out of band.

    Args:
        max_line: longest line, bytes; at most this much is kept between calls.
        encoding: of arguments; may be changed at any time.
    """

    def __init__(self, max_line: int = 8192, encoding: str = "utf-8") -> None: ...
    encoding: str
    @property
    def pending(self) -> int:
        """Bytes kept of a line that has not ended yet."""
    @property
    def idle(self) -> bool:
        """Whether nothing at all is kept: no line, no rest of a Telnet command or of a line that was too long."""
    def feed(self, data: Buffer, /) -> list[tuple[str, str]]:
        """``(VERB, argument)`` for each line that *data* completes.

        The verb is in upper case; the argument is all that follows the first space, exactly, or ``""``. A line that
        is no command gives ``("", reason)``, the reason being one of the LINE constants.
        """
    def clear(self) -> None:
        """Forget what is pending: plaintext that came with AUTH TLS must not be obeyed after the handshake."""

def format_reply(code: int, text: str | Sequence[str], encoding: str = "utf-8") -> bytes:
    """A reply (RFC 959 section 4.2): one line from a str, a multi-line one from several.

    The lines between the first and the last are indented by one space, as FEAT (RFC 2389) and MLST (RFC 3659) want it.
    Control characters in text become ``?``, so that no name can forge a reply; 0xFF is doubled (RFC 854).
    """

def quote_path(path: str) -> str:
    """*path* in double quotes, quotes inside doubled: for 257 replies."""

class MalformedReply(ValueError):
    """What the server sent is not a reply, or is longer than allowed; the connection cannot be used any more."""

    replies: list[tuple[int, list[str]]]
    """The replies that were complete before it."""
    def __init__(self, message: str, replies: list[tuple[int, list[str]]] | None = None) -> None: ...

@final
class ReplyReader:
    """Takes the bytes of a control connection in any pieces and gives the replies in them (RFC 959 section 4.2).

    Args:
        max_line: longest line, bytes.
        max_reply: most bytes of a multi-line reply.
        encoding: of the text; may be changed at any time.
    """

    def __init__(self, max_line: int = 16384, max_reply: int = 262144, encoding: str = "utf-8") -> None: ...
    encoding: str
    @property
    def pending(self) -> int:
        """Bytes kept of a reply that has not ended yet."""
    def feed(self, data: Buffer, /) -> list[tuple[int, list[str]]]:
        """``(code, lines)`` for each reply that *data* completes.

        Lines come without line ends and, where they have it, without the code and the separator after it. Raises
        :exc:`MalformedReply`, and again on every later call.
        """
    def clear(self) -> None:
        """Forget what is pending: plaintext that came before a TLS handshake must not be taken for replies after."""

def format_command(verb: str, argument: str = "", encoding: str = "utf-8") -> bytes:
    """A command line. ValueError for CR, LF or NUL in either, or a verb that is not letters; 0xFF is doubled."""

def parse_pasv(text: str) -> tuple[str, int]:
    """``(IPv4 address, port)`` of a 227 reply, with or without parentheses. ValueError if they are not there."""

def parse_epsv(text: str) -> int:
    """The port of a 229 reply (RFC 2428), whatever its delimiter. ValueError if it is not there."""

def parse_pwd(text: str) -> str:
    """The path of a 257 reply, quotes undone; unquoted text up to the first space is taken as it is."""

def parse_size(text: str) -> int:
    """The number of bytes of a 213 reply. ValueError if it is not there."""

def parse_time(text: str) -> float:
    """Seconds since 1970 of ``YYYYMMDDHHMMSS[.sss]`` in UTC (RFC 3659 section 2.3). ValueError if it is not one.

    The year of servers that write ``19`` and the years since 1900 (``191261122…`` for 2026) is mended.
    """

def format_time(seconds: float) -> str:
    """``YYYYMMDDHHMMSS`` in UTC, of years 1 to 9999: times outside are brought to the nearest inside."""

def parse_feat(lines: Sequence[str]) -> dict[str, str]:
    """Features of a 211 FEAT reply: names in upper case, and what follows each."""

def parse_mlst(lines: Sequence[str]) -> Entry:
    """The entry of a 250 MLST reply. ValueError if there is none."""

@final
class Entry:
    """One line of a listing."""

    def __init__(
        self,
        name: str,
        type: str = "unknown",
        size: int | None = None,
        mtime: float | None = None,
        mode: int | None = None,
        owner: str | None = None,
        group: str | None = None,
        target: str | None = None,
        facts: dict[str, str] | None = None,
    ) -> None: ...
    @property
    def name(self) -> str:
        """As the server wrote it: it may hold slashes, be ``..``, or worse."""
    @property
    def type(self) -> str:
        """``file``, ``dir``, ``link``, ``other`` (devices, sockets …), ``cdir`` (the directory itself), ``pdir`` (its
        parent), or ``unknown``."""
    @property
    def size(self) -> int | None: ...
    @property
    def mtime(self) -> float | None:
        """Seconds since 1970. Listings other than MLSD do not tell their time zone: taken as UTC."""
    @property
    def mode(self) -> int | None:
        """Permission bits, as in ``0o644``."""
    @property
    def owner(self) -> str | None: ...
    @property
    def group(self) -> str | None: ...
    @property
    def target(self) -> str | None:
        """Where a link points, if told."""
    @property
    def facts(self) -> dict[str, str]:
        """All facts of an MLSD line as they stand, names in lower case; empty for other formats."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class ListingReader:
    """Takes the bytes of a listing in any pieces and gives the entries in them.

    Args:
        format: ``mlsd`` (RFC 3659), ``names`` (NLST), ``list``, or ``auto``: MLSD and LIST lines, told apart one by
            one. LIST lines are Unix, Windows/IIS, EPLF, Netware, OS/2, AS/400 or VMS.
        encoding: of names.
        now: seconds since 1970 that dates without a year are reckoned from; None for the clock.
        max_line: longest line, bytes; a longer one is unparsed, and thrown away as it comes.
    """

    def __init__(
        self, format: str = "auto", encoding: str = "utf-8", now: float | None = None, max_line: int = 65536
    ) -> None: ...
    @property
    def unparsed(self) -> int:
        """Lines that could not be understood (empty ones and ``total`` lines not counted)."""
    @property
    def samples(self) -> list[str]:
        """The first few of them, shortened."""
    def feed(self, data: Buffer, /) -> list[Entry]: ...
    def finish(self) -> list[Entry]:
        """The entry of a last line without line end, if there is one."""

def parse_listing(data: Buffer, format: str = "auto", encoding: str = "utf-8", now: float | None = None) -> list[Entry]:
    """The entries of a whole listing; lines that cannot be understood are left out (see :class:`ListingReader`)."""

class ListItem(NamedTuple):
    """What a server tells of one file; plain tuples of the same order, even cut short after mtime, do as well."""

    name: str
    mode: int
    """``st_mode``: type and permissions."""
    size: int
    mtime: float
    nlink: int = 1
    owner: str = "ftp"
    group: str = "ftp"
    target: str | None = None
    """Where a symbolic link points: shown by LIST only."""
    perm: str | None = None
    """The MLSD fact; None for the default of its kind."""
    unique: str | None = None
    """The MLSD fact; None leaves it out."""

FACTS: Final[tuple[str, ...]]
"""Names of the facts that can be asked for, in lower case."""

def is_listable(name: str | bytes) -> bool:
    """Whether *name* can stand in a listing. A name with a control character (CR and LF among them) could forge lines
    and cannot be asked for over FTP: the functions below leave it out."""

def format_list(items: Iterable[tuple[object, ...]], now: float | None = None) -> bytes:
    """LIST lines in the form of ``ls -l``, times in UTC; the year instead of the time of day where that is more than
    half a year from *now*."""

def format_mlsd(
    items: Iterable[tuple[object, ...]],
    facts: Sequence[str] = ("type", "size", "modify", "perm"),
    file_perm: str = "adfrw",
    dir_perm: str = "cdeflmp",
) -> bytes:
    """MLSD lines (RFC 3659 section 7) with the given facts in the given order; of one item without its CRLF: MLST.

    Links have the type ``OS.unix=symlink``; ``size`` is left out of directories. ``unix.owner`` and ``unix.group``
    are the item's owner and group.
    """

def format_names(names: Iterable[str]) -> bytes:
    """NLST lines."""

@final
class DirectoryLister(Iterator[bytes]):
    """A directory's listing in pieces, read and written natively with the GIL released.

    Each piece holds whole lines and is at least *chunk* bytes long but for the last one; an empty directory has none.
    ``.`` and ``..`` are left out, as are files that vanish meanwhile and names that are not listable. Iterating raises
    OSError. Iterate in one thread at a time.

    Args:
        directory: descriptor of a directory (not consumed, its position untouched) or its path.
        format: ``list``, ``mlsd`` or ``nlst``.
        facts: MLSD facts, in order.
        file_perm: the ``perm`` fact of files.
        dir_perm: the ``perm`` fact of directories.
        owner: shown as every file's owner; None shows the user ID.
        group: shown as every file's group; None shows the group ID.
        now: as in :func:`format_list`.
        hidden: whether names that begin with a dot are shown.
        links: ``show`` symbolic links as such; ``follow`` them, so that they look like what they point to (one that
            leads nowhere is shown as such); ``hide`` them.
        sort: order by name, bytewise; all names are then held in memory.
        max_entries: at most so many lines; -1 for all.
        chunk: bytes per piece.
        omitted: names that end so are left out, and counted nowhere; empty for none.
        prefix: stands before every name of ``nlst``, as it is.
    """

    def __init__(
        self,
        directory: int | str,
        format: str,
        *,
        facts: Sequence[str] = ("type", "size", "modify", "perm"),
        file_perm: str = "adfrw",
        dir_perm: str = "cdeflmp",
        owner: str | None = "ftp",
        group: str | None = "ftp",
        now: float | None = None,
        hidden: bool = True,
        links: str = "show",
        sort: bool = False,
        max_entries: int = -1,
        chunk: int = 65536,
        omitted: str = "",
        prefix: str = "",
    ) -> None: ...
    @property
    def entries(self) -> int:
        """Lines given so far."""
    @property
    def skipped(self) -> int:
        """Names left out so far because they are not listable."""
    def __iter__(self) -> DirectoryLister: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None:
        """Let go of the directory. Idempotent; happens by itself at the end."""
