/* SPDX-License-Identifier: MPL-2.0
 *
 *  The whole client without a socket: the test plays broker and workers, and moves the time. Which way a call goes, to whom, and when again. */

#include "check.h"
#include "stage.h"

#define BROKER CHANNEL_BROKER

static const weft_call_options_t direct = {.via = WEFT_VIA_DIRECT};
static const weft_call_options_t routed = {.via = WEFT_VIA_BROKER};

/*  Which way. */

TEST (auto_goes_through_the_broker_while_no_worker_can_be_reached)
{
    stage_begin_listed (NULL, 1);
    weft_call_t *call = stage_call ("Test.Set", NULL);
    const uint64_t alias = stage_command (CHANNEL_CONNECT)->alias;
    stage_link (alias, TRANSPORT_FAILED);
    const stage_record_t *request = stage_request ("Test.Set");
    CHECK (request && request->alias == BROKER);
    stage_reply (BROKER, request->id, 3);
    CHECK_INT (stage_result (call), 3);
    CHECK (!weft_call_direct (call));
    CHECK_INT (weft_call_attempts (call), 1); /* what never left is no attempt */
    stage_free (call);

    call = stage_call ("Test.Set", NULL); /* straight to the broker now */
    CHECK (stage_request ("Test.Set"));
    stage_free (call);

    stage_pass (300 * STAGE_MS); /* its time is up: probed by a bare connection, the call takes no risk */
    call = stage_call ("Test.Set", NULL);
    request = stage_request ("Test.Set");
    CHECK (request && request->alias == BROKER);
    stage_free (call);
    stage_connect ("w1");
    call = stage_call ("Test.Set", NULL);
    request = stage_request ("Test.Set");
    CHECK (request && request->alias > BROKER);
    stage_free (call);
    stage_end ();
}

/*  One worker's connection at most is waited for while the broker is there. */
TEST (auto_goes_through_the_broker_when_one_worker_swallows_its_connection)
{
    stage_begin_listed (NULL, 4);
    weft_call_t *call = stage_call ("Test.Set", NULL);
    CHECK (stage_command (CHANNEL_CONNECT));
    stage_pass (1000 * STAGE_MS);
    const stage_record_t *request = stage_request ("Test.Set");
    CHECK (request && request->alias == BROKER);
    stage_reply (BROKER, request->id, 3);
    CHECK_INT (stage_result (call), 3);
    stage_free (call);
    stage_end ();
}

TEST (auto_prefers_a_worker_that_is_connected_to_the_broker_when_another_swallows_its_connection)
{
    const weft_call_options_t in_turn = {.balance = WEFT_BALANCE_ROUND_ROBIN};
    stage_begin_listed (NULL, 3);
    weft_call_t *first = stage_call ("Test.Set", &in_turn);
    const uint64_t alias = stage_command (CHANNEL_CONNECT)->alias;
    stage_link (alias, TRANSPORT_READY);
    CHECK (stage_request ("Test.Set"));
    weft_call_t *call = stage_call ("Test.Set", &in_turn);
    CHECK (stage_command (CHANNEL_CONNECT));
    stage_pass (1000 * STAGE_MS);
    const stage_record_t *request = stage_request ("Test.Set");
    CHECK (request);
    CHECK_INT (request->alias, alias);
    stage_free (first);
    stage_free (call);
    stage_end ();
}

TEST (auto_goes_through_the_broker_when_its_connect_timeout_is_shorter_than_a_connections)
{
    stage_begin_listed (NULL, 2);
    const weft_call_options_t hasty = {.connect_timeout_ms = 300};
    const weft_call_options_t named = {.connect_timeout_ms = 300, .worker = "w1"};
    weft_call_t *calls [] = {stage_call ("Test.Set", &hasty), stage_call ("Test.Set", &named)};
    stage_pass (300 * STAGE_MS);
    for (int i = 0; i < 2; i++) {
        const stage_record_t *request = stage_request ("Test.Set");
        CHECK (request && request->alias == BROKER);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_INT (calls [i]->ledger.client_queue_us, 300 * STAGE_MS);
        stage_free (calls [i]);
    }
    stage_end ();
}

TEST (auto_goes_through_the_broker_however_many_workers_refuse)
{
    stage_begin_listed (NULL, 8);
    weft_call_t *call = stage_call ("Test.Set", NULL);
    stage_link (BROKER, TRANSPORT_LOST);
    for (int i = 0; i < 8; i++) {
        CHECK (!stage_done (call));
        const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
        CHECK (connect);
        stage_link (connect->alias, TRANSPORT_FAILED);
    }
    CHECK (!stage_done (call)); /* it waits for the broker */
    while (!stage_command (CHANNEL_OPEN_BROKER))
        stage_pass (1 * STAGE_MS);
    stage_link (BROKER, TRANSPORT_READY);
    const stage_record_t *request = stage_request ("Test.Set");
    CHECK (request && request->alias == BROKER);
    stage_reply (BROKER, request->id, 3);
    CHECK_INT (stage_result (call), 3);
    stage_free (call);
    stage_end ();
}

/*  It is said to be lost only if it may have had the call. */
TEST (a_worker_that_is_not_reached_or_wants_no_connection_is_not_called_lost)
{
    static const struct {
        weft_status_t refusal, status;
    } cases [] = {{WEFT_OK, WEFT_CONNECT_TIMEOUT}, {WEFT_OVERLOADED, WEFT_OVERLOADED}, {WEFT_DRAINING, WEFT_DRAINING},
                  {WEFT_NO_WORKERS, WEFT_CONNECT_TIMEOUT}};
    const weft_call_options_t once = {.via = WEFT_VIA_DIRECT, .retry = WEFT_RETRY_FAILFAST};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stage_begin_listed (NULL, 1);
        weft_call_t *call = stage_call ("Test.Set", &once);
        const uint64_t alias = stage_command (CHANNEL_CONNECT)->alias;
        if (cases [i].refusal == WEFT_OK)
            stage_link (alias, TRANSPORT_FAILED);
        else {
            buffer_t out;
            buffer_init (&out, 65536);
            wire_write_refused (&out, cases [i].refusal, "no room");
            stage_link (alias, TRANSPORT_READY);
            CHECK (stage_request ("Test.Set"));
            stage_say (alias, &out);
            buffer_fini (&out);
        }
        stage_check (call, cases [i].status, WEFT_EXECUTED_NO);
        stage_free (call);
        stage_end ();
    }
}

TEST (direct_says_at_once_when_nobody_can_be_reached)
{
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("Test.Set", &direct);
    for (int i = 0; i < 2; i++) {
        const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
        CHECK (connect);
        stage_link (connect->alias, TRANSPORT_FAILED);
    }
    stage_check (call, WEFT_NO_WORKERS, WEFT_EXECUTED_NO);
    CHECK (stage_request ("Test.Set") == NULL);
    stage_free (call);
    stage_end ();
}

