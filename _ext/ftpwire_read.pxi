# Listings read. MLSD lines and the ls -l lines of nearly all servers are read here, all others by the twin.

cdef enum: MAX_TOKENS = 16

cdef int64_t MAX_INT64 = 0x7FFFFFFFFFFFFFFF


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Entry:
    # All that it refers to are strings and numbers, which refer to nothing: the garbage collector need not know it.
    cdef readonly str name
    cdef readonly str type
    cdef readonly object size
    cdef readonly object mtime
    cdef readonly object mode
    cdef readonly str owner
    cdef readonly str group
    cdef readonly str target
    # The facts as they stand, until somebody asks for them apart.
    cdef str written
    cdef dict parts

    def __init__(
        self,
        str name not None,
        str type not None="unknown",
        size=None,
        mtime=None,
        mode=None,
        str owner=None,
        str group=None,
        str target=None,
        dict facts=None,
    ):
        self.name = name
        self.type = type
        self.size = size
        self.mtime = mtime
        self.mode = mode
        self.owner = owner
        self.group = group
        self.target = target
        self.parts = {} if facts is None else facts

    @property
    def facts(self):
        cdef dict parts
        if self.parts is None:
            parts = {}
            for fact in self.written.split(";") if self.written is not None else ():
                key, equals, value = fact.partition("=")
                if equals:
                    parts[key.lower()] = value
            self.parts = parts
        return self.parts

    cdef tuple fields(self):
        return (
            self.name, self.type, self.size, self.mtime, self.mode, self.owner, self.group, self.target, self.facts
        )

    def __eq__(self, other):
        if not isinstance(other, Entry):
            return NotImplemented
        return self.fields() == (<Entry>other).fields()

    __hash__ = None

    def __repr__(self):
        names = ("name", "type", "size", "mtime", "mode", "owner", "group", "target", "facts")
        fields = ", ".join([f"{name}={value!r}" for name, value in zip(names, self.fields())])
        return f"Entry({fields})"

    def __reduce__(self):
        return Entry, self.fields()


cdef Entry entry_from(object twin):
    """The same entry as one of the twin's."""
    return Entry(
        twin.name, twin.type, twin.size, twin.mtime, twin.mode, twin.owner, twin.group, twin.target, twin.facts
    )


cdef inline bint same_key(const char *text, Py_ssize_t size, const char *key, Py_ssize_t key_size) noexcept nogil:
    """Whether *text* is *key*, which is in lower case, in any case."""
    cdef Py_ssize_t i
    cdef char letter
    if size != key_size:
        return False
    for i in range(size):
        letter = text[i]
        if c"A" <= letter <= c"Z":
            letter += 32
        if letter != key[i]:
            return False
    return True


cdef inline bint all_digits(Text word) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(word.size):
        if not is_digit(word.data[i]):
            return False
    return word.size > 0


cdef inline int64_t number_of(Text word) noexcept nogil:
    """The number that a word of at most 18 digits makes; -1 of any other."""
    cdef int64_t number = 0
    cdef Py_ssize_t i
    if word.size > 18 or not all_digits(word):
        return -1
    for i in range(word.size):
        number = number * 10 + (word.data[i] - c"0")
    return number


cdef int english_month(Text word) noexcept nogil:
    """1 to 12; 0 of anything but an English month's first three letters."""
    cdef const char *names = b"janfebmaraprmayjunjulaugsepoctnovdec"
    cdef int i
    if word.size == 3:
        for i in range(12):
            if same_key(word.data, 3, names + 3 * i, 3):
                return i + 1
    return 0


cdef inline bint year_like(Text word) noexcept nogil:
    return word.size == 4 and (word.data[0] == c"1" or word.data[0] == c"2") and all_digits(word)


cdef int minute_of_day(Text word) noexcept nogil:
    """Of H:MM or HH:MM; -1 of anything else, and of a time that no day has."""
    cdef const char *text = word.data
    cdef int hour = 0
    cdef int minute
    cdef Py_ssize_t colon = word.size - 3
    if colon != 1 and colon != 2:
        return -1
    if text[colon] != c":" or not (is_digit(text[colon + 1]) and is_digit(text[colon + 2]) and is_digit(text[0])):
        return -1
    hour = text[0] - c"0"
    if colon == 2:
        if not is_digit(text[1]):
            return -1
        hour = hour * 10 + (text[1] - c"0")
    minute = (text[colon + 1] - c"0") * 10 + (text[colon + 2] - c"0")
    return hour * 60 + minute if hour < 24 and minute < 60 else -1


