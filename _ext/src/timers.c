#include "timers.h"

#include <stdlib.h>

void fx_timers_destroy(fx_timers *timers) {
    free(timers->heap);
    timers->heap = NULL;
    timers->count = timers->room = 0;
}

bool fx_timers_reserve(fx_timers *timers, size_t count) {
    if (count < timers->room) return true;
    size_t room = timers->room ? timers->room * 2 : 64;
    while (room <= count) room *= 2;
    fx_transfer **heap = realloc(timers->heap, room * sizeof *heap);
    if (!heap) return false;
    timers->heap = heap;
    timers->room = room;
    return true;
}

static void place(fx_timers *timers, size_t at, fx_transfer *t) {
    timers->heap[at] = t;
    t->heap_at = at;
}

static void rise(fx_timers *timers, size_t at, fx_transfer *t) {
    for (; at > 1 && timers->heap[at / 2]->due > t->due; at /= 2) place(timers, at, timers->heap[at / 2]);
    place(timers, at, t);
}

static void sink(fx_timers *timers, size_t at, fx_transfer *t) {
    for (;;) {
        size_t child = at * 2;
        if (child > timers->count) break;
        if (child < timers->count && timers->heap[child + 1]->due < timers->heap[child]->due) child++;
        if (timers->heap[child]->due >= t->due) break;
        place(timers, at, timers->heap[child]);
        at = child;
    }
    place(timers, at, t);
}

void fx_timers_set(fx_timers *timers, fx_transfer *t) {
    size_t at = t->heap_at ? t->heap_at : ++timers->count;
    if (at > 1 && timers->heap[at / 2]->due > t->due)
        rise(timers, at, t);
    else
        sink(timers, at, t);
}

void fx_timers_remove(fx_timers *timers, fx_transfer *t) {
    size_t at = t->heap_at;
    if (!at) return;
    t->heap_at = 0;
    fx_transfer *last = timers->heap[timers->count--];
    if (last == t) return;
    last->heap_at = at;
    fx_timers_set(timers, last);
}
