# The commands around a small file, from the line to the reply, without the interpreter.

cdef extern from *:
    """
    #include <sys/syscall.h>
    #ifndef SYS_openat2
    #define SYS_openat2 437
    #endif
    struct fx_open_how {
        unsigned long long flags, mode, resolve;
    };
    static int fx_openat2(int top, const char *path, unsigned long long flags)
    {
        /* RESOLVE_NO_MAGICLINKS and RESOLVE_BENEATH */
        struct fx_open_how how = {flags, 0, 0x02 | 0x08};
        return (int)syscall(SYS_openat2, top, path, &how, sizeof how);
    }
    """
    int fx_openat2(int top, const char* path, unsigned long long flags) nogil

cdef extern from "Python.h":
    str PyUnicode_DecodeFSDefaultAndSize(const char* text, Py_ssize_t size)

cdef extern from "fcntl.h" nogil:
    int O_DIRECTORY
    int O_NOCTTY
    int O_PATH
    int O_RDONLY

cdef extern from "sys/types.h" nogil:
    ctypedef long long off_t

cdef extern from "sys/sendfile.h" nogil:
    ssize_t sendfile(int target, int source, off_t* offset, size_t count)

cdef extern from "sys/socket.h" nogil:
    int MSG_MORE
    int MSG_NOSIGNAL
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
    int unlinkat(int directory, const char* name, int flags)

cdef enum:
    COPIED = 16384
    SENT = 65536
    LONGEST_PATH = 4000
    MOST_STRANGERS = 16
    REPLY = 512


cdef double monotonic() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec * 1e-9


cdef Py_ssize_t say(int control, const char* text, Py_ssize_t size) noexcept nogil:
    """How much of a reply the control connection took; whoever sends the rest finds out what is wrong."""
    cdef ssize_t sent
    while True:
        sent = send(control, text, size, MSG_NOSIGNAL)
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


