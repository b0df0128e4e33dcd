/* SPDX-License-Identifier: MPL-2.0
 *
 *  watches.c - the lists of workers, as brokers send them: asked for, taken in, and asked for again at the next broker. */

#include "channel_inside.h"
#include <stdio.h>
#include <string.h>

void watch_send (channel_t *self, discovery_t *discovery)
{
    static const wire_options_t in_msgpack = {.codec = {"msgpack", 7}};
    link_t *link = self->broker;
    const uint64_t id = ids_put (&self->requests, &discovery->request);
    if (!id)
        return; /* it goes on waiting */
    link_sent (link, &discovery->request, id);
    discovery->asked_us = self->now_us;
    buffer_clear (&self->scratch);
    mp_write_array (&self->scratch, 1);
    mp_write_text (&self->scratch, discovery->service);
    wire_write_request (outbox_open_record (&link->outbox), id, text_of ("weft.Registry.Watch"),
                        WIRE_NO_DEADLINE, self->scratch.data, self->scratch.size, false,
                        self->options.codec == CODEC_MSGPACK ? NULL : &in_msgpack);
    outbox_close_record (&link->outbox, NULL);
    channel_touch (self, link);
}

/*  Ends the stream that is under way. */
static void stop_watch (channel_t *self, discovery_t *discovery)
{
    request_t *request = &discovery->request;
    link_t *link = request->link;
    if (request->id && link->state == LINK_READY) {
        wire_write_cancel (outbox_open_record (&link->outbox), request->id);
        outbox_close_record (&link->outbox, NULL);
        channel_touch (self, link);
    }
    ids_take (&self->requests, request->id);
    request_leave (request);
}

static void ask (channel_t *self, discovery_t *discovery)
{
    stop_watch (self, discovery);
    discovery_asked (discovery, self->now_us);
    link_wait (self->broker, &discovery->request);
    if (link_takes (self->broker))
        watch_send (self, discovery);
}

void channel_forget (channel_t *self, discovery_t *discovery)
{
    stop_watch (self, discovery);
    if (self->recent == discovery)
        self->recent = NULL;
    table_take (&self->services, discovery->service, strlen (discovery->service));
    discovery_free (discovery, &self->endpoints);
}

/*  While the broker is away the last good list serves, however old. */
void channel_ask (channel_t *self, discovery_t *discovery)
{
    const bool away = !link_takes (self->broker) && discovery->request.link;
    if (discovery_wants (discovery, self->now_us) && !away)
        ask (self, discovery);
}

void watch_told (channel_t *self, discovery_t *discovery, const wire_record_t *record)
{
    watch_item change = {0};
    codec_error_t error;
    discovery_result_t result = DISCOVERY_GAP;
    if (codec_decode (CODEC_MSGPACK, record->body, record->body_size, WEFT_OUT (watch_item, &change),
                      &self->arena, &error))
        result = discovery_apply (discovery, &change, &self->endpoints, self->now_us,
                                  self->observed ? channel_keep_change : NULL, self);
    else
        self->stats.malformed++;
    arena_reset (&self->arena);
    if (result == DISCOVERY_OK) {
        discovery->gaps = 0;
        route_listed (self, discovery);
    } else if (result == DISCOVERY_PART)
        return; /* the rest is on its way */
    else if (++discovery->gaps <= 1)
        ask (self, discovery);
    else { /* a broker that sends nonsense each time is not asked in a loop */
        stop_watch (self, discovery);
        discovery_lost (discovery);
    }
}

/*  A watch that was under way waits for the next link; its list is kept. */
void watch_wait_again (channel_t *self, discovery_t *discovery)
{
    ids_take (&self->requests, discovery->request.id);
    request_leave (&discovery->request);
    link_wait (self->broker, &discovery->request);
    discovery_cut_off (discovery, self->now_us);
}

void watch_ended (channel_t *self, discovery_t *discovery, const wire_record_t *record)
{
    wire_info_t info = wire_info_none ();
    const weft_status_t status = record->status < WEFT_STATUS_COUNT ? record->status : WEFT_INTERNAL;
    char text [WEFT_TEXT_MAX + 1];
    if (mp_left (&record->extra) && wire_read_info (record->extra, &info) && info.text.size)
        snprintf (text, sizeof text, "%.*s", TEXT_ARG (info.text));
    else
        snprintf (text, sizeof text, "the watch ended: %s", weft_status_text (status));
    if (status == WEFT_DRAINING || status == WEFT_SHUTDOWN) {
        watch_wait_again (self, discovery); /* for the next broker */
        return;
    }
    ids_take (&self->requests, discovery->request.id);
    request_leave (&discovery->request);
    discovery_lost (discovery);
    const outcome_t outcome = {.status = status == WEFT_OK ? WEFT_INTERNAL : status,
                               .executed = WEFT_EXECUTED_NO,
                               .origin = WEFT_ORIGIN_BROKER,
                               .text = text};
    route_unlisted (self, discovery, &outcome);
}
