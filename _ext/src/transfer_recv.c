/* The receiving half: the reply's header, and a body into memory, into the caller's buffer, or into a file. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/vfs.h>
#endif

#include "clock.h"
#include "crc32.h"
#include "transfer_parts.h"

#define REPLY_COMMAND 100
/* The first receive of a reply: the header and a small body at once; what is bigger is received where it belongs. */
#define FIRST_RECEIVE ((int64_t)16 * 1024)
/* One receive: so much stays in the cache until it is folded and written. */
#define RECEIVE_CHUNK ((int64_t)512 * 1024)
#define FOLD_CHUNK ((int64_t)256 * 1024)
#define TMPFS 0x01021994 /* as in linux/magic.h, which is not everywhere */

/* recv(2) of at most count bytes within the rate limits. Returns what to return, FX_MOVED with *got > 0 for bytes and
 * *got == 0 for the end of the stream. */
static int receive(fx_transfer *t, fx_worker *w, void *to, int64_t count, int64_t *got) {
    int64_t allowed = fx_allowance(t, count);
    if (!allowed) return FX_WANT_TIME;
    bool sleep = w->sleep;
    w->sleep = false;
    ssize_t n;
    do n = recv(t->fd, to, (size_t)allowed, sleep ? 0 : MSG_DONTWAIT);
    while (n < 0 && errno == EINTR && !sleep);
    int error = errno;
    fx_spend(t, n > 0 ? n : 0);
    if (n < 0) {
        w->interrupted = error == EINTR;
        if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR) return fx_wait_for(t, t->fd, FX_WANT_READ);
        fx_transfer_finish(t, t->broken ? t->broken : error, FX_SIDE_SOCKET);
        return FX_WANT_NOTHING;
    }
    w->budget -= n;
    *got = n;
    return FX_MOVED;
}

static int ended_early(fx_transfer *t) {
    return fx_fail(t, t->broken ? t->broken : ECONNRESET, FX_SIDE_SOCKET);
}

static int64_t big_endian(const uint8_t *p) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value = value << 8 | p[i];
    return (int64_t)value;
}

/* Keeps the beginning of a body until there is memory for it. */
static int stash(fx_transfer *t, const uint8_t *p, int64_t n) {
    t->stash = malloc((size_t)n);
    if (!t->stash) return fx_fail(t, ENOMEM, FX_SIDE_NONE);
    memcpy(t->stash, p, (size_t)n);
    t->stash_held = n;
    return FX_WANT_MEMORY;
}

static void account(fx_transfer *t, const uint8_t *p, int64_t n);

/* Judges the header of a reply; n bytes at rest came with it. */
static int accept_header(fx_transfer *t, uint8_t *rest, int64_t n) {
    int64_t length = big_endian(t->head);
    int status = t->head[9];
    if (length < 0 || t->head[8] != REPLY_COMMAND) return fx_fail(t, EPROTO, FX_SIDE_SOCKET);
    t->status = status;
    t->length = length;
    if (t->broken) t->early = true;
    if (status == 0) {
        /* An early success is no success, and what follows the body belongs to nobody. */
        if (t->early || n > length || (t->recv_count >= 0 && length != t->recv_count))
            return fx_fail(t, EPROTO, FX_SIDE_SOCKET);
        if (t->sink == FX_SINK_INTO && length > t->into_size) return fx_fail(t, EMSGSIZE, FX_SIDE_SOCKET);
    } else {
        t->sink = FX_SINK_DRAIN;
    }
    if ((t->sink == FX_SINK_MEMORY || t->sink == FX_SINK_DRAIN) && length > t->recv_limit)
        return fx_fail(t, EMSGSIZE, FX_SIDE_SOCKET);
    if (n > length) {
        t->early = true;
        n = length;
    }
    t->left = length;
    fx_set_phase(t, FX_BODY);
    if (t->borrows && n && n == length && t->sink == FX_SINK_MEMORY) {
        t->memory = rest;
        account(t, rest, n);
        return FX_MOVED;
    }
    int result = fx_body_begin(t);
    if (!n || fx_transfer_done(t)) return result;
    return result == FX_WANT_MEMORY ? stash(t, rest, n) : fx_body_take(t, rest, n);
}

int fx_header_part(fx_transfer *t, fx_worker *w) {
    int64_t got = 0;
    int result = receive(t, w, w->scratch, FIRST_RECEIVE, &got);
    if (result != FX_MOVED) return result;
    if (!got) return ended_early(t);
    int64_t needed = FX_HEADER_SIZE - t->head_size;
    int64_t taken = got < needed ? got : needed;
    memcpy(t->head + t->head_size, w->scratch, (size_t)taken);
    t->head_size += (int)taken;
    if (t->head_size < FX_HEADER_SIZE) return FX_MOVED;
    return accept_header(t, w->scratch + taken, got - taken);
}