TEST (routed_calls_leave_the_choice_to_the_broker)
{
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("Test.Get", &routed);
    const stage_record_t *request = stage_request ("Test.Get");
    CHECK (request && request->alias == BROKER);
    CHECK_STR (request->worker, "");
    stage_free (call);
    stage_end ();
}

TEST (routed_hash_and_primary_choose_the_worker_here)
{
    stage_begin_listed (NULL, 3);
    static const weft_balance_t modes [] = {WEFT_BALANCE_HASH, WEFT_BALANCE_PRIMARY};
    for (int m = 0; m < 2; m++) {
        char chosen [64] = "";
        for (int i = 0; i < 5; i++) {
            weft_call_t *call = stage_call (
                "Test.Get", &(weft_call_options_t){.via = WEFT_VIA_BROKER, .balance = modes [m], .key = "k"});
            const stage_record_t *request = stage_request ("Test.Get");
            CHECK (request && request->alias == BROKER && request->worker [0] == 'w');
            CHECK_STR (request->key, "k");
            if (i == 0)
                strcpy (chosen, request->worker);
            CHECK_STR (request->worker, chosen);
            stage_free (call);
        }
    }
    stage_end ();
}

TEST (h9_h10_primary_is_kept_until_its_connection_fails)
{
    stage_begin_listed (NULL, 3);
    const weft_call_options_t primary = {.via = WEFT_VIA_DIRECT, .balance = WEFT_BALANCE_PRIMARY};
    weft_call_t *call = stage_call ("Test.Get", &primary);
    const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
    const uint64_t alias = connect->alias;
    char address [64];
    strcpy (address, connect->address);
    stage_link (alias, TRANSPORT_READY);
    for (int i = 0; i < 10; i++) {
        stage_reply (alias, stage_request ("Test.Get")->id, i);
        CHECK_INT (stage_result (call), i);
        stage_free (call);
        call = stage_call ("Test.Get", &primary);
        CHECK (!stage_command (CHANNEL_CONNECT));
    }
    CHECK (stage_request ("Test.Get"));
    stage_link (alias, TRANSPORT_LOST); /* Get is idempotent: it goes to another */
    stage_pass (20 * STAGE_MS);
    connect = stage_command (CHANNEL_CONNECT);
    CHECK (connect && strcmp (connect->address, address) != 0);
    const uint64_t second = connect->alias;
    stage_link (second, TRANSPORT_READY);
    stage_reply (second, stage_request ("Test.Get")->id, 77);
    CHECK_INT (stage_result (call), 77);
    CHECK_INT (weft_call_attempts (call), 2);
    stage_free (call);
    call = stage_call ("Test.Get", &primary);
    const stage_record_t *request = stage_request ("Test.Get");
    CHECK (request && request->alias == second);
    stage_free (call);
    stage_end ();
}

TEST (one_named_worker_gets_it_and_nobody_else)
{
    stage_begin_listed (NULL, 3);
    weft_call_t *call = stage_call ("Test.Get", &(weft_call_options_t){.worker = "w2"});
    stage_connect ("w2");
    stage_free (call);
    call =
        stage_call ("Test.Get", &(weft_call_options_t){.worker = "w9"}); /* not listed: the broker may know */
    const stage_record_t *request;
    do
        request = stage_request ("Test.Get");
    while (request && request->alias != BROKER);
    CHECK (request);
    CHECK_STR (request->worker, "w9");
    stage_free (call);
    call = stage_call ("Test.Get", &(weft_call_options_t){.worker = "w9", .via = WEFT_VIA_DIRECT});
    stage_check (call, WEFT_NO_WORKERS, WEFT_EXECUTED_NO);
    stage_check_text (call, "w9");
    stage_free (call);
    call = stage_call ("Test.Get", &(weft_call_options_t){.worker = "w1", .via = WEFT_VIA_BROKER});
    CHECK ((request = stage_request ("Test.Get")));
    CHECK_STR (request->worker, "w1");
    stage_free (call);
    stage_end ();
}

TEST (the_registry_is_called_at_the_broker_and_workers_services_at_workers)
{
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("weft.Registry.List", &direct);
    const stage_record_t *request = stage_request ("weft.Registry.List");
    CHECK (request && request->alias == BROKER);
    stage_free (call);
    call = stage_call ("weft.Worker.Ping", &(weft_call_options_t){.worker = "w1"});
    stage_connect ("w1");
    stage_free (call);
    call = stage_call ("weft.Worker.Ping", &(weft_call_options_t){.worker = "other"});
    do
        request = stage_request ("weft.Worker.Ping");
    while (request && request->alias != BROKER);
    CHECK (request);
    CHECK_STR (request->worker, "other");
    stage_free (call);
    call = stage_call ("weft.Worker.Ping", NULL); /* any will do */
    CHECK (!stage_done (call));
    stage_free (call);
    stage_end ();
}

/*  Another try. */

TEST (h10_a_connection_that_fails_sends_the_call_to_the_next)
{
    stage_begin_listed (NULL, 3);
    weft_call_t *call = stage_call ("Test.Set", &direct);
    char first [64];
    const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
    strcpy (first, connect->address);
    stage_link (connect->alias, TRANSPORT_FAILED);
    connect = stage_command (CHANNEL_CONNECT);
    CHECK (connect && strcmp (connect->address, first) != 0);
    stage_link (connect->alias, TRANSPORT_READY);
    stage_reply (connect->alias, stage_request ("Test.Set")->id, 4);
    CHECK_INT (stage_result (call), 4);
    stage_free (call);
    stage_end ();
}

TEST (who_could_not_be_reached_is_tried_again_beside_calls_that_others_take)
{
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("Test.Set", &direct);
    char lost [64];
    const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
    strcpy (lost, connect->address);
    stage_link (connect->alias, TRANSPORT_FAILED);
    const uint64_t other = stage_command (CHANNEL_CONNECT)->alias;
    stage_link (other, TRANSPORT_READY);
    stage_reply (other, stage_request ("Test.Set")->id, 4);
    CHECK_INT (stage_result (call), 4);
    stage_free (call);
    stage_pass (1000 * STAGE_MS);
    call = stage_call ("Test.Set", &direct);
    CHECK_INT (stage_request ("Test.Set")->alias, other);
    connect = stage_command (CHANNEL_CONNECT);
    CHECK (connect);
    CHECK_STR (connect->address, lost);
    stage_free (call);
    stage_end ();
}

TEST (a_host_that_swallows_connections_costs_half_the_connect_timeout)
{
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("Test.Set", &direct);
    CHECK (stage_command (CHANNEL_CONNECT));
    stage_pass (1000 * STAGE_MS);
    CHECK (stage_command (CHANNEL_DISCONNECT));
    stage.command_at = 0;
    CHECK (stage_command (CHANNEL_CONNECT)); /* to the other */
    CHECK (!stage_done (call));
    stage_free (call);
    stage_end ();
}

