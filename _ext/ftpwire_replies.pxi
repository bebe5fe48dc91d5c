# What single replies say, for those that each transfer waits for.

cdef inline bint is_digit(Py_UCS4 character) noexcept nogil:
    return c"0" <= character <= c"9"


cdef Py_ssize_t digits_at(str text, Py_ssize_t at, Py_ssize_t most) noexcept:
    """How many digits there are at *at*, at most *most*."""
    cdef Py_ssize_t end = at
    cdef Py_ssize_t length = len(text)
    while end < length and end - at < most and is_digit(text[end]):
        end += 1
    return end - at


cdef int64_t number_at(str text, Py_ssize_t at, Py_ssize_t digits) noexcept:
    """The number that these digits, at most 18, make."""
    cdef int64_t number = 0
    cdef Py_ssize_t i
    cdef Py_UCS4 digit
    for i in range(at, at + digits):
        digit = text[i]
        number = number * 10 + <int64_t>digit - c"0"
    return number


cdef bint six_numbers(str text, Py_ssize_t at, Py_ssize_t end, int *numbers) noexcept:
    """Whether all from *at* to *end* is six numbers of at most three digits, with commas between."""
    cdef int i
    cdef Py_ssize_t digits
    for i in range(6):
        digits = digits_at(text, at, 4)
        if not 1 <= digits <= 3:
            return False
        numbers[i] = <int>number_at(text, at, digits)
        at += digits
        if i < 5:
            if at >= end or text[at] != ",":
                return False
            at += 1
    return at == end


def parse_pasv(str text not None):
    cdef int n[6]
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t length = len(text)
    cdef Py_ssize_t end
    while at < length:
        if not is_digit(text[at]) and text[at] != ",":
            at += 1
            continue
        end = at
        while end < length and (is_digit(text[end]) or text[end] == ","):
            end += 1
        if six_numbers(text, at, end, n):
            if max(n[0], n[1], n[2], n[3], n[4], n[5]) > 255:
                break
            if not n[4] and not n[5]:
                raise ValueError(f"port 0 in PASV reply {text[:200]!r}")
            return f"{n[0]}.{n[1]}.{n[2]}.{n[3]}", n[4] << 8 | n[5]
        at = end
    raise ValueError(f"no address in PASV reply {text[:200]!r}")


def parse_epsv(str text not None):
    cdef Py_ssize_t at = text.find("(")
    cdef Py_ssize_t length = len(text)
    cdef Py_ssize_t digits
    cdef Py_UCS4 mark
    cdef int64_t port
    while at >= 0 and at + 4 < length:
        mark = text[at + 1]
        if c"!" <= mark <= c"~" and not is_digit(mark) and text[at + 2] == mark and text[at + 3] == mark:
            digits = digits_at(text, at + 4, 5)
            if digits and text[at + 4 + digits:at + 6 + digits] == mark + ")":
                port = number_at(text, at + 4, digits)
                if 0 < port < 65536:
                    return port
                break
        at = text.find("(", at + 1)
    raise ValueError(f"no port in EPSV reply {text[:200]!r}")


def parse_size(str text not None):
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t length = len(text)
    cdef Py_ssize_t digits
    while at < length and (text[at] == " " or text[at] == "\t"):
        at += 1
    digits = digits_at(text, at, 20)
    if 0 < digits <= 18:
        return number_at(text, at, digits)
    if digits == 19 and int(text[at:at + 19]) < 1 << 63:
        return int(text[at:at + 19])
    raise ValueError(f"no size in reply {text[:200]!r}")


cdef inline bint valid_date(int64_t year, int month, int day) noexcept nogil:
    cdef int days = 31
    if month == 4 or month == 6 or month == 9 or month == 11:
        days = 30
    elif month == 2:
        days = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 1 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= days


cdef bint time_at(const char *text, Py_ssize_t size, double *seconds) noexcept nogil:
    """YYYYMMDDHHMMSS[.sss], blanks around it allowed; false where it is not one."""
    cdef int64_t year = 0
    cdef int parts[5]
    cdef int i
    cdef Py_ssize_t digits = 0
    cdef Py_ssize_t at
    cdef double unit = 1
    cdef double fraction = 0
    cdef int64_t whole
    while size and (text[0] == c" " or text[0] == c"\t"):
        text += 1
        size -= 1
    while size and (text[size - 1] == c" " or text[size - 1] == c"\t"):
        size -= 1
    while digits < size and is_digit(text[digits]):
        digits += 1
    if digits == 15 and text[0] == c"1" and text[1] == c"9":
        year = 1900 + (text[2] - c"0") * 100 + (text[3] - c"0") * 10 + (text[4] - c"0")
        at = 5
    elif digits == 14:
        for i in range(4):
            year = year * 10 + (text[i] - c"0")
        at = 4
    else:
        return False
    for i in range(5):
        parts[i] = (text[at + 2 * i] - c"0") * 10 + (text[at + 2 * i + 1] - c"0")
    if not valid_date(year, parts[0], parts[1]) or parts[2] > 23 or parts[3] > 59 or parts[4] > 60:
        return False
    if digits < size:
        if text[digits] != c"." or digits + 1 == size:
            return False
        # As many digits as a double holds exactly: then the division rounds right.
        for at in range(digits + 1, size):
            if not is_digit(text[at]):
                return False
            if at <= digits + 9:
                fraction = fraction * 10 + (text[at] - c"0")
                unit *= 10
        fraction /= unit
    whole = fx_days_from_date(year, parts[0], parts[1]) * 86400 + parts[2] * 3600 + parts[3] * 60 + parts[4]
    seconds[0] = <double>whole + fraction
    return True


def parse_time(str text not None):
    cdef Py_ssize_t size = 0
    cdef double seconds = 0
    cdef const char *data = fx_ascii(text, &size)
    if data == NULL or not time_at(data, size, &seconds):
        raise ValueError(f"not a time: {text[:200]!r}")
    return seconds


def format_time(double seconds):
    cdef FxListingStyle style
    cdef char out[14]
    if seconds != seconds:
        raise ValueError("not a time: nan")
    fx_listing_begin(&style)
    fx_write_time(&style, seconds, out)
    return out[:14].decode("ascii")


def parse_mlst(lines):
    return entry_from(twin_parse_mlst(lines))
