/* Token bucket that transfers and threads may share. */
#ifndef FX_RATELIMIT_H
#define FX_RATELIMIT_H

#include <pthread.h>
#include <stdint.h>

typedef struct fx_rate {
    pthread_mutex_t lock;
    double rate;   /* tokens (bytes) a second */
    double burst;  /* most that the bucket holds */
    double tokens; /* below zero: reserved on credit */
    int64_t stamp; /* when tokens was last brought up to date */
} fx_rate;

/* burst 0 takes some 50 ms' worth. */
void fx_rate_init(fx_rate *limit, double rate, double burst);
void fx_rate_destroy(fx_rate *limit);
void fx_rate_set(fx_rate *limit, double rate);
double fx_rate_get(fx_rate *limit);

/* Takes up to want tokens, on credit if need be, and says from when they may be spent. Credit serves those who wait in
 * the order they came, with one wake-up each. */
int64_t fx_rate_reserve(fx_rate *limit, int64_t want, int64_t now, int64_t *ready);
/* Takes all of count tokens on credit; from when they may be spent. */
int64_t fx_rate_take(fx_rate *limit, int64_t count, int64_t now);
void fx_rate_refund(fx_rate *limit, int64_t tokens);

#endif
