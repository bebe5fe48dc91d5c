"""Native threads that carry any number of transfers to their end: the Python face of ``src/engine.c``."""

import os

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF

from fastxfer._ext.xfer cimport (
    DRIVEN,
    FX_SIDE_NONE,
    FX_WANT_MEMORY,
    Transfer,
    fx_transfer,
    fx_transfer_done,
    fx_transfer_finish,
    fx_worker,
    fx_worker_give_back,
    fx_worker_take,
)

cdef extern from "errno.h" nogil:
    int ECANCELED
    int ESHUTDOWN

cdef extern from "unistd.h" nogil:
    int getpid()

cdef extern from "engine.h" nogil:
    ctypedef struct fx_engine:
        pass
    int FX_ENGINE_THREADS
    fx_engine* fx_engine_new(int threads, int* error)
    int fx_engine_submit(fx_engine* engine, fx_transfer* t)
    fx_transfer* fx_engine_collect(fx_engine* engine, fx_worker* worker)
    int fx_engine_fileno(const fx_engine* engine)
    fx_transfer* fx_engine_stop(fx_engine* engine)
    void fx_engine_free(fx_engine* engine)

# An engine without threads hands bodies from here on back to be carried by one with threads.
cdef enum:
    SMALL_BODY = 262144


cdef class Engine:
    """A few native threads around epoll that drive transfers without the GIL."""

    cdef fx_engine* engine
    cdef int _threads
    cdef int _pid
    cdef bint _closed
    cdef Py_ssize_t _active

    def __cinit__(self, int threads=2):
        cdef int error = 0
        if not 0 <= threads <= FX_ENGINE_THREADS:
            raise ValueError(f"threads must be 0 to {FX_ENGINE_THREADS}: {threads}")
        self._threads = threads
        self._pid = getpid()
        self._closed = True
        self.engine = fx_engine_new(threads, &error)
        if self.engine == NULL:
            raise OSError(error, os.strerror(error))
        self._closed = False

    def __dealloc__(self):
        # Transfers that are driven hold a reference: here there are none.
        if self.engine != NULL:
            if not self._closed and getpid() == self._pid:
                fx_engine_stop(self.engine)
            fx_engine_free(self.engine)

    cdef bint shut(self) noexcept:
        return self._closed or getpid() != self._pid

    @property
    def threads(self):
        return self._threads

    @property
    def active(self):
        return self._active

    @property
    def closed(self):
        return self.shut()

    def fileno(self):
        if self._closed:
            raise ValueError("the engine is closed")
        return fx_engine_fileno(self.engine)

    def submit(self, Transfer transfer not None):
        cdef int error
        if self.shut():
            raise RuntimeError("the engine is closed")
        transfer.claim(DRIVEN)
        transfer._engine = self
        Py_INCREF(transfer)
        with cython.critical_section(self):
            self._active += 1
        error = fx_engine_submit(self.engine, &transfer.t)
        if error:
            self.let_go(transfer)
            if error == ESHUTDOWN:
                raise RuntimeError("the engine is closed")
            raise OSError(error, os.strerror(error))

    def completed(self):
        cdef fx_transfer* t
        cdef fx_transfer* following
        cdef Transfer transfer
        cdef fx_worker* worker = NULL
        cdef list finished = []
        if self.shut():
            return finished
        if self._threads == 0:
            worker = fx_worker_take()
            if worker == NULL:
                raise MemoryError
        with nogil:
            t = fx_engine_collect(self.engine, worker)
        if worker != NULL:
            fx_worker_give_back(worker)
        while t != NULL:
            following = t.next
            transfer = <Transfer>t.owner
            if not self.supply(transfer):
                self.let_go(transfer)
                finished.append(transfer)
            t = following
        return finished

    cdef bint supply(self, Transfer transfer) except -1:
        """Give the transfer the memory it waits for; True if this engine goes on with it."""
        if transfer.t.want != FX_WANT_MEMORY or fx_transfer_done(&transfer.t):
            return False
        # An event loop waits meanwhile: who carries the transfer touches it.
        transfer.give_memory(False)
        if fx_transfer_done(&transfer.t):
            return False
        if self._threads == 0 and transfer.t.memory_size > SMALL_BODY:
            return False
        if fx_engine_submit(self.engine, &transfer.t):
            fx_transfer_finish(&transfer.t, ECANCELED, FX_SIDE_NONE)
            return False
        return True

    cdef int let_go(self, Transfer transfer) except -1:
        with cython.critical_section(self):
            self._active -= 1
        transfer.unclaim()
        transfer._engine = None
        Py_DECREF(transfer)
        return 0

    def close(self):
        cdef fx_transfer* t
        cdef fx_transfer* following
        cdef bint alive
        with cython.critical_section(self):
            alive = not self.shut()
            self._closed = True
        if not alive:
            return
        with nogil:
            t = fx_engine_stop(self.engine)
        while t != NULL:
            following = t.next
            self.let_go(<Transfer>t.owner)
            t = following
