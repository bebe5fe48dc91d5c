# Headers, reply fields and metadata.

cdef struct Span:
    const char *data
    Py_ssize_t size
    Py_buffer view


cdef inline int hold(object data, Span *span) except -1:
    """Take the bytes of *data*; let go of them with PyBuffer_Release(&span.view)."""
    if PyBytes_CheckExact(data):
        fx_no_view(&span.view)
        span.data = PyBytes_AS_STRING(data)
        span.size = PyBytes_GET_SIZE(data)
    else:
        PyObject_GetBuffer(data, &span.view, PyBUF_SIMPLE)
        span.data = <const char *>span.view.buf
        span.size = span.view.len
    return 0


cdef inline str text_of(const char *data, Py_ssize_t width):
    cdef const void *end = memchr(data, 0, width)
    return PyUnicode_DecodeUTF8(data, width if end == NULL else <const char *>end - data, "surrogateescape")


cdef int check_field(Span *span, Py_ssize_t offset, Py_ssize_t count, Py_ssize_t width) except -1:
    if offset < 0 or count < 0 or offset > span.size or count > (span.size - offset) // width:
        raise ValueError(f"{count} fields of {width} bytes at {offset} are not within {span.size} bytes")
    return 0


cdef int port_of(const char *data) except -1:
    cdef int64_t port = <int64_t>fx_get64(data)
    if port <= 0 or port >= 65536:
        raise ValueError(f"{port} is not a port")
    return <int>port


cdef Py_ssize_t address_width(Py_ssize_t size, Py_ssize_t fixed, str what) except -1:
    cdef Py_ssize_t width = size - fixed
    if width != 15 and width != 45:
        raise ValueError(f"a reply of {size} bytes is not {what}")
    return width


cdef list servers_of(const char *data, Py_ssize_t size, Py_ssize_t whole, str what):
    cdef Py_ssize_t length = size - GROUP_WIDTH
    cdef Py_ssize_t record, at
    cdef list servers = []
    record = 23 if length % 23 == 0 else 53
    if length <= 0 or length % record:
        raise ValueError(f"a reply of {whole} bytes is not {what}")
    for at in range(GROUP_WIDTH, size, record):
        servers.append((text_of(data + at, record - 8), port_of(data + at + record - 8)))
    return servers


def unpack_header(data, /):
    cdef Span span
    hold(data, &span)
    try:
        if span.size < HEADER:
            raise ValueError(f"a header has 10 bytes, not {span.size}")
        return <int64_t>fx_get64(span.data), <unsigned char>span.data[8], <unsigned char>span.data[9]
    finally:
        PyBuffer_Release(&span.view)


def unpack_text(data, Py_ssize_t offset, Py_ssize_t width, /):
    cdef Span span
    hold(data, &span)
    try:
        check_field(&span, offset, width, 1)
        return text_of(span.data + offset, width)
    finally:
        PyBuffer_Release(&span.view)


def unpack_int64s(data, Py_ssize_t offset, Py_ssize_t count, /):
    cdef Span span
    cdef Py_ssize_t i
    hold(data, &span)
    try:
        check_field(&span, offset, count, 8)
        return tuple([<int64_t>fx_get64(span.data + offset + 8 * i) for i in range(count)])
    finally:
        PyBuffer_Release(&span.view)


def unpack_int32s(data, Py_ssize_t offset, Py_ssize_t count, /):
    cdef Span span
    cdef Py_ssize_t i
    hold(data, &span)
    try:
        check_field(&span, offset, count, 4)
        return tuple([<int32_t>fx_get32(span.data + offset + 4 * i) for i in range(count)])
    finally:
        PyBuffer_Release(&span.view)


def unpack_store_target(body, /):
    cdef Span span
    cdef Py_ssize_t width
    hold(body, &span)
    try:
        width = address_width(span.size, GROUP_WIDTH + 8 + 1, "a store target")
        return (
            text_of(span.data, GROUP_WIDTH),
            text_of(span.data + GROUP_WIDTH, width),
            port_of(span.data + GROUP_WIDTH + width),
            <unsigned char>span.data[span.size - 1],
        )
    finally:
        PyBuffer_Release(&span.view)


def unpack_store_targets(body, /):
    cdef Span span
    hold(body, &span)
    try:
        if span.size < 1:
            raise ValueError("an empty reply is not a list of store targets")
        servers = servers_of(span.data, span.size - 1, span.size, "a list of store targets")
        return text_of(span.data, GROUP_WIDTH), servers, <unsigned char>span.data[span.size - 1]
    finally:
        PyBuffer_Release(&span.view)


