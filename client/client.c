/* SPDX-License-Identifier: MPL-2.0
 *
 *  client.c - the shell around a channel: one lock, and somebody who drives.
 *
 *  Whoever waits for a call drives: it takes the *lead*, feeds the channel from the sockets and sleeps in
 *  their epoll descriptor until something comes; others who wait are *followers*, each asleep on a
 *  condition of its own, and the leader wakes those whose calls end. A leader that is done passes the lead
 *  on to a follower; if there is none but calls are open, to the background thread. That thread also takes
 *  it when nobody has had it for a while (lists change, brokers come and go), and gives it up to any
 *  caller that comes. So a lone synchronous call meets no other thread.
 *
 *  Callbacks run without the lock, on a thread that drives; it gives up the lead meanwhile. */

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "client_inside.h"
#include "clock.h"
#include "sockets.h"

#define POOL_MAX          4096
#define HOUSEKEEPING_US   75000
#define GOODBYE_LINGER_MS 100

/*  A thread that waits for a call, or drives. */
typedef struct waiter {
    pthread_cond_t woken;
    struct waiter *next; /* of the same call */
    list_node_t node;    /* in the client's followers, while it follows */
} waiter_t;

struct weft_client {
    pthread_mutex_t lock;
    channel_t channel;
    sockets_t sockets;
    call_pool_t pool;
    call_settings_t settings;
    codec_t codec;
    char name [WEFT_PEER_NAME_MAX + 1];

    waiter_t *leader; /* NULL: nobody drives */
    bool asleep;      /* the leader, in epoll */
    int64_t sleeps_until_us;
    int64_t led_us; /* when a caller last led */
    list_t followers;
    list_t callbacks;     /* ended calls whose callbacks have not run */
    unsigned inside;      /* threads that wait */
    pthread_cond_t quiet; /* nobody is inside any more */
    uint64_t turns;

    waiter_t background;
    pthread_t thread;
    bool has_thread, own_loop, kicked, stopping, destroyed;
    weft_watch_fn *watcher;
    void *watcher_arg;
    size_t handles; /* the user's, and one for each call that is not freed */
};

static _Thread_local char new_error [512];
static _Thread_local weft_client_t *running; /* the client whose callbacks this thread runs */

/*  Waking. */

static void waiter_init (waiter_t *self)
{
    pthread_condattr_t attributes;
    *self = (waiter_t){.next = NULL};
    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_cond_init (&self->woken, &attributes);
    pthread_condattr_destroy (&attributes);
}

static void wait_until (weft_client_t *self, pthread_cond_t *condition, int64_t until_us)
{
    if (until_us == DEADLINES_NEVER) {
        pthread_cond_wait (condition, &self->lock);
        return;
    }
    const struct timespec at = {until_us / 1000000, until_us % 1000000 * 1000};
    pthread_cond_timedwait (condition, &self->lock, &at);
}

static void wake_leader (weft_client_t *self)
{
    if (self->leader && self->asleep)
        sockets_wake (&self->sockets);
}

/*  Handles. */

static void client_free (weft_client_t *self)
{
    pthread_mutex_unlock (&self->lock);
    pthread_mutex_destroy (&self->lock);
    pthread_cond_destroy (&self->quiet);
    pthread_cond_destroy (&self->background.woken);
    free (self);
}

/*  Gives back one handle on a call and unlocks; the last of all frees the client. */
static void release_and_unlock (weft_client_t *self, weft_call_t *call)
{
    const bool last = call->handles == 1;
    call_release (call, self->destroyed ? NULL : &self->pool);
    self->handles -= last;
    if (self->handles == 0)
        client_free (self);
    else
        pthread_mutex_unlock (&self->lock);
}

static void release (weft_client_t *self, weft_call_t *call)
{
    assert (self->handles > 1);
    self->handles -= call->handles == 1;
    call_release (call, &self->pool);
}

/*  Driving. All with the lock held. */

