/* SPDX-License-Identifier: MPL-2.0
 *
 *  The whole client without a socket: the test plays broker and workers, and moves the time. Lists, brokers, connections. */

#include "check.h"
#include "stage.h"

#define BROKER CHANNEL_BROKER

static const weft_call_options_t direct = {.via = WEFT_VIA_DIRECT};
static const weft_call_options_t routed = {.via = WEFT_VIA_BROKER};

/*  Finding workers. */

TEST (h6_h8_a_call_first_asks_for_the_list_of_its_service_and_no_other)
{
    stage_begin (NULL);
    weft_call_t *call = stage_call ("Test.Get", NULL);
    CHECK (stage_record (WIRE_REQUEST) == NULL); /* nothing leaves before there is a connection */
    stage_link (BROKER, TRANSPORT_READY);
    CHECK (stage_record (WIRE_HELLO));
    const stage_record_t *watch = stage_record (WIRE_REQUEST);
    CHECK (watch);
    CHECK_STR (watch->method, "weft.Registry.Watch");
    CHECK_MEM (watch->body, watch->body_size, "\x91\xa4Test", 6);
    CHECK_INT (watch->remaining_ms, WIRE_NO_DEADLINE);
    CHECK (stage_record (WIRE_REQUEST) == NULL);
    stage_list (watch->id, 0, 1, true, (const char *[]){"w1 alive", NULL}, true);
    const uint64_t alias = stage_connect ("w1");
    const stage_record_t *request = stage_request ("Test.Get");
    CHECK (request && request->alias == alias);
    stage_reply (alias, request->id, 42);
    CHECK_INT (stage_result (call), 42);
    CHECK_STR (weft_call_worker (call), "w1");
    CHECK (weft_call_direct (call));
    stage_free (call);
    stage_end ();
}

TEST (h7_a_worker_that_joins_is_called_and_one_that_leaves_is_not)
{
    stage_begin_listed (NULL, 1);
    stage_list (1, 1, 2, false, (const char *[]){"w2 alive", "w1 gone", NULL}, true);
    weft_call_t *call = stage_call ("Test.Get", &direct);
    const uint64_t alias = stage_connect ("w2");
    stage_reply (alias, stage_request ("Test.Get")->id, 1);
    CHECK_INT (stage_result (call), 1);
    stage_free (call);
    stage_end ();
}

TEST (g11_lists_are_asked_for_again_only_when_stale)
{
    stage_begin_listed (NULL, 1);
    stage_pass (9999 * STAGE_MS);
    weft_call_t *call = stage_call ("Test.Get", NULL);
    CHECK (stage_request ("weft.Registry.Watch") == NULL);
    stage_pass (1 * STAGE_MS);
    weft_call_t *late = stage_call ("Test.Get", NULL);
    const stage_record_t *cancel = stage_record (WIRE_CANCEL);
    CHECK (cancel && cancel->id == 1); /* the old stream ends */
    CHECK (stage_request ("weft.Registry.Watch"));
    weft_call_t *later = stage_call ("Test.Get", NULL);
    CHECK (stage_request ("weft.Registry.Watch") == NULL); /* under way */
    stage_free (call);
    stage_free (late);
    stage_free (later);
    stage_end ();
}

TEST (a_gap_in_the_revisions_asks_for_the_whole_list_again)
{
    stage_begin_listed (NULL, 1);
    stage_list (1, 5, 6, false, (const char *[]){"w2 alive", NULL}, true);
    const stage_record_t *watch = stage_request ("weft.Registry.Watch");
    CHECK (watch && watch->id == 2);
    stage_list (1, 1, 2, false, (const char *[]){"w3 alive", NULL}, true); /* of the old stream: too late */
    stage_list (2, 0, 6, true, (const char *[]){"w1 alive", "w2 alive", NULL}, true);
    const discovery_t *discovery = table_get (&stage.channel.services, "Test", 4);
    CHECK_INT (discovery->count, 2);
    CHECK_INT (discovery->revision, 6);
    stage_end ();
}

TEST (g12_an_empty_list_is_no_workers_at_once)
{
    stage_begin_listed (NULL, 0);
    weft_call_t *call = stage_call ("Test.Get", NULL);
    const stage_record_t *watch = stage_request ("weft.Registry.Watch");
    CHECK (watch);
    stage_list (watch->id, 0, 2, true, (const char *[]){NULL}, true);
    stage_check (call, WEFT_NO_WORKERS, WEFT_EXECUTED_NO);
    stage_free (call);
    stage_end ();
}

