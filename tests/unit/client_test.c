/* SPDX-License-Identifier: MPL-2.0
 *
 *  The client as its users see it, against fake peers over real sockets. */

#include <poll.h>
#include <stdlib.h>
#include "client_fixture.h"
#include "clock.h"

typedef struct {
    weft_string text;
} note;
WEFT_SCHEMA (note, WEFT_FIELD (text, weft_string))

/*  Synchronous. */

TEST (a_synchronous_call_goes_directly)
{
    set_up (1);
    for (int64_t i = 0; i < 100; i++) {
        int64_t result = -1;
        CHECK_INT (weft_call (client, "Test.Sum", WEFT_IN (pair, &(pair){i, i * i}),
                              WEFT_OUT (weft_int64, &result), 0),
                   WEFT_OK);
        CHECK_INT (result, i + i * i);
    }
    CHECK_INT (fake_requests (fake, 0), 100);
    CHECK_INT (fake_routed (fake), 0);
    CHECK_INT (fake_watches (fake), 1);
    tear_down ();
}

TEST (a_synchronous_call_goes_through_the_broker)
{
    set_up (1);
    for (int64_t i = 0; i < 100; i++)
        check_sum (i, 1, &routed);
    CHECK_INT (fake_routed (fake), 100);
    CHECK_INT (fake_requests (fake, 0), 0);
    tear_down ();
}

TEST (the_short_form_takes_no_reply_that_points_to_memory)
{
    set_up (1);
    note reply;
    CHECK_INT (weft_call (client, "Test.Echo", WEFT_NOTHING, WEFT_OUT (note, &reply), 0), WEFT_INVALID);
    CHECK_INT (weft_client_stats (client).started, 0);
    tear_down ();
}

TEST (replies_live_as_long_as_their_call_even_past_the_client)
{
    set_up (1);
    weft_call_t *call;
    note reply;
    CHECK_INT (weft_client_call (client, "Test.Echo", WEFT_IN (note, &(note){"words"}), NULL, &call),
               WEFT_OK);
    tear_down ();
    CHECK_INT (weft_call_read (call, WEFT_OUT (note, &reply)), WEFT_OK);
    CHECK_STR (reply.text, "words");
    CHECK (weft_call_wait (call, -1));
    weft_call_cancel (call);
    weft_call_destroy (&call);
}

TEST (n9_a_body_that_does_not_decode_is_reading_body)
{
    set_up (1);
    weft_call_t *call;
    int64_t result;
    CHECK_INT (weft_client_call (client, "Test.Bad", WEFT_NOTHING, NULL, &call), WEFT_OK);
    CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &result)), WEFT_INVALID);
    check_status (call, WEFT_INVALID, WEFT_EXECUTED_YES);
    CHECK (strncmp (weft_call_text (call), "reading body: ", 14) == 0);
    weft_call_destroy (&call);
    check_sum (1, 2, NULL);
    tear_down ();
}

TEST (n8_an_application_error_brings_its_code_and_text)
{
    set_up (1);
    weft_call_t *call;
    CHECK_INT (weft_client_call (client, "Test.Fail", WEFT_NOTHING, NULL, &call), WEFT_APP_ERROR);
    check_status (call, WEFT_APP_ERROR, WEFT_EXECUTED_YES);
    CHECK_INT (weft_call_code (call), 34);
    CHECK_STR (weft_call_text (call), "overflow");
    CHECK_STR (weft_call_worker (call), fake_worker_uuid (fake, 0));
    CHECK_INT (weft_call_origin (call), WEFT_ORIGIN_APPLICATION);
    CHECK (weft_call_ledger (call).total_us > 0);
    weft_call_destroy (&call);
    tear_down ();
}