def unpack_fetch_target(body, /):
    cdef Span span
    cdef Py_ssize_t width
    hold(body, &span)
    try:
        width = address_width(span.size, GROUP_WIDTH + 8, "a fetch target")
        return (
            text_of(span.data, GROUP_WIDTH),
            text_of(span.data + GROUP_WIDTH, width),
            port_of(span.data + GROUP_WIDTH + width),
        )
    finally:
        PyBuffer_Release(&span.view)


def unpack_fetch_targets(body, /):
    cdef Span span
    hold(body, &span)
    try:
        servers = servers_of(span.data, span.size, span.size, "a list of fetch targets")
        return text_of(span.data, GROUP_WIDTH), servers
    finally:
        PyBuffer_Release(&span.view)


cdef str file_id_in(const char *data, Py_ssize_t size):
    cdef FileName name
    cdef char joined[GROUP_WIDTH + 1 + MAX_FILENAME]
    cdef const void *end
    cdef Py_ssize_t group, length = size - GROUP_WIDTH
    if length <= 0:
        raise ValueError(f"a reply of {size} bytes is not a file ID")
    if length > MAX_FILENAME:
        file_id = f"{text_of(data, GROUP_WIDTH)}/{text_of(data + GROUP_WIDTH, length)}"
    else:
        end = memchr(data, 0, GROUP_WIDTH)
        group = GROUP_WIDTH if end == NULL else <const char *>end - data
        memcpy(joined, data, group)
        joined[group] = c"/"
        memcpy(joined + group + 1, data + GROUP_WIDTH, length)
        file_id = text_of(joined, group + 1 + length)
    split(file_id, &name)
    return file_id


def unpack_file_id(body, /):
    cdef Span span
    hold(body, &span)
    try:
        return file_id_in(span.data, span.size)
    finally:
        PyBuffer_Release(&span.view)


cdef int file_info_in(const char *data, Py_ssize_t size, FileFacts *facts) except -1:
    if size != 40 and size != 70:
        raise ValueError(f"a reply of {size} bytes is not file information")
    facts.size = <int64_t>fx_get64(data)
    facts.modified = <int64_t>fx_get64(data + 8)
    facts.crc32 = <uint32_t>fx_get64(data + 16)
    return 0


cdef str file_source_in(const char *data, Py_ssize_t size):
    return text_of(data + 24, size - 24)


def unpack_file_info(body, /):
    cdef Span span
    cdef FileFacts facts
    hold(body, &span)
    try:
        file_info_in(span.data, span.size, &facts)
        return facts.size, facts.modified, facts.crc32, file_source_in(span.data, span.size)
    finally:
        PyBuffer_Release(&span.view)


cdef bytes metadata_part(str what, object text, Py_ssize_t limit):
    cdef bytes encoded = text.encode("utf-8", "surrogateescape")
    cdef const char *data = encoded
    cdef Py_ssize_t i
    if len(encoded) > limit:
        raise ValueError(f"metadata {what} {text[:64]!r} is longer than {limit} bytes")
    for i in range(len(encoded)):
        if <unsigned char>data[i] <= 2:
            raise ValueError(f"metadata {what} {text!r} holds one of the bytes 0x00, 0x01, 0x02")
    return encoded


def encode_metadata(metadata, /):
    cdef list records = []
    for name, value in metadata.items():
        encoded_name = metadata_part("name", name, MAX_METADATA_NAME)
        if not encoded_name:
            raise ValueError("a metadata name is empty")
        records.append(encoded_name + b"\x02" + metadata_part("value", value, MAX_METADATA_VALUE))
    return b"\x01".join(records)


def decode_metadata(text, /):
    cdef Span span
    cdef const char *at
    cdef const char *end
    cdef const char *stop
    cdef const char *separator
    cdef dict metadata = {}
    hold(text, &span)
    try:
        at = span.data
        end = span.data + span.size
        while end > at and <unsigned char>end[-1] <= 1:
            end -= 1
        while at < end:
            stop = <const char *>memchr(at, 1, end - at)
            if stop == NULL:
                stop = end
            separator = <const char *>memchr(at, 2, stop - at)
            if separator == NULL:
                metadata[PyUnicode_DecodeUTF8(at, stop - at, "surrogateescape")] = ""
            else:
                name = PyUnicode_DecodeUTF8(at, separator - at, "surrogateescape")
                metadata[name] = PyUnicode_DecodeUTF8(separator + 1, stop - separator - 1, "surrogateescape")
            at = stop + 1
        return metadata
    finally:
        PyBuffer_Release(&span.view)
