# The control channel: lines, Telnet, commands and replies.

cdef enum:
    IAC = 0xFF
    WILL = 0xFB
    SUBNEGOTIATION = 0xFA
    SUBNEGOTIATION_END = 0xF0

cdef enum TelnetState:
    PLAIN
    AFTER_IAC
    OPTION
    IN_SUB
    AFTER_SUB_IAC

# How much of a line that is too long is shown.
cdef enum: SAMPLE_LENGTH = 200

cdef enum Progress:
    NO_LINE
    WHOLE_LINE
    LONG_LINE


cdef struct Text:
    const char *data
    Py_ssize_t size


cdef str decode(const char *data, Py_ssize_t size, const char *encoding):
    """Text in *encoding*, NULL for UTF-8."""
    if encoding == NULL:
        return PyUnicode_DecodeUTF8(data, size, "surrogateescape")
    return PyUnicode_Decode(data, size, encoding, "surrogateescape")


cdef inline bint is_utf8(str encoding):
    return encoding == "utf-8" or encoding.lower() in ("utf-8", "utf8", "utf_8")


@cython.final
@cython.internal
cdef class Lines:
    """Lines without LF from bytes in any pieces; Telnet commands are taken out if asked."""

    # The beginning of a line that has not ended yet, and the last line that had to be put together.
    cdef bytearray kept
    cdef bytearray held
    cdef Py_ssize_t max_line
    cdef bint discarding
    cdef int state
    # What is being split: what came in, or, where Telnet commands were in it, what is left without them.
    cdef const char *data
    cdef Py_ssize_t size
    cdef char *filtered

    def __cinit__(self, Py_ssize_t max_line):
        if max_line < 1:
            raise ValueError(f"max_line {max_line} is less than 1")
        self.max_line = max_line
        self.kept = bytearray()

    def __dealloc__(self):
        free(self.filtered)

    cdef void clear(self):
        self.kept = bytearray()
        self.discarding = False
        self.state = PLAIN
        self.size = 0

    cdef int begin(self, const char *data, Py_ssize_t size, bint telnet) except -1:
        self.data = data
        self.size = size
        if telnet and size and (self.state != PLAIN or memchr(data, IAC, size) != NULL):
            free(self.filtered)
            # An IAC kept from before and a byte that is no command's make two.
            self.filtered = <char *>malloc(<size_t>size + 1)
            if self.filtered == NULL:
                raise MemoryError()
            self.size = self.without_telnet(data, size)
            self.data = self.filtered
        return 0

    cdef void end(self) noexcept:
        free(self.filtered)
        self.filtered = NULL
        self.size = 0

    cdef Py_ssize_t without_telnet(self, const char *data, Py_ssize_t size) noexcept:
        cdef Py_ssize_t used = 0
        cdef Py_ssize_t i
        cdef int state = self.state
        cdef unsigned char byte
        cdef bint begins_line
        for i in range(size):
            byte = <unsigned char>data[i]
            if state == PLAIN:
                if byte == IAC:
                    state = AFTER_IAC
                else:
                    self.filtered[used] = <char>byte
                    used += 1
            elif state == AFTER_IAC:
                if WILL <= byte < IAC:
                    state = OPTION
                    continue
                state = IN_SUB if byte == SUBNEGOTIATION else PLAIN
                if byte == IAC:
                    self.filtered[used] = <char>byte
                    used += 1
                elif byte < SUBNEGOTIATION_END:
                    if used:
                        begins_line = self.filtered[used - 1] == c"\n"
                    else:
                        begins_line = not (len(self.kept) or self.discarding)
                    if not (begins_line and (c"a" <= byte <= c"z" or c"A" <= byte <= c"Z")):
                        self.filtered[used] = <char>IAC
                        used += 1
                    self.filtered[used] = <char>byte
                    used += 1
            elif state == OPTION:
                state = PLAIN
            elif state == IN_SUB:
                if byte == IAC:
                    state = AFTER_SUB_IAC
            else:
                state = PLAIN if byte == SUBNEGOTIATION_END else IN_SUB
        self.state = state
        return used

    cdef int next(self, Text *line) except -1:
        """The next line (or the beginning of one too long), valid until the next call; NO_LINE when all is read."""
        cdef const char *feed
        cdef Py_ssize_t piece
        while self.size:
            feed = <const char *>memchr(self.data, c"\n", self.size)
            piece = self.size if feed == NULL else feed - self.data
            if not self.discarding and len(self.kept) + piece > self.max_line:
                self.held = self.kept + self.data[:min(piece, SAMPLE_LENGTH)]
                line.data = <const char *>self.held
                line.size = len(self.held)
                self.kept = bytearray()
                self.discarding = True
                # The same bytes are seen again by the next call, which throws them away.
                return LONG_LINE
            if self.discarding:
                self.discarding = feed == NULL
                self.advance(piece, feed != NULL)
                continue
            if feed != NULL and not len(self.kept):
                line.data = self.data
                line.size = piece
                self.advance(piece, True)
                return WHOLE_LINE
            self.kept += self.data[:piece]
            self.advance(piece, feed != NULL)
            if feed != NULL:
                self.release(line)
                return WHOLE_LINE
        return NO_LINE

    cdef void release(self, Text *line):
        """Give what is kept as a line."""
        self.held = self.kept
        self.kept = bytearray()
        line.data = <const char *>self.held
        line.size = len(self.held)

    cdef inline void advance(self, Py_ssize_t piece, bint feed) noexcept:
        piece += feed
        self.data += piece
        self.size -= piece