/* Room for the whole body, where its length is known. */
static int begin_memory(fx_transfer *t) {
    if (t->left < 0 || t->left == 0 || t->memory) return FX_MOVED;
    if (t->left > t->recv_limit) return fx_fail(t, EMSGSIZE, FX_SIDE_SOCKET);
    t->memory_size = t->left;
    if (t->left > FX_OWN_MEMORY) return FX_WANT_MEMORY;
    t->memory = malloc((size_t)t->left);
    if (!t->memory) return fx_fail(t, ENOMEM, FX_SIDE_NONE);
    t->memory_own = true;
    t->memory_room = t->left;
    return FX_MOVED;
}

/* Reserves the file's blocks without changing its size, so that a failed transfer leaves no longer file. */
static int begin_file(fx_transfer *t) {
    struct stat info;
    t->file_begun = true;
    if (t->left >= 0 && t->left < FX_BIG_BODY) {
        t->use_splice = false;
        return FX_MOVED;
    }
    if (fstat(t->recv_fd, &info) < 0) return fx_fail(t, errno, FX_SIDE_FILE);
    if (!S_ISREG(info.st_mode)) {
        t->use_splice = false;
        return FX_MOVED;
    }
#ifdef __linux__
    /* Not in memory: there it would clear every page a first time while the peer waits. */
    struct statfs system;
    bool in_memory = fstatfs(t->recv_fd, &system) == 0 && system.f_type == TMPFS;
    if (t->left > 0 && t->recv_offset >= 0 && !in_memory) {
        int result;
        do result = fallocate(t->recv_fd, FALLOC_FL_KEEP_SIZE, (off_t)t->recv_offset, (off_t)t->left);
        while (result < 0 && errno == EINTR);
        if (result < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) return fx_fail(t, errno, FX_SIDE_FILE);
    }
#endif
    return FX_MOVED;
}

int fx_body_begin(fx_transfer *t) {
    if (t->sink == FX_SINK_MEMORY) return begin_memory(t);
    return FX_MOVED;
}

/* Counts and folds n bytes at p that have been received. */
static void account(fx_transfer *t, const uint8_t *p, int64_t n) {
    if (t->left > 0) t->left -= n;
    if (t->sink == FX_SINK_DRAIN) return;
    if (fx_folds_received(t))
        atomic_store_explicit(&t->crc32, fx_crc32(atomic_load_explicit(&t->crc32, memory_order_relaxed), p, (size_t)n),
                              memory_order_relaxed);
    fx_add(&t->received, n);
}

static bool takes_more(int fd) {
    struct pollfd file = {.fd = fd, .events = POLLOUT};
    return poll(&file, 1, 0) > 0;
}

/* Writes what the file takes of n bytes; how many, or -1 where the transfer has failed. Less than n: a pipe is full, and
 * does not block, or a signal came meanwhile. */
static int64_t write_file(fx_transfer *t, const uint8_t *p, int64_t n) {
    int64_t written = 0;
    while (written < n) {
        size_t rest = (size_t)(n - written);
        ssize_t done = t->recv_offset < 0 ? write(t->recv_fd, p + written, rest)
                                          : pwrite(t->recv_fd, p + written, rest, (off_t)t->recv_offset);
        if (done < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK) break;
            if (errno != EINTR) {
                fx_fail(t, errno, FX_SIDE_FILE);
                return -1;
            }
            done = 0;
        } else if (done == 0) { /* no file says so, and asking again and again would never end */
            fx_fail(t, EIO, FX_SIDE_FILE);
            return -1;
        }
        if (t->recv_offset >= 0) t->recv_offset += done;
        written += done;
        if ((size_t)done < rest && !takes_more(t->recv_fd)) break;
    }
    if (written) account(t, p, written);
    return written;
}

/* Keeps n bytes that the file does not take yet, behind those that wait already. */
static void park(fx_transfer *t, const uint8_t *p, int64_t n) {
    uint8_t *kept = malloc((size_t)(t->stash_held + n));
    if (!kept) {
        fx_transfer_finish(t, ENOMEM, FX_SIDE_NONE);
        return;
    }
    if (t->stash_held) memcpy(kept, t->stash + t->stash_start, (size_t)t->stash_held);
    memcpy(kept + t->stash_held, p, (size_t)n);
    free(t->stash);
    t->stash = kept;
    t->stash_start = 0;
    t->stash_held += n;
}

