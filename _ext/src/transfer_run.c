/* The blocking loop: steps until the socket would block, spins a little if asked to, then sleeps in poll. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "clock.h"
#include "transfer.h"

#define BUDGET ((int64_t)4 * 1024 * 1024)
/* Signals are looked at after so long at the latest, should one come just before the sleep. */
#define SIGNAL_SLICE (FX_SECOND / 4)

/* A peer that hung up while the rate limit is waited for is only looked at so often. */
#define HUNG_UP_MS 5

/* After so many busy waits in vain the peer is taken to be slow, and only one wait in RETRY_SPIN is tried so. */
#define SPIN_MISSES 4
#define RETRY_SPIN 32

static bool worth_spinning(const fx_worker *w) {
    return w->spin_misses < SPIN_MISSES || w->spin_misses % RETRY_SPIN == 0;
}

/* Polls busily until the socket has something or the time is up. The processor is offered to others at every turn, so
 * that spinning takes it from nobody: not even from the peer whose answer is awaited. */
static bool spin_until_ready(fx_transfer *t, fx_worker *w, int64_t spin) {
    if (!worth_spinning(w)) {
        w->spin_misses++;
        return false;
    }
    int64_t end = fx_now() + spin;
    do {
        sched_yield();
        if (fx_transfer_step(t, w, BUDGET) != FX_WANT_READ) {
            w->spin_misses = 0;
            return true;
        }
    } while (fx_now() < end);
    w->spin_misses++;
    return false;
}

int fx_let_sleep(int fd) {
#ifdef __linux__
    struct timeval slice = {.tv_usec = SIGNAL_SLICE / 1000};
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof slice) < 0) return errno;
    return fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ? errno : 0;
#else
    (void)fd;
    return ENOSYS;
#endif
}

int fx_transfer_run(fx_transfer *t, fx_worker *w, int64_t spin) {
    int64_t slice_end = FX_NEVER;
    bool may_sleep = t->sleeps;
    for (;;) {
        int want = fx_transfer_step(t, w, BUDGET);
        w->sleep = false;
        if (w->interrupted) {
            w->interrupted = false;
            return FX_WANT_TIME;
        }
        if (want == FX_WANT_READ) fx_piece_await(t);
        if (want == FX_WANT_READ && t->mark == 1 && spin > 0 && spin_until_ready(t, w, spin)) want = t->want;
        if (want == FX_WANT_NOTHING || want == FX_WANT_MEMORY) return want;
        int64_t now = fx_now();
        if (slice_end == FX_NEVER) slice_end = now + SIGNAL_SLICE;
        if (now >= slice_end) return FX_WANT_TIME;
        if (want == FX_WANT_TURN) continue;
        int64_t until = fx_transfer_due(t);
        if (want == FX_WANT_READ && may_sleep && t->mark == 1 && until > now + SIGNAL_SLICE) {
            /* Once in a slice of time: where the socket does not block after all, nobody turns round and round. */
            may_sleep = false;
            w->sleep = true;
            continue;
        }
        if (until > slice_end) until = slice_end;
        if (want == FX_WANT_TIME && t->wake_at < until) until = t->wake_at;
        if (want == FX_WANT_READ && t->piece_until < until) until = t->piece_until;
        struct pollfd waited = {.fd = t->wait_fd, .events = 0};
        if (want & FX_WANT_READ) waited.events |= POLLIN;
        if (want & FX_WANT_WRITE) waited.events |= POLLOUT;
        if (want == FX_WANT_TIME) waited.fd = t->fd; /* only for the hang-up that a cancellation makes */
        int ready = poll(&waited, 1, fx_poll_timeout(until, now));
        if (ready < 0 && errno != EAGAIN) return FX_WANT_TIME;
        if (ready > 0 && want == FX_WANT_TIME && !fx_transfer_cancelled(t)) (void)poll(NULL, 0, HUNG_UP_MS);
    }
}
