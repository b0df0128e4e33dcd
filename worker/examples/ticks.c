/* SPDX-License-Identifier: MPL-2.0
 *
 *  ticks.c - a worker with a stream. Start a broker, then this, then: weft call Clock.Ticks '{"every_ms": 500}' */

#include <poll.h>
#include <weft.h>

typedef struct {
    int64_t every_ms, count;
    bool has_count; /* else for ever */
} ticks_args;
WEFT_SCHEMA (ticks_args, WEFT_FIELD (every_ms, weft_int64), WEFT_OPTIONAL (count, weft_int64, has_count))

typedef struct {
    int64_t number;
} tick;
WEFT_SCHEMA (tick, WEFT_FIELD (number, weft_int64))

/*  It ends when it has sent all, or when an item is not taken any more: because the caller went, or this worker stops. */
static weft_status_t ticks (weft_request_t *request, const void *args, void *reply)
{
    const ticks_args *in = args;
    tick *item = reply;
    weft_status_t status = WEFT_OK;

    while (status == WEFT_OK && !(in->has_count && item->number >= in->count)) {
        item->number++;
        status = weft_request_send_item (request, item);
        for (int64_t left_ms = in->every_ms; left_ms > 0 && !weft_request_cancelled (request); left_ms -= 20)
            poll (NULL, 0, left_ms < 20 ? (int) left_ms : 20);
    }
    return status;
}

static const weft_method_t methods [] = {
    WEFT_METHOD ("Ticks", ticks, ticks_args, tick, WEFT_STREAM | WEFT_IDEMPOTENT), WEFT_METHOD_END};

int main (void)
{
    weft_worker_t *worker = weft_worker_new ("tcp://127.0.0.1:5555", NULL);
    weft_worker_add (worker, "Clock", methods, NULL);
    return weft_worker_run (worker);
}