cdef bint permissions_of(Text word, int *mode) noexcept nogil:
    """Whether the word is what ls -l begins a line with; its permission bits."""
    cdef int position, bit
    cdef char letter
    cdef const char *known = b"-rwxsStTlL"
    if word.size != 10 and not (word.size == 11 and memchr(b"+.@", word.data[10], 3) != NULL):
        return False
    if memchr(b"-dlbcpsDn", word.data[0], 9) == NULL:
        return False
    mode[0] = 0
    for position in range(9):
        letter = word.data[position + 1]
        bit = 0o400 >> position
        if memchr(known, letter, 10) == NULL:
            return False
        if letter == c"-":
            continue
        if letter == c"r" or letter == c"w" or letter == c"x" or letter == c"s" or letter == c"t":
            mode[0] |= bit
        if position % 3 == 2 and memchr(known + 4, letter, 6) != NULL:
            mode[0] |= 0o4000 >> position // 3
    return True


@cython.final
cdef class ListingReader:
    cdef Lines lines
    cdef bytes encoding_bytes
    cdef object twin
    cdef bint try_facts
    cdef bint try_list
    cdef bint names_only
    cdef bint vms_pending
    cdef double now
    cdef int this_year

    def __init__(
        self, str format not None="auto", str encoding not None="utf-8", now=None, Py_ssize_t max_line=65536
    ):
        cdef int month, day
        self.now = time() if now is None else now
        self.twin = TwinListingReader(format, encoding, self.now, max_line)
        self.lines = Lines(max_line)
        self.encoding_bytes = None if is_utf8(encoding) else encoding.encode("ascii")
        self.names_only = format == "names"
        self.try_facts = format in ("auto", "mlsd")
        self.try_list = format in ("auto", "list")
        fx_date_from_days(<int64_t>(min(max(self.now, 0.0), 253402300799.0) / 86400), &self.this_year, &month, &day)

    @property
    def unparsed(self):
        return self.twin.unparsed

    @property
    def samples(self):
        return self.twin.samples

    def feed(self, data, /):
        cdef Py_buffer view
        cdef Text line
        cdef int progress
        cdef list entries = []
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            with cython.critical_section(self):
                self.lines.begin(<const char *>view.buf, view.len, False)
                try:
                    while True:
                        progress = self.lines.next(&line)
                        if progress == NO_LINE:
                            return entries
                        if progress == LONG_LINE:
                            self.reject(line)
                        else:
                            self.take(line, entries)
                finally:
                    self.lines.end()
        finally:
            PyBuffer_Release(&view)

    def finish(self):
        cdef Text line
        cdef list entries = []
        with cython.critical_section(self):
            if len(self.lines.kept):
                self.lines.release(&line)
                self.take(line, entries)
            self.reject_pending()
        return entries

    cdef int reject(self, Text line) except -1:
        self.twin.reject(line.data[:line.size])
        return 0

    cdef int reject_pending(self) except -1:
        self.twin.reject_pending()
        self.vms_pending = False
        return 0

    cdef int take(self, Text line, list entries) except -1:
        cdef Entry entry = None
        if line.size and line.data[line.size - 1] == c"\r":
            line.size -= 1
        if not line.size:
            return 0
        if self.names_only:
            entry = Entry.__new__(Entry)
            entry.name = self.text(line.data, line.size)
            entry.type = "unknown"
        if self.try_facts:
            entry = self.facts_line(line)
        if entry is None and self.try_list:
            if not self.vms_pending:
                entry = self.ls_line(line)
            if entry is None:
                twin = self.twin.parse_list_line(line.data[:line.size])
                self.vms_pending = self.twin.vms_name is not None
                if twin is not None:
                    entry = entry_from(twin)
        elif entry is None:
            self.reject(line)
        if entry is not None:
            entries.append(entry)
        self.twin.first = False
        return 0

    cdef str text(self, const char *data, Py_ssize_t size):
        cdef const char *encoding = NULL
        if self.encoding_bytes is not None:
            encoding = self.encoding_bytes
        return decode(data, size, encoding)

    cdef Entry facts_line(self, Text line):
        """The entry of an MLSD line; None if it is not one."""
        cdef Entry entry
        cdef const char *space = <const char *>memchr(line.data, c" ", line.size)
        cdef const char *at = line.data
        cdef const char *stop
        cdef const char *equals
        cdef const char *value
        cdef Py_ssize_t key_size, value_size
        cdef bint any_fact = False
        cdef double seconds
        if space == NULL or space + 1 == line.data + line.size:
            return None
        if self.try_list and (space == at or space[-1] != c";"):
            return None
        entry = Entry.__new__(Entry)
        entry.type = "unknown"
        # A user ID is shown only where there is no name.
        owner_known = group_known = False
        while at < space:
            stop = <const char *>memchr(at, c";", space - at)
            if stop == NULL:
                stop = space
            equals = <const char *>memchr(at, c"=", stop - at)
            if equals == NULL or equals == at:
                if stop > at:
                    return None
                at = stop + 1
                continue
            any_fact = True
            key_size = equals - at
            value = equals + 1
            value_size = stop - value
            if same_key(at, key_size, b"type", 4):
                self.set_type(entry, value, value_size)
            elif same_key(at, key_size, b"size", 4):
                entry.size = self.size_of(value, value_size)
            elif same_key(at, key_size, b"modify", 6):
                entry.mtime = seconds if time_at(value, value_size, &seconds) else None
            elif same_key(at, key_size, b"unix.mode", 9):
                entry.mode = self.mode_of(value, value_size)
            elif same_key(at, key_size, b"unix.owner", 10):
                entry.owner = self.text(value, value_size)
                owner_known = True
            elif same_key(at, key_size, b"unix.group", 10):
                entry.group = self.text(value, value_size)
                group_known = True
            elif same_key(at, key_size, b"unix.uid", 8) and not owner_known:
                entry.owner = self.text(value, value_size)
            elif same_key(at, key_size, b"unix.gid", 8) and not group_known:
                entry.group = self.text(value, value_size)
            at = stop + 1
        if self.try_list and not any_fact:
            return None
        entry.written = self.text(line.data, space - line.data)
        entry.name = self.text(space + 1, line.data + line.size - space - 1)
        return entry

    cdef int set_type(self, Entry entry, const char *value, Py_ssize_t size) except -1:
        cdef const char *colon
        entry.target = None
        if same_key(value, size, b"file", 4):
            entry.type = "file"
        elif same_key(value, size, b"dir", 3):
            entry.type = "dir"
        elif same_key(value, size, b"cdir", 4):
            entry.type = "cdir"
        elif same_key(value, size, b"pdir", 4):
            entry.type = "pdir"
        elif same_key(value, min(size, 13), b"os.unix=slink", 13) or same_key(
            value, min(size, 15), b"os.unix=symlink", 15
        ):
            entry.type = "link"
            colon = <const char *>memchr(value, c":", size)
            if colon != NULL and colon + 1 < value + size:
                entry.target = self.text(colon + 1, value + size - colon - 1)
        else:
            entry.type = "other"
        return 0

    cdef object size_of(self, const char *value, Py_ssize_t size):
        cdef Text word
        word.data = value
        word.size = size
        if size <= 18:
            number = number_of(word)
            return None if number < 0 else number
        if size == 19 and all_digits(word) and int(value[:size]) <= MAX_INT64:
            return int(value[:size])
        return None

    cdef object mode_of(self, const char *value, Py_ssize_t size):
        cdef int mode = 0
        cdef Py_ssize_t i
        if not 1 <= size <= 6:
            return None
        for i in range(size):
            if not c"0" <= value[i] <= c"7":
                return None
            mode = mode << 3 | value[i] - c"0"
        return mode & 0o7777

    cdef Entry ls_line(self, Text line):
        """The entry of an ls -l line of the common kind; None of any other, which the twin may understand."""
        cdef Text words[MAX_TOKENS]
        cdef int count = 0
        cdef const char *at = line.data
        cdef const char *end = line.data + line.size
        cdef int month
        cdef int mode = 0
        while at < end and count < MAX_TOKENS:
            while at < end and (at[0] == c" " or at[0] == c"\t"):
                at += 1
            if at == end:
                break
            words[count].data = at
            while at < end and at[0] != c" " and at[0] != c"\t":
                at += 1
            words[count].size = at - words[count].data
            count += 1
            if count == 1 and (words[0].data != line.data or not permissions_of(words[0], &mode)):
                return None
            if count < 5 or not all_digits(words[count - 4]):
                continue
            # Is it a date that these three words make?
            if words[count - 3].size == 10 and words[count - 3].data[4] == c"-":
                return None
            if not year_like(words[count - 1]) and memchr(words[count - 1].data, c":", words[count - 1].size) == NULL:
                continue
            if not (is_digit(words[count - 3].data[0]) or is_digit(words[count - 2].data[0])):
                continue
            if all_digits(words[count - 3]) and all_digits(words[count - 2]):
                continue
            month = english_month(words[count - 3])
            if month and words[count - 2].size <= 2 and all_digits(words[count - 2]):
                return self.ls_entry(line, words, count, mode, month)
            return None
        return None

    cdef Entry ls_entry(self, Text line, Text *words, int count, int mode, int month):
        cdef Entry entry
        cdef Text word = words[count - 1]
        cdef const char *name = word.data + word.size + 1
        cdef Py_ssize_t name_size = line.data + line.size - name
        cdef const char *arrow = NULL
        cdef int day = <int>number_of(words[count - 2])
        cdef int minute = 0
        cdef int columns = count - 5
        cdef int64_t size = number_of(words[count - 4])
        cdef Py_ssize_t i
        cdef bint dated
        cdef int64_t seconds = 0
        if size < 0 or name_size <= 0 or columns > 3 or words[count - 5].data[words[count - 5].size - 1] == c",":
            return None
        if year_like(word):
            dated = self.moment(number_of(word), month, day, 0, &seconds)
        else:
            minute = minute_of_day(word)
            if minute < 0:
                return None
            dated = self.recent(month, day, minute, &seconds)
        entry = Entry.__new__(Entry)
        entry.type = "file" if words[0].data[0] == c"-" else "other"
        if words[0].data[0] == c"d":
            entry.type = "dir"
            if name_size == 1 and name[0] == c".":
                entry.type = "cdir"
            elif name_size == 2 and name[0] == c"." and name[1] == c".":
                entry.type = "pdir"
        elif words[0].data[0] == c"l":
            entry.type = "link"
            for i in range(1, name_size - 3):
                if name[i] == c" " and name[i + 1] == c"-" and name[i + 2] == c">" and name[i + 3] == c" ":
                    arrow = name + i
                    break
        if arrow != NULL:
            entry.target = self.text(arrow + 4, name + name_size - arrow - 4)
            name_size = arrow - name
        entry.name = self.text(name, name_size)
        entry.size = size
        if dated:
            entry.mtime = <double>seconds
        entry.mode = mode
        if columns > 1:
            entry.owner = self.text(words[2].data, words[2].size)
        if columns > 2:
            entry.group = self.text(words[3].data, words[3].size)
        return entry

    cdef bint moment(self, int64_t year, int month, int day, int minute, int64_t *seconds) noexcept nogil:
        if not valid_date(year, month, day) or minute // 60 > 23 or minute < 0:
            return False
        seconds[0] = fx_days_from_date(year, month, day) * 86400 + minute * 60
        return True

    cdef bint recent(self, int month, int day, int minute, int64_t *seconds) noexcept nogil:
        """A date without a year: the last one that is not more than a day ahead."""
        cdef int year
        for year in range(self.this_year + 1, self.this_year - 8, -1):
            if self.moment(year, month, day, minute, seconds) and seconds[0] <= self.now + 86400:
                return True
        return False


def parse_listing(data, str format not None="auto", str encoding not None="utf-8", now=None):
    reader = ListingReader(format, encoding, now)
    return reader.feed(data) + reader.finish()
