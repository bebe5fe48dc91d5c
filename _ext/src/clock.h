/* The monotonic clock, in nanoseconds. */
#ifndef FX_CLOCK_H
#define FX_CLOCK_H

#include <stdint.h>
#include <time.h>

#define FX_NEVER INT64_MAX
#define FX_SECOND INT64_C(1000000000)

static inline int64_t fx_now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * FX_SECOND + ts.tv_nsec;
}

/* Milliseconds from now to hour for poll(), rounded up so that nobody wakes too early; -1 for never. */
static inline int fx_poll_timeout(int64_t hour, int64_t now) {
    if (hour == FX_NEVER) return -1;
    if (hour <= now) return 0;
    int64_t ms = (hour - now + 999999) / 1000000;
    return ms > 3600000 ? 3600000 : (int)ms;
}

#endif
