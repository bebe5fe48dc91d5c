/* Which way to wait is best is tried out: how soon a reply comes depends on how the client waits for it, because that
 * keeps processors awake on which the server works, too. */
#include "spin.h"

#define US INT64_C(1000)

/* Microseconds to sleep before polling. */
static const int naps[FX_WAYS] = {-1, 0, 10, 20, 30, 45, 65, 90, 120, 155, 200, 250, 310};
enum { SLEEP, POLL_AT_ONCE };

#define POLL_LONGEST (60 * US)
/* A nap takes more of the processor's time than the sleep that it replaces: a timer has to be set. */
#define NAP_COST (5 * US)
/* What the processor's time is worth, in times of the time that an exchange lasts. */
#define WORTH 0.5
/* The processor's time that an exchange may take beyond what sleeping takes, on average: a part of the time that it
 * lasts asleep, and what it is at most. How many exchanges may leave theirs to others. */
#define ALLOWED 0.12
#define MOST_ALLOWED (20 * US)
#define SAVED 64
/* The price of a reply that was polled for in vain, in times. */
#define IN_VAIN 1.3

#define TRIAL 8
#define UNCOUNTED 2 /* exchanges, after a change of way */
#define AVERAGED 4  /* turns */
#define BETTER 0.97
/* One try of so many is for another way than the best. */
#define AGAIN 4
/* A nap may last half of a whole exchange, or all but so much of it: what waking up takes, twice. */
#define WAKING (60 * US)
/* Where an exchange takes longer, waking up is no part of it to care about. */
#define LONGEST_EXCHANGE (2000 * US)

void fx_spin_init(fx_spin *s, int cores) { *s = (fx_spin){.cores = cores}; }

static bool worth_trying(const fx_spin *s, int way) {
    double nap = (double)(naps[way] * US), whole = s->price[SLEEP];
    return whole < LONGEST_EXCHANGE && (nap <= whole / 2 || nap <= whole - WAKING);
}

/* Of the first *ways*; one that was never tried, if there is one. */
static int best_way(const fx_spin *s, int ways) {
    int best = SLEEP;
    double least = 1;
    for (int way = POLL_AT_ONCE; way < ways; way++) {
        if (!s->turns_of[way]) return way;
        double price = way == s->best ? BETTER * s->price[way] : s->price[way];
        if (price >= least) continue;
        best = way;
        least = price;
    }
    return best;
}

/* Mostly the best way; now and then one beside it, or any: what a way costs changes. */
static int way_to_try(fx_spin *s) {
    int ways = POLL_AT_ONCE;
    while (ways < FX_WAYS && worth_trying(s, ways)) ways++;
    s->best = best_way(s, ways);
    if (!s->turns_of[s->best]) return s->best;
    if (s->credit < 0) return SLEEP;
    unsigned tries = s->tries++, again = tries / AGAIN;
    if (ways == POLL_AT_ONCE || tries % AGAIN) return s->best;
    int beside = s->best + (again % 2 ? 1 : -1);
    if (again % 4 && s->best != SLEEP && beside > SLEEP && beside < ways) return beside;
    s->next = s->next + 1 < ways ? s->next + 1 : POLL_AT_ONCE;
    return s->next;
}

/* At least every other turn sleeps: what that costs is what the next one is measured by. The machine itself is faster
 * and slower by turns, by more than the ways differ. */
static void begin_turn(fx_spin *s) {
    s->way = s->turns++ % 2 ? way_to_try(s) : SLEEP;
    s->left = s->way == SLEEP || (s->way == s->best && s->turns_of[s->way]) ? FX_TURN : TRIAL;
    s->done = 0;
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

/* What an exchange took of the processor's time beyond what sleeping takes. */
static double spent(const fx_wait *wait) {
    double polled = 0;
    if (wait->woke) polled = wait->ready ? (double)(wait->ready - wait->woke) : (double)wait->poll;
    return wait->nap ? polled + (double)NAP_COST : polled;
}

/* *sorted* has room for one more than the *count* that it has. */
static void insert(double *sorted, int count, double price) {
    for (; count > 0 && sorted[count - 1] > price; count--) sorted[count] = sorted[count - 1];
    sorted[count] = price;
}

/* The mean without the dearest quarter, which other things have delayed. */
static double usual(const double *sorted, int count) {
    int kept = count - count / 4;
    double sum = 0;
    for (int i = 0; i < kept; i++) sum += sorted[i];
    return sum / kept;
}

static void end_turn(fx_spin *s, int counted) {
    double price = usual(s->seen, counted);
    int way = s->way;
    if (way != SLEEP && s->price[SLEEP] <= 0) return;
    if (s->turns_of[way] < AVERAGED) s->turns_of[way]++;
    if (way == SLEEP) s->price[SLEEP] = price;
    else s->price[way] += (price / s->price[SLEEP] - s->price[way]) / s->turns_of[way];
}

void fx_spin_learn(fx_spin *s, const fx_wait *wait, int64_t now) {
    if (!wait->began || wait->way != s->way || s->left <= 0) return;
    double allowed = ALLOWED * s->price[SLEEP], busy = spent(wait);
    if (allowed > (double)MOST_ALLOWED) allowed = (double)MOST_ALLOWED;
    double most = SAVED * allowed;
    s->credit += allowed - busy;
    if (s->credit > most) s->credit = most;
    if (s->credit < -most) s->credit = -most;
    double price = (double)(now - wait->began) + WORTH * busy;
    if (wait->woke && !wait->ready) price *= IN_VAIN;
    /* Other threads may be here, too, where there is no interpreter lock. */
    int counted = s->done++ - UNCOUNTED;
    if (counted >= 0 && counted < FX_TURN) insert(s->seen, counted++, price);
    if (--s->left <= 0 && counted > 0 && counted <= FX_TURN) end_turn(s, counted);
}
