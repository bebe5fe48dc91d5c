/* A big file that its peer takes fast stays with one thread, which waits for the socket by itself. The kernel then keeps
 * the thread where the peer's acknowledgements wake it, and what both touch stays in one processor's cache; a transfer
 * that goes from thread to thread between two looks at epoll has neither. */
#include <poll.h>

#include "clock.h"
#include "engine_parts.h"

/* Less would be over before a thread has been started for it. */
#define WORTH_CARRYING ((int64_t)4 * 1024 * 1024)
#define CARRIED_STEP ((int64_t)4 * 1024 * 1024)
/* A peer that makes room for nothing in so long is slow, and waited for in the epoll set like all others. It is also how
 * long a cancellation, the engine's end, or others that need a thread may go unnoticed. */
#define PATIENCE_MS 20
/* So often a transfer may turn out to be slow. */
#define TRIES 3

static bool worth_carrying(const fx_transfer *t) {
    return t->framing == FX_FRAMING_NONE && t->use_sendfile && !t->crc && !t->limit_count && !t->iov_count &&
           t->send_left >= WORTH_CARRYING && t->slow_waits < TRIES &&
           atomic_load_explicit(&t->phase, memory_order_relaxed) == FX_SEND;
}

/* Whether nobody else wants the thread that carries t, which waits for want. */
static bool unwanted(const fx_engine *engine, const fx_transfer *t, int want) {
    return (want == FX_WANT_TURN || want == FX_WANT_WRITE) && !engine->ready.head && !engine->recall &&
           !engine->stopping && !fx_transfer_cancelled(t);
}

/* Whether another thread is there for all other transfers. */
static bool replaced(fx_engine *engine) {
    return engine->alive - engine->carriers > 1 || (engine->alive < FX_ENGINE_WORKERS && fx_engine_spawn(engine) == 0);
}

static bool wait_for_room(fx_transfer *t) {
    struct pollfd waited = {.fd = t->wait_fd, .events = POLLOUT};
    if (poll(&waited, 1, PATIENCE_MS) != 0) return true;
    t->slow_waits++;
    return false;
}

int fx_engine_carry(fx_engine *engine, fx_worker *worker, fx_transfer *t, int want) {
    if (!worth_carrying(t) || !unwanted(engine, t, want) || !replaced(engine)) return want;
    engine->carriers++;
    if (!engine->polling && engine->idle && engine->held > 1) pthread_cond_signal(&engine->work);
    while (unwanted(engine, t, want)) {
        fx_engine_leave(engine);
        bool room = want == FX_WANT_TURN || wait_for_room(t);
        if (room) want = fx_transfer_step(t, worker, CARRIED_STEP);
        pthread_mutex_lock(&engine->lock);
        if (!room) break;
    }
    engine->carriers--;
    return want;
}
