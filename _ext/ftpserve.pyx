"""System calls of the FTP server's hot paths, without the objects that the standard library makes around each."""

import os

cimport cython
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, strchr, strcmp, strlen

cdef extern from "Python.h":
    bytes PyUnicode_EncodeFSDefault(object text)

cdef extern from "errno.h" nogil:
    int errno
    int EAGAIN
    int EBUSY
    int ECONNABORTED
    int EEXIST
    int EINTR
    int EINVAL
    int EIO
    int EISDIR
    int ENOENT
    int EPERM
    int EPROTO
    int EWOULDBLOCK

cdef extern from "claims.h" nogil:
    int fx_claims_open()
    int fx_claim(uint64_t hash)
    void fx_unclaim(int number, uint64_t hash)
    bint fx_claimed(uint64_t hash)
    bint fx_claims_stand()
    uint64_t fx_claim_place(uint64_t device, uint64_t inode)
    uint64_t fx_claim_hash(uint64_t name, uint64_t place)

cdef extern from *:
    """
    #include <errno.h>
    static inline void fx_fail(int error) { errno = error; }
    """
    void fx_fail(int error) nogil

cdef extern from "fcntl.h" nogil:
    int AT_SYMLINK_NOFOLLOW
    int O_CLOEXEC
    int O_CREAT
    int O_NOFOLLOW
    int O_NONBLOCK
    int O_RDWR
    int openat(int directory, const char* name, int flags, unsigned int mode)

cdef extern from "sys/file.h" nogil:
    int LOCK_EX
    int LOCK_NB
    int flock(int fd, int operation)

cdef extern from "sys/stat.h" nogil:
    cdef struct stat_t "stat":
        uint64_t st_dev
        uint64_t st_ino
        long long st_size
        unsigned int st_mode
    int fstat(int fd, stat_t* status)
    int fstatat(int directory, const char* name, stat_t* status, int flags)
    bint S_ISREG(unsigned int mode)
    bint S_ISDIR(unsigned int mode)

cdef extern from "sys/socket.h" nogil:
    ctypedef unsigned int socklen_t
    cdef struct sockaddr:
        unsigned short sa_family
    cdef struct sockaddr_storage:
        unsigned short ss_family
    int AF_INET
    int AF_INET6
    int SOCK_CLOEXEC
    int SOCK_NONBLOCK
    int accept4(int fd, sockaddr* address, socklen_t* size, int flags)

cdef extern from "netinet/in.h" nogil:
    cdef struct in_addr:
        pass
    cdef struct in6_addr:
        pass
    cdef struct sockaddr_in:
        in_addr sin_addr
    cdef struct sockaddr_in6:
        in6_addr sin6_addr

cdef extern from "arpa/inet.h" nogil:
    const char* inet_ntop(int family, const void* address, char* text, socklen_t size)

cdef extern from "poll.h" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    short POLLIN
    int poll(pollfd* sockets, unsigned long count, int timeout)

cdef extern from "unistd.h" nogil:
    int close(int fd)
    int unlinkat(int directory, const char* name, int flags)

if fx_claims_open() < 0:
    raise MemoryError

cdef enum:
    TEXT = 64
    PERMISSIONS = 0o7777


cdef object failure(int error, str name=None):
    return OSError(error, os.strerror(error)) if name is None else OSError(error, os.strerror(error), name)


