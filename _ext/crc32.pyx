# cython: binding=False
"""CRC-32 by the quickest means the processor has; see crc32.pyi."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memmove

cdef extern from "crc32.h" nogil:
    void fx_crc32_init()
    const char *fx_crc32_name()
    uint32_t fx_crc32(uint32_t crc, const void *p, size_t n)
    uint32_t fx_crc32_copy(uint32_t crc, void *dst, const void *src, size_t n)
    uint32_t fx_crc32_combine(uint32_t a, uint32_t b, uint64_t len2)

cdef extern from "Python.h":
    # Cython would take PyLong_FromLong, which is slower by 10 ns for the three of four CRCs that are 2**30 or more.
    object PyLong_FromUnsignedLong(unsigned long value)

# Below this many bytes giving the GIL away costs more than others can gain by it.
cdef enum: NOGIL_THRESHOLD = 262144

fx_crc32_init()


def crc32(data, value=None, /):
    cdef uint32_t crc = 0
    cdef Py_buffer view
    if value is not None:
        crc = value & 0xFFFFFFFF
    if PyBytes_CheckExact(data) and PyBytes_GET_SIZE(data) < NOGIL_THRESHOLD:
        return PyLong_FromUnsignedLong(fx_crc32(crc, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)))
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    if view.len < NOGIL_THRESHOLD:
        crc = fx_crc32(crc, view.buf, view.len)
    else:
        with nogil:
            crc = fx_crc32(crc, view.buf, view.len)
    PyBuffer_Release(&view)
    return PyLong_FromUnsignedLong(crc)


cdef inline bint overlap(Py_buffer *target, Py_buffer *source) noexcept nogil:
    cdef const char *begin = <const char *>target.buf
    cdef const char *other = <const char *>source.buf
    return begin < other + source.len and other < begin + source.len


def copy_crc32(target, source, value=0, /):
    cdef uint32_t crc = value & 0xFFFFFFFF
    cdef Py_buffer target_view, source_view
    PyObject_GetBuffer(target, &target_view, PyBUF_WRITABLE)
    try:
        PyObject_GetBuffer(source, &source_view, PyBUF_SIMPLE)
        try:
            if target_view.len < source_view.len:
                raise ValueError(f"target of {target_view.len} bytes is smaller than source of {source_view.len}")
            if overlap(&target_view, &source_view):
                crc = fx_crc32(crc, source_view.buf, source_view.len)
                memmove(target_view.buf, source_view.buf, source_view.len)
                return crc
            if source_view.len < NOGIL_THRESHOLD:
                crc = fx_crc32_copy(crc, target_view.buf, source_view.buf, source_view.len)
                return PyLong_FromUnsignedLong(crc)
            with nogil:
                crc = fx_crc32_copy(crc, target_view.buf, source_view.buf, source_view.len)
            return PyLong_FromUnsignedLong(crc)
        finally:
            PyBuffer_Release(&source_view)
    finally:
        PyBuffer_Release(&target_view)


def crc32_combine(first, second, second_length, /):
    if second_length < 0:
        raise ValueError(f"negative length: {second_length}")
    return PyLong_FromUnsignedLong(fx_crc32_combine(first & 0xFFFFFFFF, second & 0xFFFFFFFF, second_length))


def implementation():
    return fx_crc32_name().decode("ascii")
