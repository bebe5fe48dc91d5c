# cython: binding=False
"""The bytes of FTP; see ftpwire.pyi. What no transfer waits for is the twin's."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_SetFromErrno, PyErr_SetFromErrnoWithFilenameObject
from cpython.unicode cimport PyUnicode_Decode, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memset

import os
from time import time

from fastxfer._pure.ftplines import LINE_EMPTY, LINE_HAS_CR, LINE_HAS_NUL, LINE_TOO_LONG
from fastxfer._pure.ftpreplies import parse_feat, parse_pwd  # no-cython-lint
from fastxfer._pure.listingread import ListingReader as TwinListingReader
from fastxfer._pure.listingread import parse_mlst as twin_parse_mlst
from fastxfer._pure.listingwrite import DEFAULT_FACTS as _DEFAULT_FACTS
from fastxfer._pure.listingwrite import DIR_PERM as _DIR_PERM
from fastxfer._pure.listingwrite import FACTS, ListItem, word  # no-cython-lint
from fastxfer._pure.listingwrite import FILE_PERM as _FILE_PERM
from fastxfer._pure.listingwrite import DirectoryLister as TwinDirectoryLister

cdef extern from *:
    """
    static inline const char *fx_ascii(PyObject *text, Py_ssize_t *size) {
        if (!PyUnicode_IS_COMPACT_ASCII(text))
            return NULL;
        *size = PyUnicode_GET_LENGTH(text);
        return (const char *)PyUnicode_DATA(text);
    }
    static inline PyObject *fx_new_ascii(Py_ssize_t size) { return PyUnicode_New(size, 127); }
    static inline char *fx_ascii_data(PyObject *text) { return (char *)PyUnicode_DATA(text); }
    """
    # The characters of an ASCII str; NULL, without an exception, of another.
    const char *fx_ascii(object text, Py_ssize_t *size) noexcept
    str fx_new_ascii(Py_ssize_t size)
    char *fx_ascii_data(object text) noexcept

cdef extern from "listing.h" nogil:
    enum:
        FX_LISTING_LIST
        FX_LISTING_MLSD
        FX_LISTING_NLST
        FX_MAX_FACTS
    ctypedef struct FxText:
        const char *data
        size_t size
    ctypedef struct FxListingStyle:
        int format
        int fact_count
        unsigned char facts[32]
        FxText file_perm
        FxText dir_perm
        double now
    ctypedef struct FxListingItem:
        FxText name
        FxText target
        FxText owner
        FxText group
        FxText perm
        FxText unique
        uint32_t mode
        int64_t size
        double mtime
        int64_t nlink
    void fx_listing_begin(FxListingStyle *style)
    size_t fx_listing_room(const FxListingStyle *style, const FxListingItem *item)
    size_t fx_listing_line(FxListingStyle *style, const FxListingItem *item, char *out)
    bint fx_listable(const char *name, size_t size)
    int64_t fx_days_from_date(int64_t year, int month, int day)
    void fx_date_from_days(int64_t days, int *year, int *month, int *day)
    void fx_write_time(FxListingStyle *style, double mtime, char *out)

cdef extern from "directory.h" nogil:
    enum:
        FX_LINKS_SHOW
        FX_LINKS_FOLLOW
        FX_LINKS_HIDE
    ctypedef struct FxDirectory:
        pass
    ctypedef struct FxDirectoryOptions:
        FxListingStyle style
        FxText owner
        FxText group
        FxText omitted
        FxText prefix
        int links
        int hidden
        int sort
        int64_t max_entries
    FxDirectory *fx_directory_open(int at, const char *path, const FxDirectoryOptions *options)
    int fx_directory_next(FxDirectory *directory, size_t chunk, const char **data, size_t *size)
    int64_t fx_directory_entries(const FxDirectory *directory)
    int64_t fx_directory_skipped(const FxDirectory *directory)
    void fx_directory_close(FxDirectory *directory)

include "ftpwire_lines.pxi"
include "ftpwire_replies.pxi"
include "ftpwire_read.pxi"
include "ftpwire_write.pxi"
