/* SPDX-License-Identifier: MPL-2.0
 *
 *  attempt.c - a call over a link, and how it ends. */

#include "channel_inside.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETURN_US 400000 /* of workers to a broker that has started again, twice: within a second */

outcome_t outcome_here (weft_status_t status, weft_executed_t executed, text_space_t *space,
                        const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (space->bytes, sizeof space->bytes, format, args);
    va_end (args);
    return (outcome_t){
        .status = status, .executed = executed, .origin = WEFT_ORIGIN_CLIENT, .text = space->bytes};
}

/*  Waiting. */

static int64_t sooner (int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/*  The heap has room for every open call, so this cannot fail. */
static void set_timer (channel_t *self, weft_call_t *call, int64_t at_us)
{
    const bool set = deadlines_set (&self->calls, &call->timer, sooner (at_us, call->deadline_us));
    assert (set);
}

/*  Most calls end long before. */
static inline void set_deadline (channel_t *self, weft_call_t *call)
{
    deadlines_cancel (&self->calls, &call->timer);
    const bool set = deadlines_set_lazily (&self->calls, &call->timer, call->deadline_us, self->now_us);
    assert (set);
}

static inline bool wants_backup (const weft_call_t *call)
{
    return call->settings.retry == WEFT_RETRY_FAILBACKUP && !call->intake;
}

/*  From here on it waits for a connection or a list, and its connect timeout runs. */
static void start_waiting (channel_t *self, weft_call_t *call, call_state_t state)
{
    call->state = state;
    if (!call->connect_by_us) {
        call->waiting_since_us = self->now_us;
        call->connect_by_us = self->now_us + call->settings.connect_timeout_ms * 1000LL;
    }
    set_timer (self, call, call->connect_by_us);
}

static void stop_waiting (channel_t *self, weft_call_t *call)
{
    if (!call->connect_by_us)
        return;
    call->ledger.client_queue_us += self->now_us - call->waiting_since_us;
    call->connect_by_us = 0;
}

void call_wait_link (channel_t *self, weft_call_t *call)
{
    start_waiting (self, call, CALL_CONNECTING);
}

void call_wait_list (channel_t *self, weft_call_t *call, discovery_t *discovery)
{
    list_push (&discovery->waiting, &call->node);
    call->discovery = discovery;
    start_waiting (self, call, CALL_LISTING);
}

void call_wait_parts (channel_t *self, weft_call_t *call)
{
    stop_waiting (self, call);
    call->state = CALL_FANNED;
    set_timer (self, call, call->deadline_us);
}

/*  Attempts. */

static uint32_t remaining_ms (const channel_t *self, const weft_call_t *call)
{
    const int64_t left_us = call->deadline_us - self->now_us;
    if (call->deadline_us == DEADLINES_NEVER)
        return WIRE_NO_DEADLINE;
    return left_us <= 0 ? 0 : (uint32_t) ((left_us + 999) / 1000);
}

/*  Options are rare: without any the record carries none. */
static inline const wire_options_t *options_of (const channel_t *self, const weft_call_t *call,
                                                wire_options_t *options)
{
    const bool chosen = !call->direct && call->worker [0];
    const bool usual = call->codec == CODEC_MSGPACK && self->options.codec == CODEC_MSGPACK;
    if (usual && !chosen && !call->described)
        return NULL;
    *options = (wire_options_t){.key = call->key, .request_key = call->request_key, .meta = call->meta};
    if (!usual)
        options->codec = text_of (codec_name (call->codec));
    if (chosen)
        options->worker = text_of (call->worker);
    if (call->intake)
        options->credit = intake_begin (call->intake);
    return options;
}

ALWAYS_INLINE void write_request (channel_t *self, weft_call_t *call, link_t *link, uint64_t id,
                                  const void *body, size_t size)
{
    const text_t method = {call->method, call->service.size + 1 + call->name.size};
    wire_options_t room;
    const wire_options_t *options = options_of (self, call, &room);
    buffer_t *out = outbox_open_record (&link->outbox);
    if (options || !wire_write_short_request (out, id, method, remaining_ms (self, call), body, size))
        wire_write_request (out, id, method, remaining_ms (self, call), body, size, false, options);
    outbox_close_record (&link->outbox, NULL);
}

/*  The same with arguments in a frame of their own. */
APART static void write_large_request (channel_t *self, weft_call_t *call, link_t *link, uint64_t id)
{
    const text_t method = {call->method, call->service.size + 1 + call->name.size};
    weft_call_t *owner = call->parent ? call->parent : call;
    wire_options_t options;
    zmq_msg_t frame;
    zmq_msg_init (&frame);
    zmq_msg_copy (&frame, &owner->args_frame);
    wire_write_request (outbox_open_record (&link->outbox), id, method, remaining_ms (self, call), NULL,
                        zmq_msg_size (&frame), true, options_of (self, call, &options));
    outbox_close_record (&link->outbox, &frame);
    zmq_msg_close (&frame);
}

static bool is_too_large (const link_t *link, size_t size)
{
    return size > link->body_max;
}

static bool is_stuck (const link_t *link, size_t size)
{
    return outbox_bytes (&link->outbox) + size + 4 * WEFT_BATCH_MAX > WEFT_OUTBOX_MAX;
}

/*  It could not be sent there. */
APART static void unsent (channel_t *self, attempt_t *attempt, size_t size)
{
    const link_t *link = attempt->request.link;
    text_space_t space;
    outcome_t outcome;
    if (is_too_large (link, size))
        outcome = outcome_here (WEFT_TOO_LARGE, WEFT_EXECUTED_NO, &space,
                                "the arguments have %zu bytes; %s takes %llu", size, link->address,
                                (unsigned long long) link->body_max);
    else if (is_stuck (link, size))
        outcome = outcome_here (WEFT_OVERLOADED, WEFT_EXECUTED_NO, &space,
                                "%s does not read what waits for it", link->address);
    else
        outcome = outcome_here (WEFT_OVERLOADED, WEFT_EXECUTED_NO, &space, "out of memory");
    attempt_failed (self, attempt, &outcome);
}

ALWAYS_INLINE void send_over (channel_t *self, attempt_t *attempt, link_t *link)
{
    weft_call_t *call = attempt->call;
    size_t size;
    const void *body = call_args (call, &size);
    const bool fits = !is_too_large (link, size) && !is_stuck (link, size);
    const uint64_t id = fits ? ids_put (&self->requests, &attempt->request) : 0;
    if (id == 0) {
        unsent (self, attempt, size);
        return;
    }
    link_sent (link, &attempt->request, id);
    link->calls++;
    stop_waiting (self, call);
    call->state = CALL_SENT;
    call->attempts++;
    attempt->sent_us = self->now_us;
    if (wants_backup (call))
        set_timer (self, call, hedge_at_us (self, attempt));
    else
        set_deadline (self, call);
    if (size > WEFT_BODY_INLINE_MAX)
        write_large_request (self, call, link, id);
    else
        write_request (self, call, link, id, body, size);
    self->full |= outbox_full (&link->outbox);
    channel_touch (self, link);
}

/*  False: it waits for its link. */
static inline bool begin (channel_t *self, attempt_t *attempt, link_t *link, endpoint_t *endpoint)
{
    weft_call_t *call = attempt->call;
    assert (!attempt->request.link && !attempt->endpoint);
    attempt->endpoint = endpoint;
    call->direct = link != self->broker;
    if (endpoint) {
        memcpy (call->worker, endpoint->uuid, sizeof call->worker);
        attempt->probe = endpoint_begin (endpoint, self->now_us);
    } else if (!call->same)
        memcpy (call->worker, call->only, sizeof call->worker);
    if (link_takes (link)) {
        link_aim (link, &attempt->request);
        send_over (self, attempt, link);
        return true;
    }
    link_wait (link, &attempt->request);
    return false;
}

void attempt_begin (channel_t *self, weft_call_t *call, link_t *link, endpoint_t *endpoint)
{
    if (!begin (self, &call->attempt, link, endpoint))
        start_waiting (self, call, CALL_CONNECTING);
}

APART void attempt_begin_beside (channel_t *self, attempt_t *attempt, link_t *link, endpoint_t *endpoint)
{
    begin (self, attempt, link, endpoint);
}

/*  Takes the attempt off its link and its endpoint. True if it had been sent, and left. */
static inline bool leave_link (channel_t *self, attempt_t *attempt)
{
    link_t *link = attempt->request.link;
    const bool sent = attempt->request.id != 0;
    if (attempt->endpoint)
        endpoint_end (attempt->endpoint, attempt->probe);
    attempt->endpoint = NULL;
    if (!link)
        return false;
    const bool left = request_departed (&attempt->request);
    if (sent) {
        ids_take (&self->requests, attempt->request.id);
        link->calls--;
    }
    request_leave (&attempt->request);
    if (link->draining)
        channel_left (self, link);
    return left;
}

/*  Tells the worker that nobody waits any more. */
static void write_cancel (channel_t *self, const attempt_t *attempt)
{
    link_t *link = attempt->request.link;
    if (attempt->request.id == 0 || link->state != LINK_READY)
        return;
    wire_write_cancel (outbox_open_record (&link->outbox), attempt->request.id);
    outbox_close_record (&link->outbox, NULL);
    channel_touch (self, link);
}

void attempt_withdraw (channel_t *self, attempt_t *attempt)
{
    write_cancel (self, attempt);
    leave_link (self, attempt);
}

/*  A second attempt makes no sense before the first is sent again. What the call has waited before counts: it does not wait for longer
 *  because it is turned away again and again. */
void attempt_taken_back (channel_t *self, attempt_t *attempt)
{
    weft_call_t *call = attempt->call;
    link_t *link = attempt->request.link;
    const bool second = attempt != &call->attempt && call->attempt.request.link;
    call->attempts--;
    if (second) {
        leave_link (self, attempt);
        call->hedged = false;
    } else {
        ids_take (&self->requests, attempt->request.id);
        link->calls--;
        request_leave (&attempt->request);
        link_wait (link, &attempt->request);
    }
    if (call->attempt.request.id || (call->hedged && call->backup->attempt.request.id))
        return; /* the other one is still under way */
    call->waiting_since_us = self->now_us;
    call->connect_by_us = self->now_us + call->settings.connect_timeout_ms * 1000LL - call->ledger.client_queue_us;
    start_waiting (self, call, CALL_CONNECTING);
}

/*  Its worker was not asked, and may yet be. */
static void note_stayed (weft_call_t *call, const endpoint_t *endpoint)
{
    call->stayed++;
    for (size_t i = call->tried_count; endpoint && i-- > 0;)
        if (call->tried [i] == endpoint->hash)
            call->tried [i] = call->tried [--call->tried_count];
}

void attempt_failed (channel_t *self, attempt_t *attempt, outcome_t *outcome)
{
    const bool sent = attempt->request.id != 0;
    const endpoint_t *endpoint = attempt->endpoint;
    outcome->left = leave_link (self, attempt);
    if (sent && !outcome->left)
        note_stayed (attempt->call, endpoint);
    if (!attempt->call->hedged || !hedge_goes_on (self, attempt, outcome))
        call_fail (self, attempt->call, outcome);
}

/*  The second attempt, while it is open; else NULL. */
static attempt_t *open_backup (const weft_call_t *call)
{
    return call->hedged && call->backup->attempt.request.link ? &call->backup->attempt : NULL;
}

/*  Two workers were asked, and none replied. */
static bool describe_both (const weft_call_t *call, const attempt_t *backup, text_space_t *what)
{
    const endpoint_t *first = call->attempt.endpoint, *second = backup->endpoint;
    if (first && second)
        snprintf (what->bytes, sizeof what->bytes, "worker %s and worker %s", first->uuid, second->uuid);
    return first && second;
}

void attempt_abandoned (channel_t *self, attempt_t *attempt, outcome_t *outcome)
{
    write_cancel (self, attempt);
    attempt_failed (self, attempt, outcome);
}

/*  What it waits for, and why in vain, for the texts of timeouts. */
static void describe (const channel_t *self, const weft_call_t *call, text_space_t *what, const char **why)
{
    char *text = what->bytes;
    const size_t size = sizeof what->bytes;
    const attempt_t *backup = open_backup (call);
    const attempt_t *attempt = backup && !call->attempt.request.link ? backup : &call->attempt;
    const link_t *link = attempt->request.link;
    const char *worker = call->hedged && attempt->endpoint ? attempt->endpoint->uuid : call->worker;
    *why = call->state == CALL_LISTING || (link && !call->direct) ? self->broker_fault : "";
    if (call->state == CALL_SENT && backup && describe_both (call, backup, what))
        return;
    if (call->state == CALL_LISTING)
        snprintf (text, size, "list of %s from broker %s", call->discovery->service, self->broker->address);
    else if (call->state == CALL_CONNECTING && call->direct)
        snprintf (text, size, "connection to worker %s at %s", worker, link->address);
    else if (call->state == CALL_CONNECTING)
        snprintf (text, size, "connection to broker %s", link->address);
    else if (call->direct)
        snprintf (text, size, "worker %s", worker);
    else
        snprintf (text, size, "%s%s through broker %s", worker [0] ? "worker " : "any worker", worker,
                  (link ? link : self->broker)->address);
}

static outcome_t deadline_outcome (const channel_t *self, const weft_call_t *call, text_space_t *space)
{
    const int ms = call->settings.timeout_ms;
    text_space_t what;
    const char *why;
    describe (self, call, &what, &why);
    switch (call->state) {
    case CALL_FANNED:
        return outcome_here (WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_NO, space,
                             "%zu of %zu workers did not reply in %d ms", call->parts_open, call->part_count,
                             ms);
    case CALL_SENT:
        return outcome_here (WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_NO, space, "no reply from %.800s in %d ms",
                             what.bytes, ms);
    case CALL_BACKOFF:
        return outcome_here (WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_NO, space,
                             "after %d ms waiting to try again after %.800s", ms, weft_call_text (call));
    default:
        return outcome_here (WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_NO, space,
                             "after %d ms still waiting for a %.800s%s", ms, what.bytes, why);
    }
}

/*  Replies. */

/*  A peer may claim anything. */
static int64_t claimed_us (uint64_t us)
{
    return us < INT64_MAX ? (int64_t) us : INT64_MAX;
}

/*  What took no time to speak of is not told. */
static void note_ledger (weft_call_t *call, const wire_info_t *info /* or NULL */)
{
    call->ledger.broker_queue_us = info ? claimed_us (info->broker_us) : 0;
    call->ledger.worker_queue_us = info ? claimed_us (info->queue_us) : 0;
    call->ledger.handler_us = info ? claimed_us (info->handler_us) : 0;
}

void call_forget_times (weft_call_t *call)
{
    note_ledger (call, NULL);
}

/*  Another attempt is begun: what came before it is told together, but for the waiting that is told already,
 *  or goes on. */
static void count_earlier (channel_t *self, weft_call_t *call)
{
    if (call->attempts == 0 || call->connect_by_us)
        return;
    note_ledger (call, NULL);
    call->ledger.earlier_us = self->now_us - call->started_us - call->ledger.client_queue_us;
}

/*  What the reply teaches about the worker that sent it. */
static inline void note_health (channel_t *self, const attempt_t *attempt, weft_status_t status)
{
    endpoint_t *endpoint = attempt->endpoint;
    if (!endpoint || !attempt->call->direct)
        return;
    const bool ran = !attempt->call->intake && /* how long a stream lasts says nothing */
                     (status == WEFT_OK || weft_status_executed (status) == WEFT_EXECUTED_YES);
    endpoint_replied (endpoint, ran ? self->now_us - attempt->sent_us + 1 : ENDPOINT_LATENCY_UNKNOWN,
                      self->now_us);
    if (status == WEFT_DRAINING)
        endpoint->state = ENDPOINT_DRAINING;
}

static weft_origin_t default_origin (const weft_call_t *call, weft_status_t status)
{
    if (status == WEFT_OK || status == WEFT_APP_ERROR)
        return WEFT_ORIGIN_APPLICATION;
    return call->direct ? WEFT_ORIGIN_WORKER : WEFT_ORIGIN_BROKER;
}

/*  There is a reply, but this client has no place for it. */
APART static void untaken (channel_t *self, attempt_t *attempt, size_t size)
{
    text_space_t space;
    outcome_t outcome;
    if (attempt->call->intake)
        outcome = outcome_here (WEFT_INTERNAL, WEFT_EXECUTED_YES, &space,
                                "the stream ended with a reply of %zu bytes; it takes none", size);
    else if (size > self->options.body_max)
        outcome = outcome_here (WEFT_TOO_LARGE, WEFT_EXECUTED_YES, &space,
                                "the reply has %zu bytes; at most %zu are taken", size, self->options.body_max);
    else
        outcome = outcome_here (WEFT_OVERLOADED, WEFT_EXECUTED_YES, &space, "out of memory for the reply");
    if (wants_backup (attempt->call))
        hedge_answered (self, attempt);
    leave_link (self, attempt);
    call_end (self, attempt->call, &outcome);
}

/*  What a call becomes, wherever it ends. */
static inline void conclude (channel_t *self, weft_call_t *call, weft_status_t status,
                             weft_executed_t executed, weft_origin_t origin, int64_t code)
{
    call->state = CALL_ENDED;
    call->status = status;
    call->executed = executed > call->executed_before ? executed : call->executed_before;
    call->origin = origin;
    call->code = code;
    call->ledger.total_us = self->now_us - call->started_us;
    self->open--;
}

/*  The caller's are handed out, a broadcast's go back to it. */
static inline void hand_back (channel_t *self, weft_call_t *call)
{
    if (call->parent) {
        atomic_store_explicit (&call->done, true, memory_order_release);
        part_ended (self, call);
        call_release (call, self->options.pool);
        return;
    }
    self->stats.finished++;
    self->stats.failed += call->status != WEFT_OK;
    list_push (&self->done, &call->node);
}

static void reply_ok (channel_t *self, attempt_t *attempt, const wire_record_t *record, zmq_msg_t *attachment)
{
    weft_call_t *call = attempt->call;
    if (record->body_size > self->options.body_max || (call->intake && record->body_size) ||
        !call_take_body (call, record->body, record->body_size, attachment)) {
        untaken (self, attempt, record->body_size);
        return;
    }
    if (wants_backup (call))
        hedge_answered (self, attempt);
    assert (call->state == CALL_SENT && !call->discovery && !call->connect_by_us);
    leave_link (self, attempt);
    deadlines_cancel (&self->calls, &call->timer);
    buffer_clear (&call->text);
    conclude (self, call, WEFT_OK, WEFT_EXECUTED_YES, WEFT_ORIGIN_APPLICATION, 0);
    hand_back (self, call);
}

/*  A failure that comes when time is up is most likely its consequence: a handler that noticed. But what was turned down did not run. */
static void fail_late (channel_t *self, attempt_t *attempt, weft_executed_t executed)
{
    text_space_t space;
    outcome_t outcome = deadline_outcome (self, attempt->call, &space);
    outcome.executed = executed == WEFT_EXECUTED_NO ? WEFT_EXECUTED_NO : WEFT_EXECUTED_MAYBE;
    attempt_failed (self, attempt, &outcome);
}

APART static void reply_failed (channel_t *self, attempt_t *attempt, const wire_record_t *record,
                                zmq_msg_t *attachment, weft_status_t status, const wire_info_t *info)
{
    weft_call_t *call = attempt->call;
    const weft_executed_t executed =
        info->executed >= 0 ? (weft_executed_t) info->executed : weft_status_executed (status);
    if (self->now_us >= call->deadline_us && status != WEFT_DEADLINE_EXCEEDED) {
        fail_late (self, attempt, executed);
        return;
    }
    char text [WEFT_TEXT_MAX + 1];
    if (info->text.size)
        snprintf (text, sizeof text, "%.*s", TEXT_ARG (info->text));
    else
        snprintf (text, sizeof text, "%s", weft_status_text (status));
    outcome_t outcome = {
        .status = status,
        .text = text,
        .code = info->code,
        .executed = executed,
        .origin = info->origin >= 0 ? (weft_origin_t) info->origin : default_origin (call, status),
        .retry_after_us = info->retry_after_ms < 86400000 ? (int64_t) info->retry_after_ms * 1000 : 0,
        .chosen = !call->direct && attempt->endpoint};
    if (outcome.retry_after_us)
        attempt->request.link->paused_until_us = self->now_us + outcome.retry_after_us;
    if (outcome.executed == WEFT_EXECUTED_YES && wants_backup (call))
        hedge_answered (self, attempt);
    if (status == WEFT_APP_ERROR)
        call_take_body (call, record->body, record->body_size, attachment);
    attempt_failed (self, attempt, &outcome);
}

void attempt_replied (channel_t *self, attempt_t *attempt, const wire_record_t *record, zmq_msg_t *attachment)
{
    wire_info_t info;
    const bool told = mp_left (&record->extra) && wire_read_info (record->extra, &info);
    const weft_status_t status = record->status < WEFT_STATUS_COUNT ? record->status : WEFT_INTERNAL;
    note_ledger (attempt->call, told ? &info : NULL);
    note_health (self, attempt, status);
    if (status == WEFT_OK) {
        reply_ok (self, attempt, record, attachment);
        return;
    }
    if (!told)
        info = wire_info_none ();
    reply_failed (self, attempt, record, attachment, status, &info);
}

/*  The end, or another try. */

bool call_is_idempotent (channel_t *self, const weft_call_t *call)
{
    if (text_is (call->service, "weft.Registry") || text_is (call->service, "weft.Worker"))
        return true;
    const discovery_t *discovery = table_get (&self->services, call->service.data, call->service.size);
    return discovery && (discovery_flags (discovery, call->name.data, call->name.size) & 1) != 0;
}

/*  A worker of the service may have the method, other than one that was asked for by name. */
static bool is_offered (channel_t *self, const weft_call_t *call)
{
    const discovery_t *discovery = table_get (&self->services, call->service.data, call->service.size);
    return !call->only [0] && discovery && discovery_offers (discovery, call->name.data, call->name.size);
}

/*  A broker that has just started does not know yet who is on the way back to it. */
static bool spoke_too_soon (channel_t *self, const weft_call_t *call, const outcome_t *outcome)
{
    const weft_status_t status = outcome->status;
    const discovery_t *discovery = table_get (&self->services, call->service.data, call->service.size);
    return !call->direct && discovery && discovery_in_doubt (discovery) &&
           (status == WEFT_NO_SERVICE || status == WEFT_NO_WORKERS || status == WEFT_UNIMPLEMENTED);
}

static retry_question_t question_of (channel_t *self, const weft_call_t *call, outcome_t *outcome)
{
    const bool moved = outcome->chosen && outcome->status == WEFT_NO_WORKERS && !call->only [0];
    const bool too_soon = spoke_too_soon (self, call, outcome);
    if (too_soon && outcome->retry_after_us < RETURN_US)
        outcome->retry_after_us = RETURN_US;
    return (retry_question_t){.mode = call->settings.retry,
                              .status = moved || too_soon ? WEFT_WORKER_LOST : outcome->status,
                              .executed = outcome->executed,
                              .before = call->executed_before,
                              .left = outcome->left,
                              .idempotent = call_is_idempotent (self, call),
                              .offered = is_offered (self, call),
                              .keyed = call->request_key.size > 0,
                              .attempts = call->attempts,
                              .stayed = call->stayed};
}

/*  Its worker may have run it, was to be asked by the request key what came of that, and could not be. */
static bool was_asked_again (const weft_call_t *call, const outcome_t *outcome)
{
    const weft_status_t status = outcome->status;
    const bool given_up =
        status == WEFT_DEADLINE_EXCEEDED || status == WEFT_CANCELLED || status == WEFT_SHUTDOWN;
    return call->same && call->request_key.size && call->executed_before == WEFT_EXECUTED_MAYBE &&
           outcome->executed == WEFT_EXECUTED_NO && !given_up;
}

/*  Then the outcome is that of the attempt that may have run. */
APART static void conclude_in_vain (channel_t *self, weft_call_t *call, const outcome_t *outcome)
{
    const weft_status_t status = call->status;
    const char *text = weft_call_text (call);
    const size_t prefix = strlen (weft_status_str (status)) + 2;
    call_set_text (call, "%.500s; asked again: %s: %s", strlen (text) > prefix ? text + prefix : "",
                   weft_status_str (outcome->status), outcome->text);
    conclude (self, call, status, WEFT_EXECUTED_MAYBE, call->origin, 0);
}

static void back_off (channel_t *self, weft_call_t *call, int64_t delay_us)
{
    self->stats.retried++;
    call->hedged = false;
    if (call->intake)
        intake_drop (call->intake);
    if (delay_us == 0) {
        count_earlier (self, call);
        route_call (self, call);
        return;
    }
    call->state = CALL_BACKOFF;
    set_timer (self, call, self->now_us + delay_us);
}

void call_fail (channel_t *self, weft_call_t *call, outcome_t *outcome)
{
    if (call->intake && call->intake->taken) { /* a second beginning would only confuse */
        if (outcome->executed == WEFT_EXECUTED_NO)
            outcome->executed = WEFT_EXECUTED_MAYBE;
        call_end (self, call, outcome);
        return;
    }
    call->unreached |= call->direct && outcome->status == WEFT_CONNECT_TIMEOUT;
    const retry_question_t question = question_of (self, call, outcome);
    const retry_verdict_t verdict = retry_decide (&question);
    int64_t delay_us = retry_delay_us (&question, verdict, &self->dice);
    if (delay_us < outcome->retry_after_us)
        delay_us = outcome->retry_after_us;
    if (verdict == RETRY_END || self->now_us + delay_us >= call->deadline_us ||
        (call->tried_count == CALL_TRIED_MAX && call->settings.via != WEFT_VIA_AUTO) ||
        (verdict == RETRY_SAME && !call->worker [0] && outcome->executed != WEFT_EXECUTED_NO) ||
        (!retry_is_free (&question) && !retry_budget_take (&self->budget, self->now_us))) {
        call_end (self, call, outcome);
        return;
    }
    if (!was_asked_again (call, outcome)) {
        call->status = outcome->status;
        call->origin = outcome->origin;
        call_set_text (call, "%s: %s", weft_status_str (outcome->status), outcome->text);
    }
    if (outcome->executed == WEFT_EXECUTED_MAYBE)
        call->executed_before = WEFT_EXECUTED_MAYBE;
    call->same = verdict == RETRY_SAME;
    back_off (self, call, delay_us);
}

/*  Takes the call out of wherever it is; parts of a broadcast that are open are cancelled. */
static void leave_all (channel_t *self, weft_call_t *call)
{
    if (call->state == CALL_LISTING)
        list_remove (&call->discovery->waiting, &call->node);
    call->discovery = NULL;
    stop_waiting (self, call);
    leave_link (self, &call->attempt);
    if (open_backup (call))
        leave_link (self, &call->backup->attempt);
    deadlines_cancel (&self->calls, &call->timer);
}

void call_end (channel_t *self, weft_call_t *call, const outcome_t *outcome)
{
    assert (call->state != CALL_ENDED);
    leave_all (self, call);
    if (was_asked_again (call, outcome))
        conclude_in_vain (self, call, outcome);
    else {
        if (outcome->status == WEFT_OK)
            buffer_clear (&call->text);
        else
            call_set_text (call, "%s", outcome->text);
        conclude (self, call, outcome->status, outcome->executed, outcome->origin, outcome->code);
    }
    call_cancel_parts (self, call);
    hand_back (self, call);
}

void call_stop (channel_t *self, weft_call_t *call, const outcome_t *outcome)
{
    write_cancel (self, &call->attempt);
    if (open_backup (call))
        write_cancel (self, &call->backup->attempt);
    call_end (self, call, outcome);
}

/*  Ended from this side: deadline, cancel, shutdown. What was sent may have run, and is told to stop. */
static void give_up (channel_t *self, weft_call_t *call, outcome_t *outcome)
{
    bool sent = call->state == CALL_SENT;
    if (call->state == CALL_BACKOFF)
        count_earlier (self, call);
    for (size_t i = 0; i < call->part_count; i++)
        sent = sent || call->parts [i]->attempts > call->parts [i]->stayed;
    outcome->executed = sent ? WEFT_EXECUTED_MAYBE : WEFT_EXECUTED_NO;
    call_stop (self, call, outcome);
}

void channel_cancel (channel_t *self, weft_call_t *call, int64_t now_us)
{
    self->now_us = now_us;
    if (call->state == CALL_ENDED)
        return;
    text_space_t space;
    outcome_t outcome = outcome_here (WEFT_CANCELLED, WEFT_EXECUTED_NO, &space, "cancelled by the caller");
    if (call->intake)
        intake_drop (call->intake);
    give_up (self, call, &outcome);
}

void call_shut (channel_t *self, weft_call_t *call)
{
    text_space_t space;
    outcome_t outcome = outcome_here (WEFT_SHUTDOWN, WEFT_EXECUTED_NO, &space, "the client was closed");
    give_up (self, call, &outcome);
}

/*  Time is up, and it was sent, and not answered. */
static void note_silence (channel_t *self, const attempt_t *attempt)
{
    const weft_call_t *call = attempt->call;
    endpoint_t *endpoint = attempt->endpoint;
    if (!endpoint || !call->direct || call->intake || attempt->request.id == 0)
        return;
    const discovery_t *discovery = table_get (&self->services, call->service.data, call->service.size);
    const bool may_eject = discovery && discovery_may_eject (discovery, endpoint, self->now_us);
    endpoint_silent (endpoint, self->now_us, attempt->probe, may_eject, &self->dice);
}

static void deadline_passed (channel_t *self, weft_call_t *call)
{
    text_space_t space;
    outcome_t outcome = deadline_outcome (self, call, &space);
    if (wants_backup (call))
        hedge_in_vain (self, call);
    note_silence (self, &call->attempt);
    if (open_backup (call))
        note_silence (self, &call->backup->attempt);
    give_up (self, call, &outcome);
}

/*  Who stood still learns that there is a connection, and that time is up, at once: then nothing leaves. */
void attempt_send (channel_t *self, attempt_t *attempt)
{
    if (self->now_us >= attempt->call->deadline_us)
        deadline_passed (self, attempt->call);
    else
        send_over (self, attempt, attempt->request.link);
}

/*  It waits for a worker though the broker is there. */
static bool may_still_route (const channel_t *self, const weft_call_t *call)
{
    return call->state == CALL_CONNECTING && call->direct && call->settings.via == WEFT_VIA_AUTO &&
           link_takes (self->broker);
}

static void connect_timed_out (channel_t *self, weft_call_t *call)
{
    text_space_t what, space;
    const char *why;
    describe (self, call, &what, &why);
    outcome_t outcome = outcome_here (WEFT_CONNECT_TIMEOUT, WEFT_EXECUTED_NO, &space, "no %.800s in %d ms%s",
                                      what.bytes, call->settings.connect_timeout_ms, why);
    if (may_still_route (self, call))
        attempt_failed (self, open_backup (call) ? open_backup (call) : &call->attempt, &outcome);
    else
        give_up (self, call, &outcome);
}

void call_due (channel_t *self, weft_call_t *call)
{
    if (self->now_us >= call->deadline_us)
        deadline_passed (self, call);
    else if (call->state == CALL_BACKOFF) {
        count_earlier (self, call);
        route_call (self, call);
    } else if (call->state == CALL_SENT) {
        set_timer (self, call, call->deadline_us);
        hedge_due (self, call);
    } else
        connect_timed_out (self, call);
}
