/* SPDX-License-Identifier: MPL-2.0 */

#include "broker_harness.h"

/*  HELLO -------------------------------------------------------------------------------------------------------- */

TEST (n11_hello_is_answered_with_version_codec_limits_and_who)
{
    static const char *const brokers [] = {"tcp://other:1", NULL};
    broker_settings_t settings = usual_settings ();
    wire_welcome_t welcome;

    settings.peer_brokers = brokers;
    start_with (settings);
    peer_t *peer = stranger ();
    say_hello (peer, "client", "json");
    CHECK (wire_read_welcome (only (peer, WIRE_WELCOME), &welcome));
    CHECK_INT (welcome.version, 1);
    CHECK (text_is (welcome.codec, "json"));
    CHECK_INT (welcome.body_max, WEFT_BODY_MAX);
    CHECK_INT (welcome.calls_max, WEFT_BROKER_CLIENT_CALLS_MAX);
    CHECK (text_is (welcome.server, settings.uuid));
    CHECK_INT (welcome.broker_count, 1);
    CHECK (text_is (welcome.brokers [0], "tcp://other:1"));
    finish ();
}

static void say_odd_hello (peer_t *peer, const char *magic, unsigned lowest, unsigned highest, const char *role)
{
    buffer_t *out = records ();
    mp_write_array (out, 7);
    mp_write_uint (out, WIRE_HELLO);
    mp_write_text (out, magic);
    mp_write_uint (out, lowest);
    mp_write_uint (out, highest);
    mp_write_text (out, role);
    mp_write_array (out, 0);
    mp_write_text (out, "odd");
    say (peer, out);
}

TEST (n11_a_peer_that_speaks_something_else_is_refused_clearly)
{
    start ();
    peer_t *peer = stranger ();
    say_odd_hello (peer, "woof", 1, 1, "client");
    check_refused (peer, WEFT_INVALID, "weft");
    say_odd_hello (peer, "weft", 2, 9, "client");
    check_refused (peer, WEFT_INVALID, "you speak 2 to 9; known: 1 to 1");
    say_odd_hello (peer, "weft", 1, 1, "king");
    check_refused (peer, WEFT_INVALID, "unknown role \"king\"; known: client, worker, broker");
    say_odd_hello (peer, "weft", 0, 9, "client");
    only (peer, WIRE_WELCOME);
    say_odd_hello (peer, "weft", 1, 1, "client");
    check_refused (peer, WEFT_INVALID, "already");
    finish ();
}

TEST (a_name_is_as_long_as_its_bound_and_no_longer)
{
    static const char *const codecs [] = {"msgpack", NULL};
    char name [WEFT_PEER_NAME_MAX + 2];
    start ();
    peer_t *peer = stranger ();
    memset (name, 'n', sizeof name);
    name [WEFT_PEER_NAME_MAX + 1] = '\0';
    buffer_t *out = records ();
    wire_write_hello (out, "client", codecs, name, NULL);
    say (peer, out);
    check_refused (peer, WEFT_INVALID, "HELLO's name is longer than 63 bytes");
    out = records ();
    wire_write_hello (out, "client", codecs, name + 1, NULL);
    say (peer, out);
    only (peer, WIRE_WELCOME);
    CHECK_STR (peer->name, name + 1);
    finish ();
}

TEST (s3_an_unknown_codec_is_refused_with_the_known_ones)
{
    start ();
    peer_t *peer = stranger ();
    say_hello (peer, "client", "xml");
    check_refused (peer, WEFT_INVALID, "unknown codec \"xml\"; known: msgpack, json, raw");
    finish ();
}

TEST (n11_hello_comes_first_and_may_still_follow)
{
    start ();
    peer_t *peer = stranger ();
    say_call (peer, 1, "Arith.Add", 1000);
    check_refused (peer, WEFT_INVALID, "say HELLO first");
    say_hello (peer, "client", "msgpack");
    only (peer, WIRE_WELCOME);
    finish ();
}

