# cython: binding=False
"""The FastDFS wire format; see wire.pyi."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.number cimport PyNumber_Index
from cpython.unicode cimport PyUnicode_DecodeASCII, PyUnicode_DecodeUTF8
from libc.stdint cimport int8_t, int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy, memset

import random

cdef extern from *:
    """
    #include <string.h>
    #if defined(_MSC_VER)
    #include <stdlib.h>
    #define fx_swap32 _byteswap_ulong
    #define fx_swap64 _byteswap_uint64
    #else
    #define fx_swap32 __builtin_bswap32
    #define fx_swap64 __builtin_bswap64
    #endif
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define fx_big32(v) (v)
    #define fx_big64(v) (v)
    #else
    #define fx_big32(v) fx_swap32(v)
    #define fx_big64(v) fx_swap64(v)
    #endif
    static inline void fx_put32(char *p, uint32_t v) { v = fx_big32(v); memcpy(p, &v, 4); }
    static inline void fx_put64(char *p, uint64_t v) { v = fx_big64(v); memcpy(p, &v, 8); }
    static inline uint32_t fx_get32(const char *p) { uint32_t v; memcpy(&v, p, 4); return fx_big32(v); }
    static inline uint64_t fx_get64(const char *p) { uint64_t v; memcpy(&v, p, 8); return fx_big64(v); }
    static inline void fx_no_view(Py_buffer *view) { view->obj = NULL; }
    static inline const char *fx_ascii(PyObject *text, Py_ssize_t *size) {
        if (PyUnicode_IS_COMPACT_ASCII(text)) {
            *size = PyUnicode_GET_LENGTH(text);
            return (const char *)PyUnicode_DATA(text);
        }
        *size = 1;
        return "\\xff";
    }
    """
    void fx_put32(char *p, uint32_t v) noexcept nogil
    void fx_put64(char *p, uint64_t v) noexcept nogil
    uint32_t fx_get32(const char *p) noexcept nogil
    uint64_t fx_get64(const char *p) noexcept nogil
    void fx_no_view(Py_buffer *view) noexcept
    # The characters of an ASCII str; of another one character that is allowed nowhere.
    const char *fx_ascii(object text, Py_ssize_t *size) noexcept
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef extern from "charset.h" nogil:
    bint fx_all_in_filename(const char *text, size_t length)

HEADER_SIZE = 10

cdef enum:
    HEADER = 10
    PREFIX_WIDTH = 16
    EXTENSION_WIDTH = 6
    MAX_FILENAME = 127
    MAX_SERVER = 127
    MAX_METADATA_NAME = 64
    MAX_METADATA_VALUE = 256

cdef enum Command:
    SET_METADATA = 13
    DOWNLOAD_FILE = 14
    UPLOAD_SLAVE_FILE = 21
    APPEND_FILE = 24
    MODIFY_FILE = 34
    TRUNCATE_FILE = 36
    REGENERATE_APPENDER_FILENAME = 38

cdef enum CharSet:
    IN_GROUP = 1
    IN_SUFFIX = 2

cdef int64_t MAX_INT64 = 0x7FFFFFFFFFFFFFFF

# Which characters may stand where.
cdef unsigned char charset[256]


cdef void fill_charset() noexcept:
    memset(charset, 0, sizeof(charset))
    for character in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789":
        charset[<unsigned char>character] = IN_GROUP | IN_SUFFIX
    for character in b"._-":
        charset[<unsigned char>character] = IN_SUFFIX


fill_charset()

include "wire_heads.pxi"
include "wire_replies.pxi"
include "wire_fileid.pxi"
