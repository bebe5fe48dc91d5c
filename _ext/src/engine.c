/* Start, stop, submission and collection. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"
#include "engine_parts.h"

#define EVENTS 128

void fx_queue_push(fx_queue *queue, fx_transfer *t) {
    t->next = NULL;
    if (queue->tail)
        queue->tail->next = t;
    else
        queue->head = t;
    queue->tail = t;
    queue->length++;
}

fx_transfer *fx_queue_pop(fx_queue *queue) {
    fx_transfer *t = queue->head;
    if (!t) return NULL;
    queue->head = t->next;
    if (!queue->head) queue->tail = NULL;
    queue->length--;
    t->next = NULL;
    return t;
}

static int watch(fx_engine *engine, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = UINT64_MAX - (uint64_t)fd};
    return epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? errno : 0;
}

static int open_descriptors(fx_engine *engine) {
    engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (engine->epoll_fd < 0) return errno;
    engine->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (engine->wake_fd < 0) return errno;
    int error = watch(engine, engine->wake_fd);
    if (error) return error;
    if (engine->threads) {
        engine->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        return engine->done_fd < 0 ? errno : 0;
    }
    engine->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return engine->timer_fd < 0 ? errno : watch(engine, engine->timer_fd);
}

static void init_condition(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

fx_engine *fx_engine_new(int threads, int *error) {
    fx_engine *engine = calloc(1, sizeof *engine);
    if (!engine) {
        *error = ENOMEM;
        return NULL;
    }
    engine->threads = threads;
    engine->epoll_fd = engine->wake_fd = engine->done_fd = engine->timer_fd = -1;
    engine->poll_until = FX_NEVER;
    engine->free_slot = FX_NO_SLOT;
    engine->last_step = fx_now();
    pthread_mutex_init(&engine->lock, NULL);
    init_condition(&engine->work);
    init_condition(&engine->watch);
    *error = open_descriptors(engine);
    pthread_mutex_lock(&engine->lock);
    for (int i = 0; i < threads && !*error; i++) *error = fx_engine_spawn(engine, NULL);
    pthread_mutex_unlock(&engine->lock);
    if (*error) {
        fx_engine_stop(engine);
        fx_engine_free(engine);
        return NULL;
    }
    return engine;
}

static bool grow_slots(fx_engine *engine) {
    uint32_t count = engine->slot_count ? engine->slot_count * 2 : 64;
    fx_slot *slots = realloc(engine->slots, count * sizeof *slots);
    if (!slots) return false;
    engine->slots = slots;
    for (uint32_t i = count; i-- > engine->slot_count;) {
        slots[i] = (fx_slot){.transfer = NULL, .generation = 0, .next_free = engine->free_slot};
        engine->free_slot = i;
    }
    engine->slot_count = count;
    return true;
}

static void enlist(fx_engine *engine, fx_transfer *t) {
    t->slot = engine->free_slot;
    engine->free_slot = engine->slots[t->slot].next_free;
    engine->slots[t->slot].transfer = t;
    t->newer = NULL;
    t->older = engine->newest;
    *(engine->newest ? &engine->newest->newer : &engine->oldest) = t;
    engine->newest = t;
    engine->held++;
    if (fx_transfer_uses_file(t)) engine->held_files++;
}

static void strike_off(fx_engine *engine, fx_transfer *t) {
    fx_slot *slot = &engine->slots[t->slot];
    slot->transfer = NULL;
    slot->generation++;
    slot->next_free = engine->free_slot;
    engine->free_slot = t->slot;
    *(t->older ? &t->older->newer : &engine->oldest) = t->newer;
    *(t->newer ? &t->newer->older : &engine->newest) = t->older;
    engine->held--;
    if (fx_transfer_uses_file(t)) engine->held_files--;
    fx_timers_remove(&engine->timers, t);
    t->place = FX_ELSEWHERE;
    t->wake = NULL;
}

/* Called by fx_transfer_cancel(), from any thread. */
static void on_cancel(void *scheduler, fx_transfer *t) {
    fx_engine *engine = scheduler;
    pthread_mutex_lock(&engine->lock);
    if (t->place == FX_WAITING) {
        fx_engine_make_ready(engine, t);
        fx_engine_rouse(engine);
    }
    fx_engine_call_off(engine, t, FX_NEVER);
    pthread_mutex_unlock(&engine->lock);
}