TEST (s2_requests_may_follow_hello_in_one_message)
{
    static const char *const codecs [] = {"msgpack", NULL};
    start ();
    worker_of (1, "Arith", 4);
    peer_t *peer = stranger ();
    buffer_t *out = records ();
    wire_write_hello (out, "client", codecs, "fast", NULL);
    wire_write_request (out, 1, text_of ("Arith.Add"), 1000, NULL, 0, false, NULL);
    say (peer, out);
    only (peer, WIRE_WELCOME);
    CHECK_INT (broker_counters (broker)->forwarded, 1);
    finish ();
}

TEST (g9_a_malformed_record_is_refused_and_the_connection_goes_on)
{
    start ();
    peer_t *peer = client ();
    buffer_t *out = records ();
    wire_write_request (out, 1, text_of ("No.Such"), 1000, NULL, 0, false, NULL);
    mp_write_array (out, 1);
    mp_write_uint (out, WIRE_REQUEST);                                            /* too few fields */
    wire_write_request (out, 2, text_of ("No.Such"), 1000, NULL, 0, false, NULL); /* goes with it */
    say (peer, out);
    CHECK_INT (listen_to (peer), 2);
    check_reply (next (WIRE_REPLY), 1, WEFT_NO_SERVICE, 0, "No"); /* earlier ones stand */
    next (WIRE_REFUSED);
    CHECK_INT (broker_counters (broker)->malformed, 1);
    say_call (peer, 3, "No.Such", 1000);
    check_reply (only (peer, WIRE_REPLY), 3, WEFT_NO_SERVICE, 0, "No");
    finish ();
}

TEST (unknown_kinds_are_counted_and_never_answered)
{
    start ();
    peer_t *peer = client ();
    buffer_t *out = records ();
    mp_write_array (out, 1);
    mp_write_uint (out, 99);
    say (peer, out);
    check_silent (peer);
    CHECK_INT (broker_counters (broker)->unknown, 1);
    finish ();
}

/*  Bounds ------------------------------------------------------------------------------------------------------- */

TEST (a_peer_that_does_not_read_is_evicted)
{
    broker_settings_t settings = usual_settings ();
    settings.outbox_max = 10000;
    start_with (settings);
    peer_t *deaf = client (), *other = client ();
    for (uint64_t id = 1; id < 1000 && !broker_next_doomed (broker); id++)
        say_call (deaf, id, "No.Such", 1000);
    CHECK (broker_next_doomed (broker) == deaf);
    CHECK_INT (broker_counters (broker)->evicted, 1);
    say_call (deaf, 5000, "No.Such", 1000); /* nothing more happens to it */
    check_silent (deaf);
    lose (deaf);
    CHECK (!broker_next_doomed (broker));
    say_call (other, 1, "No.Such", 1000);
    only (other, WIRE_REPLY);
    finish ();
}

TEST (peers_are_bounded)
{
    broker_settings_t settings = usual_settings ();
    settings.peers_max = 1;
    start_with (settings);
    client ();
    CHECK (!broker_peer_open (broker, "zz", 2, "", now_us));
    CHECK (!broker_peer_open (broker, "123456789012345678901234567890123", 33, "", now_us));
    finish ();
}

/*  Stopping ----------------------------------------------------------------------------------------------------- */

TEST (a_stopping_broker_takes_nothing_new_and_lets_the_rest_finish)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    say_call (caller, 1, "Arith.Add", 5000);
    say_call (caller, 2, "Arith.Add", 5000);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    broker_drain (broker, now_us);
    only (worker, WIRE_DRAINING);
    CHECK_INT (listen_to (caller), 2);
    next (WIRE_DRAINING);
    check_reply (next (WIRE_REPLY), 2, WEFT_DRAINING, 0, "stopping");
    say_call (caller, 3, "Arith.Add", 5000);
    check_reply (only (caller, WIRE_REPLY), 3, WEFT_DRAINING, 0, "stopping");
    peer_t *newcomer = stranger ();
    say_hello (newcomer, "client", "msgpack");
    check_refused (newcomer, WEFT_DRAINING, "stopping");
    say_reply (worker, id);
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_OK);
    broker_stop (broker, now_us);
    only (caller, WIRE_GOODBYE);
    finish ();
}