static void hand_over (weft_client_t *self, weft_call_t *call)
{
    atomic_store_explicit (&call->done, true, memory_order_release);
    for (waiter_t *waiter = call->waiters; waiter; waiter = waiter->next) {
        if (waiter == self->leader)
            wake_leader (self);
        else
            pthread_cond_signal (&waiter->woken);
    }
    if (call->callback)
        list_push (&self->callbacks, &call->node);
    else
        release (self, call);
}

static void hand_over_all (weft_client_t *self)
{
    for (weft_call_t *call; (call = channel_next_done (&self->channel));)
        hand_over (self, call);
}

static bool has_callbacks (const weft_client_t *self)
{
    return !list_empty (&self->callbacks) || self->channel.change_at < self->channel.change_count;
}

static int64_t sleep_limit_us (const weft_client_t *self, int64_t until_us)
{
    const int64_t channel_us = channel_next_us (&self->channel);
    const int64_t sockets_us = sockets_next_us (&self->sockets);
    const int64_t own_us = channel_us < sockets_us ? channel_us : sockets_us;
    return own_us < until_us ? own_us : until_us;
}

/*  A loop of the user's own must find the descriptor readable whenever there is something to drive. */
static void tell_loop (weft_client_t *self)
{
    if (has_callbacks (self) || sockets_busy (&self->sockets))
        sockets_wake (&self->sockets);
    sockets_arm (&self->sockets, sleep_limit_us (self, DEADLINES_NEVER));
}

/*  Nobody drives: a follower should, else the user's loop, else the background thread while calls are open
 *  or callbacks wait. */
static void find_driver (weft_client_t *self)
{
    if (self->leader)
        return;
    list_node_t *first = list_first (&self->followers);
    if (first)
        pthread_cond_signal (&CONTAINER_OF (first, waiter_t, node)->woken);
    else if (self->own_loop)
        tell_loop (self);
    else if (self->has_thread && (self->channel.open > 0 || has_callbacks (self))) {
        self->kicked = true;
        pthread_cond_signal (&self->background.woken);
    }
}

/*  After a thread that does not lead gave the channel something: sends it, and sees to it that its
 *  consequences are not slept through. */
static void push_out (weft_client_t *self)
{
    sockets_flush (&self->sockets, &self->channel, clock_now_us ());
    if (self->leader && self->asleep && sockets_busy (&self->sockets))
        sockets_turn (&self->sockets, &self->channel, false); /* sending may have swallowed its wake-up */
    hand_over_all (self);
    if (has_callbacks (self) || sockets_busy (&self->sockets) ||
        sleep_limit_us (self, DEADLINES_NEVER) < self->sleeps_until_us)
        wake_leader (self);
}

/*  Lets go of the lock to call the watcher. */
static void tell_changes (weft_client_t *self)
{
    for (const channel_change_t *next; (next = channel_next_change (&self->channel));) {
        const channel_change_t change = *next;
        pthread_mutex_unlock (&self->lock);
        self->watcher (change.service, change.worker, change.state, change.endpoint, self->watcher_arg);
        pthread_mutex_lock (&self->lock);
    }
}

/*  Lets go of the lock to run all callbacks that wait; what they start is sent at the end. Somebody else
 *  may lead by then. */
static void run_callbacks (weft_client_t *self)
{
    weft_client_t *outer = running;
    running = self;
    tell_changes (self);
    while (!list_empty (&self->callbacks)) {
        weft_call_t *call = CONTAINER_OF (list_pop (&self->callbacks), weft_call_t, node);
        weft_call_fn *callback = call->callback; /* NULL: the handle was destroyed meanwhile */
        if (callback) {
            pthread_mutex_unlock (&self->lock);
            callback (call, call->callback_arg);
            pthread_mutex_lock (&self->lock);
        }
        release (self, call);
    }
    running = outer;
    push_out (self);
}

/*  Until none is left: a callback may start a call that ends at once. At the client's end only, for that may
 *  go on and on. */
static void run_all_callbacks (weft_client_t *self)
{
    while (has_callbacks (self))
        run_callbacks (self);
}

