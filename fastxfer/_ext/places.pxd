from libc.stdint cimport int64_t


cdef class Guard:
    cdef object lock
    cdef Py_ssize_t depth


cdef class Link:
    cdef public object address
    cdef public int fd
    cdef public bint used
    cdef public double idle_since


cdef class Places:
    cdef readonly list idle
    cdef readonly object waiting
    cdef public Py_ssize_t busy
    cdef public Py_ssize_t opened
    cdef public Py_ssize_t reused
    cdef public Py_ssize_t dropped
    cdef public Py_ssize_t found_dead
    cdef public Py_ssize_t reaped
    cdef public Py_ssize_t timeouts


cdef class Book:
    cdef public Guard guard
    cdef public dict places
    cdef public Py_ssize_t busy
    cdef public bint closed
    cdef public double next_reap
    cdef double trusted
    cdef double certain

    cdef Link take_idle(self, object address, bint certain)
    cdef bint keep_idle(self, Link connection) except -1
    cdef Link pick_one(self, object address, bint certain)
    cdef bint shelve_one(self, Link connection) except -1


cdef extern from "spin.h" nogil:
    ctypedef struct fx_wait:
        int64_t nap
        int64_t poll
        int64_t began
        int64_t woke
        int64_t ready
    ctypedef struct fx_spin:
        pass


cdef class Spin:
    cdef fx_spin state
    cdef fx_wait planned

    cdef void plan_wait(self, Py_ssize_t busy, fx_wait* wait) noexcept
    cdef void learn_from(self, const fx_wait* wait) noexcept
