/* A courtesy among the threads of one process that do small exchanges: one at a time goes on to Python.
 *
 * A thread whose reply has come needs the interpreter's lock. When another holds it, it would go to sleep and be woken
 * some microseconds later, which costs both more than the microseconds that the holder is going to need: with eight
 * threads that is half of what an exchange costs. So a thread says when it goes on to Python and when it is out again,
 * and the next one lets others use the processor meanwhile. It is only a hint: a mark that has become old counts for
 * nothing, so nobody is held up by a thread that never comes back here. It also tells that something else keeps the
 * interpreter, or the processor: then there is nothing to be gained by waiting here, and for a while nobody does. */
#ifndef FX_TURNSTILE_H
#define FX_TURNSTILE_H

#ifdef Py_GIL_DISABLED

static inline void fx_turnstile_leave(void) {}
static inline void fx_turnstile_enter(void) {}

#else

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock.h"

#define FX_TURNSTILE_STALE ((int64_t)50 * 1000)
#define FX_TURNSTILE_OPEN ((int64_t)1000 * 1000)

/* When the thread that is in Python went there; 0: none is. */
static _Atomic int64_t fx_turnstile_since;
/* Until then nobody waits here; 0: never yet. */
static _Atomic int64_t fx_turnstile_open_until;

/* The calling thread has let the interpreter go. */
static inline void fx_turnstile_leave(void) {
    atomic_store_explicit(&fx_turnstile_since, 0, memory_order_relaxed);
}

/* The calling thread is about to ask for the interpreter. */
static inline void fx_turnstile_enter(void) {
    for (;;) {
        int64_t now = fx_now();
        if (now < atomic_load_explicit(&fx_turnstile_open_until, memory_order_relaxed)) return;
        int64_t since = atomic_load_explicit(&fx_turnstile_since, memory_order_relaxed);
        bool stale = since && now - since > FX_TURNSTILE_STALE;
        if ((!since || stale) &&
            atomic_compare_exchange_strong_explicit(&fx_turnstile_since, &since, now, memory_order_relaxed,
                                                    memory_order_relaxed)) {
            if (stale) atomic_store_explicit(&fx_turnstile_open_until, now + FX_TURNSTILE_OPEN, memory_order_relaxed);
            return;
        }
        sched_yield();
    }
}

#endif

#endif
