/* What the files of the engine share with one another and with nobody else. All but the fields marked otherwise is
 * guarded by lock. */
#ifndef FX_ENGINE_PARTS_H
#define FX_ENGINE_PARTS_H

#include <pthread.h>

#include "engine.h"
#include "timers.h"

#define FX_STEP_BUDGET ((int64_t)512 * 1024)
/* One thread of those allowed is the sentinel's. */
#define FX_ENGINE_WORKERS (FX_ENGINE_THREADS - 1)

/* Where a transfer is; kept in t->place. */
enum fx_place { FX_ELSEWHERE, FX_QUEUED, FX_STEPPED, FX_WAITING, FX_ENDED };

typedef struct fx_queue {
    fx_transfer *head;
    fx_transfer *tail;
    size_t length;
} fx_queue;

typedef struct fx_slot {
    fx_transfer *transfer;
    uint32_t generation; /* tells a late event of an earlier tenant */
    uint32_t next_free;
} fx_slot;

enum fx_life { FX_NONE, FX_LIVE, FX_GONE };

typedef struct fx_thread {
    fx_engine *engine;
    pthread_t id;
    enum fx_life life;
    fx_worker worker;      /* made before the thread, so that there is none that cannot work; not the sentinel's */
    fx_transfer *carried;  /* what it carries, or was started for */
    int64_t calling_since; /* when it went into a call on carried's socket that blocks; 0: it is in none */
    bool called_off;       /* carried's socket has been made non-blocking again meanwhile */
} fx_thread;

struct fx_engine {
    pthread_mutex_t lock;
    pthread_cond_t work;  /* for threads that neither poll nor step; for the end of the last collector */
    pthread_cond_t watch; /* for the sentinel */
    int epoll_fd;         /* constant */
    int wake_fd;          /* constant; an eventfd that ends a poll */
    int done_fd;          /* constant; an eventfd that tells of finished transfers; -1 without threads */
    int timer_fd;         /* constant; without threads: tells of timers; else -1 */
    int threads;          /* constant */
    int alive;
    int idle;          /* threads waiting for work */
    int stepping_files;
    int carriers;   /* threads that carry one transfer each, and see to no others */
    int collectors; /* without threads: callers that step what is ready */
    bool polling;      /* a thread is in epoll_wait */
    bool woken;        /* wake_fd has been written and not read */
    bool rung;         /* done_fd has been written and not read */
    bool stopping;
    bool recall;          /* carriers are wanted back: all other threads are held up */
    bool sentinel_asleep; /* without a time-out */
    int quiet_polls;      /* polls in a row that ended without an event */
    int since_poll;       /* steps since the last look at epoll */
    int64_t poll_until;   /* when the poll under way ends by itself, or timer_fd rings */
    int64_t last_step;    /* when a step with a file last began or ended */
    fx_queue ready;
    fx_queue done;
    fx_transfer *oldest; /* all transfers held, linked by newer and older */
    fx_transfer *newest;
    size_t held;
    size_t held_files; /* those of them that use files */
    fx_timers timers;
    fx_slot *slots;
    uint32_t slot_count;
    uint32_t free_slot;
    fx_thread thread[FX_ENGINE_THREADS];
    fx_thread sentinel;
};

#define FX_NO_SLOT UINT32_MAX

void fx_queue_push(fx_queue *queue, fx_transfer *t);
fx_transfer *fx_queue_pop(fx_queue *queue);

/* All of these want the lock held. */
void fx_engine_dispatch(fx_engine *engine, fx_transfer *t, int want);
void fx_engine_make_ready(fx_engine *engine, fx_transfer *t);
void fx_engine_take_events(fx_engine *engine, void *events, int count);
void fx_engine_expire(fx_engine *engine);
/* Ends a poll, or rouses a thread, so that what is new is seen. */
void fx_engine_rouse(fx_engine *engine);

/* Leaves the lock, telling the collector if need be. Nobody may sleep before. */
void fx_engine_leave(fx_engine *engine);

/* Whether t, which has just been stepped, should have a thread to itself. */
bool fx_engine_worth_carrying(const fx_engine *engine, const fx_transfer *t);
/* Goes on with t, which has just been stepped, as long as this thread may be kept from all others. The thread has been
 * counted as a carrier. The lock is held before and after, and t is not to be found by others meanwhile. */
void fx_engine_carry(fx_thread *self, fx_worker *worker, fx_transfer *t);
/* Ends the blocking calls that began before that time: that with t, or all where t is NULL. */
void fx_engine_call_off(fx_engine *engine, const fx_transfer *t, int64_t before);

/* Starts a thread, as a carrier of t unless that is NULL; 0 or an errno. */
int fx_engine_spawn(fx_engine *engine, fx_transfer *t);
int fx_engine_start_sentinel(fx_engine *engine);

#endif