TEST (large_bodies_travel_as_attachments_both_ways)
{
    static const size_t sizes [] = {0, 1, 4096, 4097, 65536, 5 * 1024 * 1024};
    static const weft_call_options_t *const ways [] = {&direct, &routed};
    set_up (1);
    uint8_t *body = malloc (5 * 1024 * 1024);
    for (size_t i = 0; i < 5 * 1024 * 1024; i++)
        body [i] = (uint8_t) (i * 7 + i / 251);
    for (size_t way = 0; way < 2; way++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            weft_call_t *call =
                weft_client_start_body (client, "Test.Echo", body, sizes [i], "raw", ways [way], NULL, NULL);
            CHECK (weft_call_wait (call, -1));
            CHECK_STR (weft_call_text (call), "");
            size_t size, sent;
            const void *reply = weft_call_body (call, &size);
            CHECK_MEM (reply, size, body, sizes [i]);
            CHECK (memcmp (weft_call_args_body (call, &sent), body, sizes [i]) == 0);
            CHECK_INT (sent, sizes [i]);
            weft_call_destroy (&call);
        }
    free (body);
    tear_down ();
}

TEST (a_body_over_the_limit_stays_here)
{
    set_up_with (1, &(weft_client_options_t){.body_max = 100});
    char body [101] = {0};
    weft_call_t *call = weft_client_start_body (client, "Test.Echo", body, 101, "raw", NULL, NULL, NULL);
    CHECK (weft_call_wait (call, -1));
    check_status (call, WEFT_TOO_LARGE, WEFT_EXECUTED_NO);
    weft_call_destroy (&call);
    call = weft_client_start_body (client, "Test.Echo", body, 100, "xml", NULL, NULL, NULL);
    CHECK (weft_call_wait (call, -1));
    check_status (call, WEFT_INVALID, WEFT_EXECUTED_NO);
    CHECK_STR (weft_call_text (call), "unknown codec \"xml\"; known: msgpack, json, raw");
    weft_call_destroy (&call);
    tear_down ();
}

TEST (s3_a_json_client_speaks_json)
{
    set_up_with (1, &(weft_client_options_t){.codec = "json"});
    weft_call_t *call;
    pair reply;
    size_t size;
    CHECK_INT (weft_client_call (client, "Test.Echo", WEFT_IN (pair, &(pair){3, 4}), NULL, &call), WEFT_OK);
    const char *body = weft_call_body (call, &size);
    CHECK (size > 0 && body [0] == '{');
    CHECK_INT (weft_call_read (call, WEFT_OUT (pair, &reply)), WEFT_OK);
    CHECK (reply.a == 3 && reply.b == 4);
    weft_call_destroy (&call);
    tear_down ();
}

TEST (arguments_that_do_not_fit_are_invalid_before_anything_is_sent)
{
    set_up (1);
    weft_call_t *call;
    CHECK_INT (weft_client_call (client, "Test.Echo", WEFT_IN (note, &(note){NULL}), NULL, &call),
               WEFT_INVALID);
    check_status (call, WEFT_INVALID, WEFT_EXECUTED_NO);
    CHECK (strncmp (weft_call_text (call), "writing arguments: ", 19) == 0);
    weft_call_destroy (&call);
    CHECK_INT (weft_client_call (client, "nodot", WEFT_NOTHING, NULL, NULL), WEFT_INVALID);
    tear_down ();
}

/*  Timeouts. */

TEST (s11_the_call_timeout_ends_a_call_that_nobody_answers)
{
    set_up (1);
    check_sum (1, 1, NULL);
    weft_call_t *call;
    const int64_t from_us = clock_now_us ();
    CHECK_INT (weft_client_call (client, "Test.Never", WEFT_NOTHING,
                                 &(weft_call_options_t){.timeout_ms = 100}, &call),
               WEFT_DEADLINE_EXCEEDED);
    const int64_t took_us = clock_now_us () - from_us;
    CHECK (took_us >= 100000 && took_us < 1000000);
    CHECK (strstr (weft_call_text (call), "in 100 ms"));
    weft_call_destroy (&call);
    while (fake_cancels (fake) == 0)
        check_sum (1, 1, NULL); /* the worker hears of it */
    tear_down ();
}

