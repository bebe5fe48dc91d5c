# cython: binding=False
"""The hot steps of a connection pool's bookkeeping; see places.pyi and places.pxd."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from libc.stdint cimport int64_t

cdef extern from "clock.h" nogil:
    int64_t fx_now()

cdef extern from "peek.h" nogil:
    bint fx_is_quiet(int fd)

cdef extern from "spin.h" nogil:
    void fx_spin_init(fx_spin* s, int cores)
    void fx_spin_plan(fx_spin* s, int64_t busy, int64_t now, fx_wait* wait)
    void fx_spin_learn(fx_spin* s, const fx_wait* wait, int64_t now)

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


cdef class Link:
    def __init__(self, address, int fd, /):
        self.address = address
        self.fd = fd
        self.idle_since = fx_now() / NS


@cython.final
cdef class Places:
    def __init__(self, waiting, /):
        self.idle = []
        self.waiting = waiting


cdef class Book:
    def __init__(self, Guard guard not None, double trusted, double certain, /):
        self.guard = guard
        self.places = {}
        self.trusted = trusted
        self.certain = certain

    def pick(self, address, bint certain=False, /):
        return self.take_idle(address, certain)

    def shelve(self, Link connection not None, /):
        return self.keep_idle(connection)

    cdef Link take_idle(self, object address, bint certain):
        if self.guard.depth:
            return None
        if FX_ONE_AT_A_TIME:
            return self.pick_one(address, certain)
        with self.guard:
            return self.pick_one(address, certain)

    cdef bint keep_idle(self, Link connection) except -1:
        if self.guard.depth:
            return False
        if FX_ONE_AT_A_TIME:
            return self.shelve_one(connection)
        with self.guard:
            return self.shelve_one(connection)

    # Nothing in these two gives the interpreter away, so that no other thread sees the middle of them.

    cdef Link pick_one(self, object address, bint certain):
        cdef Places places
        cdef Link connection
        cdef double now
        found = PyDict_GetItemWithError(self.places, address)
        if found is NULL:
            return None
        places = <Places?>found
        if not places.idle:
            return None
        now = fx_now() / NS
        connection = <Link?>places.idle[-1]
        if now >= self.next_reap:
            return None
        if now - connection.idle_since >= (self.certain if certain else self.trusted):
            if not fx_is_quiet(connection.fd):
                return None
        places.idle.pop()
        places.reused += 1
        places.busy += 1
        self.busy += 1
        return connection

    cdef bint shelve_one(self, Link connection) except -1:
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
        try:
            places.idle.append(connection)
        except MemoryError:
            places.busy -= 1
            self.busy -= 1
            places.dropped += 1
            # What was done over it is done: that it cannot be kept is nothing to fail for.
            (<object>connection).close()
            return True
        places.busy -= 1
        self.busy -= 1
        return True


@cython.final
cdef class Spin:
    def __init__(self, int cores, /):
        fx_spin_init(&self.state, cores)

    def plan(self, Py_ssize_t busy, /):
        self.plan_wait(busy, &self.planned)
        return self.planned.nap, self.planned.poll

    def learn(self, int64_t took, int64_t polled=0, bint found=True, /):
        cdef int64_t now = self.planned.began + took
        if self.planned.poll:
            self.planned.woke = now - polled
            self.planned.ready = now if found else 0
        fx_spin_learn(&self.state, &self.planned, now)

    cdef void plan_wait(self, Py_ssize_t busy, fx_wait* wait) noexcept:
        fx_spin_plan(&self.state, busy, fx_now(), wait)

    cdef void learn_from(self, const fx_wait* wait) noexcept:
        fx_spin_learn(&self.state, wait, fx_now())
