# Request heads: each put_ function writes one to out, of HEAD_CAPACITY bytes, and returns its length.

cdef struct FileName:
    const char *group
    Py_ssize_t group_length
    const char *filename
    Py_ssize_t filename_length


cdef inline bint all_in(const char *text, Py_ssize_t length, int kind) noexcept nogil:
    cdef unsigned char both = <unsigned char>kind
    cdef Py_ssize_t i
    for i in range(length):
        both &= charset[<unsigned char>text[i]]
    return both != 0


cdef inline int64_t integer(object number) except? -1:
    """*number* as it is: a C integer's own conversion would cut a float's fraction off."""
    return number if PyLong_CheckExact(number) else PyNumber_Index(number)


cdef inline int check_range(str what, int64_t value, int64_t maximum) except -1:
    if value < 0 or value > maximum:
        raise ValueError(f"{what} {value} is not between 0 and {maximum}")
    return 0


cdef inline int put_group(char *out, str group) except -1:
    cdef Py_ssize_t length
    cdef const char *text = fx_ascii(group, &length)
    if length < 1 or length > GROUP_WIDTH or not all_in(text, length, IN_GROUP):
        raise ValueError(f"bad group name {group!r}: it must be 1 to 16 letters and digits")
    memset(out, 0, GROUP_WIDTH)
    memcpy(out, text, length)
    return 0


cdef inline int put_extension(char *out, str extension, bint dotted=False) except -1:
    """Where it may be *dotted*, a dot at its beginning is the one that it stands behind, as in ``os.path.splitext``."""
    cdef Py_ssize_t length
    cdef const char *text = fx_ascii(extension, &length)
    if dotted and length > 0 and text[0] == c".":
        text += 1
        length -= 1
    if length > EXTENSION_WIDTH or not all_in(text, length, IN_SUFFIX):
        raise ValueError(f"bad extension {extension!r}: it must be at most 6 of the characters A-Z a-z 0-9 - _ .")
    memset(out, 0, EXTENSION_WIDTH)
    memcpy(out, text, length)
    return 0


cdef inline int put_prefix(char *out, str prefix) except -1:
    cdef Py_ssize_t length
    cdef const char *text = fx_ascii(prefix, &length)
    if length < 1 or length > PREFIX_WIDTH or not all_in(text, length, IN_SUFFIX):
        raise ValueError(f"bad slave prefix {prefix!r}: it must be 1 to 16 of the characters A-Z a-z 0-9 - _ .")
    memset(out, 0, PREFIX_WIDTH)
    memcpy(out, text, length)
    return 0


cdef int refuse(str file_id) except -1:
    """Say what is wrong with a file ID that cannot be split."""
    group, slash, _ = file_id.partition("/")
    if not slash:
        raise ValueError(f"bad file ID {file_id!r}: it has no slash after the group name")
    if not (1 <= len(group) <= GROUP_WIDTH and group.isascii() and group.isalnum()):
        raise ValueError(f"bad group name {group!r}: it must be 1 to 16 letters and digits")
    raise ValueError(f"bad file ID {file_id!r}: the filename must be 1 to 127 of the characters A-Z a-z 0-9 / . - _")


cdef int split(str file_id, FileName *name) except -1:
    cdef Py_ssize_t length
    cdef const char *text = fx_ascii(file_id, &length)
    cdef const char *slash = <const char *>memchr(text, c"/", length)
    if slash == NULL:
        return refuse(file_id)
    name.group = text
    name.group_length = slash - text
    name.filename = slash + 1
    name.filename_length = length - name.group_length - 1
    if (
        name.group_length < 1
        or name.group_length > GROUP_WIDTH
        or name.filename_length < 1
        or name.filename_length > MAX_FILENAME
        or not all_in(text, name.group_length, IN_GROUP)
        or not fx_all_in_filename(name.filename, name.filename_length)
    ):
        return refuse(file_id)
    return 0


cdef inline void put_header(char *out, int64_t length, int command, int status) noexcept nogil:
    fx_put64(out, <uint64_t>length)
    out[8] = <char>command
    out[9] = <char>status


cdef inline Py_ssize_t put_name(char *out, FileName *name) noexcept nogil:
    """Group, padded, and filename."""
    memset(out, 0, GROUP_WIDTH)
    memcpy(out, name.group, name.group_length)
    memcpy(out + GROUP_WIDTH, name.filename, name.filename_length)
    return GROUP_WIDTH + name.filename_length


cdef inline int check_codes(int command, int status) except -1:
    check_range("command", command, 255)
    check_range("status", status, 255)
    return 0


cdef Py_ssize_t put_plain_header(char *out, int64_t length, int command, int status) except -1:
    check_range("length", length, MAX_INT64)
    check_codes(command, status)
    put_header(out, length, command, status)
    return HEADER


cdef Py_ssize_t put_group_request(char *out, int command, str group, str server) except -1:
    cdef Py_ssize_t length
    cdef const char *text = PyUnicode_AsUTF8AndSize(server, &length)
    check_codes(command, 0)
    put_group(out + HEADER, group)
    if length > MAX_SERVER or memchr(text, 0, length) != NULL:
        raise ValueError(f"bad server {server!r}: it must be at most {MAX_SERVER} bytes without NUL")
    memcpy(out + HEADER + GROUP_WIDTH, text, length)
    put_header(out, GROUP_WIDTH + length, command, 0)
    return HEADER + GROUP_WIDTH + length


