# File IDs: see fastxfer/_pure/fileid.py for the layout of a name.

cdef enum:
    BASE64_LENGTH = 27
    TRUNK_BASE64_LENGTH = 16
    TAIL_LENGTH = 7
    MAX_STORAGE_ID = 0xFFFFFF

cdef uint64_t SALTED = <uint64_t>1 << 63
cdef uint64_t APPENDER = <uint64_t>1 << 58
cdef uint64_t TRUNK = <uint64_t>1 << 59
cdef int64_t MAX_SIZE = (<int64_t>1 << 55) - 1
cdef int64_t MAX_SALT = (<int64_t>1 << 47) - 1

cdef const char *ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
cdef const char *HEX = b"0123456789ABCDEF"
# Values of characters; -1 for those that are none. Upper-case and any-case hexadecimal.
cdef int8_t base64_values[256]
cdef int8_t hex_values[256]


cdef void fill_values() noexcept:
    cdef int i
    memset(base64_values, -1, sizeof(base64_values))
    memset(hex_values, -1, sizeof(hex_values))
    for i in range(64):
        base64_values[<unsigned char>ALPHABET[i]] = <int8_t>i
    for i in range(16):
        hex_values[<unsigned char>HEX[i]] = <int8_t>i


fill_values()


cdef inline int hex_pair(const char *text, bint lower) noexcept nogil:
    """The value of two hexadecimal digits; -1 if they are not."""
    cdef int high = hex_values[<unsigned char>text[0]]
    cdef int low = hex_values[<unsigned char>text[1]]
    if lower and c"a" <= text[0] <= c"f":
        high = text[0] - c"a" + 10
    if lower and c"a" <= text[1] <= c"f":
        low = text[1] - c"a" + 10
    return -1 if high < 0 or low < 0 else high << 4 | low


cdef bint decode_base64(const char *text, Py_ssize_t length, char *out) noexcept nogil:
    """Decode whole groups of four, and of the last three the two bytes in them; false where a character is wrong."""
    cdef uint32_t bits = 0
    cdef int wrong = 0
    cdef Py_ssize_t i
    cdef int8_t value
    for i in range(length):
        value = base64_values[<unsigned char>text[i]]
        wrong |= value
        bits = bits << 6 | <uint32_t>value & 63
        if i & 3 == 3:
            out[0] = <char>(bits >> 16)
            out[1] = <char>(bits >> 8)
            out[2] = <char>bits
            out += 3
    if length & 3 == 3:
        out[0] = <char>(bits >> 10)
        out[1] = <char>(bits >> 2)
    return wrong >= 0


cdef void encode_base64(const char *data, Py_ssize_t groups, Py_ssize_t rest, char *out) noexcept nogil:
    """Encode *groups* of three bytes, then *rest* (0 or 2) bytes."""
    cdef uint32_t bits
    cdef Py_ssize_t i
    for i in range(groups):
        bits = <uint32_t><unsigned char>data[0] << 16 | <uint32_t><unsigned char>data[1] << 8 | <unsigned char>data[2]
        out[0] = ALPHABET[bits >> 18]
        out[1] = ALPHABET[bits >> 12 & 63]
        out[2] = ALPHABET[bits >> 6 & 63]
        out[3] = ALPHABET[bits & 63]
        data += 3
        out += 4
    if rest:
        bits = <uint32_t><unsigned char>data[0] << 16 | <uint32_t><unsigned char>data[1] << 8
        out[0] = ALPHABET[bits >> 18]
        out[1] = ALPHABET[bits >> 12 & 63]
        out[2] = ALPHABET[bits >> 6 & 63]