@cython.final
cdef class CommandReader:
    cdef str encoding_name
    cdef bytes encoding_bytes
    cdef Lines lines

    def __init__(self, Py_ssize_t max_line=8192, str encoding not None="utf-8"):
        self.lines = Lines(max_line)
        self.encoding = encoding

    @property
    def encoding(self):
        return self.encoding_name

    @encoding.setter
    def encoding(self, str encoding not None):
        self.encoding_bytes = None if is_utf8(encoding) else encoding.encode("ascii")
        self.encoding_name = encoding

    @property
    def pending(self):
        return len(self.lines.kept)

    @property
    def idle(self):
        return not len(self.lines.kept) and not self.lines.discarding and self.lines.state == PLAIN

    def clear(self):
        with cython.critical_section(self):
            self.lines.clear()

    def feed(self, data, /):
        cdef Py_buffer view
        cdef Text line
        cdef int progress
        cdef list commands = []
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            with cython.critical_section(self):
                self.lines.begin(<const char *>view.buf, view.len, True)
                try:
                    while True:
                        progress = self.lines.next(&line)
                        if progress == NO_LINE:
                            return commands
                        commands.append(("", LINE_TOO_LONG) if progress == LONG_LINE else self.command(line))
                finally:
                    self.lines.end()
        finally:
            PyBuffer_Release(&view)

    cdef tuple command(self, Text line):
        cdef const char *data = line.data
        cdef Py_ssize_t size = line.size
        cdef const char *space
        cdef Py_ssize_t verb_size
        cdef const char *encoding = NULL
        if size and data[size - 1] == c"\r":
            size -= 1
        while size and data[0] == c" ":
            data += 1
            size -= 1
        if not size:
            return "", LINE_EMPTY
        if memchr(data, 0, size) != NULL:
            return "", LINE_HAS_NUL
        if memchr(data, c"\r", size) != NULL:
            return "", LINE_HAS_CR
        if self.encoding_bytes is not None:
            encoding = self.encoding_bytes
        space = <const char *>memchr(data, c" ", size)
        verb_size = size if space == NULL else space - data
        verb = self.verb(data, verb_size, encoding)
        if verb_size + 1 >= size:
            return verb, ""
        return verb, decode(space + 1, size - verb_size - 1, encoding)

    cdef str verb(self, const char *data, Py_ssize_t size, const char *encoding):
        cdef Py_ssize_t i
        cdef char *out
        cdef unsigned char either = 0
        for i in range(size):
            either |= <unsigned char>data[i]
        if either & 0x80 or encoding != NULL:
            return decode(PyBytes_AS_STRING(data[:size].upper()), size, encoding)
        text = fx_new_ascii(size)
        out = fx_ascii_data(text)
        for i in range(size):
            out[i] = data[i] - 32 if c"a" <= data[i] <= c"z" else data[i]
        return text


class MalformedReply(ValueError):
    """What the server sent is not a reply, or is longer than allowed."""

    def __init__(self, message, replies=None):
        super().__init__(message)
        self.replies = replies or []


MalformedReply.__module__ = __name__