TEST (g12_an_unknown_service_is_no_service_at_once)
{
    stage_begin (NULL);
    stage_link (BROKER, TRANSPORT_READY);
    weft_call_t *call = stage_call ("Nix.Get", NULL);
    stage_list (stage_request ("weft.Registry.Watch")->id, 0, 1, true, (const char *[]){NULL}, false);
    stage_check (call, WEFT_NO_SERVICE, WEFT_EXECUTED_NO);
    stage_check_text (call, "Nix");
    stage_free (call);
    stage_end ();
}

TEST (g12_when_discovery_fails_the_call_returns_its_error_and_nothing_is_sent)
{
    stage_begin (NULL);
    stage_link (BROKER, TRANSPORT_READY);
    weft_call_t *call = stage_call ("Test.Get", NULL);
    const uint64_t id = stage_request ("weft.Registry.Watch")->id;
    stage_refuse (BROKER, id, WEFT_PERMISSION_DENIED, "not for you");
    stage_check (call, WEFT_PERMISSION_DENIED, WEFT_EXECUTED_NO);
    CHECK_STR (weft_call_text (call), "not for you");
    CHECK_INT (weft_call_origin (call), WEFT_ORIGIN_BROKER);
    CHECK (!stage_record (WIRE_REQUEST));
    stage_free (call);
    weft_call_t *again = stage_call ("Test.Get", NULL); /* the next call asks anew */
    CHECK (stage_request ("weft.Registry.Watch"));
    stage_free (again);
    stage_end ();
}

TEST (s10_without_a_broker_the_connect_timeout_names_it)
{
    stage_begin (NULL);
    weft_call_t *call = stage_call ("Test.Get", &(weft_call_options_t){.connect_timeout_ms = 300});
    stage_link (BROKER, TRANSPORT_FAILED);
    stage_pass (299 * STAGE_MS);
    CHECK (!stage_done (call));
    stage_pass (1 * STAGE_MS);
    stage_check (call, WEFT_CONNECT_TIMEOUT, WEFT_EXECUTED_NO);
    stage_check_text (call, "tcp://b1:1");
    stage_check_text (call, "in 300 ms");
    CHECK_INT (weft_call_ledger (call).client_queue_us, 300 * STAGE_MS);
    CHECK_INT (weft_call_ledger (call).total_us, 300 * STAGE_MS);
    stage_free (call);
    stage_end ();
}

TEST (the_last_good_list_serves_while_the_broker_is_away)
{
    stage_begin_listed (NULL, 1);
    stage_link (BROKER, TRANSPORT_LOST);
    stage_pass (60000 * STAGE_MS); /* stale by far */
    weft_call_t *call = stage_call ("Test.Get", NULL);
    const uint64_t alias = stage_connect ("w1");
    stage_reply (alias, stage_request ("Test.Get")->id, 5);
    CHECK_INT (stage_result (call), 5);
    stage_free (call);
    stage_end ();
}

TEST (a_broker_that_has_just_started_and_knows_no_service_fails_no_direct_call)
{
    const uint64_t alias = stage_begin_connected ();
    for (int round = 0; round < 2; round++) {
        stage_link (BROKER, TRANSPORT_LOST);
        stage_pass (2000 * STAGE_MS);
        stage_link (BROKER, TRANSPORT_READY);
        const uint64_t watch = stage_request ("weft.Registry.Watch")->id;
        if (round == 0)
            stage_refuse (BROKER, watch, WEFT_NO_SERVICE, "no service \"Test\" was ever registered");
        else
            stage_list (watch, 0, 1, true, (const char *[]){NULL}, false);
        weft_call_t *call = stage_call ("Test.Get", &direct);
        const stage_record_t *request = stage_request ("Test.Get");
        CHECK (request && request->alias == alias);
        stage_reply (alias, request->id, 5);
        CHECK_INT (stage_result (call), 5);
        stage_free (call);
    }
    stage_end ();
}

TEST (a_new_broker_link_is_asked_for_all_lists_again)
{
    stage_begin_listed (NULL, 1);
    stage_link (BROKER, TRANSPORT_LOST);
    CHECK (stage_command (CHANNEL_CLOSE_BROKER));
    CHECK (!stage_command (CHANNEL_OPEN_BROKER)); /* not at once: everybody would */
    stage_pass (30 * STAGE_MS);
    CHECK (stage_command (CHANNEL_OPEN_BROKER));
    stage_link (BROKER, TRANSPORT_READY);
    const stage_record_t *watch = stage_request ("weft.Registry.Watch");
    CHECK (watch);
    stage_list (watch->id, 0, 1, true, (const char *[]){"w2 alive", NULL}, true);
    const discovery_t *discovery = table_get (&stage.channel.services, "Test", 4);
    CHECK_INT (discovery->count, 2); /* the new one, and the one that may not be back there yet */
    CHECK_STR (discovery->members [1]->uuid, "w2");
    stage_end ();
}