int fx_engine_submit(fx_engine *engine, fx_transfer *t) {
    fx_transfer_start(t, fx_now());
    pthread_mutex_lock(&engine->lock);
    int error = engine->stopping ? ESHUTDOWN : 0;
    if (!error && !((engine->free_slot != FX_NO_SLOT || grow_slots(engine)) &&
                    fx_timers_reserve(&engine->timers, engine->held + 1)))
        error = ENOMEM;
    if (!error && engine->threads && fx_transfer_uses_file(t)) error = fx_engine_start_sentinel(engine);
    if (!error) {
        enlist(engine, t);
        t->scheduler = engine;
        t->wake = on_cancel;
        int want = t->want;
        /* One that waits for its socket is armed from here: no thread need wake for it. */
        fx_engine_dispatch(engine, t, want);
        bool unseen = !engine->polling && (engine->stepping_files || engine->carriers);
        if (t->place != FX_WAITING || unseen) fx_engine_rouse(engine);
    }
    pthread_mutex_unlock(&engine->lock);
    return error;
}

static void drain(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) > 0) continue;
}

/* Without threads: steps what is ready; what turns out to be big is handed back unfinished. */
static void step_ready(fx_engine *engine, fx_worker *worker) {
    struct epoll_event events[EVENTS];
    worker->gentle = true;
    int count = epoll_wait(engine->epoll_fd, events, EVENTS, 0);
    pthread_mutex_lock(&engine->lock);
    if (count > 0) fx_engine_take_events(engine, events, count);
    fx_engine_expire(engine);
    engine->collectors++;
    fx_transfer *t;
    while (!engine->stopping && (t = fx_queue_pop(&engine->ready))) {
        t->place = FX_STEPPED;
        pthread_mutex_unlock(&engine->lock);
        int want = fx_transfer_step(t, worker, FX_STEP_BUDGET);
        if (want == FX_WANT_TURN || t->sent + t->received > FX_STEP_BUDGET) want = FX_WANT_NOTHING;
        pthread_mutex_lock(&engine->lock);
        fx_engine_dispatch(engine, t, want);
    }
    if (!--engine->collectors) pthread_cond_broadcast(&engine->work);
    pthread_mutex_unlock(&engine->lock);
}

fx_transfer *fx_engine_collect(fx_engine *engine, fx_worker *worker) {
    if (!engine->threads) step_ready(engine, worker);
    pthread_mutex_lock(&engine->lock);
    fx_transfer *first = engine->done.head;
    engine->done = (fx_queue){NULL, NULL, 0};
    for (fx_transfer *t = first; t; t = t->next) strike_off(engine, t);
    engine->rung = false;
    if (engine->done_fd >= 0) drain(engine->done_fd);
    pthread_mutex_unlock(&engine->lock);
    return first;
}

int fx_engine_fileno(const fx_engine *engine) { return engine->threads ? engine->done_fd : engine->epoll_fd; }

static void join(fx_engine *engine, fx_thread *thread) {
    pthread_mutex_lock(&engine->lock);
    enum fx_life life = thread->life;
    pthread_mutex_unlock(&engine->lock);
    if (life != FX_NONE) pthread_join(thread->id, NULL);
    thread->life = FX_NONE;
}

fx_transfer *fx_engine_stop(fx_engine *engine) {
    pthread_mutex_lock(&engine->lock);
    engine->stopping = true;
    pthread_cond_broadcast(&engine->work);
    pthread_cond_broadcast(&engine->watch);
    fx_engine_call_off(engine, NULL, FX_NEVER);
    fx_engine_rouse(engine);
    pthread_mutex_unlock(&engine->lock);
    join(engine, &engine->sentinel); /* first: it is the one that starts others */
    for (int i = 0; i < FX_ENGINE_THREADS; i++) join(engine, &engine->thread[i]);
    fx_transfer *list = NULL;
    pthread_mutex_lock(&engine->lock);
    while (engine->collectors) pthread_cond_wait(&engine->work, &engine->lock);
    while (engine->oldest) {
        fx_transfer *t = engine->oldest;
        fx_transfer_finish(t, ECANCELED, FX_SIDE_NONE);
        strike_off(engine, t);
        t->next = list;
        list = t;
    }
    engine->ready = engine->done = (fx_queue){NULL, NULL, 0};
    pthread_mutex_unlock(&engine->lock);
    return list;
}

static void close_if_open(int fd) {
    if (fd >= 0) close(fd);
}

void fx_engine_free(fx_engine *engine) {
    close_if_open(engine->epoll_fd);
    close_if_open(engine->wake_fd);
    close_if_open(engine->done_fd);
    close_if_open(engine->timer_fd);
    fx_timers_destroy(&engine->timers);
    free(engine->slots);
    free(engine);
}