/*  One round: take in, decide, send, hand out. A leader that runs callbacks gives up the lead before. */
static void turn (weft_client_t *self, bool hurry)
{
    self->turns++;
    sockets_turn (&self->sockets, &self->channel, hurry);
    hand_over_all (self);
    if (!has_callbacks (self))
        return;
    self->leader = NULL;
    if (!list_empty (&self->followers))
        find_driver (self);
    run_callbacks (self);
}

/*  Asleep in epoll, without the lock. */
static void sleep_as_leader (weft_client_t *self, waiter_t *me, int64_t until_us)
{
    const int64_t limit_us = sleep_limit_us (self, until_us);
    self->asleep = true;
    self->sleeps_until_us = limit_us;
    pthread_mutex_unlock (&self->lock);
    const int64_t now_us = clock_now_us ();
    const unsigned sources = me == &self->background ? sockets_sleep_behind (&self->sockets, now_us, limit_us)
                                                     : sockets_sleep (&self->sockets, now_us, limit_us);
    pthread_mutex_lock (&self->lock);
    if (self->leader != me)
        return; /* deposed: somebody else looks after these */
    self->asleep = false;
    sockets_note (&self->sockets, sources);
}

/*  Drives until the call is done, the time is up, or the lead is lost. Without a call: until then, or
 *  stopping. */
static void lead (weft_client_t *self, waiter_t *me, const weft_call_t *call, int64_t until_us)
{
    if (self->leader)
        sockets_nudge (&self->sockets); /* the background thread: it finds itself deposed */
    self->leader = me;
    self->asleep = false;
    for (;;) {
        turn (self, call != NULL);
        if (self->leader != me || (call ? weft_call_done (call) : self->stopping))
            break;
        if (until_us != DEADLINES_NEVER && clock_now_us () >= until_us)
            break; /* also when there is always something to take in */
        if (sockets_busy (&self->sockets))
            continue;
        sleep_as_leader (self, me, until_us);
        if (self->leader != me)
            return;
    }
    if (self->leader == me)
        self->leader = NULL;
    if (call)
        self->led_us = self->channel.now_us;
}

static void follow (weft_client_t *self, waiter_t *me, int64_t until_us)
{
    list_push (&self->followers, &me->node);
    wait_until (self, &me->woken, until_us);
    list_remove (&self->followers, &me->node);
}

static void join_waiters (weft_call_t *call, waiter_t *me)
{
    me->next = call->waiters;
    call->waiters = me;
}

static void leave_waiters (weft_call_t *call, const waiter_t *me)
{
    waiter_t **at = &call->waiters;
    while (*at != me)
        at = &(*at)->next;
    *at = me->next;
}

/*  In a callback the driver does all that at the end of its turn. */
static void follow_up (weft_client_t *self)
{
    if (running == self || self->destroyed)
        return;
    push_out (self);
    find_driver (self);
}

/*  Waits for the call's end, with the lock held. */
static void wait_for (weft_client_t *self, weft_call_t *call, int64_t until_us)
{
    waiter_t me;
    waiter_init (&me);
    join_waiters (call, &me);
    self->inside++;
    if (self->leader && self->leader != &self->background)
        push_out (self);
    while (!weft_call_done (call) && !self->destroyed &&
           (until_us == DEADLINES_NEVER || clock_now_us () < until_us)) {
        if (!self->leader || self->leader == &self->background)
            lead (self, &me, call, until_us);
        else
            follow (self, &me, until_us);
    }
    leave_waiters (call, &me);
    find_driver (self);
    if (--self->inside == 0 && self->stopping)
        pthread_cond_broadcast (&self->quiet);
    pthread_cond_destroy (&me.woken);
}

/*  The background thread. */

