"""One movement of bytes over one socket: the Python face of ``src/transfer.c``."""

import os

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.number cimport PyNumber_Index
from libc.stdint cimport INT64_MAX
from libc.string cimport memset

from fastxfer._ext.places cimport Spin, fx_wait

cdef extern from "errno.h" nogil:
    int ECANCELED
    int ENOMEM

cdef extern from "ratelimit.h" nogil:
    void fx_rate_init(fx_rate* limit, double rate, double burst)
    void fx_rate_destroy(fx_rate* limit)
    void fx_rate_set(fx_rate* limit, double rate)
    double fx_rate_get(fx_rate* limit)
    int64_t fx_rate_take(fx_rate* limit, int64_t count, int64_t now)

cdef extern from "clock.h" nogil:
    int64_t fx_now()

cdef extern from "turnstile.h" nogil:
    void fx_turnstile_enter()
    void fx_turnstile_leave()

cdef extern from "sys/socket.h" nogil:
    int SHUT_RDWR
    int shutdown(int fd, int how)

FRAMING_NONE = FX_FRAMING_NONE
FRAMING_RAW = FX_FRAMING_RAW
FRAMING_FASTDFS = FX_FRAMING_FASTDFS

cdef int64_t DEFAULT_BUDGET = 1 << 20
cdef int64_t START_BUDGET = 1 << 17
cdef int64_t DEFAULT_LIMIT = 1 << 26
cdef size_t LONG_TOUCH = 1 << 22  # as POPULATE_FROM in transfer.c
cdef double NS = 1e9
cdef double LONGEST = 4e9

cdef bint NO_SENDFILE = os.environ.get("FASTXFER_NO_SENDFILE", "") not in ("", "0")
cdef bint NO_SPLICE = os.environ.get("FASTXFER_NO_SPLICE", "") not in ("", "0")
cdef int forks = 0


def _count_fork():
    global forks
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)

cdef tuple BUSY = ("idle", "advanced", "run", "driven by an engine")


cdef str side_name(int side):
    """Where an error came from, as ``error_side`` tells it."""
    if side == FX_SIDE_SOCKET:
        return "socket"
    if side == FX_SIDE_FILE:
        return "file"
    return "relay" if side == FX_SIDE_RELAY else ""


cdef int64_t nanoseconds(object seconds, str name) except -2:
    """The time in nanoseconds; -1 for None and for more than a century."""
    cdef double value
    if seconds is None:
        return -1
    value = seconds
    if not value >= 0:
        raise ValueError(f"{name} must not be negative: {seconds}")
    return -1 if value > LONGEST else <int64_t>(value * NS)


@cython.final
cdef class _View:
    """Holds one buffer of another object."""

    cdef Py_buffer view

    def __cinit__(self, object source, int flags):
        PyObject_GetBuffer(source, &self.view, flags)

    def __dealloc__(self):
        PyBuffer_Release(&self.view)


cdef object hold(object source, iovec* target):
    """Point *target* at the bytes of *source*; what is returned keeps them in place."""
    cdef _View held
    if type(source) is bytes:
        target.iov_base = PyBytes_AS_STRING(source)
        target.iov_len = PyBytes_GET_SIZE(source)
        return source
    held = _View(source, PyBUF_SIMPLE)
    target.iov_base = held.view.buf
    target.iov_len = held.view.len
    return held


@cython.final
cdef class _Gathered:
    """Buffers laid out for sendmsg; empty ones are left out."""

    cdef iovec* parts
    cdef size_t count
    cdef size_t last  # bytes of the last source, which may be one of those left out
    cdef list held

    def __cinit__(self, object sources):
        cdef iovec part
        sources = tuple(sources)
        self.held = []
        self.parts = <iovec*>PyMem_Malloc(max(1, len(sources)) * sizeof(iovec))
        if self.parts == NULL:
            raise MemoryError
        for source in sources:
            holder = hold(source, &part)
            self.last = part.iov_len
            if part.iov_len:
                self.held.append(holder)
                self.parts[self.count] = part
                self.count += 1

    def __dealloc__(self):
        PyMem_Free(self.parts)


