#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "clock.h"
#include "transfer_parts.h"

#define HUGE_PAGE ((uintptr_t)2 * 1024 * 1024)
#define PAGE ((uintptr_t)4096)
#define POPULATE_FROM ((size_t)4 * 1024 * 1024)
#define POPULATE_STEP ((int64_t)16 * 1024 * 1024)
/* A peer that promises more is believed when it comes. */
#define MOST_FORESEEN ((int64_t)256 * 1024 * 1024)

void fx_transfer_init(fx_transfer *t, int fd) {
    memset(t, 0, sizeof *t);
    t->fd = fd;
    t->send_fd = t->recv_fd = t->relay_fd = -1;
    t->recv_offset = t->recv_count = t->recv_expected = -1;
    t->timeout = t->idle = -1;
    t->use_sendfile = t->use_splice = true;
    atomic_init(&t->status, -1);
    atomic_init(&t->length, -1);
    atomic_init(&t->phase, FX_BEGIN);
    t->want = FX_WANT_TURN;
    t->wait_fd = fd;
    t->deadline = FX_NEVER;
    t->left = -1;
    t->mark = 1;
    t->piece_until = FX_NEVER;
    t->relay_pipe[0] = t->relay_pipe[1] = -1;
    t->armed_fd = -1;
    t->due = FX_NEVER;
}

