# The commands around a small file, from the line to the reply, without the interpreter.

cdef class Uploads


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
    cdef Uploads uploads
    cdef object owner
    cdef object transport
    cdef object ended
    cdef int fd
    cdef int connection
    cdef int directory
    cdef off_t received
    cdef bytes path
    cdef bytes name
    cdef bytes partial
    cdef int claim
    cdef uint64_t claimed
    cdef uint64_t top_place
    cdef bint nameless
    cdef uint64_t proven
    cdef readonly double uploading_since
    cdef bint reads
    cdef bint writes
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
        self.fd = -1
        self.connection = -1
        self.directory = -1
        self.claim = -1

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
        bint beneath,
        unsigned int mode,
        int uses,
        Py_ssize_t max_line,
        Uploads uploads=None,
        object owner=None,
        object transport=None,
        object ended=None,
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
        self.beneath = beneath
        self.mode = mode
        self.uses = uses
        self.uploads = uploads
        self.nameless = uploads is not None
        self.owner = owner
        self.transport = transport
        self.ended = ended
        self.max_line = max_line
        self.kept_since = monotonic()

    def __dealloc__(self):
        if self.waiting >= 0:
            close(self.waiting)
        self.unclaim()
        if self.fd >= 0:
            close(self.fd)
            close(self.connection)
            if self.directory != self.top:
                close(self.directory)

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
        if text[4] != c" " or not self.prepared or self.waiting >= 0 or self.fd >= 0:
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

    def release(self):
        if self.fd < 0:
            return None
        self.uploads.forget(self)
        return self.left(b"")

    cdef object left(self, bytes unsent, int error=0):
        """The upload as it stands, which is others' from now on; under its hidden name, if it had none yet."""
        cdef const char* partial = self.partial
        cdef off_t received = self.received
        with nogil:
            if self.fd >= 0 and self.claim >= 0 and self.name_beside(partial) < 0:
                error = errno
                close(self.fd)
                self.fd = -1
            if self.fd < 0:
                if self.directory != self.top:
                    close(self.directory)
                self.directory = -1
                self.unclaim()
        path = "/" + PyUnicode_DecodeFSDefaultAndSize(self.path, len(self.path))
        hidden = PyUnicode_DecodeFSDefaultAndSize(self.partial, len(self.partial))
        rest = "STOR", path, self.fd, self.connection, self.directory, hidden, unsent, error or received
        self.fd = self.connection = self.directory = -1
        self.uploading_since = 0
        return rest

    cdef void unclaim(self) noexcept nogil:
        if self.claim >= 0:
            fx_unclaim(self.claim, self.claimed)
            self.claim = -1

    cdef int name_beside(self, const char* partial) noexcept nogil:
        """Give the claimed upload its hidden name; -1 and errno where it cannot have that."""
        # It is locked before anybody can see it.
        if flock(self.fd, LOCK_EX | LOCK_NB) < 0 or give_name(self.fd, self.directory, partial) < 0:
            self.nameless = False
            if errno == EEXIST:
                fx_fail(EBUSY)
            return -1
        self.unclaim()
        return 0

    cdef int name_it(self, const char* partial, const char* name) noexcept nogil:
        """Give the whole upload its name; -1 and errno where it cannot have that."""
        if self.claim >= 0:
            if give_name(self.fd, self.directory, name) == 0:
                self.unclaim()
                return 0
            # Somebody else has had the name since the upload began.
            if errno != EEXIST or self.name_beside(partial) < 0:
                return -1
        return renameat(self.directory, partial, self.directory, name)

    cdef object arrived(self, bint over):
        """None where more is expected, or nothing is left to be done; else what is: see :meth:`Uploads.collect`."""
        cdef bint direct = not self.transport.is_closing() and not self.transport.get_write_buffer_size()
        cdef const char* partial = self.partial
        cdef const char* name = self.name
        cdef const char* text = self.uploads.complete
        cdef Py_ssize_t size = len(self.uploads.complete)
        cdef Py_ssize_t sent = 0
        cdef int arrival
        cdef int error = 0
        with nogil:
            arrival = receive_body(self.connection, self.fd, &self.received, over)
            if arrival == WHOLE and self.name_it(partial, name) < 0:
                arrival = FILE_FAILED
            if arrival == WHOLE:
                if direct:
                    sent = say(self.control, text, size)
                # Where a process that was started meanwhile still has the connection, it stays in the poll set, silent.
                close(self.fd)
                close(self.connection)
                if self.directory != self.top:
                    close(self.directory)
            else:
                error = errno
                if arrival == EXPECTED and not self.uploads.poll(EPOLL_CTL_MOD, self):
                    arrival = LARGE
        if arrival == EXPECTED:
            return None
        if arrival != WHOLE:
            return self.release(), error if arrival != LARGE else 0, arrival == FILE_FAILED
        self.uploads.waiting.discard(self)
        self.fd = self.connection = self.directory = -1
        if self.ended is not None:
            self.tell("STOR", self.path, self.received, self.uploading_since)
        self.uploading_since = 0
        self.keep()
        return None if sent == size else self.uploads.complete[sent:]

    cdef int tell(self, str verb, bytes path, off_t moved, double started) except -1:
        """Have the transfer entered where its like are."""
        self.ended(verb, "/" + PyUnicode_DecodeFSDefaultAndSize(path, len(path)), moved, started)
        return 0

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
        cdef double started = 0
        if path is None:
            return False
        if self.ended is not None:
            started = monotonic()
        name = path
        if strchr(name, c"/") != NULL and not self.beneath:
            return False
        with nogil:
            if strchr(name, c"/") == NULL:
                fd = openat(self.top, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW, 0)
            else:
                fd = fx_openat2(self.top, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0)
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
        if self.ended is not None:
            self.tell("RETR", path, moved, started)
        return True if sent == length else reply[sent:length]

    cdef object store(self, const char* argument, Py_ssize_t size):
        cdef bytes path = self.relative(argument, size)
        cdef bytes folder
        cdef bytes name
        cdef bytes partial
        cdef uint64_t hashed
        cdef const char* text
        cdef int directory = self.top
        cdef int connection
        cdef int fd
        cdef int error = 0
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
            partial = self.partial_name(name)
            hashed = name_hash(partial)
        except BaseException:
            self.give_back(connection)
            raise
        if folder:
            text = folder
            with nogil:
                directory = fx_openat2(self.top, text, O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        fd = -1 if directory < 0 else self.open_upload(directory, name, partial, hashed)
        if fd < 0 and fd != LATER:
            if directory >= 0 and directory != self.top:
                close(directory)
            self.give_back(connection)
            return False
        self.fd = fd
        self.connection = connection
        self.directory = directory
        self.received = 0
        self.path = path
        self.name = name
        self.partial = partial
        text = self.opening
        size = len(self.opening)
        with nogil:
            sent = say(self.control, text, size)
            if fd == LATER:
                self.fd = self.make_nameless(directory)
                error = errno
        if self.fd < 0:
            return self.left(self.opening[sent:], error)
        if sent == size and self.uploads is not None and self.uploads.expect(self):
            self.uploading_since = monotonic()
            return None
        return self.left(self.opening[sent:])

    cdef int open_upload(self, int directory, const char* name, const char* partial, uint64_t hashed) noexcept:
        """The descriptor of the file to be filled; -1 where nothing was done, LATER where it has only to be made."""
        cdef stat_t existing
        cdef stat_t status
        cdef unsigned int mode = self.mode
        cdef bint replacing
        cdef int fd
        with nogil:
            replacing = fstatat(directory, name, &existing, AT_SYMLINK_NOFOLLOW) == 0
            if not replacing and errno != ENOENT:
                return -1
            if not replacing and self.nameless:
                fd = self.open_nameless(directory, partial, hashed)
                if fd != -1:
                    return fd
            if replacing:
                if not S_ISREG(existing.st_mode):
                    return -1
                mode = existing.st_mode & 0o777
            fd = open_and_lock(directory, partial, hashed, mode, &status)
            if fd < 0:
                return -1
            if (status.st_size and ftruncate(fd, 0) < 0) or (
                replacing and mode != status.st_mode & PERMISSIONS and fchmod(fd, mode) < 0
            ):
                unlinkat(directory, partial, 0)
                close(fd)
                return -1
        return fd

    cdef int open_nameless(self, int directory, const char* partial, uint64_t hashed) noexcept nogil:
        """The descriptor of a file without any name, whose hidden name is claimed; -1 where it must have that at once.

        That is where something is to be replaced, or was left by an earlier upload, or another one goes on.
        """
        cdef stat_t left
        cdef uint64_t place
        cdef int fd = -1
        if directory == self.top:
            if not self.top_place:
                self.top_place = place_of(directory)
            place = self.top_place
        else:
            place = place_of(directory)
        self.claimed = fx_claim_hash(hashed, place)
        self.claim = fx_claim(self.claimed)
        if self.claim < 0:
            return -1
        if fstatat(directory, partial, &left, AT_SYMLINK_NOFOLLOW) < 0 and errno == ENOENT:
            if place and place == self.proven:
                # It can be made, as the last one was: the client need not wait for that.
                return LATER
            fd = self.make_nameless(directory)
            if fd >= 0 and give_name(fd, directory, b".") < 0 and errno != EEXIST:
                # Without /proc, older systems let only the privileged give it a name in the end.
                close(fd)
                fd = -1
                self.nameless = False
            if fd >= 0:
                self.proven = place
        if fd < 0:
            self.unclaim()
        return fd

    cdef int make_nameless(self, int directory) noexcept nogil:
        cdef int fd
        while True:
            fd = openat(directory, b".", O_RDWR | O_TMPFILE | O_CLOEXEC, self.mode)
            if fd >= 0:
                return fd
            if errno != EINTR:
                # Many file systems have no such files, and who may not make one may not make any.
                self.nameless = False
                return -1
