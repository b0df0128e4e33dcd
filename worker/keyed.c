/* SPDX-License-Identifier: MPL-2.0
 *
 *  keyed.c - requests with a request key; see keyed.h.
 *
 *  A handler that runs for a key is not told to stop when its caller is lost: that one comes again for the reply. It
 *  is told when a CANCEL came and nobody else waits. */

#include <stdio.h>
#include "deadlines.h"
#include "keyed.h"
#include "requests_inside.h"

/*  ------------------------------------------------------------------ replies  */

/*  Tells what came of the work to one that asked for it. */
static void tell (session_link_t *link, uint64_t id, const reply_t *reply, int64_t queue_us,
                  int64_t handler_us)
{
    char text [WEFT_TEXT_MAX + 1];
    reply_t told = *reply;
    zmq_msg_t frame;

    if (reply->body_size > link->body_max) {
        snprintf (text, sizeof text, "the reply is over the broker's limit of %llu bytes",
                  (unsigned long long) link->body_max);
        told = (reply_t){.status = WEFT_TOO_LARGE,
                         .executed = WEFT_EXECUTED_YES,
                         .origin = WEFT_ORIGIN_WORKER,
                         .text = text};
    }
    wire_info_t info =
        requests_info (told.status, told.executed, told.origin, told.text, queue_us, handler_us);
    info.code = told.code;
    zmq_msg_init (&frame);
    if (told.frame)
        zmq_msg_copy (&frame, told.frame);
    wire_write_reply (link_open_record (link), id, told.status, told.body, told.body_size, told.frame != NULL,
                      &info);
    link_close_record (link, told.frame ? &frame : NULL);
    zmq_msg_close (&frame);
}

/*  One that waited has its answer, or does not want it any more. */
static void retire (requests_t *self, weft_request_t *request)
{
    list_remove (&request->work->waiting, &request->of_work);
    request->work = NULL;
    requests_retire (self, request);
}

static void tell_waiting (requests_t *self, weft_request_t *request, const reply_t *reply, int64_t now_us)
{
    self->again++;
    tell (request->link, request->id, reply, now_us - request->arrived_us, 0);
    retire (self, request);
}

static void tell_all (requests_t *self, weft_request_t *request, const reply_t *reply, int64_t now_us)
{
    const int64_t begun_us = atomic_load_explicit (&request->begun_us, memory_order_relaxed);
    list_node_t *node;

    if (request->link)
        tell (request->link, request->id, reply, begun_us - request->arrived_us, request->ended_us - begun_us);
    while ((node = list_first (&request->work->waiting)) != NULL)
        tell_waiting (self, CONTAINER_OF (node, weft_request_t, of_work), reply, now_us);
}

/*  ------------------------------------------------------------------ the one that runs  */

/*  What its handler made, for all who want it and to be kept. */
static void publish (requests_t *self, weft_request_t *request, int64_t now_us)
{
    zmq_msg_t frame;
    const bool large = requests_frame (self, request, &frame);
    const reply_t reply = {.status = request->status,
                           .executed = request->executed,
                           .origin = request->origin,
                           .code = request->status == WEFT_APP_ERROR ? request->code : 0,
                           .text = request->text,
                           .body = large ? zmq_msg_data (&frame) : request->reply.data,
                           .body_size = large ? zmq_msg_size (&frame) : request->reply.size,
                           .frame = large ? &frame : NULL};

    tell_all (self, request, &reply, now_us);
    replies_know (&self->replies, request->work, &reply);
    if (large)
        zmq_msg_close (&frame);
}

static void forget_work (weft_request_t *request)
{
    request->work = NULL;
    request->unwanted = false;
}

void keyed_ran (requests_t *self, weft_request_t *request, int64_t now_us)
{
    work_t *work = request->work;

    if (request->executed == WEFT_EXECUTED_NO && !work->known) {
        if (request->link)
            requests_answer (self, request);
        keyed_never_ran (self, request);
        return;
    }
    if (!work->known)
        publish (self, request, now_us);
    forget_work (request);
    replies_finish (&self->replies, work, now_us);
    if (replies_next_us (&self->replies) < self->sweep_us)
        self->sweep_us = replies_next_us (&self->replies);
}

/*  Those that wait are told by the sweep that found this. */
void keyed_timed_out (requests_t *self, weft_request_t *request, const char *text)
{
    const reply_t reply = {.status = WEFT_HANDLER_TIMEOUT,
                           .executed = WEFT_EXECUTED_YES,
                           .origin = WEFT_ORIGIN_WORKER,
                           .text = text};
    replies_know (&self->replies, request->work, &reply);
}

