/* Which way to wait is best is tried out: how soon a reply comes depends on how the client waits for it, because that
 * keeps processors awake on which the server works, too. */
#include "spin.h"

#define US INT64_C(1000)

/* Microseconds to sleep before polling. */
static const int naps[FX_WAYS] = {-1, 0, 1, 5, 10, 15, 20, 25, 30, 36, 43, 52, 65, 85, 110, 140, 175, 215, 260, 310};
enum { SLEEP, POLL_AT_ONCE };

#define POLL_LONGEST (60 * US)
/* A nap takes more of the processor's time than the sleep that it replaces: a timer has to be set. */
#define NAP_COST (5 * US)
/* The price of a reply that was polled for in vain, in times. */
#define IN_VAIN 2

#define TURN 16
#define TRIAL 8
#define UNCOUNTED 2 /* exchanges, after a change of way */
#define AVERAGED 8  /* turns */
#define OUTLIER 3
#define BETTER 0.97
/* What a way cost is forgotten bit by bit until it is worth trying again. */
#define FORGET 0.9995
/* A nap may last half of a whole exchange, or all but so much of it: what waking up takes, twice. */
#define WAKING (60 * US)
/* Where an exchange takes longer, waking up is no part of it to care about. */
#define LONGEST_EXCHANGE (2000 * US)

void fx_spin_init(fx_spin *s, int cores) { *s = (fx_spin){.cores = cores}; }

static bool worth_trying(const fx_spin *s, int way) {
    double nap = (double)(naps[way] * US), whole = s->price[SLEEP];
    return whole < LONGEST_EXCHANGE && (nap <= whole / 2 || nap <= whole - WAKING);
}

static int best_way(const fx_spin *s) {
    int best = SLEEP;
    double least = s->price[SLEEP];
    for (int way = POLL_AT_ONCE; way < FX_WAYS && worth_trying(s, way); way++) {
        double price = way == s->best ? BETTER * s->price[way] : s->price[way];
        if (price >= least) continue;
        best = way;
        least = price;
    }
    return best;
}

/* Every other turn sleeps: what that costs is what all else is measured by, and half of the processor time is spared. */
static void begin_turn(fx_spin *s) {
    s->way = SLEEP;
    if (s->turns++ % 2) {
        for (int way = POLL_AT_ONCE; way < FX_WAYS; way++) s->price[way] *= FORGET;
        s->way = s->best = best_way(s);
    }
    s->left = s->turns_of[s->way] ? TURN : TRIAL;
    s->counted = 0;
    s->sum = 0;
}

void fx_spin_plan(fx_spin *s, int64_t busy, int64_t now, fx_wait *wait) {
    *wait = (fx_wait){0};
    if (busy >= s->cores) return;
    if (s->left <= 0) begin_turn(s);
    wait->began = now;
    wait->way = s->way;
    wait->learned = true;
    if (s->way == SLEEP) return;
    wait->nap = naps[s->way] * US;
    wait->poll = POLL_LONGEST;
}

void fx_spin_learn(fx_spin *s, const fx_wait *wait, int64_t now) {
    int way = wait->way;
    if (!wait->began || way != s->way || s->left <= 0) return;
    double price = (double)(now - wait->began);
    if (wait->woke && !wait->ready) price *= IN_VAIN;
    if (wait->ready) price += (double)(wait->ready - wait->woke);
    if (wait->nap) price += (double)NAP_COST;
    double known = s->price[way];
    if (s->turns_of[way] && price > OUTLIER * known) price = OUTLIER * known;
    if (s->counted++ >= UNCOUNTED) s->sum += price;
    if (--s->left > 0) return;
    if (s->turns_of[way] < AVERAGED) s->turns_of[way]++;
    s->price[way] += (s->sum / (s->counted - UNCOUNTED) - known) / s->turns_of[way];
}