/*  Two workers, and a connection to the one that a call was given to; its alias. */
static uint64_t reach_first (weft_call_t **call, const char *method, const weft_call_options_t *options)
{
    stage_begin_listed (NULL, 2);
    *call = stage_call (method, options);
    const uint64_t alias = stage_command (CHANNEL_CONNECT)->alias;
    stage_link (alias, TRANSPORT_READY);
    return alias;
}

static char lost_worker [64];

/*  The first attempt is sent to a worker that then goes; where and whether there is another. */
static const stage_record_t *lose_first (weft_call_t **call, const char *method,
                                         const weft_call_options_t *options)
{
    const uint64_t alias = reach_first (call, method, options);
    CHECK (stage_request (method));
    strcpy (lost_worker, (*call)->worker);
    stage_link (alias, TRANSPORT_LOST);
    stage_pass (10 * STAGE_MS);
    const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
    if (!connect)
        return NULL;
    stage_link (connect->alias, TRANSPORT_READY);
    return stage_request (method);
}

TEST (what_may_have_run_is_tried_again_only_if_idempotent)
{
    weft_call_t *call;
    CHECK (!lose_first (&call, "Test.Set", &direct));
    stage_check (call, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    stage_free (call);
    stage_end ();

    const stage_record_t *second = lose_first (&call, "Test.Get", &direct);
    CHECK (second);
    stage_refuse (second->alias, second->id, WEFT_PERMISSION_DENIED, "no");
    stage_check (call, WEFT_PERMISSION_DENIED,
                 WEFT_EXECUTED_MAYBE); /* the first one may have run, whatever the second says */
    CHECK_INT (weft_call_attempts (call), 2);
    CHECK_INT (channel_stats (&stage.channel).retried, 1);
    stage_free (call);
    stage_end ();
}

TEST (failfast_never_tries_again)
{
    weft_call_t *call;
    CHECK (!lose_first (&call, "Test.Get",
                        &(weft_call_options_t){.via = WEFT_VIA_DIRECT, .retry = WEFT_RETRY_FAILFAST}));
    stage_check (call, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    stage_free (call);
    stage_end ();
}

TEST (failtry_and_request_keys_stay_with_the_worker)
{
    static const weft_call_options_t options [] = {{.via = WEFT_VIA_DIRECT, .retry = WEFT_RETRY_FAILTRY},
                                                   {.via = WEFT_VIA_DIRECT, .request_key = "order 66"}};
    static const char *const methods [] = {"Test.Get", "Test.Set"};
    for (int i = 0; i < 2; i++) {
        weft_call_t *call;
        const stage_record_t *second = lose_first (&call, methods [i], &options [i]);
        CHECK (second);
        CHECK_STR (second->request_key, i ? "order 66" : "");
        stage_reply (second->alias, second->id, 1);
        CHECK_INT (stage_result (call), 1);
        CHECK_STR (weft_call_worker (call), lost_worker);
        stage_free (call);
        stage_end ();
    }
}

/*  A keyed call that is not idempotent was sent to "w2" or "w1" over `alias`, and may have run there. */
static const weft_call_options_t keyed = {.via = WEFT_VIA_DIRECT, .request_key = "order 66"};

static weft_call_t *lose_keyed (const weft_call_options_t *options, uint64_t *alias)
{
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("Test.Set", options);
    *alias = stage_command (CHANNEL_CONNECT)->alias;
    stage_link (*alias, TRANSPORT_READY);
    CHECK (stage_request ("Test.Set"));
    strcpy (lost_worker, call->worker);
    stage_link (*alias, TRANSPORT_LOST);
    stage_pass (10 * STAGE_MS);
    return call;
}

TEST (a_keyed_call_that_may_have_run_goes_to_nobody_else_though_its_worker_cannot_be_asked)
{
    uint64_t alias;
    weft_call_t *call = lose_keyed (&keyed, &alias);
    int tries = 0;
    for (const channel_command_t *connect; (connect = stage_command (CHANNEL_CONNECT)); tries++) {
        CHECK (strstr (connect->address, lost_worker));
        stage_link (connect->alias, TRANSPORT_FAILED);
        stage_pass (20 * STAGE_MS);
    }
    CHECK (tries > 1);
    stage_check (call, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    stage_check_text (call, "the connection was lost; asked again: CONNECT_TIMEOUT: cannot connect");
    stage_free (call);
    stage_end ();
}

TEST (a_keyed_call_whose_worker_turns_it_down_afterwards_may_still_have_run)
{
    uint64_t alias;
    weft_call_t *call = lose_keyed (&keyed, &alias);
    alias = stage_connect (lost_worker);
    for (int i = 0; i < 2; i++) {
        const stage_record_t *request = stage_request ("Test.Set");
        CHECK (request && request->alias == alias);
        stage_refuse (alias, request->id, WEFT_OVERLOADED, "the queue is full");
        stage_pass (40 * STAGE_MS);
    }
    stage_check (call, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    stage_check_text (call, "the connection was lost; asked again: OVERLOADED: the queue is full");
    stage_free (call);
    stage_end ();
}

TEST (an_idempotent_keyed_call_goes_elsewhere_when_its_worker_cannot_be_asked)
{
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("Test.Get", &keyed);
    uint64_t alias = stage_command (CHANNEL_CONNECT)->alias;
    stage_link (alias, TRANSPORT_READY);
    CHECK (stage_request ("Test.Get"));
    strcpy (lost_worker, call->worker);
    stage_link (alias, TRANSPORT_LOST);
    stage_pass (10 * STAGE_MS);
    const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
    CHECK (connect && strstr (connect->address, lost_worker));
    stage_link (connect->alias, TRANSPORT_FAILED);
    connect = stage_command (CHANNEL_CONNECT);
    CHECK (connect && !strstr (connect->address, lost_worker));
    stage_free (call);
    stage_end ();
}

TEST (a_keyed_call_through_the_broker_names_its_worker_and_asks_there_again)
{
    static const weft_call_options_t keyed_routed = {.via = WEFT_VIA_BROKER, .request_key = "order 66"};
    char worker [64];
    stage_begin_listed (NULL, 3);
    weft_call_t *call = stage_call ("Test.Set", &keyed_routed);
    const stage_record_t *request = stage_request ("Test.Set");
    CHECK (request && request->alias == BROKER && request->worker [0] == 'w');
    strcpy (worker, request->worker);
    stage_link (BROKER, TRANSPORT_LOST);
    CHECK (!stage_done (call));
    do
        stage_pass (10 * STAGE_MS);
    while (!stage_command (CHANNEL_OPEN_BROKER));
    stage_link (BROKER, TRANSPORT_READY);
    stage_welcome (BROKER);
    request = stage_request ("Test.Set");
    CHECK (request && request->alias == BROKER);
    CHECK_STR (request->worker, worker);
    CHECK_STR (request->request_key, "order 66");
    stage_reply (BROKER, request->id, 3);
    CHECK_INT (stage_result (call), 3);
    CHECK_STR (weft_call_worker (call), worker);
    stage_free (call);
    stage_end ();
}

TEST (a_keyed_call_whose_worker_is_gone_from_the_list_is_for_nobody_else)
{
    static const weft_call_options_t automatic = {.request_key = "order 66"};
    char gone [80];
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("Test.Set", &automatic);
    const uint64_t alias = stage_command (CHANNEL_CONNECT)->alias;
    stage_link (alias, TRANSPORT_READY);
    CHECK (stage_request ("Test.Set"));
    strcpy (lost_worker, call->worker);
    snprintf (gone, sizeof gone, "%s gone", lost_worker);
    stage_list (1, 1, 2, false, (const char *[]){gone, NULL}, true);
    stage_link (alias, TRANSPORT_LOST);
    stage_pass (20 * STAGE_MS);
    const stage_record_t *request = stage_request ("Test.Set");
    CHECK (request && request->alias == BROKER); /* which may know it still */
    CHECK_STR (request->worker, lost_worker);
    stage_refuse (BROKER, request->id, WEFT_NO_WORKERS, "it is not here");
    stage_check (call, WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    stage_check_text (call, "asked again: NO_WORKERS: it is not here");
    CHECK_INT (weft_call_origin (call), WEFT_ORIGIN_CLIENT); /* who said what it ended with */
    stage_free (call);
    stage_end ();
}

TEST (overloaded_goes_elsewhere_after_a_pause)
{
    weft_call_t *call;
    const uint64_t alias = reach_first (&call, "Test.Set", &direct);
    buffer_t out;
    wire_info_t info = wire_info_none ();
    info.retry_after_ms = 40;
    buffer_init (&out, 65536);
    wire_write_reply (&out, stage_request ("Test.Set")->id, WEFT_OVERLOADED, NULL, 0, false, &info);
    stage_say (alias, &out);
    buffer_fini (&out);
    stage_pass (39 * STAGE_MS);
    CHECK (!stage_command (CHANNEL_CONNECT));
    stage_pass (1 * STAGE_MS);
    const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
    CHECK (connect && connect->alias != alias);
    stage_free (call);
    stage_end ();
}

TEST (work_handed_back_by_a_draining_worker_moves_on_at_once)
{
    weft_call_t *call;
    const uint64_t alias = reach_first (&call, "Test.Set", NULL);
    const uint64_t id = stage_request ("Test.Set")->id;
    buffer_t out;
    buffer_init (&out, 65536);
    wire_write_draining (&out, "SIGTERM");
    wire_write_reply (&out, id, WEFT_DRAINING, NULL, 0, false, NULL);
    stage_say (alias, &out);
    buffer_fini (&out);
    const stage_record_t *goodbye = stage_record (WIRE_GOODBYE);
    CHECK (goodbye && goodbye->alias == alias); /* nothing is open there any more */
    const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
    CHECK (connect && connect->alias != alias);
    stage_link (connect->alias, TRANSPORT_READY);
    stage_reply (connect->alias, stage_request ("Test.Set")->id, 8);
    CHECK_INT (stage_result (call), 8);
    stage_free (call);
    for (int i = 0; i < 10; i++) {
        call = stage_call ("Test.Set", NULL);
        CHECK (stage_request ("Test.Set")->alias == connect->alias);
        stage_free (call);
    }
    stage_link (alias, TRANSPORT_LOST); /* it closed, as it should: no failure of its own */
    const discovery_t *discovery = table_get (&stage.channel.services, "Test", 4);
    for (size_t i = 0; i < 2; i++)
        CHECK_INT (discovery->members [i]->failures, 0);
    stage_end ();
}

TEST (a_worker_that_hands_work_back_gets_no_more)
{
    weft_call_t *call;
    const uint64_t alias = reach_first (&call, "Test.Set", &direct);
    stage_refuse (alias, stage_request ("Test.Set")->id, WEFT_DRAINING, "");
    const uint64_t other = stage_command (CHANNEL_CONNECT)->alias;
    stage_link (other, TRANSPORT_READY);
    stage_free (call);
    stage_forget ();
    for (int i = 0; i < 10; i++) {
        call = stage_call ("Test.Set", &direct);
        CHECK_INT (stage_request ("Test.Set")->alias, other);
        stage_free (call);
    }
    stage_end ();
}

TEST (auto_takes_a_doubtful_worker_when_the_broker_is_away_too)
{
    stage_begin_listed (NULL, 1);
    stage_list (1, 1, 2, false, (const char *[]){"w1 suspect", NULL}, true);
    weft_call_t *call = stage_call ("Test.Set", NULL);
    const stage_record_t *request = stage_request ("Test.Set");
    CHECK (request && request->alias == BROKER); /* while there is one, the broker knows better */
    stage_free (call);
    stage_link (BROKER, TRANSPORT_LOST);
    call = stage_call ("Test.Set", NULL);
    const uint64_t alias = stage_connect ("w1");
    request = stage_request ("Test.Set");
    CHECK (request && request->alias == alias);
    stage_free (call);
    stage_end ();
}

TEST (when_nobody_is_good_who_may_answer_comes_before_who_could_not_be_reached)
{
    channel_options_t options = stage_options ();
    for (options.seed = 1; options.seed <= 20; options.seed++) {
        stage_begin_listed (&options, 3);
        const discovery_t *discovery = table_get (&stage.channel.services, "Test", 4);
        discovery->members [0]->unreachable = discovery->members [2]->unreachable = true;
        for (size_t i = 0; i < 3; i++)
            discovery->members [i]->ejected_until_us = INT64_MAX;
        weft_call_t *call = stage_call ("Test.Set", &direct);
        const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
        CHECK (connect);
        CHECK_STR (connect->address, "tcp://w2:1");
        stage_link (connect->alias, TRANSPORT_FAILED);
        CHECK (stage_command (CHANNEL_CONNECT)); /* then the others */
        stage_free (call);
        stage_end ();
    }
}

TEST (at_most_three_attempts_and_never_past_the_deadline)
{
    stage_begin_listed (NULL, 5);
    weft_call_t *call = stage_call ("Test.Set", &routed);
    for (int i = 1; i <= WEFT_ATTEMPTS_MAX; i++) {
        CHECK (!stage_done (call));
        const stage_record_t *request = stage_request ("Test.Set");
        CHECK (request);
        stage_refuse (BROKER, request->id, WEFT_OVERLOADED, "full");
        stage_pass (50 * STAGE_MS);
    }
    stage_check (call, WEFT_OVERLOADED, WEFT_EXECUTED_NO);
    CHECK_INT (weft_call_attempts (call), 3);
    CHECK_STR (weft_call_text (call), "full");
    stage_free (call);

    call = stage_call ("Test.Set", &(weft_call_options_t){.via = WEFT_VIA_BROKER, .timeout_ms = 10});
    buffer_t out;
    wire_info_t info = wire_info_none ();
    info.retry_after_ms = 11;
    buffer_init (&out, 65536);
    wire_write_reply (&out, stage_request ("Test.Set")->id, WEFT_OVERLOADED, NULL, 0, false, &info);
    stage_say (BROKER, &out);
    buffer_fini (&out);
    stage_check (call, WEFT_OVERLOADED, WEFT_EXECUTED_NO); /* waiting would outlast it */
    stage_free (call);
    stage_end ();
}

TEST (an_empty_budget_ends_the_retrying)
{
    stage_begin_listed (NULL, 1);
    int retried = 0;
    for (int i = 0; i < 400; i++) {
        weft_call_t *call = stage_call ("Test.Set", &routed);
        const stage_record_t *request = stage_request ("Test.Set");
        stage_refuse (BROKER, request->id, WEFT_OVERLOADED, "full");
        retried += !stage_done (call);
        stage_free (call);
    }
    CHECK (retried >= 100 && retried <= 200); /* 100 saved and a fifth of 400 */
    stage_end ();
}

TEST (what_finds_no_room_behind_what_waits_tries_again_after_a_pause)
{
    stage_begin_listed (NULL, 1);
    outbox_t *outbox = &stage.channel.broker->outbox;
    buffer_extend (outbox_open_record (outbox), WEFT_OUTBOX_MAX - WEFT_BATCH_MAX);
    outbox_close_record (outbox, NULL);
    weft_call_t *call = call_new (&stage.pool);
    mp_write_int (&call->args, 7);
    CHECK (call_ask (call, "Test.Set", &routed, &stage.channel.options.call));
    channel_start (&stage.channel, call, stage.now_us);
    CHECK_INT (call->state, CALL_BACKOFF);
    outbox_clear (outbox);
    stage_pass (20 * STAGE_MS);
    stage_reply (BROKER, stage_request ("Test.Set")->id, 1);
    CHECK_INT (stage_result (call), 1);
    stage_free (call);
    stage_end ();
}

/*  Started, but its shell has taken nothing out yet. */
static weft_call_t *start_unsent (const char *method, const weft_call_options_t *options)
{
    weft_call_t *call = call_new (&stage.pool);
    mp_write_int (&call->args, 7);
    CHECK (call_ask (call, method, options, &stage.channel.options.call));
    channel_start (&stage.channel, call, stage.now_us);
    CHECK_INT (call->state, CALL_SENT);
    return call;
}

TEST (what_had_not_left_yet_when_its_connection_was_lost_did_not_run)
{
    static const weft_via_t ways [] = {WEFT_VIA_DIRECT, WEFT_VIA_BROKER};
    for (int i = 0; i < 2; i++) {
        const weft_call_options_t once = {.via = ways [i], .retry = WEFT_RETRY_FAILFAST};
        const uint64_t worker = stage_begin_connected (), alias = i ? BROKER : worker;
        const weft_status_t lost = i ? WEFT_BROKER_LOST : WEFT_WORKER_LOST;
        weft_call_t *left = stage_call ("Test.Set", &once), *here = start_unsent ("Test.Set", &once);
        channel_link (&stage.channel, alias, TRANSPORT_LOST, WEFT_OK, stage.now_us);
        stage_check (left, lost, WEFT_EXECUTED_MAYBE);
        stage_check (here, lost, WEFT_EXECUTED_NO);
        stage_free (left);
        stage_free (here);
        stage_end ();
    }
}

TEST (what_had_not_left_yet_when_its_connection_was_lost_goes_elsewhere_at_once_whatever_it_is)
{
    const uint64_t alias = stage_begin_connected ();
    stage.channel.budget.tokens = 0;
    weft_call_t *call = start_unsent ("Test.Set", NULL);
    channel_link (&stage.channel, alias, TRANSPORT_LOST, WEFT_OK, stage.now_us);
    const stage_record_t *request = stage_request ("Test.Set");
    CHECK (request && request->alias == BROKER);
    stage_reply (BROKER, request->id, 3);
    CHECK_INT (stage_result (call), 3);
    stage_free (call);
    stage_end ();
}

/*  As of a client that stood still for so long that its workers gave it up. */
static void lose (uint64_t alias)
{
    channel_link (&stage.channel, alias, TRANSPORT_LOST, WEFT_OK, stage.now_us);
}

static weft_call_t *start_among_four (uint64_t aliases [4])
{
    static const char *const workers [4] = {"w1", "w2", "w3", "w4"};
    stage_begin_listed (NULL, 4);
    for (int i = 0; i < 4; i++) {
        const weft_call_options_t named = {.via = WEFT_VIA_DIRECT, .worker = workers [i]};
        weft_call_t *first = stage_call ("Test.Get", &named);
        aliases [i] = stage_connect (workers [i]);
        stage_reply (aliases [i], stage_request ("Test.Get")->id, 1);
        stage_free (first);
    }
    return start_unsent ("Test.Set", &direct);
}

static void answer_over_a_new_connection (weft_call_t *call)
{
    CHECK (!stage_done (call));
    stage_forget ();
    stage_pass (600 * STAGE_MS);
    CHECK_INT (call->state, CALL_CONNECTING);
    const uint64_t alias = call->attempt.request.link->alias;
    stage_link (alias, TRANSPORT_READY);
    stage_welcome (alias);
    const stage_record_t *request = stage_request ("Test.Set");
    CHECK (request && request->alias == alias);
    stage_reply (alias, request->id, 3);
    CHECK_INT (stage_result (call), 3);
    stage_free (call);
    stage_end ();
}

TEST (what_had_not_left_yet_survives_the_loss_of_all_connections_together)
{
    uint64_t aliases [4];
    weft_call_t *call = start_among_four (aliases);
    for (int i = 0; i < 4; i++)
        lose (aliases [i]);
    answer_over_a_new_connection (call);
}

TEST (what_had_not_left_yet_survives_the_loss_of_one_connection_after_the_other)
{
    uint64_t aliases [4];
    weft_call_t *call = start_among_four (aliases);
    for (int i = 0; i < 4; i++) {
        stage.now_us += 100 * STAGE_MS;
        channel_tick (&stage.channel, stage.now_us);
        CHECK_INT (call->state, CALL_SENT);
        lose (call->attempt.request.link->alias);
    }
    answer_over_a_new_connection (call);
}

TEST (routed_calls_need_no_place_among_the_watched_services)
{
    stage_begin_listed (NULL, 1);
    for (int i = 0; i <= WEFT_BROKER_WATCHES_MAX; i++) {
        char method [32];
        snprintf (method, sizeof method, "Service%d.Get", i);
        weft_call_t *call = stage_call (method, &routed);
        const stage_record_t *request = stage_request (method);
        CHECK (request && request->alias == BROKER);
        stage_reply (BROKER, request->id, 1);
        CHECK_INT (stage_result (call), 1);
        stage_free (call);
        stage_forget ();
    }
    stage_end ();
}

TEST (one_named_worker_that_was_lost_is_connected_again)
{
    const weft_call_options_t named = {.worker = "w1"};
    const uint64_t alias = stage_begin_connected ();
    stage_link (alias, TRANSPORT_LOST);
    weft_call_t *call = stage_call ("Test.Get", &named);
    const stage_record_t *request = stage_request ("Test.Get");
    CHECK (request && request->alias == BROKER);
    stage_reply (BROKER, request->id, 1);
    CHECK_INT (stage_result (call), 1);
    stage_free (call);
    stage_pass (1000 * STAGE_MS);
    stage_free (stage_call ("Test.Get", &named)); /* through the broker, and a bare connection beside it */
    stage_connect ("w1");
    call = stage_call ("Test.Get", &named);
    request = stage_request ("Test.Get");
    CHECK (request && request->alias != BROKER);
    stage_free (call);
    stage_end ();
}

TEST (routed_calls_not_sent_wait_for_the_next_broker)
{
    stage_begin_listed (NULL, 1);
    weft_call_t *idempotent = stage_call ("Test.Get", &routed), *not = stage_call ("Test.Set", &routed);
    stage_link (BROKER, TRANSPORT_LOST);
    stage_check (not, WEFT_BROKER_LOST, WEFT_EXECUTED_MAYBE);
    weft_call_t *later = stage_call ("Test.Set", &routed);
    stage_pass (30 * STAGE_MS);
    CHECK (!stage_done (idempotent) && !stage_done (later));
    CHECK (stage_command (CHANNEL_OPEN_BROKER));
    while (stage_record (WIRE_REQUEST)) {
    }
    stage_link (BROKER, TRANSPORT_READY);
    uint64_t ids [2];
    for (int i = 0; i < 2; i++) {
        const stage_record_t *request;
        do
            request = stage_record (WIRE_REQUEST);
        while (request && strcmp (request->method, "weft.Registry.Watch") == 0);
        CHECK (request);
        ids [i] = request->id;
    }
    for (int i = 0; i < 2; i++)
        stage_reply (BROKER, ids [i], 1);
    CHECK_INT (stage_result (idempotent), 1);
    CHECK_INT (stage_result (later), 1);
    stage_free (idempotent);
    stage_free (not );
    stage_free (later);
    stage_end ();
}

TEST (a_broker_that_has_just_started_is_given_time_to_know_the_workers)
{
    stage_begin_listed (NULL, 1);
    stage_link (BROKER, TRANSPORT_LOST);
    stage_pass (100 * STAGE_MS);
    stage_link (BROKER, TRANSPORT_READY);
    const uint64_t watch = stage_request ("weft.Registry.Watch")->id;
    weft_call_t *call = stage_call ("Test.Set", &routed);
    stage_refuse (BROKER, stage_request ("Test.Set")->id, WEFT_NO_SERVICE, "never registered");
    stage_list (watch, 0, 1, true, (const char *[]){NULL}, false);
    stage_pass (399 * STAGE_MS);
    CHECK (!stage_done (call));
    stage_pass (1 * STAGE_MS);
    stage_refuse (BROKER, stage_request ("Test.Set")->id, WEFT_NO_WORKERS, "none is live");
    stage_pass (400 * STAGE_MS);
    stage_reply (BROKER, stage_request ("Test.Set")->id, 1);
    CHECK_INT (stage_result (call), 1);
    stage_free (call);
    stage_pass (10000 * STAGE_MS); /* then its list is believed */
    stage_free (stage_call ("Test.Set", &routed));
    stage_list (stage_request ("weft.Registry.Watch")->id, 0, 2, true, (const char *[]){NULL}, false);
    stage_forget ();
    call = stage_call ("Test.Set", &routed);
    const stage_record_t *request = stage_request ("Test.Set");
    stage_refuse (BROKER, request->id, WEFT_NO_WORKERS, "none is live");
    stage_check (call, WEFT_NO_WORKERS, WEFT_EXECUTED_NO);
    stage_free (call);
    stage_end ();
}

#define OTHER CHANNEL_OTHER_BROKER

static void say_draining (uint64_t alias)
{
    buffer_t out;
    buffer_init (&out, 65536);
    wire_write_draining (&out, "SIGTERM");
    stage_say (alias, &out);
    buffer_fini (&out);
}

/*  One routed call is under way at the first of two brokers, which says that it stops. Its id there. */
static uint64_t begin_at_broker_that_stops (weft_call_t **old)
{
    channel_options_t options = stage_options ();
    options.brokers = "tcp://b1:1,tcp://b2:1";
    stage_begin_listed (&options, 1);
    stage_command (CHANNEL_OPEN_BROKER);
    *old = stage_call ("Test.Set", &routed);
    const uint64_t id = stage_request ("Test.Set")->id;
    say_draining (BROKER);
    const channel_command_t *open = stage_command (CHANNEL_OPEN_BROKER); /* at once: the other one is there */
    CHECK (open && open->alias == OTHER);
    CHECK_STR (open->address, "tcp://b2:1");
    stage_forget ();
    return id;
}

TEST (calls_under_way_end_at_a_draining_broker_and_new_ones_begin_at_the_next)
{
    weft_call_t *old;
    const uint64_t id = begin_at_broker_that_stops (&old);
    weft_call_t *new = stage_call ("Test.Set", &routed);
    CHECK (!stage_request ("Test.Set"));
    stage_link (OTHER, TRANSPORT_READY);
    stage_welcome (OTHER);
    const stage_record_t *request = stage_request ("Test.Set");
    CHECK (request && request->alias == OTHER);
    stage_reply (OTHER, request->id, 2);
    CHECK_INT (stage_result (new), 2);
    CHECK (!stage_command (CHANNEL_CLOSE_BROKER)); /* the first call is still there */
    stage_reply (BROKER, id, 1);
    CHECK_INT (stage_result (old), 1);
    const channel_command_t *close = stage_command (CHANNEL_CLOSE_BROKER);
    CHECK (close && close->alias == BROKER);
    stage_free (old);
    stage_free (new);
    stage_end ();
}

TEST (lists_are_asked_for_at_the_next_broker)
{
    weft_call_t *old;
    const uint64_t id = begin_at_broker_that_stops (&old);
    stage_link (OTHER, TRANSPORT_READY);
    const stage_record_t *watch = stage_request ("weft.Registry.Watch");
    CHECK (watch && watch->alias == OTHER);
    stage_reply (BROKER, id, 1);
    stage_free (old);
    stage_end ();
}

TEST (calls_at_a_draining_broker_that_is_lost_end_and_the_next_stays)
{
    weft_call_t *old;
    begin_at_broker_that_stops (&old);
    stage_link (OTHER, TRANSPORT_READY);
    stage_link (BROKER, TRANSPORT_LOST);
    stage_check (old, WEFT_BROKER_LOST, WEFT_EXECUTED_MAYBE);
    stage_free (old);
    stage_forget ();
    stage_pass (100 * STAGE_MS);
    CHECK (!stage_command (CHANNEL_OPEN_BROKER));
    weft_call_t *new = stage_call ("Test.Set", &routed);
    stage_reply (OTHER, stage_request ("Test.Set")->id, 2);
    CHECK_INT (stage_result (new), 2);
    stage_free (new);
    stage_end ();
}

TEST (brokers_that_drain_one_after_the_other_are_left_one_after_the_other)
{
    weft_call_t *old;
    const uint64_t id = begin_at_broker_that_stops (&old);
    stage_link (OTHER, TRANSPORT_READY);
    say_draining (OTHER); /* the first is not left yet: nowhere to go */
    weft_call_t *new = stage_call ("Test.Set", &routed);
    CHECK (!stage_request ("Test.Set"));
    CHECK (!stage_command (CHANNEL_OPEN_BROKER));
    stage_reply (BROKER, id, 1);
    const channel_command_t *open = stage_command (CHANNEL_OPEN_BROKER);
    CHECK (open && open->alias == BROKER);
    CHECK_STR (open->address, "tcp://b1:1");
    stage_link (BROKER, TRANSPORT_READY);
    stage_reply (BROKER, stage_request ("Test.Set")->id, 2);
    CHECK_INT (stage_result (new), 2);
    stage_free (old);
    stage_free (new);
    stage_end ();
}

TEST (the_only_broker_is_told_once_when_nothing_is_left_there_while_it_drains)
{
    stage_begin_listed (NULL, 1);
    weft_call_t *old = stage_call ("Test.Set", &routed);
    const uint64_t id = stage_request ("Test.Set")->id;
    buffer_t out;
    buffer_init (&out, 65536);
    wire_write_draining (&out, "SIGTERM");
    stage_say (BROKER, &out);
    buffer_fini (&out);
    CHECK (!stage_record (WIRE_GOODBYE)); /* a call is still open there */
    stage_reply (BROKER, id, 1);
    CHECK_INT (stage_result (old), 1);
    CHECK (stage_record (WIRE_GOODBYE));
    weft_call_t *new = stage_call ("Test.Set", &routed);
    stage_pass (50 * STAGE_MS);
    CHECK (!stage_record (WIRE_GOODBYE));
    stage_forget ();
    stage_link (BROKER, TRANSPORT_LOST);
    stage_pass (30 * STAGE_MS);
    CHECK (stage_command (CHANNEL_OPEN_BROKER));
    stage_link (BROKER, TRANSPORT_READY);
    const stage_record_t *request = stage_request ("Test.Set");
    CHECK (request);
    stage_reply (BROKER, request->id, 2);
    CHECK_INT (stage_result (new), 2);
    stage_free (old);
    stage_free (new);
    stage_end ();
}

TEST (workers_without_an_address_are_chosen_through_the_broker)
{
    static const weft_balance_t modes [] = {WEFT_BALANCE_HASH, WEFT_BALANCE_PRIMARY};
    static const weft_via_t ways [] = {WEFT_VIA_BROKER, WEFT_VIA_AUTO};
    for (int i = 0; i < 4; i++) {
        stage_begin_listed (NULL, 1);
        stage_list (1, 1, 2, false, (const char *[]){"w1 alive none", NULL}, true);
        weft_call_t *call = stage_call (
            "Test.Get", &(weft_call_options_t){.via = ways [i / 2], .balance = modes [i % 2], .key = "k"});
        const stage_record_t *request = stage_request ("Test.Get");
        CHECK (request && request->alias == BROKER);
        CHECK_STR (request->worker, "w1");
        stage_reply (BROKER, request->id, 5);
        CHECK_INT (stage_result (call), 5);
        stage_free (call);
        call = stage_call ("Test.Get", &(weft_call_options_t){.via = WEFT_VIA_DIRECT, .balance = modes [i % 2]});
        stage_check (call, WEFT_NO_WORKERS, WEFT_EXECUTED_NO);
        stage_free (call);
        stage_end ();
    }
}

/*  Broadcast. */

static const weft_call_options_t broadcast = {.balance = WEFT_BALANCE_BROADCAST, .via = WEFT_VIA_BROKER};

TEST (a_broadcast_to_more_workers_than_calls_may_be_open_is_turned_down)
{
    channel_options_t options = stage_options ();
    options.calls_max = 4;
    stage_begin_listed (&options, 4);
    weft_call_t *call = stage_call ("Test.Get", &broadcast);
    stage_check (call, WEFT_OVERLOADED, WEFT_EXECUTED_NO);
    stage_check_text (call, "a part for each of 4 workers");
    CHECK (!stage_request ("Test.Get"));
    stage_free (call);
    stage_end ();
}

TEST (g13_a_broadcast_reaches_all_and_returns_one_reply_or_all)
{
    stage_begin_listed (NULL, 3);
    static const char *const workers [] = {"w1", "w2", "w3"};
    weft_call_t *call = stage_call ("Test.Get", &broadcast);
    uint64_t ids [3];
    for (int i = 0; i < 3; i++) {
        const stage_record_t *request = stage_request ("Test.Get");
        CHECK (request);
        CHECK_STR (request->worker, workers [i]);
        ids [i] = request->id;
    }
    CHECK (!stage_request ("Test.Get"));
    stage_reply (BROKER, ids [1], 20);
    stage_reply (BROKER, ids [0], 10);
    CHECK (!stage_done (call));
    stage_reply (BROKER, ids [2], 30);
    CHECK_INT (stage_result (call), 20); /* who was first */
    CHECK_STR (weft_call_worker (call), "w2");
    CHECK_INT (weft_call_reply_count (call), 3);
    for (size_t i = 0; i < 3; i++) {
        int64_t number;
        weft_call_t *part = weft_call_reply (call, i);
        CHECK (weft_call_done (part));
        CHECK_INT (weft_call_read (part, WEFT_OUT (weft_int64, &number)), WEFT_OK);
        CHECK_INT (number, (int64_t) (i + 1) * 10);
    }
    CHECK (weft_call_reply (call, 3) == NULL);
    stage_free (call);
    stage_end ();
}

TEST (a_broadcast_brings_its_request_key_and_meta_to_a_worker_called_directly)
{
    const weft_call_options_t options [] = {
        {.balance = WEFT_BALANCE_BROADCAST, .request_key = "order 66"},
        {.balance = WEFT_BALANCE_BROADCAST, .meta = (const char *[]){"trace=7", "tenant=a", NULL}}};
    const uint64_t alias = stage_begin_connected ();
    for (int i = 0; i < 2; i++) {
        weft_call_t *call = stage_call ("Test.Get", &options [i]);
        const stage_record_t *request = stage_request ("Test.Get");
        CHECK (request && request->alias == alias);
        CHECK_STR (request->request_key, i ? "" : "order 66");
        CHECK_STR (request->meta, i ? "trace=7 tenant=a " : "");
        stage_reply (alias, request->id, 1);
        CHECK_INT (stage_result (call), 1);
        stage_free (call);
    }
    stage_end ();
}

TEST (g13_the_first_error_cancels_the_rest)
{
    stage_begin_listed (NULL, 3);
    weft_call_t *call = stage_call ("Test.Get", &broadcast);
    uint64_t ids [3];
    for (int i = 0; i < 3; i++)
        ids [i] = stage_request ("Test.Get")->id;
    stage_reply (BROKER, ids [0], 1);
    stage_refuse (BROKER, ids [1], WEFT_APP_ERROR, "broken");
    stage_check (call, WEFT_APP_ERROR, WEFT_EXECUTED_YES);
    CHECK_STR (weft_call_text (call), "broken");
    CHECK_STR (weft_call_worker (call), "w2");
    const stage_record_t *cancel = stage_record (WIRE_CANCEL);
    CHECK (cancel && cancel->id == ids [2]);
    CHECK_INT (weft_call_status (weft_call_reply (call, 2)), WEFT_CANCELLED);
    stage_free (call);
    stage_end ();
}

/*  "No" would say that it ran nowhere. */
TEST (g13_a_broadcast_that_one_worker_refused_may_have_run_at_others)
{
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("Test.Get", &broadcast);
    const uint64_t first = stage_request ("Test.Get")->id, second = stage_request ("Test.Get")->id;
    stage_reply (BROKER, first, 1);
    stage_refuse (BROKER, second, WEFT_NO_SERVICE, "never heard of it");
    stage_check (call, WEFT_NO_SERVICE, WEFT_EXECUTED_MAYBE);
    CHECK_INT (weft_call_executed (weft_call_reply (call, 1)), WEFT_EXECUTED_NO);
    stage_free (call);
    call = stage_call ("Test.Get", &broadcast); /* and while the other is still out */
    stage_refuse (BROKER, stage_request ("Test.Get")->id, WEFT_NO_SERVICE, "never heard of it");
    stage_check (call, WEFT_NO_SERVICE, WEFT_EXECUTED_MAYBE);
    stage_free (call);
    stage_end ();
}

TEST (g13_a_broadcast_goes_directly_when_it_can_and_ends_with_its_deadline)
{
    stage_begin_listed (NULL, 2);
    weft_call_t *call =
        stage_call ("Test.Get", &(weft_call_options_t){.balance = WEFT_BALANCE_BROADCAST, .timeout_ms = 100});
    const uint64_t one = stage_command (CHANNEL_CONNECT)->alias, two = stage_command (CHANNEL_CONNECT)->alias;
    stage_link (one, TRANSPORT_READY);
    stage_link (two, TRANSPORT_READY);
    stage_reply (one, stage_request ("Test.Get")->id, 1);
    stage_pass (100 * STAGE_MS);
    stage_check (call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    stage_check_text (call, "1 of 2 workers");
    CHECK_INT (channel_stats (&stage.channel).started,
               2); /* a broadcast is one call; the other was discover */
    stage_free (call);
    call = stage_call ("Test.Get", &(weft_call_options_t){.balance = WEFT_BALANCE_BROADCAST});
    channel_cancel (&stage.channel, call, stage.now_us);
    stage_check (call, WEFT_CANCELLED, WEFT_EXECUTED_MAYBE);
    stage_free (call);
    stage_end ();
}

TEST (g13_a_broadcast_to_nobody_is_no_workers)
{
    stage_begin_listed (NULL, 1);
    stage_list (1, 1, 2, false, (const char *[]){"w1 draining", NULL}, true);
    weft_call_t *call = stage_call ("Test.Get", &broadcast);
    stage_check (call, WEFT_NO_WORKERS, WEFT_EXECUTED_NO);
    stage_free (call);
    stage_end ();
}

/*  A call of a service whose list is asked for; answered by the one worker, w1. The Watch's id. */
static uint64_t call_listed (unsigned number, uint64_t alias)
{
    char method [32];
    stage_forget ();
    snprintf (method, sizeof method, "Service%u.Get", number);
    weft_call_t *call = stage_call (method, &(weft_call_options_t){.via = WEFT_VIA_DIRECT});
    const stage_record_t *record = stage_request ("weft.Registry.Watch");
    CHECK (record && record->alias == BROKER);
    const uint64_t watch = record->id;
    stage_list (watch, 0, 1, true, (const char *[]){"w1 alive", NULL}, true);
    record = stage_request (method);
    CHECK (record && record->alias == alias);
    stage_reply (alias, record->id, 1);
    CHECK_INT (stage_result (call), 1);
    stage_free (call);
    return watch;
}

static bool is_listed (const char *service)
{
    return table_get (&stage.channel.services, service, strlen (service)) != NULL;
}

TEST (a_service_that_nobody_used_for_long_makes_room_for_another)
{
    const uint64_t alias = stage_begin_connected ();
    const uint64_t first = call_listed (1, alias);
    for (unsigned i = 2; i < WEFT_BROKER_WATCHES_MAX; i++)
        call_listed (i, alias);
    CHECK_INT (stage.channel.services.count, WEFT_BROKER_WATCHES_MAX);

    stage_forget ();
    weft_call_t *call = stage_call ("More.Get", &(weft_call_options_t){.via = WEFT_VIA_DIRECT});
    stage_check (call, WEFT_OVERLOADED, WEFT_EXECUTED_NO);
    stage_check_text (call, "no place for More.Get");
    stage_free (call);
    call = stage_call ("More.Get", NULL); /* the broker will do */
    const stage_record_t *request = stage_request ("More.Get");
    CHECK (request && request->alias == BROKER);
    stage_reply (BROKER, request->id, 1);
    CHECK_INT (stage_result (call), 1);
    stage_free (call);

    stage_pass (4000 * STAGE_MS);
    for (unsigned i = 2; i < WEFT_BROKER_WATCHES_MAX; i++) { /* all but Service1 and Test are used */
        char method [32];
        snprintf (method, sizeof method, "Service%u.Get", i);
        stage_forget ();
        call = stage_call (method, NULL);
        stage_reply (alias, stage_request (method)->id, 1);
        stage_free (call);
    }
    stage_pass (1500 * STAGE_MS);
    weft_call_t *running = stage_call ("Test.Get", NULL); /* so Test is in use again */
    stage_forget ();
    call = stage_call ("More.Get", &(weft_call_options_t){.via = WEFT_VIA_DIRECT});
    const stage_record_t *cancel = stage_record (WIRE_CANCEL);
    CHECK (cancel == NULL); /* w1 has a call, so no list that names it goes */
    stage_check (call, WEFT_OVERLOADED, WEFT_EXECUTED_NO);
    stage_free (call);
    stage_free (running);

    stage_pass (200 * STAGE_MS);
    stage_forget ();
    call = stage_call ("More.Get", &(weft_call_options_t){.via = WEFT_VIA_DIRECT});
    cancel = stage_record (WIRE_CANCEL);
    CHECK (cancel && cancel->id == first);
    CHECK (stage_request ("weft.Registry.Watch") != NULL);
    CHECK (!is_listed ("Service1") && is_listed ("Service2") && is_listed ("Test") && is_listed ("More"));
    CHECK_INT (stage.channel.services.count, WEFT_BROKER_WATCHES_MAX);
    stage_free (call);
    stage_end ();
}