/*  However much is told of others meanwhile. */
TEST (who_is_in_doubt_since_a_broker_started_is_asked_about_once_all_had_time_to_return)
{
    stage_begin_connected ();
    stage_link (BROKER, TRANSPORT_LOST);
    stage_pass (30 * STAGE_MS);
    stage_link (BROKER, TRANSPORT_READY);
    const uint64_t watch = stage_request ("weft.Registry.Watch")->id;
    stage_list (watch, 0, 1, true, (const char *[]){"w2 alive", NULL}, true);
    stage_pass ((WEFT_TTL_MS - 1000) * STAGE_MS);
    stage_list (watch, 1, 2, false, (const char *[]){"w3 alive", NULL}, true);
    stage_free (stage_call ("Test.Get", &direct));
    CHECK (!stage_request ("weft.Registry.Watch"));
    stage_pass (1000 * STAGE_MS);
    stage_free (stage_call ("Test.Get", &direct));
    CHECK (stage_request ("weft.Registry.Watch"));
    stage_end ();
}

TEST (brokers_are_tried_in_turn_with_growing_pauses)
{
    channel_options_t options = stage_options ();
    options.brokers = "tcp://b1:1,tcp://b2:1,tcp://b1:1";
    stage_begin (&options);
    const char *expected [] = {"tcp://b1:1", "tcp://b2:1", "tcp://b1:1", "tcp://b2:1"};
    int64_t last_us = 0;
    for (int i = 0; i < 4; i++) {
        const int64_t from_us = stage.now_us;
        const channel_command_t *open;
        while (!(open = stage_command (CHANNEL_OPEN_BROKER)))
            stage_pass (1 * STAGE_MS);
        CHECK_STR (open->address, expected [i]);
        CHECK (stage.now_us - from_us >= last_us / 2 && stage.now_us - from_us <= 200 * STAGE_MS);
        last_us = stage.now_us - from_us;
        stage_link (BROKER, TRANSPORT_FAILED);
    }
    for (int i = 0; i < 30; i++) {
        while (!stage_command (CHANNEL_OPEN_BROKER))
            stage_pass (1 * STAGE_MS);
        stage_link (BROKER, TRANSPORT_FAILED);
    }
    CHECK (channel_next_us (&stage.channel) - stage.now_us <= 1000 * STAGE_MS);
    stage_end ();
}

TEST (brokers_learned_from_welcome_are_tried_too)
{
    stage_begin (NULL);
    stage_link (BROKER, TRANSPORT_READY);
    buffer_t out;
    buffer_init (&out, 65536);
    const char *brokers [] = {"tcp://b1:1", "tcp://b9:1", "nonsense", NULL};
    wire_write_welcome (&out, text_of ("msgpack"), 1000, 1000, "server", brokers);
    stage_say (BROKER, &out);
    buffer_fini (&out);
    stage_command (CHANNEL_OPEN_BROKER);
    stage_link (BROKER, TRANSPORT_LOST);
    const channel_command_t *open;
    while (!(open = stage_command (CHANNEL_OPEN_BROKER)))
        stage_pass (1 * STAGE_MS);
    CHECK_STR (open->address, "tcp://b9:1");
    CHECK_INT (stage.channel.broker_count, 2);
    stage_end ();
}

TEST (n11_a_broker_that_refuses_is_a_clear_error_at_once)
{
    stage_begin (NULL);
    weft_call_t *call = stage_call ("Test.Get", NULL);
    weft_call_t *through = stage_call ("Test.Get", &routed);
    stage_link (BROKER, TRANSPORT_READY);
    buffer_t out;
    buffer_init (&out, 65536);
    wire_write_refused (&out, WEFT_UNAUTHENTICATED, "who are you?");
    stage_say (BROKER, &out);
    buffer_fini (&out);
    stage_check (call, WEFT_UNAUTHENTICATED, WEFT_EXECUTED_NO);
    stage_check (through, WEFT_UNAUTHENTICATED, WEFT_EXECUTED_NO);
    stage_check_text (call, "who are you?");
    stage_check_text (call, "tcp://b1:1");
    stage_free (call);
    stage_free (through);
    stage_end ();
}

static void refuse_hello (weft_status_t status, const char *text)
{
    buffer_t out;
    buffer_init (&out, 65536);
    wire_write_refused (&out, status, text);
    stage_say (BROKER, &out);
    buffer_fini (&out);
}

