#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

int fx_pipe_open(int ends[2]) {
#ifdef __linux__
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) return errno;
    /* Best effort: beyond the user's share of pipe pages it stays at 64 KiB. */
    (void)fcntl(ends[1], F_SETPIPE_SZ, (int)FX_PIPE_SIZE);
    return 0;
#else
    ends[0] = ends[1] = -1;
    return ENOSYS;
#endif
}

void fx_pipe_close(int ends[2]) {
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0) close(ends[i]);
        ends[i] = -1;
    }
}

int fx_worker_init(fx_worker *worker) {
    void *memory = NULL;
    int error = posix_memalign(&memory, 4096, FX_SCRATCH);
    worker->scratch = error ? NULL : memory;
    worker->pipe[0] = worker->pipe[1] = -1;
    worker->budget = 0;
    worker->moved = false;
    worker->spin_misses = 0;
    worker->long_calls = worker->gentle = worker->sleep = worker->interrupted = false;
    return error;
}

void fx_worker_destroy(fx_worker *worker) {
    fx_pipe_close(worker->pipe);
    free(worker->scratch);
    worker->scratch = NULL;
}

int fx_worker_pipe(fx_worker *worker) {
    if (worker->pipe[0] >= 0) return 0;
    int error = fx_pipe_open(worker->pipe);
    if (error) worker->pipe[0] = worker->pipe[1] = -1;
    return error;
}

void fx_worker_drop_pipe(fx_worker *worker) { fx_pipe_close(worker->pipe); }

#define SPARE_WORKERS 8

static _Atomic(fx_worker *) spare[SPARE_WORKERS];

fx_worker *fx_worker_take(void) {
    for (int i = 0; i < SPARE_WORKERS; i++) {
        if (!atomic_load_explicit(&spare[i], memory_order_relaxed)) continue;
        fx_worker *worker = atomic_exchange(&spare[i], NULL);
        if (worker) return worker;
    }
    fx_worker *worker = malloc(sizeof *worker);
    if (worker && fx_worker_init(worker)) {
        free(worker);
        return NULL;
    }
    return worker;
}

void fx_worker_give_back(fx_worker *worker) {
    fx_worker_drop_pipe(worker);
    worker->gentle = false;
    for (int i = 0; i < SPARE_WORKERS; i++) {
        fx_worker *none = NULL;
        if (atomic_compare_exchange_strong(&spare[i], &none, worker)) return;
    }
    fx_worker_destroy(worker);
    free(worker);
}
