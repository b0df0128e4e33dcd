/* SPDX-License-Identifier: MPL-2.0
 *
 *  worker.c - a worker's life: made from options, started, waited for, stopped, destroyed. What its loop does
 *  is in turns.c, what it decides in session.c. */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "bindings.h"
#include "builtin.h"
#include "clock.h"
#include "log.h"
#include "transport.h"
#include "turns.h"
#include "worker_run.h"

#define LINGER_MS         1000
#define TOLD_MS           250     /* for abandoned handlers to see that nobody waits, and leave */
#define COMPLAIN_US       10000000 /* between two warnings that there is no broker */

struct weft_worker {
    /* as made */
    char uuid [UUID_SIZE + 1];
    char host [256];
    char *name, *bind, *advertise;
    char **brokers, **labels;   /* NULL-terminated */
    weft_worker_options_t options;
    services_t services;
    char error [WEFT_TEXT_MAX + 1];

    /* of the thread that leads, while one does */
    turns_t turns;
    void *context;
    bindings_t bindings;
    standing_state_t standing;    /* as last logged */
    uint64_t incarnation;         /* so too */
    int64_t complain_us;

    /* between threads */
    bool started;                   /* weft_worker_start was called */
    executor_t *executor;           /* NULL until its threads run */
    int state_fd;
    pthread_mutex_t lock;           /* of the rest */
    pthread_cond_t changed;
    session_state_t state;
    bool was_ready;
    bool ended, abandoned;          /* it has stopped; handlers went on then */
    weft_status_t status;
    char text [WEFT_TEXT_MAX + 1];
};

/*  ------------------------------------------------------------------ reporting  */

static void log_standing (weft_worker_t *self, int64_t now_us)
{
    const standing_t *standing = &self->turns.session.post->standing;
    const bool was = self->standing == STANDING_REGISTERED;

    if (standing->state == STANDING_REGISTERED && (!was || self->incarnation != standing->incarnation))
        log_info ("registered", log_text ("uuid", self->uuid),
                  log_text ("broker", standing->brokers [standing->broker]),
                  log_int ("incarnation", (int64_t) standing->incarnation));
    if (standing->state == STANDING_DOWN && (was || now_us >= self->complain_us)) {
        log_warning (was ? "lost the broker" : "cannot reach a broker", log_text ("why", standing->text),
                     log_text ("uuid", self->uuid));
        self->complain_us = now_us + COMPLAIN_US;
    }
    if (standing->state == STANDING_REGISTERED || standing->state == STANDING_DOWN)
        self->standing = standing->state;
    if (standing->state == STANDING_REGISTERED)
        self->incarnation = standing->incarnation;
}

/*  Tells whoever waits what has changed. */
static void report (weft_worker_t *self, int64_t now_us)
{
    const session_t *session = &self->turns.session;

    log_standing (self, now_us);
    if (self->state == session->state && self->status == session->post->standing.status)
        return;
    pthread_mutex_lock (&self->lock);
    self->state = session->state;
    self->was_ready |= session->state == SESSION_SERVING;
    self->status = session->post->standing.status;
    memcpy (self->text, session->post->standing.text, sizeof self->text);
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
    transport_wake (self->state_fd);
}

/*  ------------------------------------------------------------------ leading  */

/*  Nobody leads after this. */
static void end (weft_worker_t *self)
{
    session_t *session = &self->turns.session;

    turns_flush_last (&self->turns);
    const bool abandoned = session_in_flight (session) > 0;
    session_cancel_all (session);
    turns_close_uplinks (&self->turns, LINGER_MS);
    direct_close (&self->turns.direct, LINGER_MS);
    bindings_close (&self->bindings);
    report (self, session->now_us);
    log_info ("stopped", log_text ("uuid", self->uuid), log_int ("abandoned", (int64_t) abandoned));
    pthread_mutex_lock (&self->lock);
    self->abandoned = abandoned;
    self->ended = true;
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
}

static bool lead (void *arg, executor_t *executor, executor_job_t *taken)
{
    weft_worker_t *self = arg;
    session_t *session = &self->turns.session;

    if (taken)
        turns_resume (&self->turns, taken);
    else
        turns_begin (&self->turns, executor);
    while (session->state != SESSION_DONE) {
        const turn_t turn = turns_take (&self->turns);
        if (turn == TURN_LOST)
            return false;
        report (self, session->now_us);
        if (turn == TURN_IDLE && session->state != SESSION_DONE)
            turns_sleep (&self->turns);
    }
    end (self);
    return true;
}

/*  ------------------------------------------------------------------ making  */

static _Thread_local char new_error [WEFT_TEXT_MAX + 1];