TEST (a_stopping_broker_waits_for_clients_that_have_not_heard_of_it)
{
    start ();
    peer_t *caller = client (), *other = client (), *worker = worker_of (1, "Arith", 1);
    const int64_t began_us = now_us;
    broker_drain (broker, now_us);
    CHECK (!broker_drained (broker));
    pass (60 * MS);
    say_goodbye (other);
    pass (60 * MS);
    CHECK (!broker_drained (broker)); /* one has not heard */
    say_call (caller, 1, "Arith.Add", 5000);
    CHECK_INT (listen_to (caller), 2);
    next (WIRE_DRAINING);
    check_reply (next (WIRE_REPLY), 1, WEFT_DRAINING, 0, "stopping");
    say_goodbye (caller);
    CHECK_INT (broker_next_us (broker), began_us + 480 * MS); /* as slow as that, another may just say HELLO */
    pass (359 * MS);
    CHECK (!broker_drained (broker));
    pass (1 * MS);
    CHECK (broker_drained (broker));
    (void) worker;
    finish ();
}

TEST (a_stopping_broker_does_not_wait_for_ever_for_clients_that_do_not_say_goodbye)
{
    start ();
    client ();
    broker_drain (broker, now_us);
    pass (999 * MS);
    CHECK (!broker_drained (broker));
    pass (1 * MS);
    CHECK (broker_drained (broker));
    finish ();
}

/*  One that can send its workers to another. */
static void start_with_others (void)
{
    static const char *const others [] = {"tcp://10.0.0.2:5555", NULL};
    broker_settings_t settings = usual_settings ();
    settings.peer_brokers = others;
    start_with (settings);
}

TEST (a_stopping_broker_serves_its_clients_until_its_workers_are_at_another)
{
    start_with_others ();
    peer_t *first = worker_of (1, "Arith", 1), *second = worker_of (2, "Arith", 1), *caller = client ();
    broker_drain (broker, now_us);
    only (first, WIRE_DRAINING);
    only (second, WIRE_DRAINING);
    check_silent (caller);
    say_credit (first, 0);
    pass (500 * MS);
    check_silent (caller);
    say_call (client (), 1, "Arith.Add", 5000); /* a newcomer */
    const uint64_t id = only (second, WIRE_REQUEST)->id;
    say_call (caller, 1, "Arith.Add", 5000);
    check_silent (first);
    say_credit (second, 0);
    pass (1);
    CHECK_INT (listen_to (caller), 2);
    next (WIRE_DRAINING);
    check_reply (next (WIRE_REPLY), 1, WEFT_DRAINING, 0, "stopping");
    say_reply (second, id);
    CHECK (!broker_drained (broker)); /* its clients have just heard */
    pass (999 * MS);
    CHECK (!broker_drained (broker));
    pass (1 * MS);
    CHECK (broker_drained (broker));
    finish ();
}

TEST (a_stopping_broker_takes_no_workers_while_it_serves_its_clients)
{
    start_with_others ();
    worker_of (1, "Arith", 1);
    peer_t *greeted = greeted_worker (), *newcomer = stranger ();
    broker_drain (broker, now_us);
    only (greeted, WIRE_DRAINING);
    say_register (greeted, uuid (2), 1, "Arith", "tcp://*:7000", 1);
    check_refused (greeted, WEFT_DRAINING, "stopping");
    say_hello (newcomer, "worker", "msgpack");
    check_refused (newcomer, WEFT_DRAINING, "stopping");
    finish ();
}

