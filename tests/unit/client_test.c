/* SPDX-License-Identifier: MPL-2.0
 *
 *  The client as its users see it, against fake peers over real sockets. */

#include <weft/client.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "check.h"
#include "fake.h"

typedef struct {
    int64_t a, b;
} pair;
WEFT_SCHEMA (pair, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

static weft_status_t sum (weft_client_t *client, int64_t a, int64_t b, int64_t *result)
{
    return weft_call (client, "Test.Sum", WEFT_IN (pair, (&(pair){a, b})), WEFT_OUT (weft_int64, result), 2000);
}

TEST (a_synchronous_call_goes_directly)
{
    fake_t *fake = fake_new (1);
    weft_client_t *client = weft_client_new (fake_broker (fake), NULL);
    CHECK (client);
    for (int64_t i = 0; i < 100; i++) {
        int64_t result = 0;
        CHECK_INT (sum (client, i, i * i, &result), WEFT_OK);
        CHECK_INT (result, i + i * i);
    }
    CHECK_INT (fake_requests (fake, 0), 100);
    CHECK_INT (fake_routed (fake), 0);
    CHECK_INT (fake_watches (fake), 1);
    weft_client_destroy (&client);
    CHECK (!client);
    fake_destroy (&fake);
}

TEST (a_synchronous_call_goes_through_the_broker)
{
    fake_t *fake = fake_new (1);
    weft_client_t *client = weft_client_new (fake_broker (fake), NULL);
    const weft_call_options_t options = {.via = WEFT_VIA_BROKER};
    for (int64_t i = 0; i < 100; i++) {
        weft_call_t *call;
        int64_t result;
        CHECK_INT (weft_client_call (client, "Test.Sum", WEFT_IN (pair, (&(pair){i, 1})), &options, &call), WEFT_OK);
        CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &result)), WEFT_OK);
        CHECK_INT (result, i + 1);
        CHECK (!weft_call_direct (call));
        weft_call_destroy (&call);
    }
    CHECK_INT (fake_routed (fake), 100);
    weft_client_destroy (&client);
    fake_destroy (&fake);
}