void keyed_never_ran (requests_t *self, weft_request_t *request)
{
    work_t *work = request->work;
    list_node_t *node = list_pop (&work->waiting);

    forget_work (request);
    if (!node) {
        replies_abandon (&self->replies, work);
        return;
    }
    weft_request_t *next = work->runner = CONTAINER_OF (node, weft_request_t, of_work);
    request_take_input (next, request);
    next->held = request->held;
    request->held = 0;
    atomic_store (&next->state, REQUEST_WAITING);
    requests_give_out (self, next);
}

bool keyed_is_wanted (const weft_request_t *request)
{
    return !list_empty (&request->work->waiting);
}

/*  ------------------------------------------------------------------ those that wait  */

/*  Its work may be done all the same. */
static void give_up (requests_t *self, weft_request_t *request, weft_status_t status, const char *text,
                     int64_t now_us)
{
    requests_turn_down_as (self, request->link, request->id, status, WEFT_EXECUTED_MAYBE,
                           now_us - request->arrived_us, text);
    retire (self, request);
}

int64_t keyed_look_at (requests_t *self, weft_request_t *request, int64_t now_us)
{
    if (request->work->known)
        tell_waiting (self, request, &request->work->reply, now_us);
    else if (now_us < request->deadline_us)
        return request->deadline_us;
    else
        give_up (self, request, WEFT_DEADLINE_EXCEEDED,
                 "out of time while another request with this key was at work", now_us);
    return DEADLINES_NEVER;
}

/*  What its sender had asked of the runner before, it gets now. */
void keyed_leave (requests_t *self, weft_request_t *request)
{
    const work_t *const work = request->work;

    retire (self, request);
    if (list_empty (&work->waiting) && work->runner->unwanted)
        atomic_store (&work->runner->cancelled, true);
}

void keyed_cancel (requests_t *self, weft_request_t *request, int64_t now_us)
{
    requests_turn_down_as (self, request->link, request->id, WEFT_CANCELLED, WEFT_EXECUTED_MAYBE,
                           now_us - request->arrived_us, "cancelled");
    keyed_leave (self, request);
}

/*  ------------------------------------------------------------------ letting in  */

/*  Without what came in: the one that runs has the same. */
static weft_request_t *admit_bare (requests_t *self, session_link_t *link, const wire_record_t *record,
                                   method_t *method, codec_t codec, int64_t now_us)
{
    wire_record_t bare = *record;

    bare.body = NULL;
    bare.body_size = 0;
    bare.extra = mp_reader (NULL, 0);
    return requests_admit (self, link, &bare, NULL, method, codec, now_us);
}

static void wait_for (requests_t *self, weft_request_t *request, work_t *work, int64_t now_us)
{
    request->work = work;
    atomic_store (&request->state, REQUEST_REPEATING);
    list_push (&work->waiting, &request->of_work);
    requests_enlist (self, request, now_us);
}

bool keyed_repeat (requests_t *self, session_link_t *link, const wire_record_t *record, method_t *method,
                   codec_t codec, text_t key, weft_status_t status, const char *why, int64_t now_us)
{
    work_t *work = replies_find (&self->replies, method, key, now_us);

    if (!work)
        return false;
    if (!replies_match (&self->replies, work, codec, record->body, record->body_size)) {
        requests_turn_down (self, link, record->id, WEFT_INVALID, 0,
                            "this request key was used before, with other arguments or another codec");
        return true;
    }
    if (work->known) {
        self->again++;
        tell (link, record->id, &work->reply, 0, 0);
        return true;
    }
    weft_request_t *request =
        status == WEFT_OK ? admit_bare (self, link, record, method, codec, now_us) : NULL;
    if (request)
        wait_for (self, request, work, now_us);
    else
        requests_turn_down_as (self, link, record->id, status == WEFT_OK ? WEFT_OVERLOADED : status,
                               WEFT_EXECUTED_MAYBE, 0, status == WEFT_OK ? "out of memory" : why);
    return true;
}

weft_request_t *keyed_admit (requests_t *self, session_link_t *link, const wire_record_t *record,
                             zmq_msg_t *attachment, method_t *method, codec_t codec, text_t key,
                             int64_t now_us)
{
    work_t *work = replies_begin (&self->replies, method, key, codec, record->body, record->body_size);
    weft_request_t *request =
        work ? requests_admit (self, link, record, attachment, method, codec, now_us) : NULL;

    if (request) {
        work->runner = request;
        request->work = work;
    } else if (work)
        replies_abandon (&self->replies, work);
    return request;
}