TEST (s10_an_unreachable_broker_is_a_connect_timeout_that_names_it)
{
    fake = fake_new (0);
    fake_stop_broker (fake);
    client = weft_client_new (fake_broker (fake), NULL);
    weft_call_t *call;
    const weft_call_options_t options = {.connect_timeout_ms = 100};
    CHECK_INT (weft_client_call (client, "Test.Sum", WEFT_NOTHING, &options, &call), WEFT_CONNECT_TIMEOUT);
    check_status (call, WEFT_CONNECT_TIMEOUT, WEFT_EXECUTED_NO);
    CHECK (strstr (weft_call_text (call), fake_broker (fake)));
    CHECK (!weft_client_stats (client).broker);
    weft_call_destroy (&call);
    fake_start_broker (fake);
    CHECK_INT (weft_client_discover (client, "Test", 2000), WEFT_OK); /* it had not given up */
    tear_down ();
}

TEST (weft_call_wait_gives_up_waiting_but_not_the_call)
{
    set_up (1);
    check_sum (1, 1, NULL);
    weft_call_t *call = start ("Test.Never", NULL, NULL, NULL);
    CHECK (!weft_call_wait (call, 0));
    CHECK (!weft_call_wait (call, 20));
    weft_call_cancel (call);
    CHECK (weft_call_wait (call, -1));
    check_status (call, WEFT_CANCELLED, WEFT_EXECUTED_MAYBE);
    weft_call_destroy (&call);
    tear_down ();
}

/*  Failures. */