static void allow_blocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0) (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

/* What is only needed while the transfer runs. */
static void release(fx_transfer *t) {
    fx_pipe_close(t->relay_pipe);
    free(t->stash);
    t->stash = NULL;
    t->stash_held = 0;
}

void fx_transfer_destroy(fx_transfer *t) {
    release(t);
    if (t->memory_own) free(t->memory);
    t->memory = NULL;
}

void fx_transfer_finish(fx_transfer *t, int error, enum fx_side side) {
    if (fx_transfer_done(t)) return;
    fx_refund(t, 0);
    fx_piece_forget(t); /* the next reply on this connection may be ten bytes long */
    if (t->unblocked) allow_blocking(t->fd);
    release(t);
    if (error && fx_transfer_cancelled(t)) { /* a socket that was shut down on that account fails in its own ways */
        error = ECANCELED;
        side = FX_SIDE_NONE;
    }
    t->error = error;
    t->side = side;
    t->want = FX_WANT_NOTHING;
    fx_set_phase(t, FX_DONE);
}

void fx_transfer_start(fx_transfer *t, int64_t now) {
    if (t->moved_at) return;
    t->moved_at = now;
    if (t->timeout >= 0 && t->timeout < FX_NEVER - now) t->deadline = now + t->timeout;
}

int64_t fx_transfer_due(const fx_transfer *t) {
    int64_t due = t->deadline;
    if (t->idle >= 0 && t->moved_at && t->idle < due - t->moved_at) due = t->moved_at + t->idle;
    return due;
}

void fx_transfer_cancel(fx_transfer *t) {
    if (fx_transfer_done(t)) return;
    atomic_store_explicit(&t->cancelled, true, memory_order_release);
    void (*wake)(void *, fx_transfer *) = t->wake;
    if (wake) wake(t->scheduler, t);
}

/* sendfile and splice know no MSG_DONTWAIT: the socket itself must not block. */
static int forbid_blocking(int fd, bool *blocked) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return errno;
    *blocked = !(flags & O_NONBLOCK);
    if (*blocked && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return errno;
    return 0;
}

/* sendfile and splice know no MSG_NOSIGNAL either: where nobody catches SIGPIPE, a peer that hangs up would end the
 * process. */
static bool hang_up_kills(void) {
    struct sigaction action;
    return sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL;
}

static int begin(fx_transfer *t) {
    int error = 0;
    bool blocked = false;
    if ((t->send_fd >= 0 || t->relay_fd >= 0) && hang_up_kills()) {
        t->use_sendfile = false;
        if (t->relay_fd >= 0) t->use_splice = false;
    }
    if (t->send_fd >= 0 || t->recv_fd >= 0 || t->relay_fd >= 0) error = forbid_blocking(t->fd, &blocked);
    t->unblocked = blocked;
    if (!error && t->relay_fd >= 0) {
        error = forbid_blocking(t->relay_fd, &blocked);
        if (error) return fx_fail(t, error, FX_SIDE_RELAY);
    }
    if (error) return fx_fail(t, error, FX_SIDE_SOCKET);
    if (t->send_fd >= 0) {
        struct stat info;
        if (fstat(t->send_fd, &info) < 0) return fx_fail(t, errno, FX_SIDE_FILE);
        if (S_ISREG(info.st_mode)) {
            int64_t rest = info.st_size > t->send_offset ? info.st_size - t->send_offset : 0;
            if (t->send_left > rest) return fx_fail(t, EIO, FX_SIDE_FILE);
            if (t->send_left < 0) t->send_left = rest;
        }
    } else {
        t->send_left = 0;
    }
    if (t->relay_fd >= 0)
        t->sink = FX_SINK_RELAY;
    else if (t->recv_fd >= 0)
        t->sink = FX_SINK_FILE;
    else if (t->has_into)
        t->sink = FX_SINK_INTO;
    fx_set_phase(t, FX_SEND);
    return FX_MOVED;
}

/* All is sent. */
static int turn_round(fx_transfer *t) {
    switch (t->framing) {
        case FX_FRAMING_NONE:
            fx_transfer_finish(t, 0, FX_SIDE_NONE);
            return FX_MOVED;
        case FX_FRAMING_FASTDFS:
            fx_set_phase(t, FX_HEADER);
            return FX_MOVED;
        case FX_FRAMING_RAW:
            break;
    }
    t->left = t->recv_count;
    fx_set_phase(t, t->sink == FX_SINK_RELAY ? FX_RELAY : FX_BODY);
    return fx_body_begin(t);
}

/* What is left takes no bytes from the socket, so that no readiness of it would bring the next turn. */
static bool needs_no_turn(fx_transfer *t) {
    switch (atomic_load_explicit(&t->phase, memory_order_relaxed)) {
        case FX_SEND:
            return !t->iov_count && !t->send_left && !t->unfolded;
        case FX_BODY:
            return t->left == 0;
        case FX_RELAY:
            return t->left == 0 || t->stash_held;
        default:
            return false;
    }
}

static int part(fx_transfer *t, fx_worker *w) {
    switch (atomic_load_explicit(&t->phase, memory_order_relaxed)) {
        case FX_BEGIN:
            return begin(t);
        case FX_SEND: {
            if (t->iov_count || t->send_left) return fx_send_part(t, w);
            if (t->unfolded) return fx_fold_part(t, w);
            int want = turn_round(t);
            /* The answer to what has just been sent cannot be there yet: do not even look. */
            bool expected = want == FX_MOVED && !fx_transfer_done(t) && !needs_no_turn(t);
            return expected && w->moved ? fx_wait_for(t, t->fd, FX_WANT_READ) : want;
        }
        case FX_HEADER:
            return fx_header_part(t, w);
        case FX_BODY:
            return fx_body_part(t, w);
        case FX_RELAY:
            return fx_relay_part(t, w);
        default:
            return FX_WANT_NOTHING;
    }
}

int fx_transfer_step(fx_transfer *t, fx_worker *w, int64_t budget) {
    if (fx_transfer_done(t)) return FX_WANT_NOTHING;
    if (t->want == FX_WANT_MEMORY && !t->memory) return FX_WANT_MEMORY;
    if (!t->moved_at || t->deadline != FX_NEVER || t->idle >= 0) {
        int64_t now = fx_now();
        fx_transfer_start(t, now);
        if (!fx_transfer_cancelled(t) && now >= t->deadline) {
            fx_transfer_finish(t, ETIMEDOUT, FX_SIDE_SOCKET);
            return FX_WANT_NOTHING;
        }
    }
    w->budget = budget;
    w->moved = false;
    int want = FX_MOVED;
    while (want == FX_MOVED) {
        if (fx_transfer_cancelled(t)) fx_transfer_finish(t, ECANCELED, FX_SIDE_NONE);
        if (fx_transfer_done(t))
            want = FX_WANT_NOTHING;
        else if (w->budget <= 0 && !needs_no_turn(t))
            want = FX_WANT_TURN;
        else
            want = part(t, w);
        w->moved = w->budget != budget;
    }
    if (t->idle >= 0 && want != FX_WANT_NOTHING) {
        int64_t now = fx_now();
        /* Judged when the socket has been asked: a peer is not idle because we were away. */
        if (w->moved) {
            if (now > t->moved_at) t->moved_at = now;
        } else if (now - t->moved_at >= t->idle) {
            fx_transfer_finish(t, ETIMEDOUT, FX_SIDE_SOCKET);
            want = FX_WANT_NOTHING;
        }
    }
    t->want = want;
    return want;
}

int64_t fx_allowance_slow(fx_transfer *t, int64_t want) {
    int64_t now = fx_now();
    if (!t->reserved) {
        int64_t least = want;
        t->reserved_at = now;
        for (size_t i = 0; i < t->limit_count; i++) {
            int64_t ready;
            /* Each bucket is asked for no more than the last one granted; the first ones get the excess back. */
            int64_t grant = fx_rate_reserve(t->limits[i], least, now, &ready);
            for (size_t j = 0; j < i && grant < least; j++) fx_rate_refund(t->limits[j], least - grant);
            least = grant;
            if (ready > t->reserved_at) t->reserved_at = ready;
        }
        t->reserved = least;
    }
    if (now < t->reserved_at) {
        t->wake_at = t->reserved_at;
        if (t->moved_at < t->reserved_at) t->moved_at = t->reserved_at; /* that wait is not the peer's */
        return 0;
    }
    return want < t->reserved ? want : t->reserved;
}

void fx_refund(fx_transfer *t, int64_t spent) {
    int64_t rest = t->reserved - spent;
    t->reserved = 0;
    if (rest > 0)
        for (size_t i = 0; i < t->limit_count; i++) fx_rate_refund(t->limits[i], rest);
}

/* Touches freshly allocated memory in the way that costs least. */
static void populate(void *memory, size_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    uintptr_t start = ((uintptr_t)memory + PAGE - 1) & ~(PAGE - 1);
    uintptr_t end = ((uintptr_t)memory + size) & ~(PAGE - 1);
    if (end <= start + HUGE_PAGE) return;
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
    /* Huge pages alone are slower than small ones where first touch is dear: only both together pay. */
    if (madvise((void *)start, end - start, MADV_HUGEPAGE) == 0 &&
        madvise((void *)start, end - start, MADV_POPULATE_WRITE) < 0)
        (void)madvise((void *)start, end - start, MADV_NOHUGEPAGE);
#else
    (void)memory;
    (void)size;
#endif
}

int64_t fx_transfer_foreseen(const fx_transfer *t) {
    bool in_memory = t->framing != FX_FRAMING_NONE && !t->has_into && t->recv_fd < 0 && t->relay_fd < 0;
    bool begun = t->memory || atomic_load_explicit(&t->phase, memory_order_relaxed) != FX_BEGIN;
    bool reply = t->framing == FX_FRAMING_FASTDFS;
    int64_t length = reply || t->recv_count >= 0 ? t->recv_count : t->recv_expected;
    if (!in_memory || begun || length <= FX_OWN_MEMORY || length > t->recv_limit) return 0;
    return length <= (reply ? (int64_t)POPULATE_FROM - 1 : MOST_FORESEEN) ? length : 0;
}

void fx_populate_ahead(fx_transfer *t) {
    uint8_t *end = t->memory + t->memory_room;
    uint8_t *from = t->untouched;
    int64_t left = end - from;
    /* A huge page that two steps share would be made of small ones. */
    int64_t step = POPULATE_STEP + (int64_t)(-((uintptr_t)from + (uintptr_t)POPULATE_STEP) & (HUGE_PAGE - 1));
    bool last = left - step < (int64_t)POPULATE_FROM;
    t->untouched = last ? NULL : from + step;
    populate(from, (size_t)(last ? left : step));
}

void fx_transfer_give_memory(fx_transfer *t, uint8_t *memory, bool touch) {
    t->memory = memory;
    t->memory_room = t->memory_size;
    t->untouched = (size_t)t->memory_size < POPULATE_FROM ? NULL : memory;
    if (touch && t->untouched) fx_populate_ahead(t);
    t->want = FX_WANT_TURN;
    if (t->stash_held) fx_body_take(t, t->stash, t->stash_held);
    release(t);
}
