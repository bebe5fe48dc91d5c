/* The engine's threads: poll, step, wait for one another; and the sentinel that adds threads. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"
#include "engine_parts.h"

#define EVENTS 64
/* So many steps are taken from the queue before epoll is looked at again. */
#define STEPS_BETWEEN_POLLS 16
/* A poll lasts no longer, so that the timer of a new transfer need not end it; after some in vain it may last for ever. */
#define LONGEST_POLL (FX_SECOND / 2)
#define POLLS_BEFORE_SLEEP 20
/* So many small steps must wait before a sleeping thread is woken to share them: waking costs more than a few steps. */
#define WORTH_SHARING 8
/* A thread that has not come back from a step for so long is taken to be held up by its disk. */
#define HELD_UP (FX_SECOND / 50)
#define SENTINEL_TICK (FX_SECOND / 40)
/* The sentinel stops ticking, and extra threads end, after so long without need. */
#define SENTINEL_TICKS 40
#define EXTRA_THREAD_LINGERS (2 * FX_SECOND)
/* What less is left is sent sooner by a thread that runs already. */
#define WORTH_A_NEW_THREAD ((int64_t)32 * 1024 * 1024)
/* Calls that block are called off after so long, so that counters and times are looked at. */
#define LONGEST_CALL (FX_SECOND / 20)

static void rouse_poll(fx_engine *engine) {
    if (engine->woken) return;
    engine->woken = true;
    uint64_t one = 1;
    ssize_t written = write(engine->wake_fd, &one, sizeof one);
    (void)written; /* it cannot overflow: it is written once before it is read */
}

void fx_engine_rouse(fx_engine *engine) {
    if (engine->polling || !engine->threads)
        rouse_poll(engine);
    else if (engine->idle)
        pthread_cond_signal(&engine->work);
}

static void arm(fx_engine *engine, fx_transfer *t, int want) {
    struct epoll_event event;
    event.events = EPOLLONESHOT | (want & FX_WANT_READ ? EPOLLIN : 0) | (want & FX_WANT_WRITE ? EPOLLOUT : 0);
    event.data.u64 = (uint64_t)engine->slots[t->slot].generation << 32 | t->slot;
    /* Pooled connections come back: their descriptors are still in the set, disarmed. */
    int result = epoll_ctl(engine->epoll_fd, EPOLL_CTL_MOD, t->wait_fd, &event);
    if (result < 0 && errno == ENOENT) result = epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, t->wait_fd, &event);
    if (result < 0)
        fx_transfer_finish(t, errno, t->wait_fd == t->fd       ? FX_SIDE_SOCKET
                                     : t->wait_fd == t->recv_fd ? FX_SIDE_FILE
                                                                : FX_SIDE_RELAY);
    else
        t->armed_fd = t->wait_fd;
}

static void disarm(fx_engine *engine, fx_transfer *t) {
    if (t->armed_fd >= 0) epoll_ctl(engine->epoll_fd, EPOLL_CTL_DEL, t->armed_fd, NULL);
    t->armed_fd = -1;
}

/* Without threads a timer descriptor in the epoll set makes the collector look. */
static void ring_at(fx_engine *engine, int64_t due) {
    struct itimerspec when = {.it_value = {.tv_sec = due / FX_SECOND, .tv_nsec = due % FX_SECOND}};
    if (timerfd_settime(engine->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) == 0) engine->poll_until = due;
}

static void set_timer(fx_engine *engine, fx_transfer *t, int want) {
    int64_t due = fx_transfer_due(t);
    if (want == FX_WANT_TIME && t->wake_at < due) due = t->wake_at;
    if (due == FX_NEVER) return;
    /* A time that has only moved away is looked at when the old one comes. */
    if (!t->heap_at || due < t->due) {
        t->due = due;
        fx_timers_set(&engine->timers, t);
    }
    if (due >= engine->poll_until) return;
    if (engine->threads) {
        if (engine->polling) rouse_poll(engine);
    } else {
        ring_at(engine, due);
    }
}

void fx_engine_make_ready(fx_engine *engine, fx_transfer *t) {
    disarm(engine, t);
    t->place = FX_QUEUED;
    fx_queue_push(&engine->ready, t);
}

void fx_engine_dispatch(fx_engine *engine, fx_transfer *t, int want) {
    if (want & (FX_WANT_READ | FX_WANT_WRITE | FX_WANT_TIME)) {
        if (fx_transfer_cancelled(t)) {
            fx_engine_make_ready(engine, t);
            return;
        }
        t->place = FX_WAITING;
        if (want & (FX_WANT_READ | FX_WANT_WRITE)) arm(engine, t, want);
        if (!fx_transfer_done(t)) {
            set_timer(engine, t, want);
            return;
        }
    } else if (want == FX_WANT_TURN) {
        fx_engine_make_ready(engine, t);
        return;
    }
    t->place = FX_ENDED;
    fx_queue_push(&engine->done, t);
}

