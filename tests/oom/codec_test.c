/* SPDX-License-Identifier: MPL-2.0
 *
 *  codec_test.c - a call between two codecs, while the broker's memory runs out. */

#include "broker_failing.h"
#include "broker_harness.h"

/*  The server has the call, and knows its codec. */
static void check_given (peer_t *server, peer_t *caller)
{
    wire_options_t options;
    const wire_record_t *request = next (WIRE_REQUEST);
    CHECK (wire_read_options (request->extra, &options));
    CHECK_MEM (options.codec.data, options.codec.size, "json", 4);
    say_reply (server, request->id);
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_OK);
}

/*  One call, with a failure on its way to the server. False: there was none. */
static bool pass_on (bool held, uint64_t first)
{
    start ();
    peer_t *const server = worker_of (1, "A", held ? 0 : 5), *const caller = client_with ("json");
    if (!held)
        oom_plan (first, 1);
    say_call (caller, 1, "A.Add", 5000);
    if (held)
        oom_plan (first, 1);
    say_credit (server, 5);
    oom_calm ();
    CHECK (!broker_next_doomed (broker)); /* all that is asked for here is worth no connection */
    if (listen_to (server))
        check_given (server, caller);
    else
        check_reply (only (caller, WIRE_REPLY), 1, WEFT_OVERLOADED, WEFT_EXECUTED_NO, "out of memory");
    finish ();
    return oom_failed () > 0;
}

TEST (a_call_is_given_on_with_its_codec_or_handed_back)
{
    for (int held = 0; held < 2; held++) {
        unsigned failures = 0;
        while (pass_on (held, failures + 1))
            failures++;
        CHECK (failures > 0);
    }
}