static void take_into_file(fx_transfer *t, const uint8_t *p, int64_t n) {
    int64_t written = t->stash_held ? 0 : write_file(t, p, n);
    if (written >= 0 && written < n) park(t, p + written, n - written);
}

/* Gives the file what it did not take before; what it still does not take waits for it. */
static int write_parked(fx_transfer *t) {
    if (!takes_more(t->recv_fd)) return fx_wait_for(t, t->recv_fd, FX_WANT_WRITE);
    int64_t written = write_file(t, t->stash + t->stash_start, t->stash_held);
    if (written < 0) return FX_MOVED;
    t->stash_start += written;
    t->stash_held -= written;
    if (written) t->moved_at = fx_now();
    if (t->stash_held) return fx_wait_for(t, t->recv_fd, FX_WANT_WRITE);
    free(t->stash);
    t->stash = NULL;
    return FX_MOVED;
}

int fx_body_take(fx_transfer *t, const uint8_t *p, int64_t n) {
    switch (t->sink) {
        case FX_SINK_MEMORY:
            memcpy(t->memory + t->received, p, (size_t)n);
            break;
        case FX_SINK_INTO:
            memcpy(t->into + t->received, p, (size_t)n);
            break;
        case FX_SINK_FILE:
            take_into_file(t, p, n);
            return FX_MOVED;
        default:
            break;
    }
    account(t, p, n);
    return FX_MOVED;
}

static int stream_ended(fx_transfer *t) {
    if (t->left > 0) return ended_early(t);
    fx_transfer_finish(t, 0, FX_SIDE_NONE);
    return FX_MOVED;
}

/* Receives straight to where the body belongs: room bytes from base on. */
static int receive_in_place(fx_transfer *t, fx_worker *w, uint8_t *base, int64_t room) {
    int64_t at = t->received;
    int64_t count = t->left >= 0 ? t->left : room - at;
    int64_t chunk = fx_folds_received(t) ? FOLD_CHUNK : RECEIVE_CHUNK;
    if (count > chunk) count = chunk;
    if (count > w->budget) count = w->budget;
    int64_t got = 0;
    if (!count) { /* full, and nobody said how long it would be: is that all? */
        uint8_t one;
        int result = receive(t, w, &one, 1, &got);
        if (result != FX_MOVED) return result;
        return got ? fx_fail(t, EMSGSIZE, FX_SIDE_SOCKET) : stream_ended(t);
    }
    int result = receive(t, w, base + at, count, &got);
    if (result != FX_MOVED) return result;
    if (!got) return stream_ended(t);
    account(t, base + at, got);
    return FX_MOVED;
}

/* Makes room for a body of unknown length; false where there is none. */
static bool grow_memory(fx_transfer *t) {
    int64_t room = t->memory_room ? t->memory_room * 2 : FX_OWN_MEMORY;
    if (room > t->recv_limit) room = t->recv_limit;
    uint8_t *memory = realloc(t->memory_own ? t->memory : NULL, (size_t)room);
    if (!memory) return false;
    if (!t->memory_own && t->received) memcpy(memory, t->memory, (size_t)t->received);
    t->memory = memory;
    t->memory_own = true;
    t->memory_room = room;
    return true;
}

/* As much as was foreseen has come: most probably that is all. */
static int receive_unforeseen(fx_transfer *t, fx_worker *w) {
    int64_t count = t->recv_limit - t->received < FX_OWN_MEMORY ? t->recv_limit - t->received : FX_OWN_MEMORY;
    int64_t got = 0;
    int result = receive(t, w, w->scratch, count, &got);
    if (result != FX_MOVED) return result;
    if (!got) return stream_ended(t);
    return grow_memory(t) ? fx_body_take(t, w->scratch, got) : fx_fail(t, ENOMEM, FX_SIDE_NONE);
}

static int receive_to_memory(fx_transfer *t, fx_worker *w) {
    if (t->left < 0 && t->memory_room < t->recv_limit && t->received == t->memory_room) {
        if (t->memory && !t->memory_own) return receive_unforeseen(t, w);
        if (!grow_memory(t)) return fx_fail(t, ENOMEM, FX_SIDE_NONE);
    }
    if (t->untouched && t->untouched - t->memory < t->received + RECEIVE_CHUNK && !w->gentle) fx_populate_ahead(t);
    return receive_in_place(t, w, t->memory, t->memory_room);
}