cdef Py_ssize_t put_file_request(char *out, int command, str file_id, int status) except -1:
    cdef FileName name
    cdef Py_ssize_t body
    check_codes(command, status)
    split(file_id, &name)
    body = put_name(out + HEADER, &name)
    put_header(out, body, command, status)
    return HEADER + body


cdef Py_ssize_t put_upload(char *out, int command, int store_path_index, int64_t size, str extension) except -1:
    check_codes(command, 0)
    check_range("store path index", store_path_index, 255)
    check_range("size", size, MAX_INT64 - 15)
    put_header(out, 15 + size, command, 0)
    out[HEADER] = <char>store_path_index
    fx_put64(out + HEADER + 1, <uint64_t>size)
    put_extension(out + HEADER + 9, extension, dotted=True)
    return HEADER + 15


cdef Py_ssize_t put_upload_slave(char *out, str master_id, int64_t size, str prefix, str extension) except -1:
    cdef FileName name
    cdef Py_ssize_t fixed
    split(master_id, &name)
    fixed = 38 + name.filename_length
    check_range("size", size, MAX_INT64 - fixed)
    put_header(out, fixed + size, UPLOAD_SLAVE_FILE, 0)
    fx_put64(out + 10, <uint64_t>name.filename_length)
    fx_put64(out + 18, <uint64_t>size)
    put_prefix(out + 26, prefix)
    put_extension(out + 42, extension, dotted=True)
    memcpy(out + 48, name.filename, name.filename_length)
    return HEADER + fixed


cdef Py_ssize_t put_sized(char *out, int command, str file_id, int64_t size, int64_t data) except -1:
    """Append (the data of that size follow) and truncate (none do)."""
    cdef FileName name
    cdef Py_ssize_t fixed
    split(file_id, &name)
    fixed = 16 + name.filename_length
    check_range("size", size, MAX_INT64 - (fixed if data else 0))
    put_header(out, fixed + data, command, 0)
    fx_put64(out + 10, <uint64_t>name.filename_length)
    fx_put64(out + 18, <uint64_t>size)
    memcpy(out + 26, name.filename, name.filename_length)
    return HEADER + fixed


cdef inline Py_ssize_t put_append(char *out, str file_id, int64_t size) except -1:
    return put_sized(out, APPEND_FILE, file_id, size, size)


cdef Py_ssize_t put_modify(char *out, str file_id, int64_t offset, int64_t size) except -1:
    cdef FileName name
    cdef Py_ssize_t fixed
    split(file_id, &name)
    fixed = 24 + name.filename_length
    check_range("offset", offset, MAX_INT64)
    check_range("size", size, MAX_INT64 - fixed)
    put_header(out, fixed + size, MODIFY_FILE, 0)
    fx_put64(out + 10, <uint64_t>name.filename_length)
    fx_put64(out + 18, <uint64_t>offset)
    fx_put64(out + 26, <uint64_t>size)
    memcpy(out + 34, name.filename, name.filename_length)
    return HEADER + fixed


cdef Py_ssize_t put_regenerate(char *out, str file_id) except -1:
    cdef FileName name
    split(file_id, &name)
    put_header(out, name.filename_length, REGENERATE_APPENDER_FILENAME, 0)
    memcpy(out + HEADER, name.filename, name.filename_length)
    return HEADER + name.filename_length


cdef Py_ssize_t put_download(char *out, str file_id, int64_t offset, int64_t length) except -1:
    cdef FileName name
    cdef Py_ssize_t body
    check_range("offset", offset, MAX_INT64)
    check_range("length", length, MAX_INT64)
    split(file_id, &name)
    fx_put64(out + 10, <uint64_t>offset)
    fx_put64(out + 18, <uint64_t>length)
    body = 16 + put_name(out + 26, &name)
    put_header(out, body, DOWNLOAD_FILE, 0)
    return HEADER + body


def pack_header(length, int command, int status=0, /):
    cdef char out[HEAD_CAPACITY]
    return PyBytes_FromStringAndSize(out, put_plain_header(out, integer(length), command, status))


def pack_text(str text not None, Py_ssize_t width, /):
    cdef bytes encoded = text.encode("utf-8", "surrogateescape")
    if len(encoded) > width:
        raise ValueError(f"{text!r} is longer than {width} bytes")
    if b"\0" in encoded:
        raise ValueError(f"{text!r} holds a NUL")
    return encoded.ljust(width, b"\0")


def group_request(int command, str group not None, str server not None="", /):
    cdef char out[HEAD_CAPACITY]
    return PyBytes_FromStringAndSize(out, put_group_request(out, command, group, server))


def file_request(int command, str file_id not None, int status=0, /):
    cdef char out[HEAD_CAPACITY]
    return PyBytes_FromStringAndSize(out, put_file_request(out, command, file_id, status))