cdef int hand_over(fx_transfer* t, bytes memory, bint touch) except -1:
    """Give the body *memory* to be received into; *touch* its beginning, if it is long."""
    cdef char* start = PyBytes_AS_STRING(memory)
    cdef size_t size = PyBytes_GET_SIZE(memory)
    if size < LONG_TOUCH or not touch:
        # Letting the interpreter go would cost more than this takes.
        fx_transfer_give_memory(t, <uint8_t*>start, False)
        return 0
    with nogil:
        fx_transfer_give_memory(t, <uint8_t*>start, True)
    return 0


cdef class RateLimit:
    """A token bucket, shareable between transfers and threads."""

    def __cinit__(self, double bytes_per_second, int64_t burst=0):
        if not bytes_per_second > 0:
            raise ValueError(f"bytes_per_second must be positive: {bytes_per_second}")
        if burst < 0:
            raise ValueError(f"burst must not be negative: {burst}")
        fx_rate_init(&self.rate, bytes_per_second, <double>burst)
        self.ready = True

    def __dealloc__(self):
        if self.ready:
            fx_rate_destroy(&self.rate)

    @property
    def bytes_per_second(self):
        return fx_rate_get(&self.rate)

    @bytes_per_second.setter
    def bytes_per_second(self, double value):
        if not value > 0:
            raise ValueError(f"bytes_per_second must be positive: {value}")
        fx_rate_set(&self.rate, value)

    @property
    def burst(self):
        return <int64_t>self.rate.burst

    def reserve(self, int64_t count):
        cdef int64_t now = fx_now()
        if count < 0:
            raise ValueError(f"count must not be negative: {count}")
        return (fx_rate_take(&self.rate, count, now) - now) / NS


