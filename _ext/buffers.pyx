"""Pools of aligned, reusable buffers; see buffers.pyi."""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport (
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_release_lock,
    PyThread_type_lock,
)
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, realloc

from collections import namedtuple
from time import monotonic

cdef extern from "pythread.h":
    ctypedef long long PY_TIMEOUT_T
    ctypedef enum PyLockStatus:
        PY_LOCK_FAILURE
        PY_LOCK_ACQUIRED
        PY_LOCK_INTR
    PyLockStatus PyThread_acquire_lock_timed(PyThread_type_lock lock, PY_TIMEOUT_T microseconds, int intr) nogil

cdef extern from *:
    """
    #include <stdlib.h>
    #if defined(_WIN32)
    #include <malloc.h>
    static void *fx_allocate(size_t size, size_t alignment) { return _aligned_malloc(size, alignment); }
    static void fx_free(void *memory) { _aligned_free(memory); }
    #else
    static void *fx_allocate(size_t size, size_t alignment) {
        void *memory = NULL;
        return posix_memalign(&memory, alignment, size) ? NULL : memory;
    }
    static void fx_free(void *memory) { free(memory); }
    #endif
    """
    void *fx_allocate(size_t size, size_t alignment) nogil
    void fx_free(void *memory) noexcept nogil

PoolStats = namedtuple("PoolStats", "size limit allocated in_use acquired reused")
PoolStats.__module__ = __name__

# The longest wait that is asked of the system at a time, seconds.
cdef double LONGEST_WAIT = 3600.0


cdef struct Waiter:
    PyThread_type_lock wake
    void *memory
    Waiter *next


@cython.final
@cython.no_gc
cdef class Buffer:
    # Neither class is known to the garbage collector: nothing they refer to can refer back.
    cdef BufferPool pool
    cdef void *memory
    cdef Py_ssize_t length

    def __init__(self):
        raise TypeError("a Buffer is made by BufferPool.acquire()")

    def __dealloc__(self):
        if self.memory != NULL:
            self.pool.give_back(self.memory)

    def __len__(self):
        return self.length

    def __getitem__(self, key):
        if not isinstance(key, slice):
            raise TypeError("a buffer is sliced, not indexed")
        return memoryview(self)[key]

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.memory, self.length, 0, flags)

    @property
    def address(self):
        return <uintptr_t>self.memory


