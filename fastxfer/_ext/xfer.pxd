from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t

from fastxfer._ext.places cimport fx_wait

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "ratelimit.h" nogil:
    ctypedef struct fx_rate:
        double burst

cdef extern from "worker.h" nogil:
    ctypedef struct fx_worker:
        bint gentle
    fx_worker* fx_worker_take()
    void fx_worker_give_back(fx_worker* worker)

cdef extern from "transfer.h" nogil:
    enum:
        FX_FRAMING_NONE
        FX_FRAMING_RAW
        FX_FRAMING_FASTDFS
        FX_WANT_NOTHING
        FX_WANT_READ
        FX_WANT_WRITE
        FX_WANT_TIME
        FX_WANT_MEMORY
        FX_WANT_TURN
        FX_SIDE_NONE
        FX_SIDE_SOCKET
        FX_SIDE_FILE
        FX_SIDE_RELAY
    ctypedef struct fx_transfer:
        int fd
        int send_fd
        int recv_fd
        int relay_fd
        int framing
        bint crc
        bint use_sendfile
        bint use_splice
        bint may_block
        bint has_into
        bint borrows
        bint sleeps
        iovec* iov
        size_t iov_count
        int64_t send_offset
        int64_t send_left
        bint has_from
        const uint8_t* source "from"
        int64_t unfolded
        uint8_t* into
        int64_t into_size
        int64_t recv_offset
        int64_t recv_count
        int64_t recv_limit
        int64_t recv_expected
        int64_t timeout
        int64_t idle
        fx_rate** limits
        size_t limit_count
        int64_t sent
        int64_t received
        int64_t length
        uint32_t crc32
        int status
        bint early
        int error
        int side
        int want
        int wait_fd
        int64_t wake_at
        int64_t memory_size
        uint8_t* memory
        void* owner
        fx_transfer* next
    void fx_transfer_init(fx_transfer* t, int fd)
    void fx_transfer_destroy(fx_transfer* t)
    int fx_transfer_step(fx_transfer* t, fx_worker* w, int64_t budget)
    int64_t fx_transfer_foreseen(const fx_transfer* t)
    void fx_transfer_give_memory(fx_transfer* t, uint8_t* memory, bint touch)
    void fx_transfer_cancel(fx_transfer* t)
    void fx_transfer_finish(fx_transfer* t, int error, int side)
    int fx_transfer_run(fx_transfer* t, fx_worker* w, fx_wait* wait)
    int fx_let_sleep(int fd)
    int64_t fx_transfer_due(const fx_transfer* t)
    bint fx_transfer_done(const fx_transfer* t)
    bint fx_transfer_uses_file(const fx_transfer* t)
    bint fx_transfer_cancelled(const fx_transfer* t)


# What a transfer is busy with.
cdef enum:
    IDLE
    ADVANCED
    RUN
    DRIVEN


cdef class RateLimit:
    cdef fx_rate rate
    cdef bint ready


cdef class Transfer:
    cdef fx_transfer t
    cdef public object tag
    cdef object _send_held  # what keeps the buffers in place until all is done
    cdef object _into_held
    cdef object _limits_held
    cdef object _engine  # the engine that drives it
    cdef object _ring  # called by cancel(), for a scheduler in Python
    cdef bytes _memory
    cdef iovec _one
    cdef fx_rate** _limits
    cdef int _busy
    cdef bint _shut
    cdef int _forks  # of the process, when it was claimed
    cdef int64_t _spin

    cdef int lay_out(self, object send, object send_from) except -1
    cdef int take_target(self, object recv_into) except -1
    cdef int take_limits(self, object limits) except -1
    cdef int claim(self, int how) except -1
    cdef void unclaim(self) noexcept
    cdef int step(self, int64_t budget, bint gentle) except -1
    cdef int foresee(self, bint touch) except -1
    cdef int give_memory(self, bint touch) except -1


cdef object hold(object source, iovec* target)
cdef str side_name(int side)
cdef void begin_exchange(fx_transfer* t, iovec* parts, size_t count, int64_t limit, bint sleeps) noexcept
cdef bytes carry_exchange(fx_transfer* t, int fd, fx_wait* wait)
