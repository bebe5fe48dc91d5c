"""Exchanges of small files over FTP: the Python face of ``src/ftpexchange.c``."""

import socket as _socket

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "errno.h" nogil:
    int errno
    int EAGAIN
    int EINTR

cdef extern from "unistd.h" nogil:
    int close(int fd)

cdef extern from "sys/socket.h" nogil:
    ctypedef unsigned int socklen_t
    int AF_INET
    int AF_INET6
    int MSG_NOSIGNAL
    int MSG_PEEK
    int MSG_DONTWAIT
    ssize_t recv(int fd, void* data, size_t size, int flags)
    ssize_t send(int fd, const void* data, size_t size, int flags)

cdef extern from "netinet/in.h" nogil:
    cdef struct in6_addr:
        uint8_t s6_addr[16]
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct sockaddr_in:
        unsigned short sin_family
        in_addr sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_family
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    uint32_t htonl(uint32_t value)

cdef extern from "sys/epoll.h" nogil:
    int EPOLL_CLOEXEC
    int EPOLL_CTL_ADD
    int EPOLL_CTL_DEL
    uint32_t EPOLLIN
    uint32_t EPOLLET
    uint32_t EPOLLERR
    uint32_t EPOLLRDHUP
    ctypedef union epoll_data_t:
        uint64_t u64
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll_fd, int what, int fd, epoll_event* event)
    int epoll_wait(int epoll_fd, epoll_event* events, int count, int timeout)

cdef extern from "clock.h" nogil:
    int64_t fx_now()

cdef extern from "ftpexchange.h" nogil:
    unsigned int FX_FTP_DATA
    ctypedef struct sockaddr_storage:
        pass
    ctypedef struct fx_ftp:
        int control
        sockaddr_storage peer
        socklen_t peer_size
        int epoll_fd
        uint64_t serial
        int finals
        int address_at
        int transfer_at
        int next_at
        const uint8_t* payload
        size_t payload_size
        bint sending
        size_t limit
        int size_at
        bint leave_next
        const char* then
        size_t then_size
        size_t then_sent
        int named_at
        bint owed
        size_t parsed
        int file
        bint done
        int data
        int next
        int64_t next_at_time
        int64_t moved_at
        bint connected
        bint ended
        int data_error
        size_t sent
        uint8_t* body
        size_t body_size
        size_t reply_size
        char* replies
    void fx_ftp_init(fx_ftp* x, int control)
    void fx_ftp_destroy(fx_ftp* x)
    void fx_ftp_begin(fx_ftp* x)
    void fx_ftp_resume(fx_ftp* x)
    bint fx_ftp_ordinary(const fx_ftp* x)
    void fx_ftp_control(fx_ftp* x)
    void fx_ftp_data(fx_ftp* x, bint hung_up)
    bint fx_ftp_run(fx_ftp* x, int64_t patience, int64_t spin)

cdef double NS = 1e9
cdef enum:
    EVENTS = 128