cdef int next_connection(int listener, sockaddr_storage* address) noexcept nogil:
    """The next connection that is still there; -1 if there is none or, with another errno than EAGAIN, no more."""
    cdef socklen_t size
    cdef int fd
    while True:
        size = sizeof(sockaddr_storage)
        fd = accept4(listener, <sockaddr*>address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd >= 0 or (errno != ECONNABORTED and errno != EPROTO and errno != EINTR and errno != EPERM):
            return fd


def accept(int listener):
    cdef sockaddr_storage address
    cdef char text[TEXT]
    cdef const char* shown = NULL
    cdef int fd
    with nogil:
        fd = next_connection(listener, &address)
    if fd < 0:
        if errno == EAGAIN or errno == EWOULDBLOCK:
            return None
        raise failure(errno)
    if address.ss_family == AF_INET:
        shown = inet_ntop(AF_INET, &(<sockaddr_in*>&address).sin_addr, text, TEXT)
    elif address.ss_family == AF_INET6:
        shown = inet_ntop(AF_INET6, &(<sockaddr_in6*>&address).sin6_addr, text, TEXT)
    return fd, "" if shown == NULL else (<bytes>shown).decode("ascii")


cdef bint nobody_waits(int listener) noexcept:
    """As accept(2) would tell, which makes a socket before it looks whether there is a connection for it."""
    cdef pollfd waiting
    waiting.fd = listener
    waiting.events = POLLIN
    waiting.revents = 0
    return poll(&waiting, 1, 0) == 0


def turn_away(int listener, int most):
    cdef sockaddr_storage address
    cdef int fd = 0
    if nobody_waits(listener):
        return True
    with nogil:
        for _ in range(most):
            fd = next_connection(listener, &address)
            if fd < 0:
                break
            close(fd)
    return fd < 0 and (errno == EAGAIN or errno == EWOULDBLOCK)


cdef bytes encoded(str name):
    cdef bytes text = PyUnicode_EncodeFSDefault(name)
    if strlen(text) != <size_t>len(text):
        raise ValueError("embedded null byte")
    return text


def entry_mode(int directory, str name not None):
    cdef bytes text = encoded(name)
    cdef const char* path = text
    cdef stat_t status
    cdef int result
    with nogil:
        result = fstatat(directory, path, &status, AT_SYMLINK_NOFOLLOW)
    if result == 0:
        return status.st_mode
    if errno == ENOENT:
        return 0
    raise failure(errno, name)


cdef uint64_t name_hash(bytes name) except? 0:
    return <uint64_t>hash(name)


cdef uint64_t place_of(int directory) noexcept nogil:
    """What tells a directory from others: see claims.h."""
    cdef stat_t status
    return 0 if fstat(directory, &status) < 0 else fx_claim_place(status.st_dev, status.st_ino)


cdef bint claimed(int directory, uint64_t hashed) noexcept nogil:
    return fx_claims_stand() and fx_claimed(fx_claim_hash(hashed, place_of(directory)))


cdef int open_and_lock(
    int directory, const char* path, uint64_t hashed, unsigned int mode, stat_t* status
) noexcept nogil:
    """The descriptor, or an error as a negative number."""
    cdef stat_t current
    cdef int fd
    cdef int error
    if claimed(directory, hashed):
        return -EBUSY
    while True:
        fd = openat(directory, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, mode)
        if fd < 0:
            if errno == EINTR:
                continue
            return -errno
        error = 0
        if flock(fd, LOCK_EX | LOCK_NB) < 0:
            error = EBUSY if errno == EWOULDBLOCK else errno
        elif fstat(fd, status) < 0:
            error = errno
        elif not S_ISREG(status.st_mode):
            error = EISDIR if S_ISDIR(status.st_mode) else EINVAL
        elif fstatat(directory, path, &current, AT_SYMLINK_NOFOLLOW) < 0:
            error = 0 if errno == ENOENT else errno
        elif current.st_ino == status.st_ino and current.st_dev == status.st_dev:
            if not claimed(directory, hashed):
                return fd
            # Claimed by somebody who did not see this file, which is removed if it was made here.
            error = EBUSY
            if status.st_size == 0:
                unlinkat(directory, path, 0)
        close(fd)
        if error:
            return -error


def open_partial(int directory, str name not None, unsigned int mode):
    cdef bytes text = encoded(name)
    cdef const char* path = text
    cdef uint64_t hashed = name_hash(text)
    cdef stat_t status
    cdef int fd
    with nogil:
        fd = open_and_lock(directory, path, hashed, mode, &status)
    if fd < 0:
        raise failure(-fd, name)
    return fd, status.st_size, status.st_mode & PERMISSIONS


include "ftpserve_bytes.pxi"
include "ftpserve_shortcut.pxi"
include "ftpserve_uploads.pxi"
