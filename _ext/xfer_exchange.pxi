# One FastDFS request and its reply in one call, without an object for them.


cdef void begin_exchange(fx_transfer* t, iovec* parts, size_t count, int64_t limit, bint sleeps) noexcept:
    """Prepare *t* for *parts* and their reply; what else it is to know is set afterwards."""
    fx_transfer_init(t, -1)
    t.framing = FX_FRAMING_FASTDFS
    t.borrows = True
    t.sleeps = sleeps
    t.recv_limit = limit
    t.iov = parts
    t.iov_count = count


cdef bytes carry_exchange(fx_transfer* t, int fd, fx_wait* wait):
    """Send over *fd*, and receive the reply: its body. What else has come of it stays in *t*."""
    cdef fx_worker* worker
    cdef bytes memory = None
    cdef int want
    t.fd = t.wait_fd = fd
    worker = fx_worker_take()
    if worker == NULL:
        raise MemoryError
    try:
        t.memory_size = fx_transfer_foreseen(t)
        if t.memory_size:
            memory = PyBytes_FromStringAndSize(NULL, t.memory_size)
            hand_over(t, memory, True)
        while True:
            with nogil:
                fx_turnstile_leave()
                want = fx_transfer_run(t, worker, wait)
                fx_turnstile_enter()
            if want == FX_WANT_NOTHING:
                break
            if want == FX_WANT_MEMORY:
                memory = PyBytes_FromStringAndSize(NULL, t.memory_size)
                hand_over(t, memory, True)
            else:
                PyErr_CheckSignals()
        if t.error or t.status or t.memory == NULL:
            memory = b""
        elif memory is None:
            memory = PyBytes_FromStringAndSize(<char*>t.memory, t.received)
        return memory
    finally:
        fx_worker_give_back(worker)
        fx_transfer_destroy(t)


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
    cdef fx_transfer t
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
    begin_exchange(&t, parts, count, recv_limit, sleeps)
    t.timeout = time
    memory = carry_exchange(&t, fd, &wait)
    if learns is not None and not t.error:
        learns.learn_from(&wait)
    return (t.error, t.status, memory)