def upload_request(int command, int store_path_index, size, str extension not None="", /):
    cdef char out[HEAD_CAPACITY]
    return PyBytes_FromStringAndSize(out, put_upload(out, command, store_path_index, integer(size), extension))


def upload_slave_request(str master_id not None, size, str prefix not None, str extension not None="", /):
    cdef char out[HEAD_CAPACITY]
    return PyBytes_FromStringAndSize(out, put_upload_slave(out, master_id, integer(size), prefix, extension))


def append_request(str file_id not None, size, /):
    cdef char out[HEAD_CAPACITY]
    return PyBytes_FromStringAndSize(out, put_append(out, file_id, integer(size)))


def modify_request(str file_id not None, offset, size, /):
    cdef char out[HEAD_CAPACITY]
    return PyBytes_FromStringAndSize(out, put_modify(out, file_id, integer(offset), integer(size)))


def truncate_request(str file_id not None, size, /):
    cdef char out[HEAD_CAPACITY]
    return PyBytes_FromStringAndSize(out, put_sized(out, TRUNCATE_FILE, file_id, integer(size), 0))


def regenerate_request(str file_id not None, /):
    cdef char out[HEAD_CAPACITY]
    return PyBytes_FromStringAndSize(out, put_regenerate(out, file_id))


def download_request(str file_id not None, offset=0, length=0, /):
    cdef char out[HEAD_CAPACITY]
    return PyBytes_FromStringAndSize(out, put_download(out, file_id, integer(offset), integer(length)))


def set_metadata_request(str file_id not None, str flag not None, metadata, /):
    cdef FileName name
    cdef Py_buffer view
    cdef bytes request
    cdef char *out
    if flag not in ("O", "M"):
        raise ValueError(f"metadata flag {flag!r} is neither 'O' nor 'M'")
    split(file_id, &name)
    PyObject_GetBuffer(metadata, &view, PyBUF_SIMPLE)
    try:
        request = PyBytes_FromStringAndSize(NULL, HEADER + 17 + GROUP_WIDTH + name.filename_length + view.len)
        out = PyBytes_AS_STRING(request)
        put_header(out, len(request) - HEADER, SET_METADATA, 0)
        fx_put64(out + 10, <uint64_t>name.filename_length)
        fx_put64(out + 18, <uint64_t>view.len)
        out[26] = <char>ord(flag)
        put_name(out + 27, &name)
        if view.len:
            memcpy(out + 27 + GROUP_WIDTH + name.filename_length, view.buf, view.len)
        return request
    finally:
        PyBuffer_Release(&view)


@cython.final
cdef class RequestBuffer:
    cdef char data[HEAD_CAPACITY]
    cdef Py_ssize_t length
    cdef int exports

    def __init__(self):
        pass

    def __len__(self):
        return self.length

    def __getbuffer__(self, Py_buffer *view, int flags):
        with cython.critical_section(self):
            PyBuffer_FillInfo(view, self, self.data, self.length, 1, flags)
            self.exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        with cython.critical_section(self):
            self.exports -= 1

    cdef Py_ssize_t take(self, const char *head, Py_ssize_t length) except -1:
        with cython.critical_section(self):
            if self.exports:
                raise BufferError("the request buffer is in use: somebody still holds its bytes")
            memcpy(self.data, head, length)
            self.length = length
        return length

    def header(self, length, int command, int status=0, /):
        cdef char out[HEAD_CAPACITY]
        return self.take(out, put_plain_header(out, integer(length), command, status))

    def group_request(self, int command, str group not None, str server not None="", /):
        cdef char out[HEAD_CAPACITY]
        return self.take(out, put_group_request(out, command, group, server))

    def file_request(self, int command, str file_id not None, int status=0, /):
        cdef char out[HEAD_CAPACITY]
        return self.take(out, put_file_request(out, command, file_id, status))

    def upload_request(self, int command, int store_path_index, size, str extension not None="", /):
        cdef char out[HEAD_CAPACITY]
        return self.take(out, put_upload(out, command, store_path_index, integer(size), extension))

    def upload_slave_request(
        self, str master_id not None, size, str prefix not None, str extension not None="", /
    ):
        cdef char out[HEAD_CAPACITY]
        return self.take(out, put_upload_slave(out, master_id, integer(size), prefix, extension))

    def append_request(self, str file_id not None, size, /):
        cdef char out[HEAD_CAPACITY]
        return self.take(out, put_append(out, file_id, integer(size)))

    def modify_request(self, str file_id not None, offset, size, /):
        cdef char out[HEAD_CAPACITY]
        return self.take(out, put_modify(out, file_id, integer(offset), integer(size)))

    def truncate_request(self, str file_id not None, size, /):
        cdef char out[HEAD_CAPACITY]
        return self.take(out, put_sized(out, TRUNCATE_FILE, file_id, integer(size), 0))

    def regenerate_request(self, str file_id not None, /):
        cdef char out[HEAD_CAPACITY]
        return self.take(out, put_regenerate(out, file_id))

    def download_request(self, str file_id not None, offset=0, length=0, /):
        cdef char out[HEAD_CAPACITY]
        return self.take(out, put_download(out, file_id, integer(offset), integer(length)))