static void *run_background (void *arg)
{
    weft_client_t *self = arg;
    pthread_mutex_lock (&self->lock);
    while (!self->stopping) {
        const int64_t now_us = clock_now_us ();
        const bool idle = now_us - self->led_us >= HOUSEKEEPING_US;
        const bool work = self->channel.open > 0 || has_callbacks (self);
        const bool needed = self->kicked || (work && list_empty (&self->followers));
        if (!self->leader && (needed || idle)) {
            self->kicked = false;
            lead (self, &self->background, NULL, DEADLINES_NEVER);
            continue;
        }
        self->kicked = false;
        wait_until (self, &self->background.woken, (idle ? now_us : self->led_us) + HOUSEKEEPING_US);
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

/*  Making a client. */

const char *weft_client_error (void)
{
    return new_error;
}

static bool refuse (const char *format, const char *what, const char *why)
{
    snprintf (new_error, sizeof new_error, format, what, why);
    return false;
}

static bool check_brokers (const char *brokers)
{
    size_t count = 0;
    for (const char *at = brokers; at; count++) {
        const size_t size = strcspn (at, ",");
        char endpoint [WEFT_ENDPOINT_MAX + 2];
        const char *fault;
        snprintf (endpoint, sizeof endpoint, "%.*s", (int) size, at);
        if (!transport_endpoint_valid (endpoint, false, &fault))
            return refuse ("broker \"%s\": %s", endpoint, fault);
        at = at [size] ? at + size + 1 : NULL;
    }
    return count > 0 && count <= WEFT_BROKERS_MAX
               ? true
               : refuse ("%s%s", count ? "more than 16 brokers" : "no broker given", "");
}

static bool in_range (const char *name, long value, long max)
{
    return value >= 0 && value <= max ? true : refuse ("%s%s", name, " is out of range");
}

static bool check_options (const weft_client_options_t *options)
{
    if (options->codec && codec_find (text_of (options->codec)) != CODEC_MSGPACK &&
        codec_find (text_of (options->codec)) != CODEC_JSON)
        return refuse ("unknown codec \"%s\"; known: %s", options->codec, "msgpack, json");
    if (options->name && strlen (options->name) > WEFT_PEER_NAME_MAX)
        return refuse ("name \"%.80s\": %s", options->name, "longer than 63 bytes");
    return in_range ("call.timeout_ms", options->call.timeout_ms, WEFT_CALL_TIMEOUT_MS_MAX) &&
           in_range ("call.connect_timeout_ms", options->call.connect_timeout_ms, WEFT_CALL_TIMEOUT_MS_MAX) &&
           in_range ("call.via", (long) options->call.via, WEFT_VIA_BROKER) &&
           in_range ("call.balance", (long) options->call.balance, WEFT_BALANCE_BROADCAST) &&
           in_range ("call.retry", (long) options->call.retry, WEFT_RETRY_FAILOVER) &&
           in_range ("refresh_ms", options->refresh_ms, INT32_MAX) &&
           in_range ("calls_max", options->calls_max, INT32_MAX);
}

static call_settings_t settings_of (const weft_call_options_t *options)
{
    return (call_settings_t){.timeout_ms = options->timeout_ms ? options->timeout_ms : WEFT_CALL_TIMEOUT_MS,
                             .connect_timeout_ms = options->connect_timeout_ms ? options->connect_timeout_ms
                                                                               : WEFT_CONNECT_TIMEOUT_MS,
                             .via = options->via ? options->via : WEFT_VIA_AUTO,
                             .balance = options->balance ? options->balance : WEFT_BALANCE_P2C,
                             .retry = options->retry ? options->retry : WEFT_RETRY_FAILOVER};
}

/*  An ipc path counts only where its socket is: on this host. */
static bool can_reach (const char *address, void *arg)
{
    struct stat about;
    (void) arg;
    if (strncmp (address, "inproc://", 9) == 0)
        return transport_inproc_has (address);
    if (strncmp (address, "ipc://", 6) == 0)
        return stat (address + 6, &about) == 0 && S_ISSOCK (about.st_mode);
    return strncmp (address, "tcp://", 6) == 0;
}

static bool start_parts (weft_client_t *self, const char *brokers, const weft_client_options_t *options)
{
    const uint64_t seed = options->seed ? options->seed : clock_seed ();
    const channel_options_t channel = {
        .brokers = brokers,
        .name = self->name,
        .codec = self->codec,
        .call = self->settings,
        .refresh_us = (options->refresh_ms ? options->refresh_ms : WEFT_REFRESH_MS) * 1000LL,
        .calls_max = options->calls_max ? (size_t) options->calls_max : WEFT_CLIENT_CALLS_MAX,
        .body_max = options->body_max ? options->body_max : WEFT_BODY_MAX,
        .seed = seed,
        .reach = can_reach,
        .pool = &self->pool};
    if (!sockets_init (&self->sockets, seed))
        return refuse ("cannot open sockets: %s%s", strerror (errno), "");
    if (!channel_init (&self->channel, &channel, clock_now_us ()))
        return refuse ("%s%s", "out of memory", "");
    sockets_flush (&self->sockets, &self->channel, clock_now_us ());
    if (self->own_loop) {
        sockets_wake (&self->sockets);
        return true;
    }
    self->has_thread = pthread_create (&self->thread, NULL, run_background, self) == 0;
    return self->has_thread || refuse ("cannot start a thread: %s%s", strerror (errno), "");
}

weft_client_t *weft_client_new (const char *brokers, const weft_client_options_t *options)
{
    static const weft_client_options_t defaults;
    new_error [0] = '\0';
    if (!options)
        options = &defaults;
    if (!check_brokers (brokers) || !check_options (options))
        return NULL;
    weft_client_t *self = calloc (1, sizeof *self);
    if (!self) {
        refuse ("%s%s", "out of memory", "");
        return NULL;
    }
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->quiet, NULL);
    waiter_init (&self->background);
    list_init (&self->followers);
    list_init (&self->callbacks);
    call_pool_init (&self->pool, POOL_MAX);
    self->handles = 1;
    self->own_loop = options->own_loop;
    self->settings = settings_of (&options->call);
    self->codec = options->codec ? codec_find (text_of (options->codec)) : CODEC_MSGPACK;
    snprintf (self->name, sizeof self->name, "%s",
              options->name ? options->name : program_invocation_short_name);
    if (!start_parts (self, brokers, options))
        weft_client_destroy (&self);
    return self;
}

/*  Ending one. */

static bool is_whole (const weft_client_t *self)
{
    return self->channel.options.pool != NULL;
}

/*  With the lock held. */
static void shut (weft_client_t *self)
{
    if (self->channel.closed || !is_whole (self))
        return;
    channel_close (&self->channel, clock_now_us ());
    sockets_flush (&self->sockets, &self->channel, clock_now_us ());
    hand_over_all (self);
    wake_leader (self);
    run_all_callbacks (self);
}

void weft_client_close (weft_client_t *self)
{
    pthread_mutex_lock (&self->lock);
    shut (self);
    pthread_mutex_unlock (&self->lock);
}

/*  No thread is in the sockets any more when this returns. */
static void stop_threads (weft_client_t *self)
{
    self->stopping = true;
    wake_leader (self);
    if (self->has_thread) {
        sockets_nudge (&self->sockets);
        pthread_cond_signal (&self->background.woken);
        pthread_mutex_unlock (&self->lock);
        pthread_join (self->thread, NULL);
        pthread_mutex_lock (&self->lock);
    }
    while (self->inside > 0)
        pthread_cond_wait (&self->quiet, &self->lock);
}

void weft_client_destroy (weft_client_t **self_pointer)
{
    weft_client_t *self = *self_pointer;
    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    shut (self);
    stop_threads (self);
    if (is_whole (self)) {
        run_all_callbacks (self);
        channel_fini (&self->channel);
    }
    *self_pointer = NULL; /* not before: callbacks may look there */
    sockets_fini (&self->sockets, GOODBYE_LINGER_MS);
    call_pool_fini (&self->pool);
    self->destroyed = true;
    if (--self->handles == 0)
        client_free (self);
    else
        pthread_mutex_unlock (&self->lock);
}

/*  Starting calls. */

static weft_call_t *new_call (weft_client_t *self, weft_call_fn *done, void *arg)
{
    pthread_mutex_lock (&self->lock);
    weft_call_t *call = call_new (&self->pool);
    self->handles += call != NULL;
    pthread_mutex_unlock (&self->lock);
    if (!call)
        return NULL;
    call->client = self;
    call->codec = self->codec;
    call->callback = done;
    call->callback_arg = arg;
    return call;
}

static void flaw (weft_call_t *call, weft_status_t status, const char *format, const char *what,
                  const char *why)
{
    if (call->flaw)
        return; /* the first one counts */
    call->flaw = status;
    char text [512];
    snprintf (text, sizeof text, format, what, why);
    call_set_text (call, "%s", text);
}

/*  Everything about a call that needs no lock. */
static void prepare (weft_client_t *self, weft_call_t *call, const char *method,
                     const weft_call_options_t *options)
{
    if (!call_ask (call, method, options, &self->settings) || !call_seal_args (call))
        flaw (call, WEFT_OVERLOADED, "%s%s", "out of memory", "");
}

static weft_call_t *prepare_value (weft_client_t *self, const char *method, weft_value_t args,
                                   const weft_call_options_t *options, weft_call_fn *done, void *arg)
{
    weft_call_t *call = new_call (self, done, arg);
    codec_error_t error;
    if (!call)
        return NULL;
    const bool encoded = codec_encode (call->codec, args, &call->args, &error);
    prepare (self, call, method, options);
    if (!encoded)
        flaw (call, WEFT_INVALID, "writing arguments: %s%s", error.text, "");
    return call;
}

static weft_call_t *start (weft_client_t *self, weft_call_t *call)
{
    if (!call)
        return NULL;
    pthread_mutex_lock (&self->lock);
    channel_start (&self->channel, call, clock_now_us ());
    follow_up (self);
    pthread_mutex_unlock (&self->lock);
    return call;
}

weft_call_t *weft_client_start (weft_client_t *self, const char *method, weft_value_t args,
                                const weft_call_options_t *options, weft_call_fn *done, void *arg)
{
    return start (self, prepare_value (self, method, args, options, done, arg));
}

weft_call_t *weft_client_start_body (weft_client_t *self, const char *method, const void *body, size_t size,
                                     const char *codec, const weft_call_options_t *options,
                                     weft_call_fn *done, void *arg)
{
    weft_call_t *call = new_call (self, done, arg);
    if (!call)
        return NULL;
    buffer_append (&call->args, body, size);
    const bool kept = !call->args.failed;
    call->codec = codec_find (text_of (codec));
    prepare (self, call, method, options);
    if (!kept)
        flaw (call, WEFT_OVERLOADED, "%s%s", "out of memory", "");
    if (call->codec == CODEC_UNKNOWN) {
        flaw (call, WEFT_INVALID, "unknown codec \"%.80s\"; known: %s", codec, CODEC_NAMES);
        call->codec = self->codec;
    }
    return start (self, call);
}

/*  Starts, and waits without a word to the background thread. */
static weft_status_t start_and_wait (weft_client_t *self, weft_call_t *call)
{
    pthread_mutex_lock (&self->lock);
    channel_start (&self->channel, call, clock_now_us ());
    if (!self->leader || self->leader == &self->background) {
        sockets_flush (&self->sockets, &self->channel, self->channel.now_us);
        hand_over_all (self);
    }
    wait_for (self, call, DEADLINES_NEVER);
    pthread_mutex_unlock (&self->lock);
    return call->status;
}

weft_status_t weft_client_call (weft_client_t *self, const char *method, weft_value_t args,
                                const weft_call_options_t *options, weft_call_t **out)
{
    weft_call_t *call = prepare_value (self, method, args, options, NULL, NULL);
    if (out)
        *out = call;
    if (!call)
        return WEFT_OVERLOADED;
    const weft_status_t status = start_and_wait (self, call);
    if (!out)
        weft_call_destroy (&call);
    return status;
}

/*  Would a value of this type point to memory that goes with the call? */
static bool points_to_memory (const weft_schema_t *schema)
{
    if (schema->kind == WEFT_KIND_STRING || schema->kind == WEFT_KIND_BYTES || schema->kind == WEFT_KIND_ANY)
        return true;
    if (schema->kind != WEFT_KIND_STRUCT)
        return false;
    for (const weft_field_t *field = schema->fields; field->type; field++)
        if (field->array || points_to_memory (field->type ()))
            return true;
    return false;
}

weft_status_t weft_call (weft_client_t *self, const char *method, weft_value_t args, weft_value_t reply,
                         int timeout_ms)
{
    if (points_to_memory (reply.schema))
        return WEFT_INVALID;
    const weft_call_options_t options = {.timeout_ms = timeout_ms};
    weft_call_t *call;
    weft_status_t status = weft_client_call (self, method, args, &options, &call);
    if (status == WEFT_OK)
        status = weft_call_read (call, reply);
    weft_call_destroy (&call);
    return status;
}

weft_status_t weft_client_discover (weft_client_t *self, const char *service, int timeout_ms)
{
    weft_call_t *call = new_call (self, NULL, NULL);
    if (!call)
        return WEFT_OVERLOADED;
    call->discover = true;
    prepare (self, call, service, &(weft_call_options_t){.timeout_ms = timeout_ms});
    const weft_status_t status = start_and_wait (self, call);
    weft_call_destroy (&call);
    return status;
}

/*  Handles in the user's hands. */

bool weft_call_wait (weft_call_t *call, int timeout_ms)
{
    weft_client_t *self = call->client;
    if (weft_call_done (call) || !self)
        return weft_call_done (call);
    const int64_t until_us = timeout_ms < 0 ? DEADLINES_NEVER : clock_now_us () + timeout_ms * 1000LL;
    pthread_mutex_lock (&self->lock);
    wait_for (self, call, until_us);
    pthread_mutex_unlock (&self->lock);
    return weft_call_done (call);
}

void weft_call_cancel (weft_call_t *call)
{
    weft_client_t *self = call->client;
    if (weft_call_done (call) || !self)
        return;
    pthread_mutex_lock (&self->lock);
    if (!weft_call_done (call)) {
        channel_cancel (&self->channel, call, clock_now_us ());
        follow_up (self);
    }
    pthread_mutex_unlock (&self->lock);
}

void weft_call_destroy (weft_call_t **call_pointer)
{
    weft_call_t *call = *call_pointer;
    *call_pointer = NULL;
    if (!call)
        return;
    weft_client_t *self = call->client;
    pthread_mutex_lock (&self->lock);
    call->callback = NULL; /* it may have ended, with its callback still to come */
    if (!weft_call_done (call)) {
        channel_cancel (&self->channel, call, clock_now_us ());
        follow_up (self);
    }
    release_and_unlock (self, call);
}

/*  The rest. */

void weft_client_set_watcher (weft_client_t *self, weft_watch_fn *watcher, void *arg)
{
    pthread_mutex_lock (&self->lock);
    self->watcher = watcher;
    self->watcher_arg = arg;
    self->channel.observed = watcher != NULL;
    pthread_mutex_unlock (&self->lock);
}

weft_client_stats_t weft_client_stats (weft_client_t *self)
{
    pthread_mutex_lock (&self->lock);
    const weft_client_stats_t stats = channel_stats (&self->channel);
    pthread_mutex_unlock (&self->lock);
    return stats;
}

bool client_asleep (weft_client_t *self)
{
    pthread_mutex_lock (&self->lock);
    const bool asleep = self->leader && self->asleep;
    pthread_mutex_unlock (&self->lock);
    return asleep;
}

uint64_t client_turns (weft_client_t *self)
{
    pthread_mutex_lock (&self->lock);
    const uint64_t turns = self->turns;
    pthread_mutex_unlock (&self->lock);
    return turns;
}

int weft_client_fd (const weft_client_t *self)
{
    return self->sockets.epoll;
}

void weft_client_drive (weft_client_t *self)
{
    waiter_t me;
    pthread_mutex_lock (&self->lock);
    if (!self->leader && !self->destroyed) {
        waiter_init (&me);
        self->leader = &me;
        const unsigned sources = sockets_sleep (&self->sockets, 0, 0);
        sockets_note (&self->sockets, sources);
        turn (self, false);
        if (self->leader == &me)
            self->leader = NULL;
        find_driver (self);
        pthread_cond_destroy (&me.woken);
    }
    pthread_mutex_unlock (&self->lock);
}
