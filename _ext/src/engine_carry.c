/* A big file that its peer takes fast gets a thread, which waits for the socket by itself. The kernel then keeps the
 * thread where the peer's acknowledgements wake it, and what both touch stays in one processor's cache; a transfer that
 * goes from thread to thread between two looks at epoll has neither.
 *
 * A thread newly started for it is the best: the kernel gives it the idlest processor and leaves it there. One that has
 * slept for long counts as weightless, and is drawn to the processor of the first peer that wakes it, to share it with
 * the peer for the next 40 ms though another is idle.
 *
 * Where nobody else uses the socket, the thread makes it block: it then sleeps inside of one long sendfile. SO_SNDTIMEO
 * ends a call in which nothing moves. One that goes on for long, or whose transfer is cancelled, or whose thread is
 * wanted, is called off: the socket is made non-blocking again under it. The kernel looks at that before every 64 KiB, so
 * the call ends with what it has sent as soon as the socket is full. */
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "clock.h"
#include "engine_parts.h"

/* Less would be over before a thread has been started for it. */
#define WORTH_CARRYING ((int64_t)4 * 1024 * 1024)
#define CARRIED_STEP ((int64_t)4 * 1024 * 1024)
/* What one blocking call may send where no other file waits for its turn: some 15 ms of a fast peer. */
#define LONG_STEP ((int64_t)64 * 1024 * 1024)
/* A peer that makes room for nothing in so long is slow, and waited for in the epoll set like all others. It is also how
 * long a cancellation, the engine's end, or others that need a thread may go unnoticed. */
#define PATIENCE_MS 20
/* So often a transfer may turn out to be slow. */
#define TRIES 3

/* Whether t can go on and nobody else wants the thread that carries it. */
static bool unwanted(const fx_engine *engine, const fx_transfer *t) {
    return (t->want == FX_WANT_TURN || t->want == FX_WANT_WRITE) && !engine->ready.head && !engine->recall &&
           !engine->stopping && !fx_transfer_cancelled(t);
}

bool fx_engine_worth_carrying(const fx_engine *engine, const fx_transfer *t) {
    return t->framing == FX_FRAMING_NONE && t->use_sendfile && !t->crc && !t->limit_count && !t->iov_count &&
           t->send_left >= WORTH_CARRYING && t->slow_waits < TRIES &&
           atomic_load_explicit(&t->phase, memory_order_relaxed) == FX_SEND && unwanted(engine, t);
}

static bool set_blocking(int fd, bool blocking) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) == 0;
}

/* The socket blocks from now on, but not for long; *before is the time that it would have waited for room. */
static bool begin_blocking(int fd, struct timeval *before) {
    socklen_t size = sizeof *before;
    struct timeval patience = {.tv_usec = PATIENCE_MS * 1000};
    if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, before, &size) < 0) return false;
    return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 && set_blocking(fd, true);
}

static void end_blocking(const fx_transfer *t, const struct timeval *before) {
    (void)set_blocking(t->fd, fx_transfer_done(t) && t->unblocked);
    (void)setsockopt(t->fd, SOL_SOCKET, SO_SNDTIMEO, before, sizeof *before);
}

void fx_engine_call_off(fx_engine *engine, const fx_transfer *t, int64_t before) {
    for (int i = 0; i < FX_ENGINE_THREADS; i++) {
        fx_thread *thread = &engine->thread[i];
        if (!thread->calling_since || thread->calling_since > before || (t && thread->carried != t)) continue;
        thread->called_off |= set_blocking(thread->carried->fd, false);
    }
}

/* One call after another until the transfer ends, proves slow, or its thread is wanted. */
static void send_by_long_calls(fx_thread *self, fx_worker *worker, fx_transfer *t) {
    fx_engine *engine = self->engine;
    worker->long_calls = true;
    while (unwanted(engine, t)) {
        if (self->called_off && !set_blocking(t->fd, true)) break;
        self->called_off = false;
        self->calling_since = fx_now();
        bool others = engine->held_files > (size_t)engine->carriers;
        fx_engine_leave(engine);
        int want = fx_transfer_step(t, worker, others ? CARRIED_STEP : LONG_STEP);
        pthread_mutex_lock(&engine->lock);
        self->calling_since = 0;
        if (want == FX_WANT_WRITE && !self->called_off) {
            t->slow_waits++;
            break;
        }
    }
    worker->long_calls = false;
}

static bool wait_for_room(fx_transfer *t) {
    struct pollfd waited = {.fd = t->wait_fd, .events = POLLOUT};
    if (poll(&waited, 1, PATIENCE_MS) != 0) return true;
    t->slow_waits++;
    return false;
}

static void send_by_short_calls(fx_engine *engine, fx_worker *worker, fx_transfer *t) {
    while (unwanted(engine, t)) {
        fx_engine_leave(engine);
        bool room = t->want == FX_WANT_TURN || wait_for_room(t);
        if (room) (void)fx_transfer_step(t, worker, CARRIED_STEP);
        pthread_mutex_lock(&engine->lock);
        if (!room) break;
    }
}

void fx_engine_carry(fx_thread *self, fx_worker *worker, fx_transfer *t) {
    fx_engine *engine = self->engine;
    struct timeval before;
    if (!engine->polling && engine->idle && engine->held > 1) pthread_cond_signal(&engine->work);
    /* Without a sentinel nobody would call a long call off. */
    if (t->may_block && engine->sentinel.life == FX_LIVE && begin_blocking(t->fd, &before)) {
        self->called_off = false;
        send_by_long_calls(self, worker, t);
        end_blocking(t, &before);
    } else {
        send_by_short_calls(engine, worker, t);
    }
    engine->carriers--;
}
