"""The control channel: lines, Telnet, commands and replies, in whatever pieces they come."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.conftest import core_module

COMMANDS: list[tuple[bytes, list[tuple[str, str]]]] = [
    (b"NOOP\r\n", [("NOOP", "")]),
    (b"noop\n", [("NOOP", "")]),
    (b"USER bob\r\nPASS \r\n", [("USER", "bob"), ("PASS", "")]),
    (b"RETR  a  b \r\n", [("RETR", " a  b ")]),
    (b"  CWD x\r\n", [("CWD", "x")]),
    ("STOR grün.txt\r\n".encode(), [("STOR", "grün.txt")]),
    (b"STOR a\xfeb\r\n", [("STOR", "a\udcfeb")]),
    (b"GET / HTTP/1.1\r\n", [("GET", "/ HTTP/1.1")]),
    (b"x\xc3\xa4 y\r\n", [("Xä", "y")]),
    (b"\r\n", [("", "empty line")]),
    (b"   \r\n", [("", "empty line")]),
    (b"SIZE a\0.txt\r\n", [("", "NUL in the line")]),
    (b"DELE a\rRMD b\r\n", [("", "bare CR in the line")]),
    (b"DELE a\r\r\n", [("", "bare CR in the line")]),
    # Telnet (RFC 854, RFC 959 section 4.1.3): IP and Synch before ABOR, whether or not the DM came in band.
    (b"\xff\xf4\xff\xf2ABOR\r\n", [("ABOR", "")]),
    (b"\xff\xf4\xffABOR\r\n", [("ABOR", "")]),
    (b"\xff\xfb\x01\xff\xfd\x03NOOP\r\n", [("NOOP", "")]),
    (b"\xff\xfa\x18\x01\r\nDELE x\r\n\xff\xf0NOOP\r\n", [("NOOP", "")]),
    (b"STOR a\xff\xffb\r\n", [("STOR", "a\udcffb")]),
    (b"STOR a\xffb\r\n", [("STOR", "a\udcffb")]),
    (b"STOR a\xff\r\nNOOP\r\n", [("STOR", "a\udcff"), ("NOOP", "")]),
]


@pytest.mark.parametrize(("data", "commands"), COMMANDS)
def test_commands(ftpwire: ModuleType, data: bytes, commands: list[tuple[str, str]]) -> None:
    assert ftpwire.CommandReader().feed(data) == commands


@pytest.mark.parametrize(("data", "commands"), COMMANDS)
def test_commands_byte_by_byte(ftpwire: ModuleType, data: bytes, commands: list[tuple[str, str]]) -> None:
    reader = ftpwire.CommandReader()
    assert [command for byte in data for command in reader.feed(bytes([byte]))] == commands
    assert reader.pending == 0


def test_a_line_too_long_is_refused_once_and_its_rest_thrown_away(ftpwire: ModuleType) -> None:
    reader = ftpwire.CommandReader(max_line=16)
    assert reader.feed(b"A" * 15) == []
    assert reader.feed(b"B\r") == [("", ftpwire.LINE_TOO_LONG)]
    assert reader.feed(b"DELE x" * 1000) == []
    assert reader.pending == 0
    assert reader.feed(b"\nNOOP\r\n") == [("NOOP", "")]
    assert reader.feed(b"C" * 15 + b"\r\n" + b"D" * 17 + b"\nNOOP\n") == [
        ("C" * 15, ""),
        ("", ftpwire.LINE_TOO_LONG),
        ("NOOP", ""),
    ]


def test_what_came_before_a_handshake_can_be_forgotten(ftpwire: ModuleType) -> None:
    reader = ftpwire.CommandReader()
    assert reader.feed(b"AUTH TLS\r\nDELE ever") == [("AUTH", "TLS")]
    assert reader.pending == 9
    reader.clear()
    assert reader.pending == 0
    assert reader.feed(b"USER x\r\n") == [("USER", "x")]


def test_the_encoding_of_arguments_can_change(ftpwire: ModuleType) -> None:
    reader = ftpwire.CommandReader(encoding="latin-1")
    assert reader.feed(b"stor \xe4\r\n") == [("STOR", "ä")]
    reader.encoding = "UTF-8"
    assert reader.feed(b"STOR \xc3\xa4\r\n") == [("STOR", "ä")]
    assert reader.encoding == "UTF-8"


def test_readers_check_their_limits(ftpwire: ModuleType) -> None:
    for make in (ftpwire.CommandReader, ftpwire.ReplyReader, lambda **limits: ftpwire.ListingReader("auto", **limits)):
        with pytest.raises(ValueError, match="max_line 0"):
            make(max_line=0)
    with pytest.raises(ValueError, match="max_reply 0"):
        ftpwire.ReplyReader(max_reply=0)


# --- replies

REPLIES: list[tuple[bytes, list[tuple[int, list[str]]]]] = [
    (b"220 Welcome\r\n", [(220, ["Welcome"])]),
    (b"220\r\n", [(220, [""])]),
    (b"200 ok\n\r\n\r\n150 now\r\n226 done\r\n", [(200, ["ok"]), (150, ["now"]), (226, ["done"])]),
    (b"211-Features:\r\n MDTM\r\n REST STREAM\r\n211 End\r\n", [(211, ["Features:", " MDTM", " REST STREAM", "End"])]),
    (b"220-a\r\n220-b\r\n221 not yet\r\n\r\n220\r\n", [(220, ["a", "b", "221 not yet", "", ""])]),
    (b"250-x\r\n250x\r\n250 y\r\n", [(250, ["x", "250x", "y"])]),
    (b"631 protected\r\n", [(631, ["protected"])]),
    (b"200 crs\r\r\r\n", [(200, ["crs"])]),
    (b"\xff\xfb\x01220 telnet \xff\xff\r\n", [(220, ["telnet \udcff"])]),
    ('257 "/grün"\r\n'.encode(), [(257, ['"/grün"'])]),
]


@pytest.mark.parametrize(("data", "replies"), REPLIES)
def test_replies(ftpwire: ModuleType, data: bytes, replies: list[tuple[int, list[str]]]) -> None:
    assert ftpwire.ReplyReader().feed(data) == replies
    reader = ftpwire.ReplyReader()
    assert [reply for byte in data for reply in reader.feed(bytes([byte]))] == replies
    assert reader.pending == 0


@pytest.mark.parametrize(
    "data", [b"hello\r\n", b"22\r\n", b"2a0 x\r\n", b"020 x\r\n", b"720 x\r\n", b"220:x\r\n", b" 220 x\r\n", b"\0\r\n"]
)
def test_what_is_no_reply_ends_the_connection(ftpwire: ModuleType, data: bytes) -> None:
    reader = ftpwire.ReplyReader()
    with pytest.raises(ftpwire.MalformedReply, match="not a reply") as caught:
        reader.feed(b"200 good\r\n" + data + b"200 never seen\r\n")
    assert caught.value.replies == [(200, ["good"])]
    with pytest.raises(ftpwire.MalformedReply) as again:
        reader.feed(b"200 ok\r\n")
    assert again.value.replies == []


def test_endless_replies_are_cut(ftpwire: ModuleType) -> None:
    reader = ftpwire.ReplyReader(max_line=100, max_reply=1000)
    with pytest.raises(ftpwire.MalformedReply, match="line is too long"):
        reader.feed(b"220 " + b"x" * 200)
    reader = ftpwire.ReplyReader(max_line=100, max_reply=1000)
    reader.feed(b"220-begin\r\n")
    for _ in range(100):
        assert reader.feed(b"220-more\r\n") == []
    with pytest.raises(ftpwire.MalformedReply, match="longer than 1000 bytes"):
        reader.feed(b"220-more\r\n" * 100)
    assert reader.pending <= 1100


def test_a_reply_reader_can_be_cleared(ftpwire: ModuleType) -> None:
    reader = ftpwire.ReplyReader(encoding="latin-1")
    reader.feed(b"234-injected\r\n230")
    assert reader.pending > 0
    reader.clear()
    assert reader.pending == 0
    assert reader.feed(b"220 \xe4\r\n") == [(220, ["ä"])]


def test_replies_are_formatted(ftpwire: ModuleType) -> None:
    assert ftpwire.format_reply(226, "Done") == b"226 Done\r\n"
    assert (
        ftpwire.format_reply(211, ["Features", "MDTM", "SIZE", "End"])
        == b"211-Features\r\n MDTM\r\n SIZE\r\n211 End\r\n"
    )
    assert ftpwire.format_reply(211, ["a", "b"]) == b"211-a\r\n211 b\r\n"
    assert ftpwire.format_reply(250, ["only"]) == b"250 only\r\n"
    assert ftpwire.format_reply(550, "grün") == "550 grün\r\n".encode()
    assert ftpwire.format_reply(550, "\udcff\udcfe") == b"550 \xff\xff\xfe\r\n"
    assert ftpwire.format_reply(550, "ÿ", "latin-1") == b"550 \xff\xff\r\n"
    with pytest.raises(ValueError, match="not a reply code"):
        ftpwire.format_reply(99, "x")
    with pytest.raises(ValueError, match="at least one line"):
        ftpwire.format_reply(211, [])


@pytest.mark.parametrize("text", ["a\r\n230 in", "a\nb", "tab\there", "esc\x1b[0m", "del\x7f", "ü\0"])
def test_no_name_can_forge_a_reply(ftpwire: ModuleType, text: str) -> None:
    for lines in (text, ["first", text, "last"], [text, "last"]):
        formatted = ftpwire.format_reply(550, lines)
        body = formatted.replace(b"\r\n", b"")
        assert all(byte >= 0x20 and byte != 0x7F for byte in body)
        assert formatted.count(b"\r\n") == (1 if isinstance(lines, str) else len(lines))


def test_commands_are_formatted(ftpwire: ModuleType) -> None:
    assert ftpwire.format_command("NOOP") == b"NOOP\r\n"
    assert ftpwire.format_command("RETR", " grün ") == "RETR  grün \r\n".encode()
    assert ftpwire.format_command("RETR", "ÿ", "latin-1") == b"RETR \xff\xff\r\n"
    assert ftpwire.format_command("SITE CHMOD", "644 x") == b"SITE CHMOD 644 x\r\n"


@pytest.mark.parametrize(
    ("verb", "argument", "reason"),
    [
        ("RETR", "a\r\nDELE b", "CR in command"),
        ("RETR", "a\nDELE b", "LF in command"),
        ("RETR", "a\0b", "NUL in command"),
        ("RETR\n", "a", "LF in command"),
        ("", "a", "is not a command"),
        ("RE-TR", "a", "is not a command"),
        ("RÉTR", "a", "is not a command"),
        ("", "", "is not a command"),
    ],
)
def test_commands_that_hide_another_are_refused(ftpwire: ModuleType, verb: str, argument: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ftpwire.format_command(verb, argument)


def test_paths_are_quoted(ftpwire: ModuleType) -> None:
    assert ftpwire.quote_path('/a"b') == '"/a""b"'
    assert ftpwire.parse_pwd(ftpwire.quote_path('/a"b" c') + " is current") == '/a"b" c'


PIECES = st.lists(
    st.sampled_from(
        [
            b"\r",
            b"\n",
            b"\r\n",
            b"\0",
            b"\xff",
            b"\xff\xff",
            b"\xff\xf4",
            b"\xff\xfa",
            b"\xff\xf0",
            b"\xff\xfb",
            b" ",
            b"USER",
            b"retr x",
            b"220",
            b"220-",
            b"220 ok\r\n",
            b"250-a\r\n",
            b"\xc3\xa4",
            b"zzzzzzzzzzzzzzzzzz",
        ]
    )
    | st.binary(max_size=6),
    max_size=20,
)


@given(pieces=PIECES)
def test_twins_read_commands_alike_in_any_pieces(pieces: list[bytes]) -> None:
    results: list[Any] = []
    for implementation in ("c", "py"):
        module = core_module("ftpwire", implementation)
        reader, whole = module.CommandReader(max_line=20), module.CommandReader(max_line=20)
        commands = [command for piece in pieces for command in reader.feed(piece)]
        assert whole.feed(b"".join(pieces)) == commands
        assert reader.pending == whole.pending <= 20
        results.append(commands)
    assert results[0] == results[1]


@given(pieces=PIECES)
def test_twins_read_replies_alike_in_any_pieces(pieces: list[bytes]) -> None:
    results: list[Any] = []
    for implementation in ("c", "py"):
        module = core_module("ftpwire", implementation)
        for fed in (pieces, [b"".join(pieces)]):
            reader = module.ReplyReader(max_line=30, max_reply=100)
            replies: list[Any] = []
            try:
                for piece in fed:
                    replies += reader.feed(piece)
            except module.MalformedReply as error:
                replies += [*error.replies, str(error)]
            results.append(replies)
    assert results[0] == results[1] == results[2] == results[3]