TEST (a_stopping_broker_does_not_wait_for_ever_for_workers_that_stay)
{
    start_with_others ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    const int64_t began_us = now_us;
    broker_drain (broker, now_us);
    only (worker, WIRE_DRAINING);
    CHECK_INT (broker_next_us (broker) < began_us + 1 * S, 0);
    pass (999 * MS);
    check_silent (caller);
    pass (1 * MS);
    only (caller, WIRE_DRAINING);
    only (worker, WIRE_GOODBYE);
    finish ();
}

TEST (a_stopping_broker_without_workers_waits_for_none)
{
    start_with_others ();
    peer_t *caller = client ();
    broker_drain (broker, now_us);
    only (caller, WIRE_DRAINING);
    finish ();
}

/*  Nobody is told that a worker is not here: it is at the other broker, and so is the caller soon. */
TEST (calls_whose_workers_have_left_a_stopping_broker_wait_until_they_are_handed_back)
{
    start_with_others ();
    peer_t *gone = worker_of (1, "Arith", 0), *stays = worker_of (2, "Text", 1), *caller = client ();
    watch_args args = {.service = "Arith"};
    ask (caller, 9, "weft.Registry.Watch", WEFT_IN (watch_args, &args));
    only (caller, WIRE_ITEM);
    say_call (caller, 1, "Arith.Add", 5000);
    say_bound_call (caller, 2, "Arith.Add", uuid (1));
    broker_drain (broker, now_us);
    say_goodbye (gone);
    pass (1 * MS);
    say_call (caller, 3, "Arith.Add", 5000);
    say_bound_call (caller, 4, "Arith.Add", uuid (1));
    ask (caller, 8, "weft.Registry.Watch", WEFT_IN (watch_args, &args));
    pass (1 * MS);
    check_silent (caller);
    CHECK (broker_next_us (broker) > now_us);
    say_credit (stays, 0);
    pass (1);
    CHECK_INT (listen_to (caller), 5);
    next (WIRE_DRAINING);
    for (int i = 0; i < 4; i++)
        CHECK_INT (next (WIRE_REPLY)->status, WEFT_DRAINING);
    finish ();
}

TEST (a_stopping_broker_sends_workers_that_have_nothing_of_its_calls_to_another)
{
    start_with_others ();
    peer_t *busy = worker_of (1, "Arith", 1), *caller = client (), *idle = worker_of (2, "Arith", 0);
    say_call (caller, 1, "Arith.Add", 5000);
    const uint64_t id = only (busy, WIRE_REQUEST)->id;
    broker_drain (broker, now_us);
    only (busy, WIRE_DRAINING);
    only (idle, WIRE_DRAINING);
    pass (1000 * MS); /* they do not go by themselves */
    only (idle, WIRE_GOODBYE);
    say_reply (busy, id);
    only (busy, WIRE_GOODBYE);
    say_beat (busy, 1); /* it had not heard yet */
    only (busy, WIRE_BEAT_OK);
    finish ();
}

TEST (a_stopping_broker_that_nobody_calls_goes_after_a_moment)
{
    start ();
    peer_t *caller = client ();
    worker_of (1, "Arith", 1);
    lose (caller);
    broker_drain (broker, now_us);
    pass (99 * MS);
    CHECK (!broker_drained (broker));
    pass (1 * MS);
    CHECK (broker_drained (broker));
    finish ();
}

TEST (settings_can_change_while_it_runs)
{
    wire_beat_ok_t answer;
    broker_settings_t settings = usual_settings ();
    start ();
    pass (30 * S);
    peer_t *worker = worker_of (1, "Arith", 1);
    settings.ttl_ms = 2000;
    broker_reconfigure (broker, &settings);
    pass (1900 * MS);
    CHECK_INT (broker_gauges (broker).workers, 1); /* it has yet to hear of it */
    say_beat (worker, 1);
    CHECK (wire_read_beat_ok (only (worker, WIRE_BEAT_OK), &answer));
    CHECK_INT (answer.ttl_ms, 2000);
    pass (2100 * MS);
    CHECK_INT (broker_gauges (broker).workers, 0);
    finish ();
}