static const channel_command_t *await_open (void)
{
    const channel_command_t *open;
    while (!(open = stage_command (CHANNEL_OPEN_BROKER)))
        stage_pass (1 * STAGE_MS);
    return open;
}

TEST (calls_wait_for_the_broker_that_takes_the_place_of_one_that_drains)
{
    static const weft_status_t passing [] = {WEFT_DRAINING, WEFT_OVERLOADED};
    for (int i = 0; i < 2; i++) {
        stage_begin (NULL);
        weft_call_t *call = stage_call ("Test.Get", NULL), *through = stage_call ("Test.Set", &routed);
        for (int refusal = 0; refusal < 4; refusal++) {
            await_open ();
            stage_link (BROKER, TRANSPORT_READY);
            refuse_hello (passing [i], "not now");
            CHECK (!stage_done (call) && !stage_done (through));
            stage_forget ();
        }
        await_open ();
        stage_link (BROKER, TRANSPORT_READY);
        stage_welcome (BROKER);
        stage_reply (BROKER, stage_request ("Test.Set")->id, 5);
        CHECK_INT (stage_result (through), 5);
        CHECK_INT (weft_call_attempts (through), 1); /* who refuses the connection has not been asked */
        stage.record_at = 0;
        stage_list (stage_request ("weft.Registry.Watch")->id, 0, 1, true, (const char *[]){"w1 alive", NULL}, true);
        stage_connect ("w1");
        stage_free (call);
        stage_free (through);
        stage_end ();
    }
}

TEST (calls_wait_no_longer_than_the_connect_timeout_for_a_broker_that_goes_on_draining)
{
    stage_begin (NULL);
    const int64_t from_us = stage.now_us;
    weft_call_t *call = stage_call ("Test.Set", &routed), *listed = stage_call ("Test.Set", NULL);
    while (!stage_done (call)) {
        if (stage_command (CHANNEL_OPEN_BROKER)) {
            stage_link (BROKER, TRANSPORT_READY);
            refuse_hello (WEFT_DRAINING, "the broker is stopping");
        }
        stage_pass (1 * STAGE_MS);
    }
    CHECK_INT (stage.now_us - from_us, 2000 * STAGE_MS);
    stage_check (call, WEFT_CONNECT_TIMEOUT, WEFT_EXECUTED_NO);
    stage_check_text (call, "connection to broker tcp://b1:1 in 2000 ms: the broker is stopping");
    stage_check (listed, WEFT_CONNECT_TIMEOUT, WEFT_EXECUTED_NO);
    stage_check_text (listed, "the broker is stopping");
    CHECK_INT (weft_call_attempts (call), 0);
    CHECK_INT (weft_call_ledger (call).client_queue_us, 2000 * STAGE_MS);
    stage_free (call);
    stage_free (listed);
    stage_end ();
}

TEST (a_refusal_is_no_error_while_another_broker_is_only_away)
{
    channel_options_t options = stage_options ();
    options.brokers = "tcp://b1:1,tcp://b2:1";
    stage_begin (&options);
    weft_call_t *call = stage_call ("Test.Set", &routed);
    for (int i = 0; i < 4; i++) {
        await_open ();
        if (i % 2)
            stage_link (BROKER, TRANSPORT_FAILED);
        else {
            stage_link (BROKER, TRANSPORT_READY);
            refuse_hello (WEFT_UNAUTHENTICATED, "who are you?");
        }
        CHECK (!stage_done (call));
    }
    for (int i = 0; i < 2; i++) {
        await_open ();
        stage_link (BROKER, TRANSPORT_READY);
        refuse_hello (WEFT_UNAUTHENTICATED, "who are you?");
    }
    stage_check (call, WEFT_UNAUTHENTICATED, WEFT_EXECUTED_NO);
    stage_free (call);
    stage_end ();
}

TEST (n11_something_that_speaks_another_protocol_is_named_when_time_is_up)
{
    stage_begin (NULL);
    weft_call_t *call = stage_call ("Test.Get", &(weft_call_options_t){.connect_timeout_ms = 100});
    weft_call_t *through =
        stage_call ("Test.Get", &(weft_call_options_t){.connect_timeout_ms = 100, .via = WEFT_VIA_BROKER});
    stage_link (BROKER, TRANSPORT_REFUSED);
    CHECK (!stage_done (call) && !stage_done (through)); /* it may be a broker that just stops */
    stage_pass (100 * STAGE_MS);
    stage_check (call, WEFT_CONNECT_TIMEOUT, WEFT_EXECUTED_NO);
    stage_check_text (
        call, "tcp://b1:1 in 100 ms: it closes the connection as one that does not speak this protocol");
    stage_check (through, WEFT_CONNECT_TIMEOUT, WEFT_EXECUTED_NO);
    stage_check_text (through, "does not speak this protocol");
    stage_free (call);
    stage_free (through);
    stage_end ();
}

