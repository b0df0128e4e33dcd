/* SPDX-License-Identifier: MPL-2.0
 *
 *  client.c - what the user calls: making and ending a client, starting calls, handles. Driving is
 *  driver.c's. */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "clock.h"
#include "driver.h"

#define POOL_MAX          4096
#define GOODBYE_LINGER_MS 100
#define ARGS_ROOM         512

static _Thread_local char new_error [512];

/*  Handles. */

static void client_free (weft_client_t *self)
{
    pthread_mutex_unlock (&self->lock);
    driver_fini (self);
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
           in_range ("call.retry", (long) options->call.retry, WEFT_RETRY_FAILBACKUP) &&
           in_range ("call.backup_ms", options->call.backup_ms, WEFT_CALL_TIMEOUT_MS_MAX) &&
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
                             .retry = options->retry ? options->retry : WEFT_RETRY_FAILOVER,
                             .backup_ms = options->backup_ms};
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
    if (!sockets_init (&self->sockets, channel.body_max, seed))
        return refuse ("cannot open sockets: %s%s", strerror (errno), "");
    if (!channel_init (&self->channel, &channel, clock_now_us ()))
        return refuse ("%s%s", "out of memory", "");
    sockets_flush (&self->sockets, &self->channel, clock_now_us ());
    if (self->own_loop) {
        sockets_wake (&self->sockets);
        return true;
    }
    return driver_start (self) || refuse ("cannot start a thread: %s%s", strerror (errno), "");
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
    driver_init (self);
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
    driver_finish (self);
}

void weft_client_close (weft_client_t *self)
{
    pthread_mutex_lock (&self->lock);
    shut (self);
    pthread_mutex_unlock (&self->lock);
}

