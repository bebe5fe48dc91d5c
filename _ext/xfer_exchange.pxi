# One small FastDFS request and its reply in one call, without an object for them.


cdef bytes carry_exchange(
    int fd,
    iovec* parts,
    size_t count,
    int64_t timeout,
    fx_wait* wait,
    int64_t limit,
    bint sleeps,
    uint32_t* crc,
    int* error,
    int* status,
):
    """Send *parts* and receive the reply: its body, with errno and status by the way. Times are nanoseconds.

    *crc*, where not NULL, becomes the CRC-32 of the last part, folded while the peer is busy with it.
    """
    cdef fx_transfer t
    cdef fx_worker* worker
    cdef bytes memory = None
    cdef int want
    fx_transfer_init(&t, fd)
    t.framing = FX_FRAMING_FASTDFS
    t.borrows = True
    t.sleeps = sleeps
    t.recv_limit = limit
    t.timeout = timeout
    t.iov = parts
    t.iov_count = count
    if crc != NULL:
        t.crc = t.has_from = True
        t.source = <const uint8_t*>parts[count - 1].iov_base
        t.unfolded = parts[count - 1].iov_len
    worker = fx_worker_take()
    if worker == NULL:
        raise MemoryError
    try:
        while True:
            with nogil:
                fx_turnstile_leave()
                want = fx_transfer_run(&t, worker, wait)
                fx_turnstile_enter()
            if want == FX_WANT_NOTHING:
                break
            if want == FX_WANT_MEMORY:
                memory = PyBytes_FromStringAndSize(NULL, t.memory_size)
                hand_over(&t, memory)
            else:
                PyErr_CheckSignals()
        if t.error or t.memory == NULL:
            memory = b""
        elif memory is None:
            memory = PyBytes_FromStringAndSize(<char*>t.memory, t.received)
        if crc != NULL:
            crc[0] = t.crc32
        error[0] = t.error
        status[0] = t.status
        return memory
    finally:
        fx_worker_give_back(worker)
        fx_transfer_destroy(&t)


def let_sleep(int fd, /):
    return fx_let_sleep(fd) == 0


def exchange(
    int fd,
    object request,
    object timeout,
    object spin=0,
    int64_t recv_limit=DEFAULT_LIMIT,
    bint sleeps=False,
    Py_ssize_t busy=0,
    /,
):
    cdef iovec one
    cdef iovec* parts = &one
    cdef size_t count
    cdef _Gathered gathered
    cdef fx_wait wait
    cdef Spin learns = None
    cdef int error = 0
    cdef int status = 0
    cdef int64_t time = nanoseconds(timeout, "timeout")
    memset(&wait, 0, sizeof(wait))
    if isinstance(spin, Spin):
        learns = spin
    elif not hasattr(spin, "plan"):  # as the twin's has, which polls nothing
        wait.poll = <int64_t>PyNumber_Index(spin) * 1000
    if fd < 0:
        raise ValueError(f"not a descriptor: {fd}")
    if recv_limit < 0 or wait.poll < 0:
        raise ValueError("a count is negative")
    if PyObject_CheckBuffer(request):
        held = hold(request, &one)
        count = 1 if one.iov_len else 0
    else:
        held = gathered = _Gathered(request)
        parts = gathered.parts
        count = gathered.count
    if learns is not None:
        learns.plan_wait(busy, &wait)
    memory = carry_exchange(fd, parts, count, time, &wait, recv_limit, sleeps, NULL, &error, &status)
    if learns is not None and not error:
        learns.learn_from(&wait)
    return (error, status, memory)