TEST (n11_a_key_that_is_not_accepted_is_said_at_once)
{
    stage_begin (NULL);
    weft_call_t *call = stage_call ("Test.Get", NULL);
    channel_link (&stage.channel, BROKER, TRANSPORT_REFUSED, WEFT_UNAUTHENTICATED, stage.now_us);
    stage_check (call, WEFT_UNAUTHENTICATED, WEFT_EXECUTED_NO);
    stage_free (call);
    stage_end ();
}

/*  Connections. */

TEST (a_worker_that_left_keeps_its_connection_until_its_calls_are_done)
{
    const uint64_t alias = stage_begin_connected ();
    weft_call_t *call = stage_call ("Test.Get", &direct);
    const uint64_t id = stage_request ("Test.Get")->id;
    stage_list (1, 1, 2, false, (const char *[]){"w1 gone", NULL}, true);
    CHECK (!stage_command (CHANNEL_DISCONNECT));
    CHECK (!stage_done (call));
    stage_reply (alias, id, 6);
    CHECK_INT (stage_result (call), 6);
    const channel_command_t *command = stage_command (CHANNEL_DISCONNECT);
    CHECK (command && command->alias == alias);
    CHECK_INT (stage.channel.endpoints.by_uuid.count, 0);
    CHECK_INT (channel_stats (&stage.channel).endpoints, 0);
    stage_free (call);
    stage_end ();
}

TEST (aliases_are_never_used_twice)
{
    stage_begin_listed (NULL, 1);
    uint64_t last = 0;
    for (int i = 0; i < 20; i++) {
        weft_call_t *call = stage_call ("Test.Get", &direct);
        const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
        CHECK (connect && connect->alias > last);
        last = connect->alias;
        stage_link (last, TRANSPORT_READY);
        stage_link (last, TRANSPORT_LOST);
        stage_free (call);
        stage_pass (40000 * STAGE_MS);
        while (stage_command (CHANNEL_CONNECT)) {
        }
        if (stage.channel.endpoints.by_alias.count) /* a probe may be under way */
            stage_link (stage.channel.endpoints.by_alias.last, TRANSPORT_FAILED);
        last = stage.channel.endpoints.by_alias.last;
        stage_pass (40000 * STAGE_MS);
    }
    stage_end ();
}

TEST (silent_workers_are_passed_over_but_never_more_than_half)
{
    stage_begin_listed (NULL, 2);
    for (int i = 0; i < 40; i++) {
        weft_call_t *call = stage_call (
            "Test.Get", &(weft_call_options_t){
                            .via = WEFT_VIA_DIRECT, .timeout_ms = 10, .balance = WEFT_BALANCE_ROUND_ROBIN});
        const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
        if (connect)
            stage_link (connect->alias, TRANSPORT_READY);
        stage_pass (10 * STAGE_MS);
        CHECK_INT (weft_call_status (call), WEFT_DEADLINE_EXCEEDED);
        stage_free (call);
    }
    int ejected = 0;
    const discovery_t *discovery = table_get (&stage.channel.services, "Test", 4);
    for (size_t i = 0; i < 2; i++)
        ejected += endpoint_ejected (discovery->members [i], stage.now_us);
    CHECK (ejected <= 1);
    CHECK (discovery->members [0]->failures + discovery->members [1]->failures > 0);
    stage_end ();
}

TEST (changes_of_lists_are_told_to_who_wants_to_know)
{
    stage_begin_listed (NULL, 1);
    stage.channel.observed = true;
    stage_list (1, 1, 2, false, (const char *[]){"w1 draining", "w2 alive", NULL}, true);
    const channel_change_t *change = channel_next_change (&stage.channel);
    CHECK_STR (change->service, "Test");
    CHECK_STR (change->worker, "w1");
    CHECK_STR (change->state, "draining");
    CHECK_STR (change->endpoint, "tcp://w1:1");
    change = channel_next_change (&stage.channel);
    CHECK_STR (change->worker, "w2");
    CHECK (!channel_next_change (&stage.channel));
    stage_list (1, 2, 3, false, (const char *[]){"w2 alive", NULL}, true);
    CHECK (!channel_next_change (&stage.channel)); /* nothing new */
    stage_end ();
}
