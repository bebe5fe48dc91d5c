/* From one socket to another: spliced through a pipe, or copied where a CRC is wanted or splice is refused. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crc32.h"
#include "transfer_parts.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

#define BUFFER_SIZE ((int64_t)256 * 1024)

static int begin_relay(fx_transfer *t) {
    if (t->use_splice && !fx_folds_received(t) && fx_pipe_open(t->relay_pipe) == 0) return FX_MOVED;
    t->use_splice = false;
    t->stash = malloc((size_t)BUFFER_SIZE);
    return t->stash ? FX_MOVED : fx_fail(t, ENOMEM, FX_SIDE_NONE);
}

/* From the socket into the pipe or buffer, which is empty. */
static int fill(fx_transfer *t, fx_worker *w) {
    int64_t most = t->stash ? BUFFER_SIZE : (int64_t)FX_PIPE_SIZE;
    int64_t count = t->left >= 0 && t->left < most ? t->left : most;
    if (count > w->budget) count = w->budget;
    count = fx_allowance(t, count);
    if (!count) return FX_WANT_TIME;
    ssize_t n;
#ifdef __linux__
    if (!t->stash)
        n = splice(t->fd, NULL, t->relay_pipe[1], NULL, (size_t)count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    else
#endif
        n = recv(t->fd, t->stash, (size_t)count, MSG_DONTWAIT);
    int error = errno;
    fx_spend(t, n > 0 ? n : 0);
    if (n < 0) {
        if (error == EINTR) return FX_MOVED;
        if (error == EAGAIN || error == EWOULDBLOCK) return fx_wait_for(t, t->fd, FX_WANT_READ);
        if (t->stash || (error != EINVAL && error != ENOSYS)) return fx_fail(t, error, FX_SIDE_SOCKET);
        t->use_splice = false; /* nothing has been taken yet */
        fx_pipe_close(t->relay_pipe);
        return begin_relay(t);
    }
    if (!n) {
        if (t->left > 0) return fx_fail(t, ECONNRESET, FX_SIDE_SOCKET);
        fx_transfer_finish(t, 0, FX_SIDE_NONE);
        return FX_MOVED;
    }
    if (t->left > 0) t->left -= n;
    t->stash_start = 0;
    t->stash_held = n;
    w->budget -= n;
    return FX_MOVED;
}

/* From the pipe or buffer to the other socket. */
static int empty(fx_transfer *t) {
    ssize_t n;
#ifdef __linux__
    if (!t->stash)
        n = splice(t->relay_pipe[0], NULL, t->relay_fd, NULL, (size_t)t->stash_held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    else
#endif
        n = send(t->relay_fd, t->stash + t->stash_start, (size_t)t->stash_held, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
        if (errno == EINTR) return FX_MOVED;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
            return fx_wait_for(t, t->relay_fd, FX_WANT_WRITE);
        return fx_fail(t, errno, FX_SIDE_RELAY);
    }
    if (fx_folds_received(t)) t->crc32 = fx_crc32(t->crc32, t->stash + t->stash_start, (size_t)n);
    t->stash_start += n;
    t->stash_held -= n;
    fx_add(&t->received, n);
    return FX_MOVED;
}

int fx_relay_part(fx_transfer *t, fx_worker *w) {
    if (t->stash_held) return empty(t);
    if (t->left == 0) {
        fx_transfer_finish(t, 0, FX_SIDE_NONE);
        return FX_MOVED;
    }
    if (!t->stash && t->relay_pipe[0] < 0) return begin_relay(t);
    return fill(t, w);
}