@cython.final
cdef class Shortcut:
    cdef int control
    cdef int listener
    cdef int top
    cdef bytes address
    cdef bytes epsv
    cdef bytes pasv
    cdef bytes prefix
    cdef bytes suffix
    cdef bytes sending
    cdef bytes sent
    cdef bytes opening
    cdef object partial_name
    cdef bint reads
    cdef bint writes
    cdef bint replaces
    cdef bint beneath
    cdef unsigned int mode
    cdef Py_ssize_t max_line
    cdef int waiting
    cdef str waiting_address
    cdef readonly int uses
    cdef readonly bint prepared
    cdef readonly double kept_since

    def __cinit__(self):
        self.waiting = -1

    def __init__(
        self,
        int control,
        int listener,
        int top,
        *,
        str address not None,
        bytes epsv not None,
        bytes pasv not None,
        bytes sending not None,
        bytes sent not None,
        bytes opening not None,
        str cwd not None,
        str suffix not None,
        object partial_name,
        bint reads,
        bint writes,
        bint replaces,
        bint beneath,
        unsigned int mode,
        int uses,
        Py_ssize_t max_line,
    ):
        if len(sending) + len(sent) > REPLY - TEXT:
            raise ValueError("the replies are too long")
        self.control = control
        self.listener = listener
        self.top = top
        self.address = address.encode("ascii")
        self.epsv = epsv
        self.pasv = pasv
        self.sending = sending
        self.sent = sent
        self.opening = opening
        self.prefix = encoded(cwd[1:])
        self.suffix = encoded(suffix)
        self.partial_name = partial_name
        self.reads = reads
        self.writes = writes
        self.replaces = replaces
        self.beneath = beneath
        self.mode = mode
        self.uses = uses
        self.max_line = max_line
        self.kept_since = monotonic()

    def __dealloc__(self):
        if self.waiting >= 0:
            close(self.waiting)

    def serve(self, bytes line not None):
        cdef const char* text = line
        cdef Py_ssize_t size = len(line)
        if size < 6 or size > self.max_line or text[size - 1] != c"\n" or text[size - 2] != c"\r":
            return False
        if size == 6:
            if memcmp(text, b"EPSV", 4) == 0:
                return self.listen(self.epsv)
            if memcmp(text, b"PASV", 4) == 0:
                return self.listen(self.pasv)
            return False
        if text[4] != c" " or not self.prepared or self.waiting >= 0:
            return False
        if self.reads and memcmp(text, b"RETR", 4) == 0:
            return self.retrieve(text + 5, size - 7)
        if self.writes and memcmp(text, b"STOR", 4) == 0:
            return self.store(text + 5, size - 7)
        return False

    def keep(self):
        self.prepared = False
        self.kept_since = monotonic()

    def take(self):
        cdef int fd = self.waiting
        if fd < 0:
            return None
        self.waiting = -1
        return fd, self.waiting_address

    cdef object listen(self, bytes reply):
        cdef const char* text = reply
        cdef Py_ssize_t size = len(reply)
        cdef Py_ssize_t sent
        if self.prepared or self.uses < 1 or size == 0 or self.waiting >= 0:
            return False
        if not turn_away(self.listener, MOST_STRANGERS):
            return False
        self.uses -= 1
        self.prepared = True
        with nogil:
            sent = say(self.control, text, size)
        return True if sent == size else reply[sent:]

    cdef int accepted(self) except -2:
        """The client's connection; -1 if it is not there, or somebody else's has come first."""
        cdef sockaddr_storage address
        cdef char text[TEXT]
        cdef const char* shown = NULL
        cdef const char* expected = self.address
        cdef int fd
        with nogil:
            fd = next_connection(self.listener, &address)
            if fd >= 0 and address.ss_family == AF_INET:
                shown = inet_ntop(AF_INET, &(<sockaddr_in*>&address).sin_addr, text, TEXT)
            elif fd >= 0 and address.ss_family == AF_INET6:
                shown = inet_ntop(AF_INET6, &(<sockaddr_in6*>&address).sin6_addr, text, TEXT)
        if fd < 0:
            return -1
        if shown != NULL and strcmp(shown, expected) == 0:
            return fd
        self.waiting = fd
        self.waiting_address = "" if shown == NULL else (<bytes>shown).decode("ascii")
        return -1

    cdef void give_back(self, int connection):
        self.waiting = connection
        self.waiting_address = self.address.decode("ascii")

    cdef bytes relative(self, const char* argument, Py_ssize_t size):
        """The path below the top; None for one that must be looked at more closely."""
        cdef bytes path
        cdef Py_ssize_t ending = len(self.suffix)
        if size and argument[0] == c"/":
            path = argument[1:size]
        elif self.prefix:
            path = self.prefix + b"/" + argument[:size]
        else:
            path = argument[:size]
        size = len(path)
        if not size or size > LONGEST_PATH or not plain_path(path, size):
            return None
        return None if ending and path.endswith(self.suffix) else path

    cdef object retrieve(self, const char* argument, Py_ssize_t size):
        cdef bytes path = self.relative(argument, size)
        cdef const char* name
        cdef const char* before = self.sending
        cdef const char* behind = self.sent
        cdef char reply[REPLY]
        cdef stat_t status
        cdef int fd
        cdef int connection
        cdef int length = 0
        cdef Py_ssize_t sent = 0
        cdef ssize_t moved = 0
        if path is None:
            return False
        name = path
        if strchr(name, c"/") != NULL and not self.beneath:
            return False
        with nogil:
            if strchr(name, c"/") == NULL:
                fd = openat(self.top, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW, 0)
            else:
                fd = fx_openat2(self.top, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
            if fd >= 0 and (fstat(fd, &status) < 0 or not S_ISREG(status.st_mode) or status.st_size > SENT):
                close(fd)
                fd = -1
        if fd < 0:
            return False
        connection = self.accepted()
        if connection < 0:
            close(fd)
            return False
        with nogil:
            if status.st_size:
                moved = send_body(connection, fd, 0, status.st_size)
            if moved == status.st_size:
                close(connection)
                length = snprintf(reply, REPLY, b"%s%lld%s", before, <long long>status.st_size, behind)
                sent = say(self.control, reply, length)
                close(fd)
        if moved < status.st_size:
            return "RETR", "/" + PyUnicode_DecodeFSDefaultAndSize(name, len(path)), fd, connection, moved
        self.keep()
        return True if sent == length else reply[sent:length]

    cdef object store(self, const char* argument, Py_ssize_t size):
        cdef bytes path = self.relative(argument, size)
        cdef bytes folder
        cdef bytes name
        cdef str partial
        cdef bytes partial_path
        cdef const char* text
        cdef int directory = self.top
        cdef int connection
        cdef int fd
        cdef Py_ssize_t sent
        if path is None:
            return False
        folder, _, name = path.rpartition(b"/")
        if folder and not self.beneath:
            return False
        connection = self.accepted()
        if connection < 0:
            return False
        try:
            partial = self.partial_name(PyUnicode_DecodeFSDefaultAndSize(name, len(name)))
            partial_path = encoded(partial)
        except BaseException:
            self.give_back(connection)
            raise
        if folder:
            text = folder
            with nogil:
                directory = fx_openat2(self.top, text, O_PATH | O_DIRECTORY | O_CLOEXEC)
        fd = -1 if directory < 0 else self.open_upload(directory, name, partial_path)
        if fd < 0:
            if directory >= 0 and directory != self.top:
                close(directory)
            self.give_back(connection)
            return False
        text = self.opening
        size = len(self.opening)
        with nogil:
            sent = say(self.control, text, size)
        path_text = "/" + PyUnicode_DecodeFSDefaultAndSize(path, len(path))
        return "STOR", path_text, fd, connection, directory, partial, self.opening[sent:]

    cdef int open_upload(self, int directory, const char* name, const char* partial) noexcept:
        """The descriptor of the file to be filled; -1 where nothing was done."""
        cdef stat_t existing
        cdef stat_t status
        cdef unsigned int mode = self.mode
        cdef bint replacing
        cdef int fd
        with nogil:
            replacing = fstatat(directory, name, &existing, AT_SYMLINK_NOFOLLOW) == 0
            if not replacing and errno != ENOENT:
                return -1
            if replacing:
                if not self.replaces or not S_ISREG(existing.st_mode):
                    return -1
                mode = existing.st_mode & 0o777
            fd = open_and_lock(directory, partial, mode, &status)
            if fd < 0:
                return -1
            if (status.st_size and ftruncate(fd, 0) < 0) or (
                replacing and mode != status.st_mode & PERMISSIONS and fchmod(fd, mode) < 0
            ):
                unlinkat(directory, partial, 0)
                close(fd)
                return -1
        return fd


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