cdef str dotted(const unsigned char *address):
    """An IPv4 address as text."""
    cdef char out[15]
    cdef char *end = out
    cdef int i
    cdef unsigned char part
    for i in range(4):
        part = address[i]
        if i:
            end[0] = c"."
            end += 1
        if part >= 100:
            end[0] = <char>(c"0" + part // 100)
            end += 1
        if part >= 10:
            end[0] = <char>(c"0" + part // 10 % 10)
            end += 1
        end[0] = <char>(c"0" + part % 10)
        end += 1
    return PyUnicode_DecodeASCII(out, end - out, NULL)


@cython.final
@cython.freelist(64)
cdef class FileId:
    def __init__(self):
        raise TypeError("a FileId is made by decode_file_id()")

    @property
    def group(self):
        return self.file_id[:self.group_length]

    @property
    def filename(self):
        return self.file_id[self.group_length + 1:]

    @property
    def store_path_index(self):
        return self.path_index

    @property
    def subdirs(self):
        return self.first_subdir, self.second_subdir

    @property
    def source_ip(self):
        if 0 < self.source_number <= MAX_STORAGE_ID:
            return None
        return dotted(self.source)

    @property
    def storage_id(self):
        return self.source_number if 0 < self.source_number <= MAX_STORAGE_ID else None

    @property
    def created(self):
        return self.timestamp

    cdef int64_t told_size(self) noexcept:
        """Bytes; -1 where the name does not tell."""
        if self.is_slave or self.is_appender:
            return -1
        if self.masked_size & (SALTED | TRUNK):
            # Not by a mask of eight F: that is more than a C int, so it would be made an object, for want of memory
            # perhaps not.
            return <int64_t><uint32_t>self.masked_size
        return <int64_t>self.masked_size

    cdef const char *group_text(self) noexcept:
        """The characters of the group's name, and what follows them."""
        cdef Py_ssize_t length
        return fx_ascii(self.file_id, &length)

    @property
    def size(self):
        cdef int64_t size = self.told_size()
        return None if size < 0 else size

    @property
    def crc32(self):
        return None if self.is_slave or self.is_appender else self.checksum

    @property
    def appender(self):
        return self.is_appender

    @property
    def slave(self):
        return self.is_slave

    @property
    def trunk(self):
        return self.is_trunk

    @property
    def trunk_file_id(self):
        return self.trunk_fields[0] if self.is_trunk else None

    @property
    def trunk_offset(self):
        return self.trunk_fields[1] if self.is_trunk else None

    @property
    def trunk_size(self):
        return self.trunk_fields[2] if self.is_trunk else None

    @property
    def extension(self):
        return self.file_id[len(self.file_id) - self.extension_length:]

    def __eq__(self, other):
        if not isinstance(other, FileId):
            return NotImplemented
        return self.file_id == (<FileId>other).file_id

    def __hash__(self):
        return hash((FileId, self.file_id))

    def __repr__(self):
        names = (
            "group", "filename", "store_path_index", "subdirs", "source_ip", "storage_id", "created", "size", "crc32",
            "appender", "slave", "trunk", "trunk_file_id", "trunk_offset", "trunk_size", "extension",
        )
        fields = ", ".join([f"{name}={getattr(self, name)!r}" for name in names])
        return f"FileId({fields})"

    def __reduce__(self):
        return decode_file_id, (self.file_id,)


def split_file_id(str file_id not None, /):
    cdef FileName name
    split(file_id, &name)
    return file_id[:name.group_length], file_id[name.group_length + 1:]


cdef FileId decoded(str file_id):
    cdef FileName parts
    cdef FileId result = FileId.__new__(FileId)
    cdef const char *name
    cdef const char *dot
    cdef char fields[20]
    cdef char trunk_fields[12]
    cdef Py_ssize_t length, body, tail
    cdef bint in_trunk
    split(file_id, &parts)
    name = parts.filename
    length = parts.filename_length
    if length >= 4 and name[0] == c"M" and name[3] == c"/":
        result.path_index = hex_pair(name + 1, True)
        name += 4
        length -= 4
    else:
        result.path_index = 0
    if length >= 6 and name[2] == c"/" and name[5] == c"/":
        result.first_subdir = hex_pair(name, False)
        result.second_subdir = hex_pair(name + 3, False)
    else:
        result.first_subdir = -1
    if (result.path_index | result.first_subdir | result.second_subdir) < 0:
        raise ValueError(f"bad file ID {file_id!r}: the filename does not begin with store path and directories")
    name += 6
    length -= 6
    if memchr(name, c"/", length) != NULL:
        raise ValueError(f"bad file ID {file_id!r}: too many slashes")
    if length <= BASE64_LENGTH:
        raise ValueError(f"bad file ID {file_id!r}: the name is too short")
    if not decode_base64(name, BASE64_LENGTH, fields):
        raise ValueError(f"bad file ID {file_id!r}: the name is not FastDFS base64")
    memcpy(result.source, fields, 4)
    result.source_number = (
        result.source[0]
        | <uint32_t>result.source[1] << 8
        | <uint32_t>result.source[2] << 16
        | <uint32_t>result.source[3] << 24
    )
    result.timestamp = fx_get32(fields + 4)
    result.masked_size = fx_get64(fields + 8)
    result.checksum = fx_get32(fields + 16)
    in_trunk = (result.masked_size & TRUNK) != 0
    body = BASE64_LENGTH + (TRUNK_BASE64_LENGTH if in_trunk else 0)
    if length <= body:
        raise ValueError(f"bad file ID {file_id!r}: the name is too short for a file in a trunk file")
    result.is_slave = length != body + TAIL_LENGTH
    result.is_trunk = in_trunk and not result.is_slave
    if result.is_trunk:
        if not decode_base64(name + BASE64_LENGTH, TRUNK_BASE64_LENGTH, trunk_fields):
            raise ValueError(f"bad file ID {file_id!r}: the name is not FastDFS base64")
        result.trunk_fields[0] = fx_get32(trunk_fields)
        result.trunk_fields[1] = fx_get32(trunk_fields + 4)
        result.trunk_fields[2] = fx_get32(trunk_fields + 8)
    result.is_appender = (result.masked_size & APPENDER) != 0 and not result.is_slave
    if not result.masked_size & (SALTED | APPENDER | TRUNK) and result.masked_size > <uint64_t>MAX_SIZE:
        raise ValueError(f"bad file ID {file_id!r}: absurd size")
    tail = length - TAIL_LENGTH
    if tail < body:
        tail = body
    dot = <const char *>memchr(name + tail, c".", length - tail)
    result.extension_length = 0 if dot == NULL else name + length - dot - 1
    result.file_id = file_id
    result.group_length = parts.group_length
    return result


def decode_file_id(str file_id not None, /):
    return decoded(file_id)


cdef bint put_address(char *out, const char *text, Py_ssize_t length) noexcept nogil:
    """The four bytes of an IPv4 address; false where the text is none."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t digits
    cdef int octet, value
    for octet in range(4):
        value = 0
        digits = 0
        while at < length and c"0" <= text[at] <= c"9" and digits < 3:
            value = value * 10 + (text[at] - c"0")
            digits += 1
            at += 1
        if not digits or value > 255:
            return False
        out[octet] = <char>value
        if octet < 3:
            if at == length or text[at] != c".":
                return False
            at += 1
    return at == length


cdef inline void put_hex_pair(char *out, int value) noexcept nogil:
    out[0] = HEX[value >> 4 & 15]
    out[1] = HEX[value & 15]


cdef int put_source(char *out, object source) except -1:
    cdef uint32_t storage_id
    cdef Py_ssize_t length
    cdef const char *text
    cdef int i
    if isinstance(source, int):
        if not 0 < source <= MAX_STORAGE_ID:
            raise ValueError(f"storage ID {source} is not between 1 and {MAX_STORAGE_ID}")
        storage_id = source
        for i in range(4):
            out[i] = <char>(storage_id >> (8 * i))
        return 0
    if not isinstance(source, str):
        raise TypeError(f"a source is an IPv4 address or a storage ID, not {type(source).__name__}")
    text = fx_ascii(source, &length)
    if not put_address(out, text, length):
        raise ValueError(f"{source!r} is not an IPv4 address")
    return 0


def encode_file_id(
    str group not None,
    source,
    int64_t created,
    int64_t size,
    int64_t crc32,
    str extension not None="",
    *,
    int store_path_index=0,
    subdirs=(0, 0),
    bint appender=False,
    trunk=None,
    salt=None,
):
    cdef char fields[20]
    cdef char trunk_fields[12]
    cdef char padded[16]
    cdef char out[10 + BASE64_LENGTH + TRUNK_BASE64_LENGTH + TAIL_LENGTH]
    cdef uint64_t masked = <uint64_t>(0 if appender else size)
    cdef int first, second, i
    cdef Py_ssize_t length, extension_length, at
    cdef int64_t salt_bits = random.getrandbits(47) if salt is None else salt
    cdef int64_t number
    put_group(padded, group)
    put_extension(padded, extension)
    first, second = subdirs
    if trunk is not None:
        trunk = tuple(trunk)
    check_range("salt", salt_bits, MAX_SALT)
    check_range("creation time", created, 0xFFFFFFFF)
    check_range("size", size, MAX_SIZE)
    check_range("CRC-32", crc32, 0xFFFFFFFF)
    check_range("store path index", store_path_index, 255)
    check_range("directory", first, 255)
    check_range("directory", second, 255)
    if appender and trunk:
        raise ValueError("an appender file cannot be inside a trunk file")
    if trunk and size > 0xFFFFFFFF:
        raise ValueError(f"a file of {size} bytes cannot be inside a trunk file")
    if masked <= 0xFFFFFFFF:
        masked |= SALTED | <uint64_t>(salt_bits & 0x7FFFFF) << 32
    if appender:
        masked |= APPENDER
    if trunk:
        masked |= TRUNK
    put_source(fields, source)
    fx_put32(fields + 4, <uint32_t>created)
    fx_put64(fields + 8, masked)
    fx_put32(fields + 16, <uint32_t>crc32)
    memcpy(out, b"M00/00/00/", 10)
    put_hex_pair(out + 1, store_path_index)
    put_hex_pair(out + 4, first)
    put_hex_pair(out + 7, second)
    encode_base64(fields, 6, 2, out + 10)
    length = 10 + BASE64_LENGTH
    if trunk:
        if len(trunk) != 3:
            raise ValueError("a file in a trunk file has three trunk fields")
        for i, value in enumerate(trunk):
            check_range("trunk field", value, 0xFFFFFFFF)
            fx_put32(trunk_fields + 4 * i, <uint32_t>value)
        encode_base64(trunk_fields, 4, 0, out + length)
        length += TRUNK_BASE64_LENGTH
    extension_length = len(extension)
    number = salt_bits >> 23
    at = length + TAIL_LENGTH
    if extension_length:
        at -= extension_length + 1
        out[at] = c"."
        memcpy(out + at + 1, fx_ascii(extension, &extension_length), extension_length)
    while at > length:
        at -= 1
        out[at] = <char>(c"0" + number % 10)
        number //= 10
    return f"{group}/{PyUnicode_DecodeUTF8(out, length + TAIL_LENGTH, NULL)}"


def slave_file_id(str master_id not None, str prefix not None, str extension not None="", /):
    cdef char padded[16]
    cdef FileId master = decoded(master_id)
    put_prefix(padded, prefix)
    put_extension(padded, extension)
    stem = master_id
    if master.extension_length:
        stem = master_id[:len(master_id) - master.extension_length - 1]
    slave_id = f"{stem}{prefix}.{extension}" if extension else stem + prefix
    if len(slave_id) - master.group_length - 1 > MAX_FILENAME:
        raise ValueError(f"the filename of slave {slave_id!r} is longer than 127 characters")
    return slave_id
