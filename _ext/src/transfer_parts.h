/* What the files of the state machine share with one another and with nobody else.
 *
 * Each part moves once and returns FX_MOVED when the machine should look again (bytes moved, or the phase changed), or
 * what the transfer waits for. */
#ifndef FX_TRANSFER_PARTS_H
#define FX_TRANSFER_PARTS_H

#include "transfer.h"

#define FX_MOVED (-1)

int fx_send_part(fx_transfer *t, fx_worker *w);
int fx_fold_part(fx_transfer *t, fx_worker *w);
int fx_header_part(fx_transfer *t, fx_worker *w);
int fx_body_part(fx_transfer *t, fx_worker *w);
int fx_relay_part(fx_transfer *t, fx_worker *w);

/* Called once when the length of the body is known, or known to be unknown: room in memory. */
int fx_body_begin(fx_transfer *t);
/* Touches the next piece of a long body's memory: t->untouched is not NULL. */
void fx_populate_ahead(fx_transfer *t);
/* Puts n bytes at p, the next of the body, where they belong. */
int fx_body_take(fx_transfer *t, const uint8_t *p, int64_t n);

/* How many of want bytes may move now; 0: wait for FX_WANT_TIME. What is not spent must be refunded at once. */
int64_t fx_allowance_slow(fx_transfer *t, int64_t want);
void fx_refund(fx_transfer *t, int64_t spent);

static inline int64_t fx_allowance(fx_transfer *t, int64_t want) {
    return t->limit_count ? fx_allowance_slow(t, want) : want;
}

static inline void fx_spend(fx_transfer *t, int64_t moved) {
    if (t->limit_count) fx_refund(t, moved);
}

static inline void fx_set_phase(fx_transfer *t, enum fx_phase phase) {
    atomic_store_explicit(&t->phase, phase, memory_order_release);
}

static inline void fx_add(_Atomic int64_t *counter, int64_t n) {
    /* One writer: a plain add would do, but for the readers. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline int fx_fail(fx_transfer *t, int error, enum fx_side side) {
    fx_transfer_finish(t, error, side);
    return FX_MOVED;
}

static inline int fx_wait_for(fx_transfer *t, int fd, int want) {
    t->wait_fd = fd;
    return want;
}

#endif
