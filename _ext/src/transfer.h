/* One movement of bytes over one socket, as a state machine.
 *
 * First everything that is to be sent (gathered buffers, then part of a file), then everything that is to be received.
 * fx_transfer_step() never waits for the socket; it says what the transfer waits for. A blocking loop
 * (fx_transfer_run) and the engine are the two that call it. One thread at a time may step a transfer; the fields
 * marked atomic may be read, and `cancelled` set, by any thread meanwhile.
 */
#ifndef FX_TRANSFER_H
#define FX_TRANSFER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ratelimit.h"
#include "spin.h"
#include "worker.h"

enum fx_framing { FX_FRAMING_NONE, FX_FRAMING_RAW, FX_FRAMING_FASTDFS };

enum fx_phase { FX_BEGIN, FX_SEND, FX_HEADER, FX_BODY, FX_RELAY, FX_DONE };

enum fx_side { FX_SIDE_NONE, FX_SIDE_SOCKET, FX_SIDE_FILE, FX_SIDE_RELAY };

/* Who takes the body. */
enum fx_sink { FX_SINK_MEMORY, FX_SINK_INTO, FX_SINK_FILE, FX_SINK_RELAY, FX_SINK_DRAIN };

/* What a step says. READ and WRITE may come together; they concern wait_fd. */
enum fx_want {
    FX_WANT_NOTHING = 0, /* done */
    FX_WANT_READ = 1,
    FX_WANT_WRITE = 2,
    FX_WANT_TIME = 4,   /* nothing moves before wake_at */
    FX_WANT_MEMORY = 8, /* fx_transfer_give_memory() first: memory_size bytes */
    FX_WANT_TURN = 16,  /* there is more to do: the budget is used up, or the worker too gentle */
};

/* A gentle worker reads and writes files up to this size. */
#define FX_SMALL_FILE ((int64_t)64 * 1024)
/* Bodies up to this size are kept in memory that the transfer allocates by itself. */
#define FX_OWN_MEMORY ((int64_t)64 * 1024)
/* From here on a file's blocks are reserved and splice is worth its pipe. */
#define FX_BIG_BODY ((int64_t)256 * 1024)
#define FX_HEADER_SIZE 10

typedef struct fx_transfer fx_transfer;

struct fx_transfer {
    /* Set by the owner before the first step. */
    int fd;
    int send_fd;
    int recv_fd;
    int relay_fd;
    enum fx_framing framing;
    bool crc;
    bool use_sendfile;
    bool use_splice;
    bool has_into; /* even if it holds no byte */
    bool borrows;  /* a body that comes with its header stays in the worker's scratch: take it before giving that back */
    bool may_block; /* nobody else uses the socket meanwhile: it may be made to block */
    bool sleeps;   /* fx_let_sleep() was called for the socket, or it does not block */
    struct iovec *iov; /* consumed as it is sent */
    size_t iov_count;
    int64_t send_offset;
    int64_t send_left; /* -1: to the end of the file */
    bool has_from;     /* the last of the buffers is the body, even if it holds no byte */
    const uint8_t *from;
    int64_t unfolded; /* bytes from there on; none are folded where the sending ends early */
    uint8_t *into;
    int64_t into_size;
    int64_t recv_offset; /* -1: at the file position */
    int64_t recv_count;  /* -1: not known */
    int64_t recv_limit;
    int64_t recv_expected; /* how long a body of unknown length will probably be; -1: no idea */
    int64_t timeout; /* ns; -1: none */
    int64_t idle;    /* ns; -1: none */
    fx_rate **limits;
    size_t limit_count;

    /* Progress. */
    _Atomic int64_t sent;
    _Atomic int64_t received;
    _Atomic int64_t length;
    _Atomic uint32_t crc32;
    _Atomic int status;
    _Atomic int phase;
    _Atomic bool cancelled;
    bool early;
    int error;
    enum fx_side side;

    /* What the last step waits for. */
    int want;
    int wait_fd;
    int64_t wake_at;
    int64_t memory_size;

