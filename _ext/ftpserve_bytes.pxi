# Bytes of small files and replies, as far as they go at once.

cdef extern from *:
    """
    #include <sys/syscall.h>
    #ifndef SYS_openat2
    #define SYS_openat2 437
    #endif
    struct fx_open_how {
        unsigned long long flags, mode, resolve;
    };
    static int fx_openat2(int top, const char *path, unsigned long long flags, unsigned long long mode)
    {
        /* RESOLVE_NO_MAGICLINKS and RESOLVE_BENEATH */
        struct fx_open_how how = {flags, mode, 0x02 | 0x08};
        return (int)syscall(SYS_openat2, top, path, &how, sizeof how);
    }
    """
    int fx_openat2(int top, const char* path, unsigned long long flags, unsigned long long mode) nogil

cdef enum:
    TRIES = 8


def openat2(int top, str path not None, int flags, unsigned int mode=0):
    cdef bytes encoded_path = encoded(path)
    cdef const char* text = encoded_path
    cdef int fd = -1
    with nogil:
        for _ in range(TRIES):
            fd = fx_openat2(top, text, <unsigned int>(flags | O_CLOEXEC), mode)
            if fd >= 0 or (errno != EAGAIN and errno != EINTR):
                break
    if fd < 0:
        raise failure(errno, path)
    return fd


cdef extern from "Python.h":
    str PyUnicode_DecodeFSDefaultAndSize(const char* text, Py_ssize_t size)

cdef extern from "fcntl.h" nogil:
    int AT_EMPTY_PATH
    int AT_FDCWD
    int AT_SYMLINK_FOLLOW
    int O_DIRECTORY
    int O_NOCTTY
    int O_PATH
    int O_RDONLY
    int O_TMPFILE

cdef extern from "sys/types.h" nogil:
    ctypedef long long off_t

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        void* ptr
    cdef struct epoll_event:
        unsigned int events
        epoll_data_t data
    int EPOLL_CLOEXEC
    int EPOLL_CTL_ADD
    int EPOLL_CTL_DEL
    int EPOLL_CTL_MOD
    int EPOLLERR
    int EPOLLHUP
    int EPOLLIN
    int EPOLLONESHOT
    int EPOLLPRI
    int EPOLLRDHUP
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event* event)
    int epoll_wait(int epoll, epoll_event* events, int room, int timeout)

cdef extern from "sys/sendfile.h" nogil:
    ssize_t sendfile(int target, int source, off_t* offset, size_t count)

cdef extern from "sys/socket.h" nogil:
    int MSG_MORE
    int MSG_NOSIGNAL
    ssize_t recv(int fd, void* data, size_t count, int flags)
    ssize_t send(int fd, const void* data, size_t count, int flags)

cdef extern from "sys/stat.h" nogil:
    int fchmod(int fd, unsigned int mode)

cdef extern from "stdio.h" nogil:
    int snprintf(char* text, size_t size, const char* format, ...)
    int renameat(int source_directory, const char* source, int target_directory, const char* target)

cdef extern from "time.h" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int clock_gettime(int clock, timespec* now)

cdef extern from "unistd.h" nogil:
    int ftruncate(int fd, off_t size)
    ssize_t pread(int fd, void* data, size_t count, off_t offset)
    ssize_t pwrite(int fd, const void* data, size_t count, off_t offset)
    int linkat(int source_directory, const char* source, int directory, const char* name, int flags)

cdef enum:
    COPIED = 16384
    SENT = 65536
    LONGEST_PATH = 4000
    MOST_STRANGERS = 16
    PIECE = 65536
    MOST_PIECES = 4
    READY = 64
    LATER = -2
    REPLY = 512


cdef double monotonic() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec * 1e-9


cdef Py_ssize_t say(int connection, const char* text, Py_ssize_t size, int flags=0) noexcept nogil:
    """How much of a text a connection took; whoever sends the rest finds out what is wrong."""
    cdef ssize_t sent
    while True:
        sent = send(connection, text, size, MSG_NOSIGNAL | flags)
        if sent >= 0:
            return sent
        if errno != EINTR:
            return 0


cdef ssize_t send_body(int connection, int fd, off_t offset, size_t count) noexcept nogil:
    """How much of a file went out at once; what fails is found again by whoever sends the rest.

    A little is copied, so that it and the end of the connection, which follows, make one packet.
    """
    cdef char body[COPIED]
    cdef ssize_t moved
    if count > COPIED:
        moved = sendfile(connection, fd, &offset, count)
        return 0 if moved < 0 else moved
    moved = pread(fd, body, count, offset)
    if moved <= 0:
        return 0
    moved = send(connection, body, moved, MSG_NOSIGNAL | MSG_MORE)
    return 0 if moved < 0 else moved


cdef int give_name(int fd, int directory, const char* name) noexcept nogil:
    """Give a file that has none its name, which must be free; -1 and errno where it cannot."""
    cdef char path[TEXT]
    if linkat(fd, b"", directory, name, AT_EMPTY_PATH) == 0:
        return 0
    if errno != ENOENT and errno != EINVAL:
        return -1
    # Before Linux 6.10 that was for the privileged alone.
    snprintf(path, TEXT, b"/proc/self/fd/%d", fd)
    return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW)


cdef enum Arrival:
    EXPECTED
    WHOLE
    LARGE
    SOURCE_FAILED
    FILE_FAILED


cdef int receive_body(int connection, int fd, off_t* received, bint over) noexcept nogil:
    """Take what has come for a file; how far that is. After a failure errno tells it.

    *over* tells that the end has come, behind what is there.
    """
    cdef char piece[PIECE]
    cdef ssize_t count
    cdef ssize_t written
    cdef ssize_t done
    for _ in range(MOST_PIECES):
        count = recv(connection, piece, PIECE, 0)
        if count == 0:
            return WHOLE
        if count < 0:
            if errno == EINTR:
                continue
            return EXPECTED if errno == EAGAIN or errno == EWOULDBLOCK else SOURCE_FAILED
        done = 0
        while done < count:
            written = pwrite(fd, piece + done, count - done, received[0])
            if written == 0:
                fx_fail(EIO)
            if written == 0 or (written < 0 and errno != EINTR):
                return FILE_FAILED
            if written > 0:
                done += written
                received[0] += written
        if over and count < PIECE:
            return WHOLE
    return LARGE


cdef bint plain_path(const char* path, Py_ssize_t size) noexcept nogil:
    """Whether it is relative, normalised, and free of control characters and of what may be a Telnet command."""
    cdef Py_ssize_t i
    cdef Py_ssize_t begin = 0
    cdef unsigned char byte
    for i in range(size + 1):
        byte = c"/" if i == size else <unsigned char>path[i]
        if byte < 0x20 or byte == 0x7F or byte == 0xFF:
            return False
        if byte == c"/":
            if i == begin or (path[begin] == c"." and (i == begin + 1 or (i == begin + 2 and path[begin + 1] == c"."))):
                return False
            begin = i + 1
    return True
