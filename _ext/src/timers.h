/* A heap of waiting transfers, the one due first on top. */
#ifndef FX_TIMERS_H
#define FX_TIMERS_H

#include "transfer.h"

typedef struct fx_timers {
    fx_transfer **heap; /* heap[1] is due first */
    size_t count;
    size_t room;
} fx_timers;

void fx_timers_destroy(fx_timers *timers);

/* Makes room for one more; false without memory. */
bool fx_timers_reserve(fx_timers *timers, size_t count);

/* Puts t in, or moves it, to its time t->due. The room must have been reserved. */
void fx_timers_set(fx_timers *timers, fx_transfer *t);
void fx_timers_remove(fx_timers *timers, fx_transfer *t);

static inline fx_transfer *fx_timers_first(const fx_timers *timers) { return timers->count ? timers->heap[1] : NULL; }

#endif