static int receive_by_copy(fx_transfer *t, fx_worker *w) {
    int64_t count = t->left >= 0 && t->left < RECEIVE_CHUNK ? t->left : RECEIVE_CHUNK;
    if (fx_folds_received(t) && count > FOLD_CHUNK) count = FOLD_CHUNK;
    if (count > w->budget) count = w->budget;
    int64_t got = 0;
    int result = receive(t, w, w->scratch, count, &got);
    if (result != FX_MOVED) return result;
    return got ? fx_body_take(t, w->scratch, got) : stream_ended(t);
}

#ifdef __linux__

/* What lies in the pipe goes to the file by copying: the file does not take it otherwise. */
static int empty_pipe_by_copy(fx_transfer *t, fx_worker *w, int64_t held) {
    t->use_splice = false;
    while (held) {
        ssize_t n = read(w->pipe[0], w->scratch, FX_SCRATCH);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            fx_worker_drop_pipe(w); /* else the next transfer would find what is in it */
            return fx_fail(t, EIO, FX_SIDE_FILE);
        }
        held -= n;
        if (fx_body_take(t, w->scratch, n), fx_transfer_done(t)) {
            fx_worker_drop_pipe(w);
            return FX_MOVED;
        }
    }
    return FX_MOVED;
}

static int receive_by_splice(fx_transfer *t, fx_worker *w) {
    if (fx_worker_pipe(w)) {
        t->use_splice = false;
        return FX_MOVED;
    }
    int64_t count = t->left >= 0 && t->left < (int64_t)FX_PIPE_SIZE ? t->left : (int64_t)FX_PIPE_SIZE;
    if (count > w->budget) count = w->budget;
    count = fx_allowance(t, count);
    if (!count) return FX_WANT_TIME;
    ssize_t n = splice(t->fd, NULL, w->pipe[1], NULL, (size_t)count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    int error = errno;
    fx_spend(t, n > 0 ? n : 0);
    if (n < 0) {
        if (error == EINTR) return FX_MOVED;
        if (error == EAGAIN || error == EWOULDBLOCK) return fx_wait_for(t, t->fd, FX_WANT_READ);
        if (error != EINVAL && error != ENOSYS) return fx_fail(t, error, FX_SIDE_SOCKET);
        t->use_splice = false;
        return FX_MOVED;
    }
    if (!n) return stream_ended(t);
    w->budget -= n;
    for (int64_t held = n; held;) {
        off_t offset = (off_t)t->recv_offset;
        ssize_t done = splice(w->pipe[0], NULL, t->recv_fd, t->recv_offset < 0 ? NULL : &offset, (size_t)held,
                              SPLICE_F_MOVE);
        if (done <= 0) {
            if (done < 0 && errno == EINTR) continue;
            if (done == 0 || errno == EINVAL || errno == ENOSYS || errno == EAGAIN)
                return empty_pipe_by_copy(t, w, held);
            error = errno;
            fx_worker_drop_pipe(w);
            return fx_fail(t, error, FX_SIDE_FILE);
        }
        if (t->recv_offset >= 0) t->recv_offset += done;
        if (t->left > 0) t->left -= done;
        fx_add(&t->received, done);
        held -= done;
    }
    return FX_MOVED;
}

#else

static int receive_by_splice(fx_transfer *t, fx_worker *w) {
    t->use_splice = false;
    return FX_MOVED;
}

#endif

int fx_body_part(fx_transfer *t, fx_worker *w) {
    if (t->sink == FX_SINK_FILE && t->stash_held) return write_parked(t);
    if (t->left == 0) {
        fx_transfer_finish(t, 0, FX_SIDE_NONE);
        return FX_MOVED;
    }
    switch (t->sink) {
        case FX_SINK_MEMORY:
            return receive_to_memory(t, w);
        case FX_SINK_INTO:
            return receive_in_place(t, w, t->into, t->into_size);
        case FX_SINK_FILE:
            if (w->gentle) {
                if (t->left > FX_SMALL_FILE || t->received > FX_SMALL_FILE) return FX_WANT_TURN;
                return receive_by_copy(t, w);
            }
            /* Of unknown length: most files are small, and a pipe costs more calls than they do. */
            if (t->left < 0 && t->received < FX_BIG_BODY) return receive_by_copy(t, w);
            if (!t->file_begun) return begin_file(t);
            if (t->use_splice && !fx_folds_received(t)) return receive_by_splice(t, w);
            return receive_by_copy(t, w);
        default:
            return receive_by_copy(t, w);
    }
}
