/* Drives any number of transfers, from a few threads of its own or (without threads) from fx_engine_collect().
 *
 * One epoll set serves all threads: whoever has nothing to step and finds nobody polling polls; ready transfers go into
 * one queue, from which every thread takes one at a time. So a thread that waits for a disk holds up one transfer, and
 * a sentinel adds threads (up to FX_ENGINE_THREADS) while all of them are held up.
 */
#ifndef FX_ENGINE_H
#define FX_ENGINE_H

#include "transfer.h"

#define FX_ENGINE_THREADS 8

typedef struct fx_engine fx_engine;

/* NULL with *error set. */
fx_engine *fx_engine_new(int threads, int *error);

/* 0, ESHUTDOWN or ENOMEM. The transfer and what it points to must stay until it has been collected. */
int fx_engine_submit(fx_engine *engine, fx_transfer *t);

/* The transfers that have ended, or want memory or (without threads) a stronger engine, linked by next. Without threads
 * the ready ones are stepped first, by worker. */
fx_transfer *fx_engine_collect(fx_engine *engine, fx_worker *worker);

/* Readable while fx_engine_collect() has something to do. */
int fx_engine_fileno(const fx_engine *engine);

/* Stops and joins the threads and ends what is under way with ECANCELED. All transfers still held, linked by next. */
fx_transfer *fx_engine_stop(fx_engine *engine);

/* Closes the descriptors and frees the memory; after fx_engine_stop(), or in a forked child. */
void fx_engine_free(fx_engine *engine);

#endif
