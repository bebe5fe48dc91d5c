/* What a thread needs to move bytes for any transfer: a scratch buffer and a pipe to splice through. */
#ifndef FX_WORKER_H
#define FX_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FX_SCRATCH ((size_t)512 * 1024)
#define FX_PIPE_SIZE ((size_t)1024 * 1024)

typedef struct fx_worker {
    uint8_t *scratch; /* FX_SCRATCH bytes, page aligned */
    int pipe[2];      /* -1 until wanted; empty between steps */
    int64_t budget;   /* bytes that the step under way may still move */
    bool moved;       /* the step under way has moved bytes */
    unsigned spin_misses; /* busy waits in a row that were in vain */
    bool long_calls; /* the socket blocks: a file goes out in calls of all that the step may move */
    bool gentle;      /* never wait for a disk, and leave to others what is big: FX_WANT_TURN instead */
    bool sleep;       /* the next receive may sleep; it takes this back */
    bool interrupted; /* a signal has ended that sleep */
} fx_worker;

/* 0, or an errno. */
int fx_worker_init(fx_worker *worker);
void fx_worker_destroy(fx_worker *worker);

/* A worker for the calling thread, from a small store of spare ones; NULL without memory. One that is given back keeps
 * its memory and loses its pipe. */
fx_worker *fx_worker_take(void);
void fx_worker_give_back(fx_worker *worker);

/* Opens the pipe if need be; 0, or an errno. */
int fx_worker_pipe(fx_worker *worker);
/* Throws away the pipe and what is in it. */
void fx_worker_drop_pipe(fx_worker *worker);

/* A non-blocking, close-on-exec pipe of FX_PIPE_SIZE bytes if the system lets us; 0, or an errno. */
int fx_pipe_open(int pipe[2]);
void fx_pipe_close(int pipe[2]);

#endif