void fx_engine_take_events(fx_engine *engine, void *polled, int count) {
    const struct epoll_event *events = polled;
    for (int i = 0; i < count; i++) {
        uint64_t mark = events[i].data.u64;
        uint64_t number;
        if (mark == UINT64_MAX - (uint64_t)engine->wake_fd) {
            while (read(engine->wake_fd, &number, sizeof number) > 0) continue;
            engine->woken = false;
        } else if (engine->timer_fd >= 0 && mark == UINT64_MAX - (uint64_t)engine->timer_fd) {
            while (read(engine->timer_fd, &number, sizeof number) > 0) continue;
            engine->poll_until = FX_NEVER;
        } else {
            uint32_t slot = (uint32_t)mark;
            if (slot >= engine->slot_count || engine->slots[slot].generation != (uint32_t)(mark >> 32)) continue;
            fx_transfer *t = engine->slots[slot].transfer;
            if (!t || t->place != FX_WAITING || t->armed_fd < 0) continue;
            t->armed_fd = -1;
            fx_engine_make_ready(engine, t);
        }
    }
}

void fx_engine_expire(fx_engine *engine) {
    fx_transfer *t = fx_timers_first(&engine->timers);
    if (!t) return;
    int64_t now = fx_now();
    while ((t = fx_timers_first(&engine->timers)) && t->due <= now) {
        fx_timers_remove(&engine->timers, t);
        if (t->place != FX_WAITING) continue; /* set again when it waits again */
        int64_t due = fx_transfer_due(t);
        if (t->want == FX_WANT_TIME && t->wake_at < due) due = t->wake_at;
        if (due <= now)
            fx_engine_make_ready(engine, t);
        else
            set_timer(engine, t, t->want);
    }
    if (!engine->threads && t && t->due < engine->poll_until) ring_at(engine, t->due);
}

/* Whether something is finished of which the collector has not been told. */
static bool untold(const fx_engine *engine) { return engine->done.head && !engine->rung; }

void fx_engine_leave(fx_engine *engine) {
    bool ring = untold(engine);
    if (ring) engine->rung = true;
    pthread_mutex_unlock(&engine->lock);
    if (ring) {
        uint64_t one = 1;
        ssize_t written = write(engine->done_fd, &one, sizeof one);
        (void)written;
    }
}

static void poll_once(fx_engine *engine) {
    struct epoll_event events[EVENTS];
    int timeout = 0;
    if (!engine->ready.head) {
        fx_transfer *first = fx_timers_first(&engine->timers);
        int64_t now = fx_now();
        engine->poll_until = engine->quiet_polls < POLLS_BEFORE_SLEEP ? now + LONGEST_POLL : FX_NEVER;
        if (first && first->due < engine->poll_until) engine->poll_until = first->due;
        timeout = fx_poll_timeout(engine->poll_until, now);
    }
    engine->polling = true;
    fx_engine_leave(engine);
    int count = epoll_wait(engine->epoll_fd, events, EVENTS, timeout);
    pthread_mutex_lock(&engine->lock);
    engine->polling = false;
    engine->quiet_polls = count ? 0 : engine->quiet_polls + 1;
    engine->since_poll = 0;
    engine->recall = false;
    if (count > 0) fx_engine_take_events(engine, events, count);
    fx_engine_expire(engine);
}

/* Gives t, if it is worth that, a thread to itself, as long as another is left for all others: a new one, or this one,
 * which then comes back when it is done with it. Whether a new one has it now. */
static bool handed_over(fx_thread *self, fx_worker *worker, fx_transfer *t) {
    fx_engine *engine = self->engine;
    if (!fx_engine_worth_carrying(engine, t)) return false;
    bool more = engine->alive < FX_ENGINE_WORKERS;
    if (more && t->send_left >= WORTH_A_NEW_THREAD && fx_engine_spawn(engine, t) == 0) return true;
    if (engine->alive - engine->carriers > 1 || (more && fx_engine_spawn(engine, NULL) == 0)) {
        engine->carriers++;
        self->carried = t;
        fx_engine_carry(self, worker, t);
        self->carried = NULL;
    }
    return false;
}

static void step_one(fx_thread *self, fx_worker *worker) {
    fx_engine *engine = self->engine;
    fx_transfer *t = fx_queue_pop(&engine->ready);
    bool file = fx_transfer_uses_file(t);
    t->place = FX_STEPPED;
    engine->since_poll++;
    engine->stepping_files += file;
    if (file) engine->last_step = fx_now();
    if (engine->idle) {
        bool others = file ? engine->ready.head || (!engine->polling && engine->held > 1)
                           : engine->ready.length >= WORTH_SHARING;
        if (others) pthread_cond_signal(&engine->work);
    }
    fx_engine_leave(engine);
    (void)fx_transfer_step(t, worker, FX_STEP_BUDGET);
    pthread_mutex_lock(&engine->lock);
    engine->stepping_files -= file;
    if (file) engine->last_step = fx_now();
    if (!file || !handed_over(self, worker, t)) fx_engine_dispatch(engine, t, t->want);
}

