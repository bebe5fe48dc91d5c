# cython: binding=False
"""The two hot steps of a connection pool's bookkeeping; see places.pyi."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from libc.stdint cimport int64_t

cdef extern from "clock.h" nogil:
    int64_t fx_now()

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define FX_ONE_AT_A_TIME 0
    #else
    #define FX_ONE_AT_A_TIME 1
    #endif
    """
    # Whether no other thread runs while a function of this module does.
    bint FX_ONE_AT_A_TIME

cdef double NS = 1e9


@cython.final
cdef class Guard:
    cdef object lock
    cdef Py_ssize_t depth

    def __init__(self, lock, /):
        self.lock = lock

    @property
    def held(self):
        return self.depth > 0

    def __enter__(self):
        self.lock.acquire()
        self.depth += 1

    def __exit__(self, *details):
        self.depth -= 1
        self.lock.release()


@cython.final
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

    def __init__(self, waiting, /):
        self.idle = []
        self.waiting = waiting


cdef class Book:
    cdef public Guard guard
    cdef public dict places
    cdef public Py_ssize_t busy
    cdef public bint closed
    cdef public double next_reap
    cdef double trusted
    cdef double certain

    def __init__(self, Guard guard not None, double trusted, double certain, /):
        self.guard = guard
        self.places = {}
        self.trusted = trusted
        self.certain = certain

    def pick(self, address, bint certain=False, /):
        if self.guard.depth:
            return None
        if FX_ONE_AT_A_TIME:
            return self.pick_one(address, certain)
        with self.guard:
            return self.pick_one(address, certain)

    def shelve(self, connection, /):
        if self.guard.depth:
            return False
        if FX_ONE_AT_A_TIME:
            return self.shelve_one(connection)
        with self.guard:
            return self.shelve_one(connection)

    # Nothing in these two gives the interpreter away, so that no other thread sees the middle of them.

    cdef object pick_one(self, address, bint certain):
        cdef Places places
        cdef double now
        found = PyDict_GetItemWithError(self.places, address)
        if found is NULL:
            return None
        places = <Places?>found
        if not places.idle:
            return None
        now = fx_now() / NS
        connection = places.idle[-1]
        if now >= self.next_reap:
            return None
        if now - <double>connection.idle_since >= (self.certain if certain else self.trusted):
            return None
        places.idle.pop()
        places.reused += 1
        places.busy += 1
        self.busy += 1
        return connection

    cdef bint shelve_one(self, connection) except -1:
        cdef Places places
        if self.closed:
            return False
        found = PyDict_GetItemWithError(self.places, connection.address)
        if found is NULL:
            return False
        places = <Places?>found
        if places.waiting:
            return False
        connection.used = True
        connection.idle_since = fx_now() / NS
        places.idle.append(connection)
        places.busy -= 1
        self.busy -= 1
        return True