@cython.final
cdef class Exchange:
    """The exchanges of one control connection, one after the other."""

    cdef fx_ftp x
    cdef bint begun
    cdef bytes _payload
    cdef bytes _then
    cdef Watch _watch

    def __cinit__(self, int control, int family, str host, int flow=0, int scope=0):
        cdef sockaddr_in* four = <sockaddr_in*>&self.x.peer
        cdef sockaddr_in6* six = <sockaddr_in6*>&self.x.peer
        cdef bytes packed
        fx_ftp_init(&self.x, control)
        self.begun = True
        if control < 0:
            raise ValueError(f"not a descriptor: {control}")
        if family != AF_INET and family != AF_INET6:
            raise ValueError(f"not an internet address family: {family}")
        packed = _socket.inet_pton(family, host)
        if family == AF_INET6:
            six.sin6_family = AF_INET6
            six.sin6_flowinfo = htonl(flow)
            six.sin6_scope_id = scope
            memcpy(six.sin6_addr.s6_addr, <const char*>packed, 16)
            self.x.peer_size = sizeof(sockaddr_in6)
        else:
            four.sin_family = AF_INET
            memcpy(&four.sin_addr.s_addr, <const char*>packed, 4)
            self.x.peer_size = sizeof(sockaddr_in)

    def __dealloc__(self):
        # Arguments of the wrong type end in here before anything was set up: zeros would be taken for descriptors.
        if self.begun:
            fx_ftp_destroy(&self.x)

    def begin(self, bytes request not None, int finals, int transfer_at=-1, int address_at=-1, int next_at=-1,
              object payload=None, size_t limit=65536, int size_at=-1, int file=-1,
              bint leave_next=False, object then=None, int named_at=-1):
        cdef const char* text = request
        cdef size_t size = len(request)
        cdef bytes held = payload
        cdef bytes after = then
        cdef ssize_t count
        if not self.x.done:
            raise RuntimeError("an exchange is under way")
        if transfer_at >= finals or finals < 1:
            raise ValueError(f"the transfer is none of {finals} commands: {transfer_at}")
        if transfer_at >= 0 and (address_at < 0) == (self.x.next < 0):
            raise ValueError("a data connection is either there or to be asked for")
        if transfer_at < 0 and (address_at >= 0 or next_at >= 0 or payload is not None):
            raise ValueError("a data connection is of no use without a transfer")
        if self.x.owed and address_at != 0:
            raise ValueError("the first reply is EPSV's of the exchange before")
        if file >= 0 and (transfer_at < 0 or payload is not None):
            raise ValueError("only what is received can be written to a file")
        if after is not None and (held is None or not len(after) or named_at >= finals or transfer_at + 1 == finals):
            raise ValueError("commands can follow an upload only, and are answered")
        while True:
            count = send(self.x.control, text, size, MSG_NOSIGNAL)
            if count >= 0 or errno != EINTR:
                break
        if count != <ssize_t>size:
            return max(0, count)
        self.x.finals = finals
        self.x.transfer_at = transfer_at
        self.x.address_at = address_at
        self.x.next_at = next_at
        self._payload = held
        self.x.sending = held is not None
        if held is not None:
            self.x.payload = <const uint8_t*><const char*>held
            self.x.payload_size = len(held)
        self.x.limit = limit
        self.x.size_at = size_at
        self.x.file = file
        self.x.leave_next = leave_next
        self._then = after
        self.x.then = NULL
        self.x.then_size = 0
        if after is not None:
            self.x.then = after
            self.x.then_size = len(after)
        self.x.named_at = named_at
        if self.x.data >= 0:
            close(self.x.data)
        self.x.data = -1
        if transfer_at >= 0:
            self.x.data = self.x.next
            self.x.next = -1
        fx_ftp_begin(&self.x)
        return count

    def run(self, double patience, int spin=0):
        cdef int64_t longest = <int64_t>(patience * NS)
        cdef bint whole = False
        while not whole:
            with nogil:
                whole = fx_ftp_run(&self.x, longest, spin * 1000)
            if not whole:
                PyErr_CheckSignals()

    def resume(self):
        if not self.x.owed:
            raise RuntimeError("no reply is owed")
        fx_ftp_resume(&self.x)

    @property
    def owes(self):
        return self.x.owed

    def take_rest(self):
        cdef bytes rest = self.x.replies[self.x.parsed:self.x.reply_size]
        self.x.owed = False
        return rest

    def stop(self):
        """Leave it as it stands."""
        self.x.done = True

    @property
    def quiet(self):
        cdef char byte
        return recv(self.x.control, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 and errno == EAGAIN

    @property
    def done(self):
        return self.x.done

    @property
    def replies(self):
        return self.x.replies[:self.x.reply_size]

    @property
    def body(self):
        return (<char*>self.x.body)[:self.x.body_size] if self.x.body_size else b""

    @property
    def received(self):
        return self.x.body_size

    @property
    def ordinary(self):
        return self.x.done and fx_ftp_ordinary(&self.x)

    @property
    def connected(self):
        return self.x.connected

    @property
    def ended(self):
        return self.x.ended

    @property
    def sent(self):
        return self.x.sent

    @property
    def then_sent(self):
        return self.x.then_sent

    @property
    def data_error(self):
        return self.x.data_error

    def detach(self):
        """The data connection, if it is still open; the caller's from now on."""
        cdef int fd = self.x.data
        self.x.data = -1
        return fd

    @property
    def next_age(self):
        """How long ago the next data connection was opened, seconds; -1 where there is none."""
        return (fx_now() - self.x.next_at_time) / NS if self.x.next >= 0 else -1.0

    def adopt_next(self, int fd, double age=0.0):
        """Take over *fd* as the next data connection."""
        if self.x.next >= 0:
            close(fd)
            raise ValueError("there is a next data connection already")
        self.x.next = fd
        self.x.next_at_time = fx_now() - <int64_t>(age * NS)

    def detach_next(self):
        cdef int fd = self.x.next
        self.x.next = -1
        return fd

    def close(self):
        """Close the data connections; before the control connection is closed. Idempotent."""
        if self._watch is not None:
            self._watch.forget(self)
        self.x.done = True
        self.x.owed = False
        fx_ftp_destroy(&self.x)


@cython.final
cdef class Watch:
    """Exchanges that are carried on when an event loop says that something came."""

    cdef int _fd
    cdef uint64_t _serial
    cdef dict _members
    cdef readonly set active

    def __cinit__(self):
        self._fd = -1
        self._members = {}
        self.active = set()
        self._fd = epoll_create1(EPOLL_CLOEXEC)
        if self._fd < 0:
            raise OSError(errno, "epoll_create1")

    def __dealloc__(self):
        if self._fd >= 0:
            close(self._fd)

    def fileno(self):
        return self._fd

    def submit(self, Exchange exchange not None):
        """Carry on with *exchange*, which was begun, until :meth:`ready` returns it."""
        if exchange._watch is not self:
            self.join(exchange)
        self.active.add(exchange)

    def join(self, Exchange exchange not None):
        """Watch the connections of *exchange* from now on; before its first :meth:`Exchange.begin`."""
        cdef epoll_event event
        if exchange._watch is self:
            return
        if exchange._watch is not None or self._fd < 0:
            raise RuntimeError("the exchange is watched elsewhere, or the watch is closed")
        self._serial += 1
        memset(&event, 0, sizeof(event))
        event.events = EPOLLIN | EPOLLET
        event.data.u64 = self._serial << 1
        if epoll_ctl(self._fd, EPOLL_CTL_ADD, exchange.x.control, &event) < 0:
            raise OSError(errno, "epoll_ctl")
        exchange.x.serial = self._serial
        exchange.x.epoll_fd = self._fd
        exchange._watch = self
        self._members[self._serial] = exchange

    cdef int forget(self, Exchange exchange) except -1:
        cdef epoll_event event
        memset(&event, 0, sizeof(event))
        if self._fd >= 0:
            epoll_ctl(self._fd, EPOLL_CTL_DEL, exchange.x.control, &event)
        exchange.x.epoll_fd = -1
        exchange._watch = None
        self._members.pop(exchange.x.serial, None)
        self.active.discard(exchange)
        return 0

    def ready(self):
        """Do what can be done without waiting: the exchanges that are done."""
        cdef epoll_event events[EVENTS]
        cdef Exchange exchange
        cdef list finished = []
        cdef int count = epoll_wait(self._fd, events, EVENTS, 0)
        cdef int i
        # Data first: an exchange whose bytes are all there ends with its replies.
        for i in range(count):
            if events[i].data.u64 & FX_FTP_DATA:
                exchange = self._members.get(events[i].data.u64 >> 1)
                if exchange is not None and not exchange.x.done:
                    fx_ftp_data(&exchange.x, (events[i].events & (EPOLLRDHUP | EPOLLERR)) == EPOLLRDHUP)
                    if exchange.x.done:
                        finished.append(exchange)
        for i in range(count):
            if not events[i].data.u64 & FX_FTP_DATA:
                exchange = self._members.get(events[i].data.u64 >> 1)
                if exchange is not None and not exchange.x.done:
                    fx_ftp_control(&exchange.x)
                    if exchange.x.done:
                        finished.append(exchange)
        self.active.difference_update(finished)
        return finished

    def silent(self, double patience):
        """The exchanges for which nothing has come for *patience* seconds: left as they stand."""
        cdef int64_t since = fx_now() - <int64_t>(patience * NS)
        cdef Exchange exchange
        cdef list found = []
        for one in self.active:
            exchange = one
            if exchange.x.moved_at <= since:
                exchange.x.done = True
                found.append(exchange)
        self.active.difference_update(found)
        return found

    def withdraw(self, Exchange exchange not None):
        """Do not carry on with *exchange*."""
        exchange.x.done = True
        self.active.discard(exchange)

    def close(self):
        """Forget all exchanges. Idempotent."""
        for exchange in list(self._members.values()):
            self.forget(exchange)
        if self._fd >= 0:
            close(self._fd)
            self._fd = -1
