/* The blocking loop: steps until the socket would block, spins a little if asked to, then sleeps in poll. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

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

/* Whether polling has found something on this thread lately. */
static bool worth_polling(fx_worker *w) {
    if (w->spin_misses < SPIN_MISSES || w->spin_misses % RETRY_SPIN == 0) return true;
    w->spin_misses++;
    return false;
}

static void nap(int64_t time) {
    struct timespec length = {.tv_nsec = time};
#ifdef PR_SET_TIMERSLACK
    /* Else it may last 50 us longer. */
    int slack = prctl(PR_GET_TIMERSLACK);
    if (slack > 1) prctl(PR_SET_TIMERSLACK, 1);
#endif
    nanosleep(&length, NULL);
#ifdef PR_SET_TIMERSLACK
    if (slack > 1) prctl(PR_SET_TIMERSLACK, slack);
#endif
}

/* Naps, once an exchange, and polls until the socket has something or the time is up. The processor is offered to others
 * at every turn, so that polling takes it from nobody: not even from the peer whose answer is awaited. */
static bool poll_until_ready(fx_transfer *t, fx_worker *w, fx_wait *wait) {
    if (!wait->learned && !worth_polling(w)) return false;
    if (wait->nap && !wait->woke) nap(wait->nap);
    int64_t now = fx_now();
    if (!wait->woke) wait->woke = now;
    int64_t end = now + wait->poll;
    bool found;
    while (!(found = fx_transfer_step(t, w, BUDGET) != FX_WANT_READ) && fx_now() < end) sched_yield();
    wait->ready = found ? fx_now() : 0;
    w->spin_misses = found ? 0 : w->spin_misses + 1;
    return found;
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

int fx_transfer_run(fx_transfer *t, fx_worker *w, fx_wait *wait) {
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
        if (want == FX_WANT_READ && t->mark == 1 && wait->poll > 0 && poll_until_ready(t, w, wait)) want = t->want;
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
