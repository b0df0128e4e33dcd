/* SPDX-License-Identifier: MPL-2.0
 *
 *  channel_inside.h - what the channel's own files share: channel.c (links, records, time), route.c (where
 *  a call goes), attempt.c (a call over a link, and its end). */

#ifndef CHANNEL_INSIDE_H_INCLUDED
#define CHANNEL_INSIDE_H_INCLUDED

#include "channel.h"

/*  How an attempt, or the whole call, ended. */
typedef struct {
    weft_status_t status;
    weft_executed_t executed;
    weft_origin_t origin;
    int64_t code;
    int64_t retry_after_us;
    const char *text;       /* not OK: one line */
    bool left;              /* it had been sent */
    bool chosen;            /* routed to a worker that was chosen here */
} outcome_t;

/*  An outcome decided here, whose text is made by printf. `text` is the space for it. */
typedef struct {
    char bytes [WEFT_TEXT_MAX + 1];
} text_space_t;
outcome_t outcome_here (weft_status_t status, weft_executed_t executed, text_space_t *space,
                        const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

/*  route.c */
void route_call (channel_t *self, weft_call_t *call);
void route_listed (channel_t *self, discovery_t *discovery);         /* the list is here: calls go on */
void route_unlisted (channel_t *self, discovery_t *discovery, const outcome_t *outcome); /* there is none */
discovery_t *route_discovery (channel_t *self, text_t service);      /* NULL: none */

/*  attempt.c */
void attempt_begin (channel_t *self, weft_call_t *call, link_t *link, endpoint_t *endpoint);
void attempt_send (channel_t *self, attempt_t *attempt);             /* its link is ready */
void attempt_replied (channel_t *self, attempt_t *attempt, const wire_record_t *record,
                      zmq_msg_t *attachment);
/*  An element of a stream (streaming.c). */
void attempt_item (channel_t *self, attempt_t *attempt, const wire_record_t *record, zmq_msg_t *attachment);
/*  The same as failed, and whoever has it is told to stop. */
void attempt_abandoned (channel_t *self, attempt_t *attempt, outcome_t *outcome);
/*  Off its link; retried, or the end. */
void attempt_failed (channel_t *self, attempt_t *attempt, outcome_t *outcome);
void call_wait_list (channel_t *self, weft_call_t *call, discovery_t *discovery);
void call_fan (channel_t *self, weft_call_t *call, endpoint_t *const *list, size_t count);
void call_fail (channel_t *self, weft_call_t *call, outcome_t *outcome); /* retried if may be, or the end */
void call_end (channel_t *self, weft_call_t *call, const outcome_t *outcome);
void call_stop (channel_t *self, weft_call_t *call, const outcome_t *outcome); /* the end, and whoever has it is told */
void call_due (channel_t *self, weft_call_t *call);                  /* its timer went off */
void call_shut (channel_t *self, weft_call_t *call);                 /* the client closes */

/*  channel.c */
void channel_ask (channel_t *self, discovery_t *discovery);          /* for the list, if it should be */
void channel_forget (channel_t *self, discovery_t *discovery);       /* ends its watch, and frees it */
bool channel_connect (channel_t *self, endpoint_t *endpoint);        /* starts; false: nowhere to */
void channel_left (channel_t *self, link_t *link);                   /* a request left a link */

static inline endpoint_t *endpoint_of (link_t *link)
{
    return link->alias == CHANNEL_BROKER ? NULL : CONTAINER_OF (link, endpoint_t, link);
}

#endif