    /* The machine's own. */
    enum fx_sink sink;
    int64_t deadline;
    int64_t moved_at;
    bool file_begun;
    bool unblocked; /* the socket did block, and will again */
    int64_t left; /* of the body; -1: until the peer closes */
    int mark;     /* the socket's low-water mark, as set by fx_piece_await() */
    int smaller_pieces;  /* how often a piece proved too large */
    int64_t piece_from;  /* where in the body the piece that is waited for begins */
    int64_t piece_until; /* when what has come of it is to be taken; FX_NEVER: it is not waited for */
    int broken;   /* the errno that a send met, kept while a reply is looked for */
    int head_size;
    uint8_t head[FX_HEADER_SIZE];
    int64_t reserved; /* tokens taken from the buckets and not yet spent */
    int64_t reserved_at;
    uint8_t *memory; /* the body, FX_SINK_MEMORY */
    int64_t memory_room;
    uint8_t *untouched;  /* of a long body's memory, what has not been touched yet begins here; NULL: nothing */
    bool memory_own; /* allocated here */
    int relay_pipe[2];
    /* A relay's buffer; or the beginning of a body that waits for its memory; or what its file does not take just now. */
    uint8_t *stash;
    int64_t stash_start;
    int64_t stash_held; /* bytes in the stash, or in the relay's pipe */

    /* Whoever schedules the transfer keeps its books here; wake is called by fx_transfer_cancel(). */
    void (*_Atomic wake)(void *scheduler, fx_transfer *t);
    void *scheduler;
    fx_transfer *next;
    fx_transfer *older;
    fx_transfer *newer;
    int64_t due;
    size_t heap_at; /* 1-based place in the timer heap; 0: not there */
    uint32_t slot;
    int armed_fd; /* -1: not armed */
    int place;
    int slow_waits; /* how often its peer proved too slow to be given a thread */
    void *owner;
};

/* Zeroes t and sets every default; the owner then fills in what it wants. */
void fx_transfer_init(fx_transfer *t, int fd);
/* Frees what the transfer allocated. Not while a step runs. */
void fx_transfer_destroy(fx_transfer *t);

/* Moves about budget bytes at most; returns and keeps in t->want what is waited for (enum fx_want). */
int fx_transfer_step(fx_transfer *t, fx_worker *w, int64_t budget);

/* Starts the clocks, if they do not run yet. */
void fx_transfer_start(fx_transfer *t, int64_t now);

/* The length of a body that will be kept in memory, where that is known before: give the memory before the first step,
 * and nobody has to ask for it in the middle, or to make room again and again. 0 where it is not known, or is that of a
 * reply too long to be touched on its way in. */
int64_t fx_transfer_foreseen(const fx_transfer *t);
/* Answers FX_WANT_MEMORY: memory_size bytes, freshly allocated, that stay until the transfer is destroyed. Not while a
 * step runs. Touch the beginning of a long body's at once, unless that would hold up others. The rest is touched piece by
 * piece as the body comes, so that a peer takes no more memory by announcing a long body than it fills. */
void fx_transfer_give_memory(fx_transfer *t, uint8_t *memory, bool touch);

/* When the transfer times out by deadline or idleness; FX_NEVER. */
int64_t fx_transfer_due(const fx_transfer *t);

/* Before a wait for the socket to become readable: lets it last until a piece of a long body is there, or until
 * t->piece_until. What was asked of the socket is taken back when the transfer ends. */
void fx_piece_await(fx_transfer *t);
void fx_piece_forget(fx_transfer *t);

/* Ends it with ECANCELED at its next step, and wakes its scheduler. */
void fx_transfer_cancel(fx_transfer *t);

/* Ends it here and now. Not while a step runs. */
void fx_transfer_finish(fx_transfer *t, int error, enum fx_side side);

/* Steps and sleeps until the transfer is done (0), wants memory (FX_WANT_MEMORY), or signals should be looked at
 * (FX_WANT_TIME). wait: how to wait for the peer before sleeping, and what came of it; the same in all calls. */
int fx_transfer_run(fx_transfer *t, fx_worker *w, fx_wait *wait);

/* Lets fx_transfer_run() sleep in receives on the socket fd, which saves the call to wait for it: it blocks from now on,
 * though never for longer than signals may wait. 0, or an errno: then it stays as it is. */
int fx_let_sleep(int fd);

static inline bool fx_transfer_done(const fx_transfer *t) {
    return atomic_load_explicit(&t->phase, memory_order_acquire) == FX_DONE;
}

/* Whether the CRC is that of the received body. */
static inline bool fx_folds_received(const fx_transfer *t) { return t->crc && t->send_fd < 0 && !t->has_from; }

static inline bool fx_transfer_cancelled(const fx_transfer *t) {
    return atomic_load_explicit(&t->cancelled, memory_order_relaxed);
}

/* Whether its steps may have to wait for a disk. */
static inline bool fx_transfer_uses_file(const fx_transfer *t) { return t->send_fd >= 0 || t->recv_fd >= 0; }

#endif
