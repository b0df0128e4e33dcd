/* SPDX-License-Identifier: MPL-2.0
 *
 *  uplink.h - the connection to a broker: a DEALER and its monitor, opened anew after each loss. */

#ifndef UPLINK_H_INCLUDED
#define UPLINK_H_INCLUDED

#include <weft/limits.h>
#include "sender.h"
#include "sleeper.h"

/*  What wakes the sleeper: messages, and events of the connection. */
enum { UPLINK_NEWS = 1, UPLINK_EVENTS = 2 };

typedef struct {
    void *context;
    sleeper_t *sleeper;
    void *socket, *monitor;     /* NULL while closed */
    size_t frame_max;
    bool ready, lost;
    weft_status_t status;       /* why it was lost, in one line of text */
    const char *text;
    sender_t sender;
} uplink_t;

void uplink_init (uplink_t *self, void *context, sleeper_t *sleeper, size_t frame_max);

/*  Begins to connect. False: could not even begin; it is then lost. */
bool uplink_open (uplink_t *self, const char *endpoint);

/*  Closes; what was sent may take `linger_ms` more to leave. */
void uplink_close (uplink_t *self, int linger_ms);

/*  Reads what the monitor has. True, once, when the connection has become ready. `lost` says that it is
 *  gone: apply that after reading what had come before. */
bool uplink_events (uplink_t *self);

/*  As transport_receive. */
int uplink_receive (uplink_t *self, message_t *message, const char **fault);

/*  Sends what waits; a loss shows in `lost`. False: not all could be sent. */
bool uplink_flush (uplink_t *self, outbox_t *outbox);

#endif
