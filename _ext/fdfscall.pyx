# cython: binding=False
"""The ordinary FastDFS operations from their arguments to their results; see fdfscall.pyi."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from fastxfer._ext.places cimport Book, Link, Spin, fx_wait
from fastxfer._ext.wire cimport (
    HEAD_CAPACITY,
    FileFacts,
    FileId,
    decoded,
    file_id_in,
    file_info_in,
    file_source_in,
    put_download,
    put_file_request,
    put_upload,
)
from fastxfer._ext.xfer cimport begin_exchange, carry_exchange, fx_transfer, hold, iovec, side_name

cdef extern from "clock.h" nogil:
    int64_t fx_now()

cdef extern from "crc32.h" nogil:
    void fx_crc32_init()
    uint32_t fx_crc32(uint32_t crc, const void* p, size_t n)

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define FX_BORROWS 0
    #else
    #define FX_BORROWS 1
    #endif
    """
    # Whether what a dictionary lends stays while a function of this module looks at it.
    bint FX_BORROWS

cdef enum:
    UPLOAD_FILE = 11
    DELETE_FILE = 12
    DOWNLOAD_FILE = 14
    QUERY_FILE_INFO = 22
    STORE_PATH_ANY = 0xFF
    # Bytes of source server in a name.
    SOURCE_WIDTH = 4

cdef double NS = 1e9
# A little before the year 10000, wherever: what is later is left to who can say that it is no time.
cdef int64_t LAST_MOMENT = 253370764800
cdef double LONGEST = 4e9

fx_crc32_init()


cdef inline object found_in(dict table, object key):
    """``table.get(key)``."""
    if FX_BORROWS:
        found = PyDict_GetItemWithError(table, key)
        return None if found is NULL else <object>found
    return table.get(key)


@cython.final
@cython.freelist(16)
cdef class Begun:
    cdef readonly object address
    cdef readonly Link connection
    cdef readonly int error
    cdef readonly int status
    cdef readonly bytes body
    cdef readonly int64_t sent
    cdef readonly int64_t received
    cdef readonly uint32_t crc32
    cdef readonly bint early
    cdef int side

    @property
    def error_side(self):
        return side_name(self.side)

    cdef void note(self, const fx_transfer* t) noexcept:
        self.error = t.error
        self.status = t.status
        self.sent = t.sent
        self.received = t.received
        self.crc32 = t.crc32
        self.early = t.early
        self.side = t.side


