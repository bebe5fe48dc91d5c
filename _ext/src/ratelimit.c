#include "ratelimit.h"

#include "clock.h"

#define SLICE_SECONDS 0.05
#define SMALLEST_SLICE 1024.0
#define LARGEST_SLICE 262144.0

/* What one transfer may take at a time, so that sharers take turns. */
static double slice_of(double rate) {
    double slice = rate * SLICE_SECONDS;
    if (slice < SMALLEST_SLICE) return SMALLEST_SLICE;
    return slice > LARGEST_SLICE ? LARGEST_SLICE : slice;
}

void fx_rate_init(fx_rate *limit, double rate, double burst) {
    pthread_mutex_init(&limit->lock, NULL);
    limit->rate = rate;
    limit->burst = burst > 0 ? burst : (double)(int64_t)slice_of(rate);
    limit->tokens = limit->burst;
    limit->stamp = fx_now();
}

void fx_rate_destroy(fx_rate *limit) { pthread_mutex_destroy(&limit->lock); }

static void refill(fx_rate *limit, int64_t now) {
    if (now <= limit->stamp) return;
    limit->tokens += (double)(now - limit->stamp) / FX_SECOND * limit->rate;
    if (limit->tokens > limit->burst) limit->tokens = limit->burst;
    limit->stamp = now;
}

void fx_rate_set(fx_rate *limit, double rate) {
    pthread_mutex_lock(&limit->lock);
    refill(limit, fx_now());
    limit->rate = rate;
    pthread_mutex_unlock(&limit->lock);
}

double fx_rate_get(fx_rate *limit) {
    pthread_mutex_lock(&limit->lock);
    double rate = limit->rate;
    pthread_mutex_unlock(&limit->lock);
    return rate;
}

/* With the lock held: takes grant tokens and says from when they may be spent. */
static int64_t take(fx_rate *limit, int64_t grant, int64_t now) {
    limit->tokens -= (double)grant;
    if (limit->tokens >= 0) return now;
    double wait = -limit->tokens / limit->rate;
    return wait > 1e9 ? now + INT64_C(1000000000) * FX_SECOND : now + (int64_t)(wait * FX_SECOND);
}

int64_t fx_rate_reserve(fx_rate *limit, int64_t want, int64_t now, int64_t *ready) {
    pthread_mutex_lock(&limit->lock);
    refill(limit, now);
    double most = slice_of(limit->rate);
    if (most > limit->burst) most = limit->burst;
    int64_t grant = (double)want > most ? (int64_t)most : want;
    if (grant < 1) grant = 1;
    *ready = take(limit, grant, now);
    pthread_mutex_unlock(&limit->lock);
    return grant;
}

int64_t fx_rate_take(fx_rate *limit, int64_t count, int64_t now) {
    pthread_mutex_lock(&limit->lock);
    refill(limit, now);
    int64_t ready = take(limit, count, now);
    pthread_mutex_unlock(&limit->lock);
    return ready;
}

void fx_rate_refund(fx_rate *limit, int64_t tokens) {
    pthread_mutex_lock(&limit->lock);
    limit->tokens += (double)tokens;
    pthread_mutex_unlock(&limit->lock);
}