void weft_client_destroy (weft_client_t **self_pointer)
{
    weft_client_t *self = *self_pointer;
    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    shut (self);
    driver_stop (self);
    if (is_whole (self)) {
        driver_finish (self);
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

/*  Arguments on their way into a call, encoded before the lock is taken: small ones on the stack. */
typedef struct {
    buffer_t body;
    bool fit;
    codec_error_t error; /* if they do not fit */
    uint8_t room [ARGS_ROOM];
} args_t;

static void encode (args_t *self, codec_t codec, weft_value_t value)
{
    self->body = (buffer_t){.data = self->room, .capacity = ARGS_ROOM, .max = ARGS_ROOM};
    self->fit = codec_encode (codec, value, &self->body, &self->error);
    if (self->fit || !self->body.failed)
        return;
    buffer_init (&self->body, SIZE_MAX);
    self->fit = codec_encode (codec, value, &self->body, &self->error);
}

static void copy_body (args_t *self, const void *body, size_t size)
{
    buffer_init (&self->body, SIZE_MAX);
    buffer_append (&self->body, body, size);
    self->fit = true;
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

static void drop_args (args_t *args)
{
    if (args->body.data != args->room)
        buffer_fini (&args->body);
}

/*  Moves the arguments in. False: out of memory. */
static bool take_args (weft_call_t *call, args_t *args)
{
    if (args->body.data == args->room || args->body.failed) {
        buffer_append (&call->args, args->body.data, args->body.size);
        drop_args (args);
        return !args->body.failed && !call->args.failed;
    }
    buffer_fini (&call->args);
    call->args = args->body;
    return call_seal_args (call);
}

/*  With the lock held. NULL: out of memory. */
static weft_call_t *blank_call (weft_client_t *self)
{
    weft_call_t *call = call_new (&self->pool);
    if (!call)
        return NULL;
    self->handles++;
    call->client = self;
    call->codec = self->codec;
    return call;
}

/*  Makes a stream of a blank call. */
static void make_stream (weft_call_t *call, const weft_call_options_t *options)
{
    const int window = options && options->window ? options->window : WEFT_STREAM_WINDOW;
    if (window < 1 || window > WEFT_STREAM_WINDOW_MAX)
        flaw (call, WEFT_INVALID, "%s%s", "window must be 1 to 65536 items", "");
    call->described = true;
    call->intake = intake_new ((uint64_t) window);
    if (!call->intake)
        flaw (call, WEFT_OVERLOADED, "%s%s", "out of memory", "");
}

static weft_call_t *make_call (weft_client_t *self, bool stream, const char *method, args_t *args,
                               const weft_call_options_t *options)
{
    weft_call_t *call = blank_call (self);
    if (!call) {
        drop_args (args);
        return NULL;
    }
    if (stream)
        make_stream (call, options);
    const bool asked = call_ask (call, method, options, &self->settings);
    const bool taken = take_args (call, args);
    if (!asked || !taken)
        flaw (call, WEFT_OVERLOADED, "%s%s", "out of memory", "");
    if (!args->fit)
        flaw (call, WEFT_INVALID, "writing arguments: %s%s", args->error.text, "");
    return call;
}

static void start (weft_client_t *self, weft_call_t *call, weft_call_fn *done, void *arg)
{
    call->callback = done;
    call->callback_arg = arg;
    driver_admit (self, call);
    channel_start (&self->channel, call, clock_now_us ());
    driver_gather (self);
}

/*  Starts, and waits without a word to the background thread. Returns without the lock. */
static void start_and_wait (weft_client_t *self, weft_call_t *call)
{
    channel_start (&self->channel, call, clock_now_us ());
    driver_send (self);
    driver_wait (self, call, DEADLINES_NEVER);
}

weft_call_t *weft_client_start (weft_client_t *self, const char *method, weft_value_t value,
                                const weft_call_options_t *options, weft_call_fn *done, void *arg)
{
    args_t args;
    encode (&args, self->codec, value);
    pthread_mutex_lock (&self->lock);
    weft_call_t *call = make_call (self, false, method, &args, options);
    if (call)
        start (self, call, done, arg);
    pthread_mutex_unlock (&self->lock);
    return call;
}

weft_call_t *weft_client_stream (weft_client_t *self, const char *method, weft_value_t value,
                                 const weft_call_options_t *options)
{
    args_t args;
    encode (&args, self->codec, value);
    pthread_mutex_lock (&self->lock);
    weft_call_t *call = make_call (self, true, method, &args, options);
    if (call)
        start (self, call, NULL, NULL);
    pthread_mutex_unlock (&self->lock);
    return call;
}

static weft_call_t *start_body (weft_client_t *self, bool stream, const char *method, const void *body, size_t size,
                                const char *codec_name, const weft_call_options_t *options, weft_call_fn *done,
                                void *arg)
{
    const codec_t codec = codec_find (text_of (codec_name));
    args_t args;
    copy_body (&args, body, size);
    pthread_mutex_lock (&self->lock);
    weft_call_t *call = make_call (self, stream, method, &args, options);
    if (call && codec == CODEC_UNKNOWN)
        flaw (call, WEFT_INVALID, "unknown codec \"%.80s\"; known: %s", codec_name, CODEC_NAMES);
    else if (call)
        call->codec = codec;
    if (call)
        start (self, call, done, arg);
    pthread_mutex_unlock (&self->lock);
    return call;
}

weft_call_t *weft_client_start_body (weft_client_t *self, const char *method, const void *body, size_t size,
                                     const char *codec_name, const weft_call_options_t *options,
                                     weft_call_fn *done, void *arg)
{
    return start_body (self, false, method, body, size, codec_name, options, done, arg);
}

weft_call_t *weft_client_stream_body (weft_client_t *self, const char *method, const void *body, size_t size,
                                      const char *codec_name, const weft_call_options_t *options)
{
    return start_body (self, true, method, body, size, codec_name, options, NULL, NULL);
}

weft_status_t weft_client_call (weft_client_t *self, const char *method, weft_value_t value,
                                const weft_call_options_t *options, weft_call_t **out)
{
    args_t args;
    encode (&args, self->codec, value);
    pthread_mutex_lock (&self->lock);
    weft_call_t *call = make_call (self, false, method, &args, options);
    if (call)
        start_and_wait (self, call);
    else
        pthread_mutex_unlock (&self->lock);
    const weft_status_t status = call ? call->status : WEFT_OVERLOADED;
    if (out)
        *out = call;
    else
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
    pthread_mutex_lock (&self->lock);
    weft_call_t *call = blank_call (self);
    if (call) {
        call->discover = true;
        if (!call_ask (call, service, &(weft_call_options_t){.timeout_ms = timeout_ms}, &self->settings))
            flaw (call, WEFT_OVERLOADED, "%s%s", "out of memory", "");
        start_and_wait (self, call);
    } else
        pthread_mutex_unlock (&self->lock);
    const weft_status_t status = call ? call->status : WEFT_OVERLOADED;
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
    driver_wait (self, call, until_us);
    return weft_call_done (call);
}

/*  With the lock held, which is let go of meanwhile. NULL: the stream has ended, or the time is up. */
static intake_item_t *await_item (weft_client_t *self, weft_call_t *call, int timeout_ms)
{
    const int64_t until_us = timeout_ms < 0 ? DEADLINES_NEVER : clock_now_us () + timeout_ms * 1000LL;
    while (!intake_holds (call->intake) && !weft_call_done (call) && clock_now_us () < until_us) {
        driver_wait_for_item (self, call, until_us);
        pthread_mutex_lock (&self->lock);
    }
    const int64_t promised = call->intake->promised;
    intake_item_t *item = channel_take_item (&self->channel, call, clock_now_us ());
    if (call->intake->promised != promised)
        driver_follow_up (self);
    return item;
}

const void *weft_call_next_body (weft_call_t *call, size_t *size, int timeout_ms)
{
    weft_client_t *self = call->client;
    *size = 0;
    if (!call->intake)
        return NULL;
    pthread_mutex_lock (&self->lock);
    intake_item_t *item = await_item (self, call, timeout_ms);
    pthread_mutex_unlock (&self->lock);
    if (!item)
        return NULL;
    *size = item->size;
    return intake_bytes (item);
}

bool weft_call_next (weft_call_t *call, weft_value_t value, int timeout_ms)
{
    weft_client_t *self = call->client;
    codec_error_t error;
    size_t size;
    const void *body = weft_call_next_body (call, &size, timeout_ms);
    if (!body)
        return false;
    if (call->has_arena)
        arena_reset (&call->arena);
    else
        arena_init (&call->arena, WEFT_DECODED_MAX);
    call->has_arena = true;
    if (value.data)
        memset (value.data, 0, value.schema->size);
    if (codec_decode (call->codec, body, size, value, &call->arena, &error))
        return true;
    pthread_mutex_lock (&self->lock);
    channel_spoil_item (&self->channel, call, error.text, clock_now_us ());
    driver_follow_up (self);
    pthread_mutex_unlock (&self->lock);
    return false;
}

void weft_call_cancel (weft_call_t *call)
{
    weft_client_t *self = call->client;
    if (weft_call_done (call) || !self)
        return;
    pthread_mutex_lock (&self->lock);
    if (!weft_call_done (call)) {
        channel_cancel (&self->channel, call, clock_now_us ());
        driver_follow_up (self);
    }
    pthread_mutex_unlock (&self->lock);
}

void weft_call_destroy (weft_call_t **call_pointer)
{
    weft_call_t *call = *call_pointer;
    *call_pointer = NULL;
    if (!call || driver_destroys_current (call))
        return;
    weft_client_t *self = call->client;
    pthread_mutex_lock (&self->lock);
    driver_forget (self, call);
    if (!weft_call_done (call)) {
        channel_cancel (&self->channel, call, clock_now_us ());
        driver_follow_up (self);
    }
    driver_collect (self, call);
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

bool client_rests (weft_client_t *self)
{
    pthread_mutex_lock (&self->lock);
    const bool rests = self->rests;
    pthread_mutex_unlock (&self->lock);
    return rests;
}

static uint64_t counter (weft_client_t *self, const uint64_t *count)
{
    pthread_mutex_lock (&self->lock);
    const uint64_t now = *count;
    pthread_mutex_unlock (&self->lock);
    return now;
}

uint64_t client_turns (weft_client_t *self)
{
    return counter (self, &self->turns);
}

uint64_t client_rouses (weft_client_t *self)
{
    return counter (self, &self->rouses);
}

uint64_t client_gathered (weft_client_t *self)
{
    return counter (self, &self->gathered);
}

uint64_t client_called_back (weft_client_t *self)
{
    return counter (self, &self->called_back);
}

uint64_t client_uncollected (weft_client_t *self)
{
    return counter (self, &self->uncollected);
}

int weft_client_fd (const weft_client_t *self)
{
    return self->sockets.epoll;
}

void weft_client_drive (weft_client_t *self)
{
    pthread_mutex_lock (&self->lock);
    if (!self->destroyed)
        driver_turn (self);
    pthread_mutex_unlock (&self->lock);
}
