/* SPDX-License-Identifier: MPL-2.0
 *
 *  ticks.c - takes the items of a stream: ten ticks of worker/examples/ticks.c, a tenth of a second apart. */

#include <stdio.h>
#include <weft.h>

typedef struct {
    int64_t every_ms, count;
    bool has_count;
} ticks_args;
WEFT_SCHEMA (ticks_args, WEFT_FIELD (every_ms, weft_int64), WEFT_OPTIONAL (count, weft_int64, has_count))

typedef struct {
    int64_t number;
} tick;
WEFT_SCHEMA (tick, WEFT_FIELD (number, weft_int64))

int main (void)
{
    weft_client_t *client = weft_client_new ("tcp://127.0.0.1:5555", NULL);
    const ticks_args args = {.every_ms = 100, .count = 10, .has_count = true};
    weft_call_t *call = weft_client_stream (client, "Clock.Ticks", WEFT_IN (ticks_args, &args), NULL);
    tick item;

    while (weft_call_next (call, WEFT_OUT (tick, &item), -1))
        printf ("%lld\n", (long long) item.number);
    const weft_status_t status = weft_call_status (call);
    if (status != WEFT_OK)
        fprintf (stderr, "%s: %s\n", weft_status_str (status), weft_call_text (call));
    weft_call_destroy (&call); /* one that has not ended would be cancelled */
    weft_client_destroy (&client);
    return status != WEFT_OK;
}
