# Listings written.

cdef struct Output:
    char *data
    size_t used
    size_t room


cdef int make_room(Output *out, size_t need) except -1:
    cdef size_t room
    cdef char *grown
    if out.used + need > out.room:
        room = max(out.room * 2, out.used + need)
        grown = <char *>realloc(out.data, room)
        if grown == NULL:
            raise MemoryError()
        out.data = grown
        out.room = room
    return 0


cdef inline FxText text_in(bytes encoded) noexcept:
    """No data for None, else the bytes, which the caller keeps alive."""
    cdef FxText text
    text.data = NULL
    text.size = 0
    if encoded is not None:
        text.data = PyBytes_AS_STRING(encoded)
        text.size = <size_t>len(encoded)
    return text


cdef inline bytes encode_name(str text):
    return text.encode("utf-8", "surrogateescape")


cdef int set_facts(FxListingStyle *style, object facts) except -1:
    style.fact_count = 0
    for fact in facts:
        if fact not in FACTS:
            raise ValueError(f"unknown fact {fact!r}: it is one of {', '.join(FACTS)}")
        if style.fact_count == FX_MAX_FACTS:
            raise ValueError(f"more than {FX_MAX_FACTS} facts")
        style.facts[style.fact_count] = <unsigned char>FACTS.index(fact)
        style.fact_count += 1
    return 0


@cython.final
@cython.internal
cdef class Columns:
    """Owners and groups as they stand in the lines, made once for each."""

    cdef dict made
    cdef bint padded

    def __cinit__(self, bint padded):
        self.made = {}
        self.padded = padded

    cdef FxText of(self, object name):
        cdef bytes column = self.made.get(name)
        if column is None:
            text = word(name)
            column = encode_name(text.ljust(8) if self.padded else text)
            self.made[name] = column
        return text_in(column)


cdef bytes format_items(FxListingStyle *style, items):
    cdef Output out
    cdef FxListingItem item
    cdef FxText defaults
    cdef Columns columns = Columns(style.format == FX_LISTING_LIST)
    cdef tuple fields
    cdef Py_ssize_t count
    cdef Py_ssize_t size = 0
    cdef bytes name, target, perm, unique
    fx_listing_begin(style)
    memset(&out, 0, sizeof(out))
    defaults = columns.of("ftp")
    try:
        for fields_given in items:
            # Named tuples too: a tuple of its own type is needed for the quick access below.
            fields = fields_given if type(fields_given) is tuple else tuple(fields_given)
            count = len(fields)
            if not 4 <= count <= 10:
                raise TypeError(f"a list item has 4 to 10 fields, not {count}")
            memset(&item, 0, sizeof(item))
            item.name.data = fx_ascii(fields[0], &size) if isinstance(fields[0], str) else NULL
            item.name.size = <size_t>size
            if item.name.data == NULL:
                name = encode_name(fields[0])
                item.name = text_in(name)
            if not fx_listable(item.name.data, item.name.size):
                continue
            item.mode = fields[1]
            item.size = fields[2]
            item.mtime = fields[3]
            if item.mtime != item.mtime:
                raise ValueError("not a time: nan")
            item.nlink = fields[4] if count > 4 else 1
            item.owner = columns.of(fields[5]) if count > 5 else defaults
            item.group = columns.of(fields[6]) if count > 6 else defaults
            target = encode_name(fields[7]) if count > 7 and fields[7] is not None else None
            perm = encode_name(fields[8]) if count > 8 and fields[8] is not None else None
            unique = encode_name(fields[9]) if count > 9 and fields[9] is not None else None
            item.target = text_in(target)
            item.perm = text_in(perm)
            item.unique = text_in(unique)
            make_room(&out, fx_listing_room(style, &item))
            out.used += fx_listing_line(style, &item, out.data + out.used)
        return PyBytes_FromStringAndSize(out.data, <Py_ssize_t>out.used)
    finally:
        free(out.data)


def is_listable(name):
    cdef bytes encoded = encode_name(name) if isinstance(name, str) else name
    return fx_listable(PyBytes_AS_STRING(encoded), <size_t>len(encoded))


def format_list(items, now=None):
    cdef FxListingStyle style
    memset(&style, 0, sizeof(style))
    style.format = FX_LISTING_LIST
    style.now = time() if now is None else now
    return format_items(&style, items)


def format_mlsd(items, facts=_DEFAULT_FACTS, str file_perm not None=_FILE_PERM, str dir_perm not None=_DIR_PERM):
    cdef FxListingStyle style
    cdef bytes file_text = encode_name(file_perm)
    cdef bytes dir_text = encode_name(dir_perm)
    memset(&style, 0, sizeof(style))
    style.format = FX_LISTING_MLSD
    set_facts(&style, facts)
    style.file_perm = text_in(file_text)
    style.dir_perm = text_in(dir_text)
    return format_items(&style, items)


