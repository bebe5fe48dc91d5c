/* How to wait for a reply that comes soon: sleep through some of it, then poll. A thread that sleeps until the reply
 * itself wakes it is late by what waking it takes, often half of the exchange. Times are nanoseconds. */
#ifndef FX_SPIN_H
#define FX_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define FX_WAYS 13
#define FX_TURN 16

/* How to wait in one exchange, and what came of it. All zero: sleep until the reply is there. */
typedef struct fx_wait {
    int64_t nap;  /* before polling */
    int64_t poll; /* at most */
    bool learned; /* whether it pays is known from elsewhere */
    int way;
    int64_t began;
    int64_t woke;  /* polling began; 0: it did not */
    int64_t ready; /* the reply was seen; 0: not by polling */
} fx_wait;

/* What is known of one kind of exchange. A turn is so many that wait in the same way, since how soon a server answers
 * depends on the last ones. */
typedef struct fx_spin {
    int cores;
    /* Time and some of the processor's: of sleeping the last turn's, of other ways in parts of what sleeping took. */
    double price[FX_WAYS];
    int turns_of[FX_WAYS]; /* up to AVERAGED */
    int best;
    int next; /* to be tried again */
    unsigned turns, tries;
    double credit; /* of the processor's time, to nap and poll with */
    int way;
    int left, done;       /* exchanges of this turn */
    double seen[FX_TURN]; /* their prices, sorted */
} fx_spin;

void fx_spin_init(fx_spin *s, int cores);

/* How to wait for the reply of the exchange that begins now, beside busy ones, itself among them. */
void fx_spin_plan(fx_spin *s, int64_t busy, int64_t now, fx_wait *wait);

/* The exchange is over. */
void fx_spin_learn(fx_spin *s, const fx_wait *wait, int64_t now);

#endif
