/* SPDX-License-Identifier: MPL-2.0
 *
 *  channel_inside.h - what the channel's own files share: channel.c (links, records, time), brokers.c (which
 *  broker is used), watches.c (lists of workers), route.c (where a call goes), attempt.c (a call over a link,
 *  and its end), hedge.c (a second attempt beside the first), broadcast.c (a call to all), streaming.c (items). */

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
    bool left;              /* it had been sent, and was not here any more */
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

/*  Where a second attempt goes: by the way of the first, which is sent, to another worker (NULL: the broker
 *  chooses). False: nowhere. */
bool route_beside (channel_t *self, weft_call_t *call, link_t **link, endpoint_t **endpoint);

/*  attempt.c */
void attempt_begin (channel_t *self, weft_call_t *call, link_t *link, endpoint_t *endpoint);
void attempt_begin_beside (channel_t *self, attempt_t *attempt, link_t *link, endpoint_t *endpoint);
void attempt_send (channel_t *self, attempt_t *attempt);             /* its link is ready */
void attempt_replied (channel_t *self, attempt_t *attempt, const wire_record_t *record,
                      zmq_msg_t *attachment);
/*  An element of a stream (streaming.c). */
void attempt_item (channel_t *self, attempt_t *attempt, const wire_record_t *record, zmq_msg_t *attachment);
/*  The same as failed, and whoever has it is told to stop. */
void attempt_abandoned (channel_t *self, attempt_t *attempt, outcome_t *outcome);
/*  Off its link; retried, or the end. */
void attempt_failed (channel_t *self, attempt_t *attempt, outcome_t *outcome);
void attempt_taken_back (channel_t *self, attempt_t *attempt);       /* nobody read it: it waits for its link again */
void attempt_withdraw (channel_t *self, attempt_t *attempt);         /* off its link, which is told */
bool call_is_idempotent (channel_t *self, const weft_call_t *call);
void call_forget_times (weft_call_t *call);                          /* that a reply told of */
void call_wait_link (channel_t *self, weft_call_t *call);            /* an attempt waits for its link */
void call_wait_list (channel_t *self, weft_call_t *call, discovery_t *discovery);
void call_wait_parts (channel_t *self, weft_call_t *call);           /* a broadcast waits for its parts */
void call_fail (channel_t *self, weft_call_t *call, outcome_t *outcome); /* retried if may be, or the end */
void call_end (channel_t *self, weft_call_t *call, const outcome_t *outcome);
void call_stop (channel_t *self, weft_call_t *call, const outcome_t *outcome); /* the end, and whoever has it is told */
void call_due (channel_t *self, weft_call_t *call);                  /* its timer went off */
void call_shut (channel_t *self, weft_call_t *call);                 /* the client closes */

/*  hedge.c, for calls that ask for FAILBACKUP. When to look for another worker, if this attempt that was just
 *  sent has no answer by then (the call's deadline: never); to look. */
int64_t hedge_at_us (channel_t *self, const attempt_t *attempt);
void hedge_due (channel_t *self, weft_call_t *call);

/*  This attempt has the answer, and is still on its link; failed, of a hedged call, and is off (true: the
 *  other one is open, and the call goes on); the call's time is up. */
void hedge_answered (channel_t *self, attempt_t *attempt);
bool hedge_goes_on (channel_t *self, attempt_t *attempt, outcome_t *outcome);
void hedge_in_vain (channel_t *self, weft_call_t *call);

/*  broadcast.c */
void call_fan (channel_t *self, weft_call_t *call, endpoint_t *const *list, size_t count);
void part_ended (channel_t *self, weft_call_t *part);                /* the first error, or the last success, ends the whole */
void call_cancel_parts (channel_t *self, weft_call_t *call);         /* those that are open; harmless if it has none */

/*  brokers.c */
void brokers_take (channel_t *self, const char *brokers);            /* comma-separated */
void broker_add (channel_t *self, text_t address);                   /* harmless if it is known */
void broker_open (channel_t *self);                                  /* the next one */
void broker_event (channel_t *self, link_t *link, transport_event_kind_t event, weft_status_t status);
void broker_down (channel_t *self, link_t *link, const char *why);   /* what was sent there ends BROKER_LOST */
void broker_refused (channel_t *self, weft_status_t status, const char *why); /* the one that is used: our HELLO, or our key */
void brokers_leave_draining (channel_t *self);                       /* as far as may be */

/*  watches.c */
void channel_ask (channel_t *self, discovery_t *discovery);          /* for the list, if it should be */
void channel_forget (channel_t *self, discovery_t *discovery);       /* ends its watch, and frees it */
void watch_send (channel_t *self, discovery_t *discovery);           /* the broker's link is ready */
void watch_wait_again (channel_t *self, discovery_t *discovery);     /* it was under way: for the next link; its list is kept */
void watch_told (channel_t *self, discovery_t *discovery, const wire_record_t *record);
void watch_ended (channel_t *self, discovery_t *discovery, const wire_record_t *record);

/*  channel.c */
bool channel_command (channel_t *self, channel_command_kind_t kind, uint64_t alias, const char *address); /* false: out of memory */
void channel_keep_change (const discovery_t *discovery, const worker_row *row, void *arg); /* a discovery_observer_fn */
bool channel_connect (channel_t *self, endpoint_t *endpoint);        /* starts; false: nowhere to */
int64_t channel_connect_limit_us (const channel_t *self);
void channel_time_link (channel_t *self, link_t *link, int64_t in_us); /* sets its timer */
void channel_ready (channel_t *self, link_t *link);                  /* its connection is there */
void channel_left (channel_t *self, link_t *link);                   /* a request left a link */
void channel_fail_requests (channel_t *self, list_t *list, const outcome_t *outcome); /* of a link that is down */
void channel_say_goodbye (channel_t *self, link_t *link);

static inline endpoint_t *endpoint_of (link_t *link)
{
    return channel_is_broker (link->alias) ? NULL : CONTAINER_OF (link, endpoint_t, link);
}

#endif
