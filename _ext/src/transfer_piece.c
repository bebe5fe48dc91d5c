/* A long body comes in many packets, and to be woken for each of them costs more than to receive it: the socket's
 * low-water mark lets whoever waits sleep until a piece is there. */
#include <sys/socket.h>

#include "clock.h"
#include "transfer.h"

#define LARGEST_PIECE ((int64_t)256 * 1024)
#define SMALLEST_PIECE ((int64_t)16 * 1024)
/* A piece is not waited for any longer, so that a slow peer's bytes are seen, and counted, as they come. */
#define LULL (FX_SECOND / 50)

#ifdef __linux__

static void set_mark(fx_transfer *t, int64_t bytes) {
    int mark = (int)bytes;
    if (mark != t->mark && setsockopt(t->fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark) == 0) t->mark = mark;
}

/* How many bytes are worth sleeping for. Never more than are still to come: nothing would end the wait for them. Those
 * of a body of unknown length end with the stream, which ends every wait. */
static int64_t next_piece(const fx_transfer *t) {
    if (atomic_load_explicit(&t->phase, memory_order_relaxed) != FX_BODY || t->limit_count) return 1;
    int64_t piece = t->smaller_pieces < 8 ? LARGEST_PIECE >> t->smaller_pieces : 0;
    if (t->left < 0 && t->received < FX_BIG_BODY) return 1;
    if (t->left >= 0 && t->left < piece) piece = t->left;
    return piece < SMALLEST_PIECE ? 1 : piece;
}

void fx_piece_await(fx_transfer *t) {
    int64_t at = t->left < 0 ? t->received : -t->left;
    /* The last one did not fill in time, or the system does not hold so much: ask for less. */
    if (t->mark > 1 && at - t->piece_from < t->mark) t->smaller_pieces++;
    t->piece_from = at;
    set_mark(t, next_piece(t));
    t->piece_until = t->mark > 1 ? fx_now() + LULL : FX_NEVER;
}

void fx_piece_forget(fx_transfer *t) {
    if (t->mark > 1) set_mark(t, 1);
    t->piece_until = FX_NEVER;
}

#else

void fx_piece_await(fx_transfer *t) { (void)t; }
void fx_piece_forget(fx_transfer *t) { (void)t; }

#endif