TEST (n10_a_killed_worker_ends_its_calls_within_milliseconds)
{
    set_up (1);
    check_sum (1, 1, &direct);
    weft_call_t *calls [10];
    for (int i = 0; i < 10; i++)
        calls [i] = start ("Test.Never", &direct, NULL, NULL);
    while (fake_requests (fake, 0) < 11)
        poll (NULL, 0, 1);
    fake_kill_worker (fake, 0);
    const int64_t from_us = clock_now_us ();
    for (int i = 0; i < 10; i++) {
        CHECK (weft_call_wait (calls [i], -1));
        check_status (calls [i], WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
        CHECK_STR (weft_call_worker (calls [i]), fake_worker_uuid (fake, 0));
        weft_call_destroy (&calls [i]);
    }
    CHECK (clock_now_us () - from_us < 50000 * 10); /* a machine under load has other things to do */
    tear_down ();
}

TEST (work_goes_on_when_one_of_two_workers_is_killed)
{
    set_up (2);
    for (int64_t i = 0; i < 50; i++)
        check_sum (i, i, NULL);
    fake_kill_worker (fake, 0);
    for (int64_t i = 0; i < 200; i++)
        check_sum (i, i, NULL); /* idempotent: not one fails */
    tear_down ();
}

TEST (with_all_workers_gone_calls_go_through_the_broker)
{
    set_up (1);
    check_sum (1, 1, NULL);
    fake_kill_worker (fake, 0);
    for (int64_t i = 0; i < 20; i++)
        check_sum (i, i, NULL);
    CHECK (fake_routed (fake) >= 19);
    tear_down ();
}

TEST (work_handed_back_is_done_by_another)
{
    set_up (2);
    weft_call_t *call;
    CHECK_INT (weft_client_call (client, "Test.Draining", WEFT_IN (pair, &(pair){1, 2}), NULL, &call),
               WEFT_OK);
    CHECK_INT (weft_call_attempts (call), 2);
    weft_call_destroy (&call);
    tear_down ();
}

TEST (a_broker_restart_does_not_disturb_direct_calls_and_routed_ones_come_back)
{
    set_up (1);
    check_sum (1, 1, &direct);
    check_sum (1, 1, &routed);
    fake_stop_broker (fake);
    for (int64_t i = 0; i < 50; i++)
        check_sum (i, 2, &direct);
    weft_call_t *waiting = start ("Test.Sum", &routed, NULL, NULL); /* idempotent, and may wait */
    fake_start_broker (fake);
    CHECK (weft_call_wait (waiting, -1));
    CHECK_STR (weft_call_text (waiting), "");
    weft_call_destroy (&waiting);
    check_sum (3, 4, &routed);
    while (fake_watches (fake) < 2)
        check_sum (3, 4, &routed); /* it watches again */
    tear_down ();
}

TEST (n10_a_lost_broker_ends_routed_calls_at_once)
{
    set_up (1);
    weft_call_t *call = start ("Test.Never", &routed, NULL, NULL);
    while (fake_routed (fake) == 0)
        poll (NULL, 0, 1);
    fake_stop_broker (fake);
    CHECK (weft_call_wait (call, 2000));
    check_status (call, WEFT_BROKER_LOST, WEFT_EXECUTED_MAYBE);
    weft_call_destroy (&call);
    tear_down ();
}

/*  Lists. */

TEST (g12_unknown_services_are_said_at_once)
{
    set_up (1);
    const int64_t from_us = clock_now_us ();
    weft_call_t *call;
    CHECK_INT (weft_client_call (client, "Nix.Get", WEFT_NOTHING, NULL, &call), WEFT_NO_SERVICE);
    CHECK_STR (weft_call_text (call), "no such service: Nix");
    weft_call_destroy (&call);
    CHECK_INT (weft_client_discover (client, "Nix", 1000), WEFT_NO_SERVICE);
    CHECK_INT (weft_client_discover (client, "Test", 1000), WEFT_OK);
    CHECK_INT (weft_client_discover (client, "od d", 1000), WEFT_INVALID);
    CHECK (clock_now_us () - from_us < 1000000);
    tear_down ();
}

static atomic_int changes_told;

static void on_change (const char *service, const char *worker, const char *state, const char *endpoint,
                       void *arg)
{
    CHECK (arg == &changes_told);
    CHECK_STR (service, "Test");
    CHECK_STR (state, "alive");
    CHECK (strncmp (endpoint, "tcp://127.", 10) == 0);
    CHECK_INT (strlen (worker), 36);
    changes_told++;
}

TEST (h7_a_watcher_is_told_who_comes)
{
    set_up (3);
    weft_client_set_watcher (client, on_change, &changes_told);
    CHECK_INT (weft_client_discover (client, "Test", 1000), WEFT_OK);
    while (changes_told < 3)
        poll (NULL, 0, 1);
    tear_down ();
    CHECK_INT (changes_told, 3);
}

TEST (g13_a_broadcast_asks_every_worker)
{
    set_up (3);
    weft_call_t *call;
    int64_t result;
    const weft_call_options_t options = {.balance = WEFT_BALANCE_BROADCAST};
    CHECK_INT (weft_client_call (client, "Test.Sum", WEFT_IN (pair, &(pair){20, 3}), &options, &call),
               WEFT_OK);
    CHECK_INT (weft_call_reply_count (call), 3);
    CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &result)), WEFT_OK);
    CHECK_INT (result, 23);
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT (fake_requests (fake, i), 1);
        CHECK_INT (weft_call_status (weft_call_reply (call, i)), WEFT_OK);
    }
    weft_call_destroy (&call);
    tear_down ();
}

/*  Options. */

static void check_refused (const char *brokers, const weft_client_options_t *options, const char *part)
{
    CHECK (weft_client_new (brokers, options) == NULL);
    if (!strstr (weft_client_error (), part))
        CHECK_STR (weft_client_error (), part);
}

TEST (wrong_arguments_are_named)
{
    check_refused ("", NULL, "broker \"\"");
    check_refused ("localhost:5555", NULL, "localhost:5555");
    check_refused ("tcp://a:1,", NULL, "broker \"\"");
    check_refused ("tcp://a:1,tcp://b:99999", NULL, "tcp://b:99999");
    check_refused ("tcp://a:1", &(weft_client_options_t){.codec = "xml"},
                   "unknown codec \"xml\"; known: msgpack, json");
    check_refused ("tcp://a:1", &(weft_client_options_t){.call = {.timeout_ms = -5}}, "call.timeout_ms");
    check_refused ("tcp://a:1", &(weft_client_options_t){.call = {.via = (weft_via_t) 9}}, "call.via");
    weft_client_t *none = NULL;
    weft_client_destroy (&none);
}