static int wait_for_work(fx_engine *engine, pthread_cond_t *condition, int64_t span) {
    if (!span) return pthread_cond_wait(condition, &engine->lock);
    int64_t until = fx_now() + span;
    struct timespec when = {.tv_sec = until / FX_SECOND, .tv_nsec = until % FX_SECOND};
    return pthread_cond_timedwait(condition, &engine->lock, &when);
}

static bool extra(const fx_engine *engine) { return engine->alive - engine->carriers > engine->threads; }

/* Carries what the thread was started for; whether there is nothing else for it to do. It does not linger: the next such
 * transfer is better off with a new thread. */
static bool carry_first(fx_thread *self) {
    fx_engine *engine = self->engine;
    fx_transfer *t = self->carried;
    if (!t) return false;
    fx_engine_carry(self, &self->worker, t);
    self->carried = NULL;
    fx_engine_dispatch(engine, t, t->want);
    return t->place == FX_ENDED && extra(engine) && engine->polling && !engine->ready.head;
}

static void *work(void *argument) {
    fx_thread *self = argument;
    fx_engine *engine = self->engine;
    pthread_mutex_lock(&engine->lock);
    bool leave = carry_first(self);
    while (!leave && !engine->stopping) {
        if (engine->ready.head && (engine->polling || engine->since_poll < STEPS_BETWEEN_POLLS)) {
            step_one(self, &self->worker);
        } else if (!engine->polling) {
            poll_once(engine);
        } else if (untold(engine)) {
            fx_engine_leave(engine);
            pthread_mutex_lock(&engine->lock);
        } else {
            engine->idle++;
            int result = wait_for_work(engine, &engine->work, extra(engine) ? EXTRA_THREAD_LINGERS : 0);
            engine->idle--;
            if (result == ETIMEDOUT && extra(engine) && !engine->ready.head && engine->polling) break;
        }
    }
    engine->alive--;
    fx_worker_destroy(&self->worker);
    self->life = FX_GONE;
    fx_engine_leave(engine);
    return NULL;
}

/* A thread that takes no signals: those are Python's. */
static int start(fx_engine *engine, fx_thread *thread, void *(*body)(void *)) {
    sigset_t all;
    sigset_t before;
    if (thread->life == FX_GONE) pthread_join(thread->id, NULL);
    thread->engine = engine;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread->id, NULL, body, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    thread->life = error ? FX_NONE : FX_LIVE;
    return error;
}

int fx_engine_spawn(fx_engine *engine, fx_transfer *t) {
    for (int i = 0; i < FX_ENGINE_THREADS; i++) {
        fx_thread *thread = &engine->thread[i];
        if (thread->life == FX_LIVE) continue;
        int error = fx_worker_init(&thread->worker);
        if (error) return error;
        thread->carried = t;
        error = start(engine, thread, work);
        if (error) {
            fx_worker_destroy(&thread->worker);
            return error;
        }
        engine->alive++;
        if (t) engine->carriers++;
        return 0;
    }
    return EAGAIN;
}

static void recall_carriers(fx_engine *engine) {
    engine->recall = true;
    fx_engine_call_off(engine, NULL, FX_NEVER);
}

/* Looks now and then, while files are in play, whether all threads are held up in them, and ends calls that take long. */
static void *keep_watch(void *argument) {
    fx_thread *self = argument;
    fx_engine *engine = self->engine;
    int quiet = 0;
    pthread_mutex_lock(&engine->lock);
    while (!engine->stopping) {
        engine->sentinel_asleep = quiet >= SENTINEL_TICKS;
        wait_for_work(engine, &engine->watch, engine->sentinel_asleep ? 0 : SENTINEL_TICK);
        engine->sentinel_asleep = false;
        quiet = engine->held_files ? 0 : quiet + 1;
        fx_engine_call_off(engine, NULL, fx_now() - LONGEST_CALL);
        bool held_up = engine->stepping_files && fx_now() - engine->last_step > HELD_UP;
        if (engine->stopping || engine->polling || !held_up) continue;
        if (engine->idle)
            pthread_cond_signal(&engine->work);
        else if (engine->alive < FX_ENGINE_WORKERS)
            (void)fx_engine_spawn(engine, NULL); /* without it things go on as slowly as the disks */
        else
            recall_carriers(engine);
    }
    self->life = FX_GONE;
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

int fx_engine_start_sentinel(fx_engine *engine) {
    if (engine->threads >= FX_ENGINE_THREADS) return 0;
    if (engine->sentinel.life == FX_NONE) return start(engine, &engine->sentinel, keep_watch);
    if (engine->sentinel_asleep) pthread_cond_signal(&engine->watch);
    return 0;
}