@cython.final
@cython.no_gc
cdef class BufferPool:
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t limit
    cdef readonly Py_ssize_t alignment
    # What follows is guarded by the lock, under which no Python code runs.
    cdef cython.pymutex lock
    cdef void **idle
    cdef Py_ssize_t idle_count
    cdef Py_ssize_t idle_room
    cdef Py_ssize_t allocated
    cdef Py_ssize_t acquired
    cdef Py_ssize_t reused
    cdef Waiter *first_waiter
    cdef Waiter *last_waiter

    def __cinit__(self, Py_ssize_t size, Py_ssize_t limit, Py_ssize_t alignment=4096):
        if size < 1 or limit < 1:
            raise ValueError("size and limit must be at least 1")
        if alignment < 1 or alignment & (alignment - 1):
            raise ValueError(f"alignment {alignment} is not a power of two")
        self.size = size
        self.limit = limit
        self.alignment = alignment

    def __dealloc__(self):
        for i in range(self.idle_count):
            fx_free(self.idle[i])
        free(self.idle)

    cdef void give_back(self, void *memory) noexcept:
        cdef Waiter *waiter
        with self.lock:
            waiter = self.first_waiter
            if waiter != NULL:
                self.first_waiter = waiter.next
                if waiter.next == NULL:
                    self.last_waiter = NULL
                waiter.memory = memory
                self.acquired += 1
                self.reused += 1
                PyThread_release_lock(waiter.wake)
            else:
                # There is room: it was made when the memory was.
                self.idle[self.idle_count] = memory
                self.idle_count += 1

    cdef void *take(self, Waiter *waiter) except? NULL:
        """Idle or new memory; NULL without an exception where all is in use: *waiter*, if given, is then queued."""
        cdef void *memory = NULL
        cdef void **idle
        cdef Py_ssize_t room
        cdef bint out_of_memory = False
        with self.lock:
            if self.idle_count:
                self.idle_count -= 1
                memory = self.idle[self.idle_count]
                self.reused += 1
                self.acquired += 1
            elif self.allocated < self.limit:
                if self.allocated == self.idle_room:
                    room = self.idle_room * 2 if self.idle_room else 8
                    idle = <void **>realloc(self.idle, <size_t>room * sizeof(void *))
                    if idle != NULL:
                        self.idle = idle
                        self.idle_room = room
                if self.allocated < self.idle_room:
                    memory = fx_allocate(self.size, max(self.alignment, <Py_ssize_t>sizeof(void *)))
                if memory == NULL:
                    out_of_memory = True
                else:
                    self.allocated += 1
                    self.acquired += 1
            elif waiter != NULL:
                if self.last_waiter == NULL:
                    self.first_waiter = waiter
                else:
                    self.last_waiter.next = waiter
                self.last_waiter = waiter
        if out_of_memory:
            raise MemoryError(f"no memory for a buffer of {self.size} bytes")
        return memory

    cdef void leave_queue(self, Waiter *waiter) noexcept:
        cdef Waiter *before = NULL
        cdef Waiter *at
        with self.lock:
            at = self.first_waiter
            while at != NULL and at != waiter:
                before = at
                at = at.next
            if at != NULL:
                if before == NULL:
                    self.first_waiter = at.next
                else:
                    before.next = at.next
                if self.last_waiter == at:
                    self.last_waiter = before

    cdef int wait(self, Waiter *waiter, object deadline) except -1:
        """Sleep until the waiter has memory or the deadline is over."""
        cdef PyLockStatus status
        cdef PY_TIMEOUT_T microseconds
        cdef double left = LONGEST_WAIT
        while True:
            if deadline is not None:
                left = min(LONGEST_WAIT, <double>deadline - monotonic())
                if left <= 0:
                    return 0
            microseconds = <PY_TIMEOUT_T>(left * 1e6) + 1
            with nogil:
                status = PyThread_acquire_lock_timed(waiter.wake, microseconds, 1)
            if status == PY_LOCK_ACQUIRED:
                return 0
            if status == PY_LOCK_INTR:
                PyErr_CheckSignals()

    cdef Buffer lease(self, void *memory):
        cdef Buffer buffer = Buffer.__new__(Buffer)
        buffer.pool = self
        buffer.memory = memory
        buffer.length = self.size
        return buffer

    def acquire(self, timeout=None):
        cdef Waiter waiter
        cdef void *memory = self.take(NULL)
        if memory != NULL:
            return self.lease(memory)
        deadline = None if timeout is None else monotonic() + timeout
        waiter.memory = NULL
        waiter.next = NULL
        waiter.wake = PyThread_allocate_lock()
        if waiter.wake == NULL:
            raise MemoryError("no memory for a lock")
        PyThread_acquire_lock(waiter.wake, 1)
        try:
            memory = self.take(&waiter)
            if memory == NULL:
                try:
                    self.wait(&waiter, deadline)
                except BaseException:
                    self.leave_queue(&waiter)
                    if waiter.memory != NULL:
                        self.give_back(waiter.memory)
                    raise
                self.leave_queue(&waiter)
                memory = waiter.memory
        finally:
            # Only a lock that is held may be released: it is not, where memory came after the wait had given up.
            PyThread_acquire_lock(waiter.wake, 0)
            PyThread_release_lock(waiter.wake)
            PyThread_free_lock(waiter.wake)
        if memory == NULL:
            raise TimeoutError(f"all {self.limit} buffers are in use")
        return self.lease(memory)

    def try_acquire(self):
        cdef void *memory = self.take(NULL)
        return None if memory == NULL else self.lease(memory)

    def trim(self):
        cdef Py_ssize_t count, i
        with self.lock:
            count = self.idle_count
            for i in range(count):
                fx_free(self.idle[i])
            self.idle_count = 0
            self.allocated -= count
        return count

    def stats(self):
        cdef Py_ssize_t allocated, in_use, acquired, reused
        with self.lock:
            allocated = self.allocated
            in_use = allocated - self.idle_count
            acquired = self.acquired
            reused = self.reused
        return PoolStats(self.size, self.limit, allocated, in_use, acquired, reused)