static bool wrong (char *error, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
static bool wrong (char *error, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (error, WEFT_TEXT_MAX + 1, format, arguments);
    va_end (arguments);
    return false;
}

static void free_list (char **list)
{
    for (char **at = list; at && *at; at++)
        free (*at);
    free (list);
}

static bool copy_text (char **copy, const char *text)
{
    return !text || (*copy = strdup (text)) != NULL;
}

/*  Brokers: comma-separated endpoints. */
static bool take_brokers (weft_worker_t *self, const char *brokers, char *error)
{
    char *save = NULL, *copy = brokers ? strdup (brokers) : NULL;
    const char *fault;
    size_t count = 0;
    bool right = copy != NULL;

    self->brokers = calloc (WEFT_BROKERS_MAX + 1, sizeof *self->brokers);
    right = right && self->brokers;
    for (char *item = right ? strtok_r (copy, ", ", &save) : NULL; right && item;
         item = strtok_r (NULL, ", ", &save)) {
        if (!transport_endpoint_valid (item, false, &fault))
            right = wrong (error, "bad broker endpoint \"%.300s\": %s", item, fault);
        else if (count == WEFT_BROKERS_MAX)
            right = wrong (error, "more than %d brokers", WEFT_BROKERS_MAX);
        else
            right = (self->brokers [count++] = strdup (item)) != NULL;
    }
    free (copy);
    return right && (count > 0 || wrong (error, "no broker endpoint"));
}

static bool take_labels (weft_worker_t *self, const char *const *labels, char *error)
{
    size_t count = 0;

    while (labels && labels [count])
        count++;
    if (count > WEFT_LABELS_MAX)
        return wrong (error, "more than %d labels", WEFT_LABELS_MAX);
    self->labels = calloc (count + 1, sizeof *self->labels);
    for (size_t i = 0; self->labels && i < count; i++) {
        if (!strchr (labels [i], '=') || labels [i][0] == '=')
            return wrong (error, "bad label \"%.300s\": expected key=value", labels [i]);
        if (!copy_text (&self->labels [i], labels [i]))
            return false;
    }
    return self->labels != NULL;
}

/*  A number with its default and its range. */
static bool take_number (int *number, const char *name, int standard, int highest, char *error)
{
    if (*number == 0)
        *number = standard;
    return (*number >= 0 && *number <= highest)
           || wrong (error, "%s must be 0 to %d, not %d", name, highest, *number);
}

static bool take_options (weft_worker_t *self, const weft_worker_options_t *options, char *error)
{
    weft_worker_options_t *own = &self->options;

    *own = options ? *options : (weft_worker_options_t){0};
    if (!take_number (&own->concurrency, "concurrency", clock_cores (), WEFT_WORKER_CONCURRENCY_MAX, error)
        || !take_number (&own->queue_max, "queue_max", WEFT_WORKER_QUEUE_MAX, 1000000, error)
        || !take_number (&own->streams_max, "streams_max", WEFT_WORKER_STREAMS_MAX, UINT16_MAX, error)
        || !take_number (&own->handler_timeout_ms, "handler_timeout_ms", WEFT_HANDLER_TIMEOUT_MS, INT32_MAX,
                         error)
        || !take_number (&own->drain_timeout_ms, "drain_timeout_ms", WEFT_DRAIN_TIMEOUT_MS, INT32_MAX, error)
        || !take_number (&own->beat_ms, "beat_ms", 0, INT32_MAX, error)
        || !take_number (&own->replies_max, "replies_max", WEFT_REPLIES_MAX, INT32_MAX, error)
        || !take_number (&own->replies_age_ms, "replies_age_ms", WEFT_REPLIES_AGE_MS, INT32_MAX, error)
        || !bindings_check (own->bind, own->advertise, error) || !take_labels (self, own->labels, error))
        return false;
    if (own->body_max == 0)
        own->body_max = WEFT_BODY_MAX;
    if (own->body_max > INT32_MAX)
        return wrong (error, "body_max must be at most %d", INT32_MAX);
    if (own->name && strlen (own->name) > WEFT_PEER_NAME_MAX)
        return wrong (error, "name \"%.80s\" is longer than %d bytes", own->name, WEFT_PEER_NAME_MAX);
    self->name = strndup (own->name ? own->name : program_invocation_short_name, WEFT_PEER_NAME_MAX);
    return self->name && copy_text (&self->bind, own->bind) && copy_text (&self->advertise, own->advertise);
}

static session_options_t session_options (weft_worker_t *self)
{
    const weft_worker_options_t *options = &self->options;

    return (session_options_t){
        .identity = {.uuid = self->uuid,
                     .name = self->name,
                     .host = self->host,
                     .pid = (uint64_t) getpid (),
                     .cores = (uint64_t) clock_cores (),
                     .capacity = (uint64_t) options->concurrency,
                     .labels = (const char *const *) self->labels,
                     .services = &self->services},
        .brokers = (const char *const *) self->brokers,
        .services = &self->services,
        .concurrency = options->concurrency,
        .queue_max = options->queue_max,
        .queue_bytes_max = options->queue_bytes_max,
        .handler_timeout_us = options->handler_timeout_ms * 1000LL,
        .drain_timeout_us = options->drain_timeout_ms * 1000LL,
        .beat_ms = options->beat_ms,
        .body_max = options->body_max,
        .peers_max = WEFT_WORKER_PEERS_MAX,
        .streams_max = (size_t) options->streams_max,
        .seed = clock_seed (),
        .replies = {(size_t) options->replies_max, options->replies_bytes_max, options->replies_age_ms * 1000LL},
    };
}

static bool init (weft_worker_t *self, const char *brokers, const weft_worker_options_t *options, char *error)
{
    pthread_condattr_t monotonic;

    self->turns.sleeper.epoll = self->turns.sleeper.timer = self->turns.wake_fd = self->state_fd = -1;
    pthread_mutex_init (&self->lock, NULL);
    pthread_condattr_init (&monotonic);
    pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init (&self->changed, &monotonic);
    pthread_condattr_destroy (&monotonic);
    services_init (&self->services, clock_seed ());
    clock_uuid (self->uuid);
    if (gethostname (self->host, sizeof self->host - 1) < 0)
        self->host [0] = '\0';
    snprintf (error, WEFT_TEXT_MAX + 1, "out of memory");
    if (!take_brokers (self, brokers, error) || !take_options (self, options, error)
        || builtin_add (&self->services, &self->turns.session, error))
        return false;
    self->state_fd = transport_wake_open ();
    return (self->state_fd >= 0 && turns_open (&self->turns)) || wrong (error, "out of descriptors");
}

/*  The last of it: run by whoever leaves last, perhaps the thread of an abandoned handler. */
static void worker_free (void *arg)
{
    weft_worker_t *self = arg;

    session_fini (&self->turns.session);
    if (self->context)
        transport_context_release ();
    services_fini (&self->services);
    turns_close (&self->turns);
    if (self->state_fd >= 0)
        close (self->state_fd);
    free_list (self->brokers);
    free_list (self->labels);
    free (self->name);
    free (self->bind);
    free (self->advertise);
    pthread_cond_destroy (&self->changed);
    pthread_mutex_destroy (&self->lock);
    free (self);
}

weft_worker_t *weft_worker_new (const char *brokers, const weft_worker_options_t *options)
{
    weft_worker_t *self = calloc (1, sizeof *self);

    if (!self) {
        wrong (new_error, "out of memory");
        return NULL;
    }
    if (init (self, brokers, options, new_error)) {
        new_error [0] = '\0';
        return self;
    }
    worker_free (self);
    return NULL;
}

weft_status_t weft_worker_add (weft_worker_t *self, const char *name, const weft_method_t *methods,
                               void *user)
{
    self->error [0] = '\0';
    if (!self->started)
        return services_add (&self->services, name, methods, user, false, self->error);
    wrong (self->error, "service \"%.300s\": the worker has already started", name ? name : "");
    return WEFT_INVALID;
}

/*  ------------------------------------------------------------------ starting  */

static bool open_all (weft_worker_t *self, char *error)
{
    const session_options_t options = session_options (self);
    /* what is over our own limit only is answered, not hung up on */
    const size_t body_max = self->options.body_max > WEFT_BODY_MAX ? self->options.body_max : WEFT_BODY_MAX;
    const size_t frame_max = body_max + WEFT_FRAME_ROOM;

    if (!session_init (&self->turns.session, &options) || !(self->context = transport_context_acquire ()))
        return wrong (error, "out of memory");
    turns_init_uplinks (&self->turns, self->context, frame_max);
    if (!direct_open (&self->turns.direct, self->context, &self->turns.session, &self->turns.sleeper, frame_max,
                      clock_seed ()))
        return wrong (error, "out of sockets");
    if (!bindings_open (&self->bindings, &self->turns.direct, self->bind, self->advertise, self->uuid, error))
        return false;
    return true;
}

static bool start_threads (weft_worker_t *self)
{
    self->executor =
        executor_new (self->options.concurrency, pace_cheap_ns (), self->turns.wake_fd, lead, self);
    return self->executor || wrong (self->error, "cannot start %d threads", self->options.concurrency + 1);
}

weft_status_t weft_worker_start (weft_worker_t *self, int timeout_ms)
{
    self->error [0] = '\0';
    if (self->started) {
        wrong (self->error, "the worker has already started");
        return WEFT_INVALID;
    }
    self->started = true;
    if (!open_all (self, self->error))
        return WEFT_INVALID;
    session_start (&self->turns.session, self->bindings.list, clock_now_us ());
    if (!start_threads (self))
        return WEFT_INVALID;
    return weft_worker_wait_ready (self, timeout_ms);
}

static struct timespec deadline_after (int timeout_ms)
{
    struct timespec at;
    clock_gettime (CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_nsec -= 1000000000L;
        at.tv_sec++;
    }
    return at;
}

weft_status_t weft_worker_wait_ready (weft_worker_t *self, int timeout_ms)
{
    const struct timespec at = deadline_after (timeout_ms < 0 ? 0 : timeout_ms);
    int waited = 0;

    pthread_mutex_lock (&self->lock);
    while (self->started && self->state == SESSION_JOINING && waited != ETIMEDOUT)
        waited = timeout_ms < 0 ? pthread_cond_wait (&self->changed, &self->lock)
                                : pthread_cond_timedwait (&self->changed, &self->lock, &at);
    const session_state_t state = self->state;
    snprintf (self->error, sizeof self->error, "%s", state == SESSION_SERVING ? "" : self->text);
    pthread_mutex_unlock (&self->lock);
    if (state == SESSION_SERVING)
        return WEFT_OK;
    if (!self->error [0])
        wrong (self->error, state == SESSION_JOINING ? "no broker answered yet" : "the worker has stopped");
    return state == SESSION_JOINING ? WEFT_CONNECT_TIMEOUT : WEFT_INVALID;
}

/*  ------------------------------------------------------------------ stopping  */

session_state_t worker_state (weft_worker_t *self, weft_status_t *status, char text [WEFT_TEXT_MAX + 1])
{
    pthread_mutex_lock (&self->lock);
    const session_state_t state = self->state;
    *status = self->status;
    memcpy (text, self->text, sizeof self->text);
    pthread_mutex_unlock (&self->lock);
    return state;
}

int worker_state_fd (const weft_worker_t *self)
{
    return self->state_fd;
}

void worker_ask_drain (weft_worker_t *self)
{
    atomic_store (&self->turns.ask_drain, true);
    transport_wake (self->turns.wake_fd);
}

void worker_ask_quit (weft_worker_t *self)
{
    atomic_store (&self->turns.ask_quit, true);
    transport_wake (self->turns.wake_fd);
}

/*  Waits until nobody leads any more. True: handlers went on. */
static bool await_end (weft_worker_t *self)
{
    pthread_mutex_lock (&self->lock);
    while (!self->ended)
        pthread_cond_wait (&self->changed, &self->lock);
    const bool abandoned = self->abandoned;
    pthread_mutex_unlock (&self->lock);
    return abandoned;
}

static bool has_ended (weft_worker_t *self)
{
    pthread_mutex_lock (&self->lock);
    const bool ended = self->ended;
    pthread_mutex_unlock (&self->lock);
    return ended;
}

weft_status_t weft_worker_stop (weft_worker_t *self)
{
    self->error [0] = '\0';
    if (!self->executor)
        return WEFT_OK;
    worker_ask_drain (self);
    if (!await_end (self))
        return WEFT_OK;
    wrong (self->error, "handlers still ran after %d ms and were abandoned", self->options.drain_timeout_ms);
    return WEFT_DEADLINE_EXCEEDED;
}

/*  Handlers that run are told, and waited for; but only a moment by who has waited in vain. */
static void end_threads (weft_worker_t *self)
{
    const bool ran = !has_ended (self);

    if (ran)
        worker_ask_quit (self);
    const bool abandoned = await_end (self);
    const int wait_ms = ran ? self->options.drain_timeout_ms : abandoned ? TOLD_MS : -1;
    executor_destroy (&self->executor, wait_ms, worker_free, self);
}

void weft_worker_destroy (weft_worker_t **self_p)
{
    weft_worker_t *self = *self_p;

    *self_p = NULL;
    if (!self)
        return;
    if (self->executor) {
        end_threads (self);
        return;
    }
    turns_close_uplinks (&self->turns, 0);
    if (self->turns.direct.socket) {
        direct_close (&self->turns.direct, 0);
        bindings_close (&self->bindings);
    }
    worker_free (self);
}

/*  ------------------------------------------------------------------ asking  */

const char *weft_worker_error (const weft_worker_t *self)
{
    return self ? self->error : new_error;
}

const char *weft_worker_uuid (const weft_worker_t *self)
{
    return self->uuid;
}

const char *weft_worker_endpoint (const weft_worker_t *self, size_t index)
{
    return index < self->bindings.count ? self->bindings.bound [index] : NULL;
}
