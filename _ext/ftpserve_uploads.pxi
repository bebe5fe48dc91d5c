# The ends of small uploads.

@cython.final
cdef class Uploads:
    cdef int epoll
    cdef bytes complete
    cdef set waiting

    def __cinit__(self):
        self.epoll = -1

    def __init__(self, bytes complete not None):
        self.complete = complete
        self.waiting = set()
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise failure(errno)

    def __dealloc__(self):
        if self.epoll >= 0:
            close(self.epoll)

    def fileno(self):
        return self.epoll

    def close(self):
        if self.epoll >= 0:
            close(self.epoll)
            self.epoll = -1

    cdef bint poll(self, int operation, Shortcut shortcut) noexcept nogil:
        cdef epoll_event event
        # Told once: what is over need not be taken out again.
        event.events = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLONESHOT
        event.data.ptr = <void*>shortcut
        return self.epoll >= 0 and epoll_ctl(self.epoll, operation, shortcut.connection, &event) == 0

    cdef bint expect(self, Shortcut shortcut) except -1:
        # First of all: what the poll set tells of must be there.
        self.waiting.add(shortcut)
        if self.poll(EPOLL_CTL_ADD, shortcut):
            return True
        self.waiting.discard(shortcut)
        return False

    cdef void forget(self, Shortcut shortcut):
        self.waiting.discard(shortcut)
        self.poll(EPOLL_CTL_DEL, shortcut)

    def collect(self):
        cdef epoll_event events[READY]
        cdef int count
        cdef int i
        cdef bint over
        cdef list ended = []
        if self.epoll < 0:
            return ended
        with nogil:
            count = epoll_wait(self.epoll, events, READY, 0)
        for i in range(count):
            shortcut = <Shortcut>events[i].data.ptr
            # Urgent data, which nobody sends, would stop a read before the end.
            over = events[i].events & (EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP) == <unsigned int>EPOLLRDHUP
            result = shortcut.arrived(over)
            if result is not None:
                ended.append((shortcut.owner, result))
        return ended


def send_now(int fd, bytes data not None, bint more=False):
    cdef const char* text = data
    cdef Py_ssize_t size = len(data)
    with nogil:
        size = say(fd, text, size, MSG_MORE if more else 0)
    return size


def land(
    int directory, str partial not None, str name not None, int fd, int connection, int control, bytes reply not None
):
    cdef bytes source = encoded(partial)
    cdef bytes target = encoded(name)
    cdef const char* source_text = source
    cdef const char* target_text = target
    cdef const char* text = reply
    cdef Py_ssize_t size = len(reply)
    cdef Py_ssize_t sent = 0
    cdef int result
    with nogil:
        result = renameat(directory, source_text, directory, target_text)
        if result == 0:
            sent = say(control, text, size)
            close(fd)
            close(connection)
    if result < 0:
        raise failure(errno, name)
    return sent