@cython.final
cdef class Shortcut:
    cdef Book book
    cdef dict routes
    cdef dict targets
    cdef dict down
    cdef object find
    cdef object give
    cdef object drop
    cdef object info_type
    cdef object new_object
    cdef int64_t timeout
    cdef int64_t spin
    cdef int64_t reply_limit
    cdef int64_t longest_upload
    cdef int64_t longest_download
    cdef int64_t longest_move
    cdef bint verify
    cdef Spin upload_spin
    cdef Spin delete_spin
    cdef Spin download_spin
    cdef Spin info_spin

    def __init__(
        self,
        Book book not None,
        dict routes not None,
        dict targets not None,
        dict down not None,
        *,
        find,
        give,
        drop,
        info_type,
        double timeout,
        spin,
        spins,
        bint verify,
        int64_t reply_limit,
        int64_t longest_upload,
        int64_t longest_download,
        int64_t longest_move,
    ):
        self.book = book
        self.routes = routes
        self.targets = targets
        self.down = down
        self.find = find
        self.give = give
        self.drop = drop
        self.info_type = info_type
        self.new_object = object.__new__
        self.timeout = -1 if timeout > LONGEST else <int64_t>(timeout * NS)
        self.spin = -1 if spin is None else spin
        self.verify = verify
        self.reply_limit = reply_limit
        self.longest_upload = longest_upload
        self.longest_download = longest_download
        self.longest_move = longest_move
        self.upload_spin = spins[UPLOAD_FILE]
        self.delete_spin = spins[DELETE_FILE]
        self.download_spin = spins[DOWNLOAD_FILE]
        self.info_spin = spins[QUERY_FILE_INFO]

    def upload(self, data, extension, group=None, store_path=None, /):
        cdef char head[HEAD_CAPACITY]
        cdef iovec parts[2]
        cdef fx_transfer t
        cdef Begun begun
        cdef FileId stored
        cdef Py_ssize_t size
        cdef int path = STORE_PATH_ANY
        if type(extension) is not str or (group is not None and type(group) is not str):
            return None
        try:
            _held = hold(data, &parts[1])
        except (TypeError, BufferError):
            return None
        size = parts[1].iov_len
        if size > self.longest_move:
            return None
        if store_path is not None:
            if type(store_path) is not int or not 0 <= store_path <= 255:
                return None
            path = store_path
        try:
            parts[0].iov_len = put_upload(head, UPLOAD_FILE, path, size, extension)
        except ValueError:
            return None
        address = self.next_target(group)
        if address is None:
            return None
        parts[0].iov_base = head
        begin_exchange(&t, parts, 2 if size else 1, self.reply_limit, True)
        if size and self.verify:
            # Folded while the server is busy with it.
            t.crc = t.has_from = True
            t.source = <const uint8_t*>parts[1].iov_base
            t.unfolded = size
        begun = self.ask(address, &t, True, self.upload_spin if size <= self.longest_upload else None)
        if begun.connection is None or begun.error or begun.status:
            return begun
        try:
            file_id = file_id_in(PyBytes_AS_STRING(begun.body), PyBytes_GET_SIZE(begun.body))
            stored = decoded(file_id)
        except ValueError:
            return begun
        except BaseException:
            self.drop(begun.connection)
            raise
        if self.verify and stored.told_size() >= 0:
            if stored.told_size() != size or stored.checksum != begun.crc32:
                return begun
        self.keep(begun.connection)
        return file_id

    def delete(self, file_id, /):
        cdef char head[HEAD_CAPACITY]
        cdef iovec part
        cdef fx_transfer t
        cdef Begun begun
        address = self.route(self.parsed(file_id), True)
        if address is None:
            return None
        part.iov_base = head
        part.iov_len = put_file_request(head, DELETE_FILE, file_id, 0)
        begin_exchange(&t, &part, 1, self.reply_limit, True)
        begun = self.ask(address, &t, False, self.delete_spin)
        if begun.connection is None or begun.error or begun.status:
            return begun
        self.keep(begun.connection)
        return True

    def info(self, file_id, flags=0, /):
        cdef char head[HEAD_CAPACITY]
        cdef iovec part
        cdef fx_transfer t
        cdef Begun begun
        cdef FileFacts facts
        if type(flags) is not int or not 0 <= flags <= 255:
            return None
        address = self.route(self.parsed(file_id), False)
        if address is None:
            return None
        part.iov_base = head
        part.iov_len = put_file_request(head, QUERY_FILE_INFO, file_id, flags)
        begin_exchange(&t, &part, 1, self.reply_limit, True)
        begun = self.ask(address, &t, False, self.info_spin)
        if begun.connection is None or begun.error or begun.status:
            return begun
        try:
            file_info_in(PyBytes_AS_STRING(begun.body), PyBytes_GET_SIZE(begun.body), &facts)
        except ValueError:
            return begun
        if facts.size < 0 or not 0 <= facts.modified <= LAST_MOMENT:
            return begun
        self.keep(begun.connection)
        info = self.new_object(self.info_type)
        info.file_size = facts.size
        info.crc32 = facts.crc32
        info.source_ip_addr = file_source_in(PyBytes_AS_STRING(begun.body), PyBytes_GET_SIZE(begun.body))
        info.stored_at = facts.modified
        return info

    def download(self, file_id, /):
        cdef char head[HEAD_CAPACITY]
        cdef iovec part
        cdef fx_transfer t
        cdef Begun begun
        cdef FileId file = self.parsed(file_id)
        cdef int64_t size
        if file is None:
            return None
        size = file.told_size()
        if size < 1 or size > self.longest_move:
            return None
        address = self.route(file, False)
        if address is None:
            return None
        part.iov_base = head
        part.iov_len = put_download(head, file_id, 0, 0)
        begin_exchange(&t, &part, 1, size, True)
        if size <= self.longest_download:
            begun = self.ask(address, &t, False, self.download_spin)
        else:
            t.recv_count = size
            t.crc = self.verify
            begun = self.ask(address, &t, False, None)
        if begun.connection is None or begun.error or begun.status or PyBytes_GET_SIZE(begun.body) != size:
            return begun
        if self.verify:
            if not t.crc:
                begun.crc32 = fx_crc32(0, PyBytes_AS_STRING(begun.body), size)
            if begun.crc32 != file.checksum:
                return begun
        self.keep(begun.connection)
        return begun.body

    cdef FileId parsed(self, object file_id):
        """None for what is no file ID."""
        if type(file_id) is not str:
            return None
        try:
            return decoded(file_id)
        except ValueError:
            return None

    cdef object route(self, FileId file, bint update):
        """The address of *file*'s source; None where there is more to consider."""
        cdef bytes key
        cdef tuple route
        if file is None:
            return None
        key = PyBytes_FromStringAndSize(NULL, file.group_length + SOURCE_WIDTH)
        memcpy(PyBytes_AS_STRING(key), file.source, SOURCE_WIDTH)
        memcpy(PyBytes_AS_STRING(key) + SOURCE_WIDTH, file.group_text(), file.group_length)
        route = found_in(self.routes, key)
        if route is None:
            route = self.find(key, file)
            if route is None:
                return None
        address = route[1 if update else 0]
        if address is None or (self.down and address in self.down):
            return None
        return None if fx_now() / NS >= <double>route[2].at else address

    cdef object next_target(self, object group):
        """The server whose turn it is to take an upload; None where there is more to consider."""
        targets = found_in(self.targets, group)
        if targets is None or fx_now() / NS >= <double>targets.due.at:
            return None
        addresses = targets.addresses
        count = len(addresses)
        if not count:
            return None
        address = addresses[0 if count == 1 else next(targets.turn) % count]
        # Whether it is time to try that one again is not for here to say.
        return None if self.down and address in self.down else address

    cdef Begun ask(self, object address, fx_transfer* t, bint certain, Spin spin):
        """The exchange *t* with *address*, if a connection that surely lives is there. *spin*: of a small one, which is
        to be over in the whole of the time; else that is how long no byte may move."""
        cdef Begun begun = Begun.__new__(Begun)
        cdef fx_wait wait
        begun.address = address
        begun.connection = self.book.take_idle(address, certain)
        if begun.connection is None:
            return begun
        memset(&wait, 0, sizeof(wait))
        if self.spin >= 0:
            wait.poll = self.spin * 1000
        elif spin is not None:
            spin.plan_wait(self.book.busy, &wait)
        if spin is None:
            t.idle = self.timeout
        else:
            t.timeout = self.timeout
        try:
            begun.body = carry_exchange(t, begun.connection.fd, &wait)
        except BaseException:
            self.drop(begun.connection)
            raise
        begun.note(t)
        if spin is not None and self.spin < 0 and not begun.error:
            spin.learn_from(&wait)
        return begun

    cdef int keep(self, Link connection) except -1:
        if not self.book.keep_idle(connection):
            self.give(connection)
        return 0