cdef class Transfer:
    """First everything that is to be sent, then everything that is to be received, over one socket."""

    def __cinit__(
        self,
        int fd,
        *,
        object send=b"",
        object send_from=None,
        int send_fd=-1,
        int64_t send_offset=0,
        int64_t send_count=-1,
        int framing=FX_FRAMING_NONE,
        object recv_into=None,
        int recv_fd=-1,
        int64_t recv_offset=-1,
        int64_t recv_count=-1,
        int64_t recv_limit=DEFAULT_LIMIT,
        int64_t recv_expected=-1,
        int relay_fd=-1,
        bint crc=False,
        object timeout=None,
        object idle_timeout=None,
        int64_t spin=0,
        object limits=(),
        bint zero_copy=True,
        bint may_block=False,
        object tag=None,
    ):
        cdef fx_transfer* t = &self.t
        fx_transfer_init(t, fd)
        if fd < 0:
            raise ValueError(f"not a descriptor: {fd}")
        if framing not in (FX_FRAMING_NONE, FX_FRAMING_RAW, FX_FRAMING_FASTDFS):
            raise ValueError(f"unknown framing: {framing}")
        if send_offset < 0 or send_count < -1 or recv_offset < -1 or recv_count < -1 or recv_limit < 0 or spin < 0:
            raise ValueError("a count or an offset is negative")
        if (recv_into is not None) + (recv_fd >= 0) + (relay_fd >= 0) > 1:
            raise ValueError("only one of recv_into, recv_fd and relay_fd can take the body")
        if send_from is not None and send_fd >= 0:
            raise ValueError("only one of send_from and send_fd can be the body")
        if relay_fd >= 0 and framing != FX_FRAMING_RAW:
            raise ValueError("relay_fd needs FRAMING_RAW")
        t.send_fd = send_fd
        t.recv_fd = recv_fd
        t.relay_fd = relay_fd
        t.framing = framing
        t.crc = crc
        t.use_sendfile = zero_copy and not NO_SENDFILE
        t.use_splice = zero_copy and not NO_SPLICE
        t.may_block = may_block
        t.send_offset = send_offset
        t.send_left = send_count
        t.recv_offset = recv_offset
        t.recv_count = recv_count
        t.recv_limit = recv_limit
        t.recv_expected = recv_expected
        t.timeout = nanoseconds(timeout, "timeout")
        t.idle = nanoseconds(idle_timeout, "idle_timeout")
        t.owner = <void*>self
        self.tag = tag
        self._spin = spin * 1000
        self.lay_out(send, send_from)
        if recv_into is not None:
            self.take_target(recv_into)
        if limits:
            self.take_limits(limits)

    cdef int lay_out(self, object send, object send_from) except -1:
        cdef _Gathered gathered
        if send_from is not None:
            gathered = _Gathered((send, send_from) if PyObject_CheckBuffer(send) else (*send, send_from))
            self._send_held = gathered
            self.t.iov = gathered.parts
            self.t.iov_count = gathered.count
            self.t.has_from = True
            if self.t.crc and gathered.last:
                self.t.source = <const uint8_t*>gathered.parts[gathered.count - 1].iov_base
                self.t.unfolded = gathered.last
        elif PyObject_CheckBuffer(send):
            self._send_held = hold(send, &self._one)
            self.t.iov = &self._one
            self.t.iov_count = 1 if self._one.iov_len else 0
        else:
            gathered = _Gathered(send)
            self._send_held = gathered
            self.t.iov = gathered.parts
            self.t.iov_count = gathered.count
        return 0

    cdef int take_target(self, object recv_into) except -1:
        cdef _View target = _View(recv_into, PyBUF_WRITABLE)
        if self.t.recv_count > target.view.len:
            raise ValueError(f"recv_into holds {target.view.len} bytes, recv_count is {self.t.recv_count}")
        self._into_held = target
        self.t.into = <uint8_t*>target.view.buf
        self.t.into_size = target.view.len
        self.t.has_into = True
        return 0

    cdef int take_limits(self, object limits) except -1:
        cdef tuple held = tuple(limits)
        for limit in held:
            if not isinstance(limit, RateLimit):
                raise TypeError(f"limits holds a {type(limit).__name__}, not a RateLimit")
        self._limits = <fx_rate**>PyMem_Malloc(len(held) * sizeof(fx_rate*))
        if self._limits == NULL:
            raise MemoryError
        for limit in held:
            self._limits[self.t.limit_count] = &(<RateLimit>limit).rate
            self.t.limit_count += 1
        self.t.limits = self._limits
        self._limits_held = held
        return 0

    def __dealloc__(self):
        # Arguments of the wrong type end in here before anything was set up: zeros would be taken for descriptors.
        if self.t.owner != NULL:
            fx_transfer_destroy(&self.t)
        PyMem_Free(self._limits)

    @property
    def fd(self):
        return self.t.fd

    @property
    def sent(self):
        return self.t.sent

    @property
    def received(self):
        return self.t.received

    @property
    def crc32(self):
        return self.t.crc32

    @property
    def status(self):
        return self.t.status

    @property
    def length(self):
        return self.t.length

    @property
    def body(self):
        if not fx_transfer_done(&self.t) or self.t.error:
            return b""
        if not self.t.received:
            return b""
        if self._memory is None or PyBytes_GET_SIZE(self._memory) != self.t.received:
            self._memory = (<char*>self.t.memory)[:self.t.received] if self.t.memory != NULL else b""
        return self._memory

    @property
    def early(self):
        return self.t.early

    @property
    def done(self):
        return fx_transfer_done(&self.t)

    @property
    def error(self):
        return self.t.error

    @property
    def error_side(self):
        return side_name(self.t.side)

    def advance(self, int64_t max_bytes=DEFAULT_BUDGET):
        if max_bytes <= 0:
            raise ValueError(f"max_bytes must be positive: {max_bytes}")
        self.claim(ADVANCED)
        try:
            if self.t.recv_expected >= 0:
                self.foresee(True)
            self.step(max_bytes, False)
        finally:
            self.unclaim()
        return fx_transfer_done(&self.t)

    def run(self):
        cdef fx_worker* worker
        cdef int want
        cdef fx_wait wait
        memset(&wait, 0, sizeof(wait))
        wait.poll = self._spin
        self.claim(RUN)
        worker = fx_worker_take()
        try:
            if worker == NULL:
                raise MemoryError
            self.foresee(True)
            while True:
                with nogil:
                    want = fx_transfer_run(&self.t, worker, &wait)
                if want == FX_WANT_NOTHING:
                    break
                if want == FX_WANT_MEMORY:
                    self.give_memory(True)
                else:
                    PyErr_CheckSignals()
        except BaseException:
            fx_transfer_finish(&self.t, ECANCELED, FX_SIDE_NONE)
            raise
        finally:
            if worker != NULL:
                fx_worker_give_back(worker)
            self.unclaim()

    # For the runner of an event loop.

    @property
    def _uses_file(self):
        return fx_transfer_uses_file(&self.t)

    def _start(self):
        """Do what can be done at once, without waiting for a disk either; True if what is left is big."""
        cdef int want
        self.claim(ADVANCED)
        try:
            if self.t.recv_expected >= 0:
                self.foresee(False)
            want = self.step(START_BUDGET, True)
        finally:
            self.unclaim()
        return want == 0 and not fx_transfer_done(&self.t)

    # How an engine in Python drives a transfer; the twin has the same methods.

    def _drive(self, ring):
        self.claim(DRIVEN)
        self._ring = ring

    def _let_go(self):
        self._ring = None
        self.unclaim()

    def _abandon(self, int error):
        fx_transfer_finish(&self.t, error, FX_SIDE_NONE)

    @property
    def _cancelled(self):
        return fx_transfer_cancelled(&self.t)

    def _step(self, int64_t budget):
        cdef int want = self.step(budget, False)
        cdef int64_t due = fx_transfer_due(&self.t)
        if want == FX_WANT_TIME and self.t.wake_at < due:
            due = self.t.wake_at
        return want, self.t.wait_fd, float("inf") if due == INT64_MAX else due / NS

    cdef int step(self, int64_t budget, bint gentle) except -1:
        """One step, with memory given if it is wanted; 0 if nothing is waited for."""
        cdef fx_worker* worker = fx_worker_take()
        cdef int want
        if worker == NULL:
            raise MemoryError
        worker.gentle = gentle
        try:
            while True:
                with nogil:
                    want = fx_transfer_step(&self.t, worker, budget)
                if want != FX_WANT_MEMORY:
                    return 0 if want == FX_WANT_TURN else want
                self.give_memory(not gentle)
        finally:
            fx_worker_give_back(worker)

    def cancel(self):
        with cython.critical_section(self):
            if fx_transfer_done(&self.t):
                return
            if self._busy != IDLE and self._forks != forks:
                # The parent process carries it, over a socket that is the parent's too.
                return
            fx_transfer_cancel(&self.t)
            if self._ring is not None:
                self._ring()
            if self._busy == RUN:
                # Shutting the socket down is what wakes a thread that sleeps on it.
                self._shut = True
                shutdown(self.t.fd, SHUT_RDWR)
                if self.t.relay_fd >= 0:
                    shutdown(self.t.relay_fd, SHUT_RDWR)

    cdef int claim(self, int how) except -1:
        """Take the transfer for one thread or engine; RuntimeError where another has it."""
        cdef int busy
        with cython.critical_section(self):
            busy = self._busy
            if busy == IDLE:
                self._busy = how
                self._forks = forks
        if busy != IDLE:
            raise RuntimeError(f"the transfer is already being {BUSY[busy]}")
        return 0

    cdef void unclaim(self) noexcept:
        with cython.critical_section(self):
            self._busy = IDLE
            if fx_transfer_done(&self.t):
                if self._shut and self.t.error == 0:
                    # It ended while it was being cancelled, and its socket is shut down all the same.
                    self.t.error = ECANCELED
                self._send_held = None
                self._into_held = None
                self._limits_held = None

    cdef int foresee(self, bint touch) except -1:
        """Give the body its memory already, where its length is known; *touch* its beginning, if it is long."""
        cdef int64_t size = fx_transfer_foreseen(&self.t)
        if not size:
            return 0
        self.t.memory_size = size
        return self.give_memory(touch)

    cdef int give_memory(self, bint touch) except -1:
        """Give the body a bytes object to be received into; *touch* its beginning, if it is long."""
        cdef size_t size = self.t.memory_size
        try:
            self._memory = PyBytes_FromStringAndSize(NULL, size)
        except MemoryError:
            fx_transfer_finish(&self.t, ENOMEM, FX_SIDE_NONE)
            return 0
        hand_over(&self.t, self._memory, touch)
        return 0


include "xfer_exchange.pxi"
