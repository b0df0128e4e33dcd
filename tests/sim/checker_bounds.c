/* SPDX-License-Identifier: MPL-2.0
 *
 *  checker_bounds.c - what a broker holds stays under its caps, and nobody has so much of it that nothing is left for others. */

#include "checker_inside.h"

/*  Of what there are `max` of a client may take one more while it leaves as much free as it then has: so it never has more than this. */
static size_t share_of (size_t max)
{
    return (max + 1) / 2;
}

void checker_broker_bounds (size_t calls, size_t queued_bytes)
{
    if (calls > profile.broker_calls_max)
        violated ("the broker holds %zu calls, over its limit of %zu", calls, profile.broker_calls_max);
    if (queued_bytes > profile.memory_max)
        violated ("the broker holds %zu bytes of calls that wait, over its limit of %zu", queued_bytes, profile.memory_max);
}

void checker_broker_lane (size_t queued)
{
    if (queued > profile.service_queue_max)
        violated ("%zu calls are queued in one lane; its limit is %zu", queued, profile.service_queue_max);
}

void checker_broker_flow (size_t queued)
{
    if (queued > share_of (profile.service_queue_max))
        violated ("%zu calls of one client are queued in a lane that has room for %zu", queued, profile.service_queue_max);
}

void checker_broker_caller (size_t calls, size_t queued_bytes, size_t largest)
{
    if (calls > profile.client_calls_max)
        violated ("the broker holds %zu calls of one client, over its limit of %zu", calls, profile.client_calls_max);
    if (calls > share_of (profile.broker_calls_max))
        violated ("the broker holds %zu calls of one client; it has room for %zu of all", calls, profile.broker_calls_max);
    if (2 * queued_bytes > profile.memory_max + largest) /* the last one that came counts in full, whatever others left */
        violated ("%zu bytes of calls that wait are one client's; the broker has room for %zu", queued_bytes, profile.memory_max);
}

void checker_broker_outbox (size_t bytes)
{
    const size_t max = profile.outbox_max ? profile.outbox_max : WEFT_OUTBOX_MAX;
    if (bytes > max + WEFT_BATCH_MAX) /* it is looked at when a batch is closed */
        violated ("%zu bytes wait for one peer; the limit is %zu", bytes, max);
}
