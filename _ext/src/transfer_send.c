/* The sending half: gathered buffers, then a file by sendfile or by read and send. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/sendfile.h>
#endif

#include "crc32.h"
#include "transfer_parts.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
#endif
#ifdef MSG_MORE
#define FX_MSG_MORE MSG_MORE
#else
#define FX_MSG_MORE 0
#endif

#define GATHER 64
#define SENDFILE_CHUNK ((int64_t)4 * 1024 * 1024)
/* What is read again for its CRC should be in the cache still. */
#define FOLDED_CHUNK ((int64_t)1024 * 1024)
#define READ_CHUNK ((int64_t)256 * 1024)
/* Memory is folded in pieces, so that others get their turns where it is long. */
#define FOLD_STEP ((int64_t)512 * 1024)

static void stop_sending(fx_transfer *t) {
    t->iov_count = 0;
    t->send_left = 0;
    t->unfolded = 0;
}

/* Whether the peer has answered, or gone, while the request is still being sent. A server that refuses a body says so
 * early, and may go on to take the rest of the body for requests: nothing more must be sent. */
static bool answered_early(fx_transfer *t) {
    if (t->framing != FX_FRAMING_FASTDFS || !atomic_load_explicit(&t->sent, memory_order_relaxed)) return false;
    uint8_t byte;
    ssize_t n = recv(t->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return false;
    t->early = true;
    stop_sending(t);
    return true;
}

/* Also after a send that took less than it was given: the socket is full then, and another try would only say so. */
static int wait_to_send(fx_transfer *t) {
    return fx_wait_for(t, t->fd, FX_WANT_WRITE | (t->framing == FX_FRAMING_FASTDFS ? FX_WANT_READ : 0));
}

/* A send or a sendfile has failed. */
static int send_failed(fx_transfer *t, int error) {
    if (error == EINTR) return FX_MOVED;
    if (error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS) return wait_to_send(t);
    if (t->framing == FX_FRAMING_FASTDFS && (error == EPIPE || error == ECONNRESET)) {
        /* The peer may have answered before it closed: look for the reply first. Where nothing has left, callers are told
         * EPIPE, whatever broke it: nothing can have been done. */
        t->broken = atomic_load_explicit(&t->sent, memory_order_relaxed) ? error : EPIPE;
        stop_sending(t);
        return FX_MOVED;
    }
    return fx_fail(t, error, FX_SIDE_SOCKET);
}

static void consume_buffers(fx_transfer *t, int64_t n) {
    while (t->iov_count && (size_t)n >= t->iov->iov_len) {
        n -= (int64_t)t->iov->iov_len;
        t->iov++;
        t->iov_count--;
    }
    if (n) {
        t->iov->iov_base = (uint8_t *)t->iov->iov_base + n;
        t->iov->iov_len -= (size_t)n;
    }
}

static void consume_file(fx_transfer *t, int64_t n) {
    t->send_offset += n;
    if (t->send_left > 0) t->send_left -= n;
}

/* Reads of a file that cannot seek (a pipe) take what comes. A gentle worker gets EAGAIN where it would have to wait,
 * on file systems that can tell. */
static ssize_t read_file(fx_transfer *t, const fx_worker *w, uint8_t *to, size_t size) {
    for (;;) {
#ifdef RWF_NOWAIT
        if (w->gentle) {
            struct iovec part = {.iov_base = to, .iov_len = size};
            ssize_t n = preadv2(t->send_fd, &part, 1, (off_t)t->send_offset, RWF_NOWAIT);
            if (n == (ssize_t)size || (n < 0 && errno == EAGAIN)) return n;
            if (n > 0) { /* part of it is at hand; the rest would have to be waited for */
                errno = EAGAIN;
                return -1;
            }
        }
#endif
        ssize_t n = pread(t->send_fd, to, size, (off_t)t->send_offset);
        if (n < 0 && errno == ESPIPE) n = read(t->send_fd, to, size);
        if (n >= 0 || errno != EINTR) return n;
    }
}

static int send_buffers(fx_transfer *t, fx_worker *w, int64_t allowed) {
    struct iovec parts[GATHER + 1];
    size_t count = 0;
    int64_t total = 0;
    while (count < GATHER && count < t->iov_count && total < allowed) {
        parts[count] = t->iov[count];
        if ((int64_t)parts[count].iov_len > allowed - total) parts[count].iov_len = (size_t)(allowed - total);
        total += (int64_t)parts[count++].iov_len;
    }
    bool all = count == t->iov_count && (total < allowed || !t->send_left);
    int64_t with_file = 0;
    if (all && t->send_left > 0 && t->send_left <= FX_SMALL_FILE && t->send_left <= allowed - total) {
        ssize_t n = read_file(t, w, w->scratch, (size_t)t->send_left);
        if (n < 0 && w->gentle && errno == EAGAIN) {
            fx_spend(t, 0);
            return FX_WANT_TURN;
        }
        if (n != t->send_left) return fx_fail(t, n < 0 ? errno : EIO, FX_SIDE_FILE);
        parts[count].iov_base = w->scratch;
        parts[count++].iov_len = (size_t)n;
        with_file = n;
    }
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = parts;
    message.msg_iovlen = count;
    int more = !all || t->send_left > with_file ? FX_MSG_MORE : 0;
    ssize_t n = sendmsg(t->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT | more);
    fx_spend(t, n > 0 ? n : 0);
    if (n < 0) return send_failed(t, errno);
    w->budget -= n;
    fx_add(&t->sent, n);
    if (n <= total) {
        consume_buffers(t, n);
    } else {
        consume_buffers(t, total);
        if (t->crc) t->crc32 = fx_crc32(t->crc32, w->scratch, (size_t)(n - total));
        consume_file(t, n - total);
    }
    return n < total + with_file ? wait_to_send(t) : FX_MOVED;
}

static int send_by_read(fx_transfer *t, fx_worker *w, int64_t count) {
    if (count > READ_CHUNK) count = READ_CHUNK;
    ssize_t got = read_file(t, w, w->scratch, (size_t)count);
    if (got <= 0) {
        fx_spend(t, 0);
        if (got < 0 && w->gentle && errno == EAGAIN) return FX_WANT_TURN;
        if (got < 0) return fx_fail(t, errno, FX_SIDE_FILE);
        if (t->send_left > 0) return fx_fail(t, EIO, FX_SIDE_FILE);
        t->send_left = 0;
        return FX_MOVED;
    }
    ssize_t n = send(t->fd, w->scratch, (size_t)got, MSG_NOSIGNAL | MSG_DONTWAIT | (got < t->send_left ? FX_MSG_MORE : 0));
    fx_spend(t, n > 0 ? n : 0);
    if (n < 0) return send_failed(t, errno);
    /* The CRC is that of the bytes that went out, whatever happens to the file meanwhile. */
    if (t->crc) t->crc32 = fx_crc32(t->crc32, w->scratch, (size_t)n);
    w->budget -= n;
    fx_add(&t->sent, n);
    consume_file(t, n);
    return n < got ? wait_to_send(t) : FX_MOVED;
}

#if defined(__linux__)
static ssize_t system_sendfile(int fd, int from, int64_t offset, int64_t count) {
    off_t position = (off_t)offset;
    return sendfile(fd, from, &position, (size_t)count);
}
#elif defined(__APPLE__)
static ssize_t system_sendfile(int fd, int from, int64_t offset, int64_t count) {
    off_t length = (off_t)count;
    int result = sendfile(from, fd, (off_t)offset, &length, NULL, 0);
    return result < 0 && length == 0 ? -1 : (ssize_t)length;
}
#else
static ssize_t system_sendfile(int fd, int from, int64_t offset, int64_t count) {
    errno = ENOSYS;
    return -1;
}
#endif

static bool refused(int error) {
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == ENOTSUP || error == ESPIPE ||
           error == ENOTSOCK;
}

/* Folds n bytes of the file that have just been sent by sendfile. Reading them again costs less than sending them from a
 * buffer. Should the file change in between, the CRC is that of neither state, and a comparison with the peer's tells. */
static bool fold_file(fx_transfer *t, const fx_worker *w, int64_t n) {
    for (int64_t offset = t->send_offset; n > 0;) {
        ssize_t got = pread(t->send_fd, w->scratch, (size_t)(n < READ_CHUNK ? n : READ_CHUNK), (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            fx_transfer_finish(t, got < 0 ? errno : EIO, FX_SIDE_FILE);
            return false;
        }
        t->crc32 = fx_crc32(t->crc32, w->scratch, (size_t)got);
        offset += got;
        n -= got;
    }
    return true;
}

static int send_by_sendfile(fx_transfer *t, fx_worker *w, int64_t count) {
    int64_t chunk = w->long_calls ? count : t->crc ? FOLDED_CHUNK : SENDFILE_CHUNK;
    if (count > chunk) count = chunk;
    ssize_t n = system_sendfile(t->fd, t->send_fd, t->send_offset, count);
    fx_spend(t, n > 0 ? n : 0);
    if (n > 0) {
        w->budget -= n;
        fx_add(&t->sent, n);
        if (t->crc && !fold_file(t, w, n)) return FX_MOVED;
        consume_file(t, n);
        return n < count ? wait_to_send(t) : FX_MOVED;
    }
    if (n == 0) { /* the file has ended, or is of a kind that does not say its size */
        if (t->send_left > 0) return fx_fail(t, EIO, FX_SIDE_FILE);
        t->send_left = 0;
        return FX_MOVED;
    }
    if (refused(errno)) {
        t->use_sendfile = false;
        return FX_MOVED;
    }
    if (errno == EIO || errno == EISDIR || errno == EOVERFLOW || errno == ESTALE) return fx_fail(t, errno, FX_SIDE_FILE);
    return send_failed(t, errno);
}

/* All of the body has been sent, and the peer is busy with it: folding now keeps nobody waiting. */
int fx_fold_part(fx_transfer *t, fx_worker *w) {
    int64_t n = t->unfolded < FOLD_STEP ? t->unfolded : FOLD_STEP;
    t->crc32 = fx_crc32(t->crc32, t->from, (size_t)n);
    t->from += n;
    t->unfolded -= n;
    w->budget -= n;
    return FX_MOVED;
}

int fx_send_part(fx_transfer *t, fx_worker *w) {
    if (w->gentle && (t->send_left < 0 || t->send_left > FX_SMALL_FILE)) return FX_WANT_TURN;
    if (answered_early(t)) return FX_MOVED;
    int64_t allowed = fx_allowance(t, w->budget);
    if (!allowed) return FX_WANT_TIME;
    if (t->iov_count) return send_buffers(t, w, allowed);
    int64_t count = t->send_left >= 0 && t->send_left < allowed ? t->send_left : allowed;
    return t->use_sendfile && !w->gentle ? send_by_sendfile(t, w, count) : send_by_read(t, w, count);
}