@cython.final
cdef class ReplyReader:
    cdef str encoding_name
    cdef bytes encoding_bytes
    cdef Lines lines
    cdef Py_ssize_t max_reply
    # The reply under way: its code (0: none), its lines and their size.
    cdef int code
    cdef char code_text[3]
    cdef list texts
    cdef Py_ssize_t size
    cdef str broken

    def __init__(self, Py_ssize_t max_line=16384, Py_ssize_t max_reply=262144, str encoding not None="utf-8"):
        if max_reply < 1:
            raise ValueError(f"max_reply {max_reply} is less than 1")
        self.lines = Lines(max_line)
        self.max_reply = max_reply
        self.encoding = encoding
        self.texts = []

    @property
    def encoding(self):
        return self.encoding_name

    @encoding.setter
    def encoding(self, str encoding not None):
        self.encoding_bytes = None if is_utf8(encoding) else encoding.encode("ascii")
        self.encoding_name = encoding

    @property
    def pending(self):
        return len(self.lines.kept) + self.size

    def clear(self):
        with cython.critical_section(self):
            self.lines.clear()
            self.code = 0
            self.texts = []
            self.size = 0

    def feed(self, data, /):
        cdef Py_buffer view
        cdef list replies = []
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            with cython.critical_section(self):
                if self.broken is None:
                    self.lines.begin(<const char *>view.buf, view.len, True)
                    try:
                        self.read(replies)
                    finally:
                        self.lines.end()
                if self.broken is not None:
                    raise MalformedReply(self.broken, replies)
        finally:
            PyBuffer_Release(&view)
        return replies

    cdef int read(self, list replies) except -1:
        cdef Text line
        cdef int progress
        while self.broken is None:
            progress = self.lines.next(&line)
            if progress == NO_LINE:
                break
            if progress == LONG_LINE:
                self.broken = "a reply line is too long"
                break
            while line.size and line.data[line.size - 1] == c"\r":
                line.size -= 1
            if self.take(line):
                replies.append((self.code, self.texts))
                self.code = 0
                self.texts = []
                self.size = 0
        return 0

    cdef int take(self, Text line) except -1:
        """Add a line to the reply under way; true when it is the last."""
        cdef char separator = line.data[3] if line.size > 3 else c" "
        cdef bint ours
        if not self.code:
            if not line.size:
                return False
            if not (
                line.size >= 3
                and c"1" <= line.data[0] <= c"6"
                and c"0" <= line.data[1] <= c"9"
                and c"0" <= line.data[2] <= c"9"
                and (separator == c" " or separator == c"-")
            ):
                start = line.data[:min(line.size, 100)].decode("ascii", "backslashreplace")
                self.broken = f"not a reply: {start!r}"
                return False
            memcpy(self.code_text, line.data, 3)
            self.code = (line.data[0] - c"0") * 100 + (line.data[1] - c"0") * 10 + (line.data[2] - c"0")
            self.add(line, min(4, line.size))
            self.size = line.size
            return separator == c" "
        self.size += line.size + 1
        if self.size > self.max_reply:
            self.broken = f"a reply is longer than {self.max_reply} bytes"
            return False
        ours = line.size >= 3 and not memcmp(line.data, self.code_text, 3)
        self.add(line, min(4, line.size) if ours and (separator == c" " or separator == c"-") else 0)
        return ours and separator == c" "

    cdef int add(self, Text line, Py_ssize_t start) except -1:
        cdef const char *encoding = NULL
        if self.encoding_bytes is not None:
            encoding = self.encoding_bytes
        self.texts.append(decode(line.data + start, line.size - start, encoding))
        return 0


cdef bytes clean_line(str start, str text, str encoding):
    """One line of a reply: no control characters, 0xFF doubled, CRLF at its end."""
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t start_size = 0
    cdef Py_ssize_t i
    cdef const char *data = fx_ascii(text, &size)
    cdef const char *head = fx_ascii(start, &start_size)
    cdef bytes line
    cdef char *out
    if data != NULL:
        line = PyBytes_FromStringAndSize(NULL, start_size + size + 2)
        out = PyBytes_AS_STRING(line)
        memcpy(out, head, start_size)
        out += start_size
        for i in range(size):
            out[i] = c"?" if <unsigned char>data[i] < 0x20 or data[i] == 0x7F else data[i]
        out[size] = c"\r"
        out[size + 1] = c"\n"
        return line
    encoded = (start + text).translate(CONTROL_TO_QUESTION).encode(encoding, "surrogateescape")
    return encoded.replace(b"\xff", b"\xff\xff") + b"\r\n"


cdef dict CONTROL_TO_QUESTION = dict.fromkeys([*range(32), 127], "?")


def format_reply(int code, text, str encoding not None="utf-8"):
    if not 100 <= code <= 659:
        raise ValueError(f"{code} is not a reply code")
    if isinstance(text, str):
        return clean_line(f"{code} ", text, encoding)
    texts = list(text)
    if not texts:
        raise ValueError("a reply needs at least one line")
    lines = [clean_line(" ", line, encoding) for line in texts[1:-1]]
    if len(texts) > 1:
        lines.insert(0, clean_line(f"{code}-", texts[0], encoding))
    lines.append(clean_line(f"{code} ", texts[len(texts) - 1], encoding))
    return b"".join(lines)


def quote_path(str path not None):
    doubled = path.replace('"', '""')
    return f'"{doubled}"'


def format_command(str verb not None, str argument not None="", str encoding not None="utf-8"):
    cdef Py_ssize_t i, size
    cdef const char *data
    line = f"{verb} {argument}" if argument else verb
    for character, name in (("\r", "CR"), ("\n", "LF"), ("\0", "NUL")):
        if character in line:
            raise ValueError(f"{name} in command {line!r}")
    encoded = line.encode(encoding, "surrogateescape")
    data = encoded
    size = len(encoded)
    i = 0
    while i < size and (c"a" <= data[i] <= c"z" or c"A" <= data[i] <= c"Z"):
        i += 1
    if not i or (i < size and data[i] != c" "):
        raise ValueError(f"{verb!r} is not a command")
    return encoded.replace(b"\xff", b"\xff\xff") + b"\r\n"