def format_names(names):
    return b"".join([encode_name(name) + b"\r\n" for name in names if is_listable(name)])


@cython.final
cdef class DirectoryLister:
    cdef FxDirectory *directory
    cdef size_t chunk
    cdef int64_t final_entries
    cdef int64_t final_skipped
    cdef bint busy
    # What the options point into.
    cdef bytes file_perm
    cdef bytes dir_perm
    cdef bytes owner
    cdef bytes group
    cdef bytes omitted
    cdef bytes prefix

    def __init__(
        self,
        directory,
        str format not None,
        *,
        facts=_DEFAULT_FACTS,
        str file_perm not None=_FILE_PERM,
        str dir_perm not None=_DIR_PERM,
        str owner="ftp",
        str group="ftp",
        now=None,
        bint hidden=True,
        str links not None="show",
        bint sort=False,
        int64_t max_entries=-1,
        Py_ssize_t chunk=65536,
        str omitted not None="",
        str prefix not None="",
    ):
        cdef FxDirectoryOptions options
        cdef int at = -1
        cdef bytes path = b""
        cdef const char *path_text
        cdef FxDirectory *opened
        if self.directory != NULL:
            raise RuntimeError("a directory is being listed already")
        if format not in ("list", "mlsd", "nlst"):
            raise ValueError(f"unknown listing format {format!r}: it is one of list, mlsd, nlst")
        if links not in ("show", "follow", "hide"):
            raise ValueError(f"links {links!r} is none of show, follow, hide")
        if prefix and format != "nlst":
            raise ValueError(f"only names have a prefix, not lines of {format}")
        if chunk < 1:
            raise ValueError(f"chunk {chunk} is less than 1")
        memset(&options, 0, sizeof(options))
        self.file_perm = encode_name(file_perm)
        self.dir_perm = encode_name(dir_perm)
        padding = 8 if format == "list" else 0
        self.owner = None if owner is None else encode_name(word(owner).ljust(padding))
        self.group = None if group is None else encode_name(word(group).ljust(padding))
        options.style.format = {"list": FX_LISTING_LIST, "mlsd": FX_LISTING_MLSD, "nlst": FX_LISTING_NLST}[format]
        set_facts(&options.style, facts)
        options.style.file_perm = text_in(self.file_perm)
        options.style.dir_perm = text_in(self.dir_perm)
        options.style.now = time() if now is None else now
        options.owner = text_in(self.owner)
        options.group = text_in(self.group)
        self.omitted = encode_name(omitted)
        options.omitted = text_in(self.omitted)
        self.prefix = encode_name(prefix)
        options.prefix = text_in(self.prefix)
        options.links = {"show": FX_LINKS_SHOW, "follow": FX_LINKS_FOLLOW, "hide": FX_LINKS_HIDE}[links]
        options.hidden = hidden
        options.sort = sort
        options.max_entries = max_entries
        if isinstance(directory, int):
            at = directory
            if at < 0:
                raise ValueError(f"{at} is not a descriptor")
        else:
            path = os.fsencode(directory)
            if b"\0" in path:
                raise ValueError("embedded null byte")
        path_text = path
        self.chunk = <size_t>chunk
        with nogil:
            opened = fx_directory_open(at, path_text, &options)
        if opened == NULL:
            if at >= 0:
                PyErr_SetFromErrno(OSError)
            PyErr_SetFromErrnoWithFilenameObject(OSError, directory)
        self.directory = opened

    def __dealloc__(self):
        fx_directory_close(self.directory)

    def __iter__(self):
        return self

    def __next__(self):
        cdef const char *data = NULL
        cdef size_t size = 0
        cdef int error
        cdef FxDirectory *directory
        with cython.critical_section(self):
            if self.busy:
                raise RuntimeError("a directory lister is iterated in one thread at a time")
            directory = self.directory
            self.busy = True
        try:
            if directory == NULL:
                raise StopIteration
            with nogil:
                error = fx_directory_next(directory, self.chunk, &data, &size)
            if error:
                raise OSError(error, os.strerror(error))
            piece = PyBytes_FromStringAndSize(data, <Py_ssize_t>size) if size else None
        finally:
            self.busy = False
        if piece is None:
            self.close()
            raise StopIteration
        return piece

    @property
    def entries(self):
        return self.final_entries if self.directory == NULL else fx_directory_entries(self.directory)

    @property
    def skipped(self):
        return self.final_skipped if self.directory == NULL else fx_directory_skipped(self.directory)

    def close(self):
        cdef FxDirectory *directory
        with cython.critical_section(self):
            if self.busy:
                raise RuntimeError("a directory lister is closed while it is being iterated")
            directory = self.directory
            if directory != NULL:
                self.final_entries = fx_directory_entries(directory)
                self.final_skipped = fx_directory_skipped(directory)
                self.directory = NULL
        with nogil:
            fx_directory_close(directory)


if os.name == "nt":
    globals()["DirectoryLister"] = TwinDirectoryLister
