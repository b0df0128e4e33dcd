/* SPDX-License-Identifier: MPL-2.0
 *
 *  The whole client without a socket: the test plays broker and workers, and moves the time. A second attempt beside one that takes
 *  unusually long. */

#include <stdio.h>
#include "check.h"
#include "stage.h"

#define BROKER CHANNEL_BROKER

static const weft_call_options_t hedged = {.via = WEFT_VIA_DIRECT, .retry = WEFT_RETRY_FAILBACKUP, .backup_ms = 20};
static const weft_call_options_t routed = {.via = WEFT_VIA_BROKER, .retry = WEFT_RETRY_FAILBACKUP, .backup_ms = 20};

/*  Two attempts of one call, both sent. */
typedef struct {
    weft_call_t *call;
    uint64_t alias [2], id [2];
    char worker [2][64];
} pair_t;

/*  The next request of Test.Get, to whoever it goes, whose connection is made if need be. */
static const stage_record_t *next_request (void)
{
    const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
    if (connect) {
        const uint64_t alias = connect->alias;
        stage_link (alias, TRANSPORT_READY);
        stage_welcome (alias);
    }
    return stage_request ("Test.Get");
}

static void note (pair_t *pair, int index)
{
    const stage_record_t *request = next_request ();
    CHECK (request);
    pair->alias [index] = request->alias;
    pair->id [index] = request->id;
    strcpy (pair->worker [index], pair->call->worker);
}

static pair_t begin_pair (size_t workers, const weft_call_options_t *options)
{
    pair_t pair = {0};
    stage_begin_listed (NULL, workers);
    pair.call = stage_call ("Test.Get", options);
    note (&pair, 0);
    stage_pass (19 * STAGE_MS);
    CHECK (!next_request ());
    stage_pass (1 * STAGE_MS);
    note (&pair, 1);
    return pair;
}

static void end_pair (const pair_t *pair)
{
    stage_free (pair->call);
    stage_end ();
}

static void refuse_for (uint64_t alias, uint64_t id, weft_status_t status, uint64_t retry_after_ms)
{
    buffer_t out;
    wire_info_t info = wire_info_none ();
    info.retry_after_ms = retry_after_ms;
    info.queue_us = 7000;
    buffer_init (&out, 65536);
    wire_write_reply (&out, id, status, NULL, 0, false, &info);
    stage_say (alias, &out);
    buffer_fini (&out);
}

static void check_cancelled (const pair_t *pair, int index)
{
    const stage_record_t *cancel = stage_record (WIRE_CANCEL);
    CHECK (cancel && cancel->alias == pair->alias [index] && cancel->id == pair->id [index]);
}

/*  The first answer. */

TEST (the_first_answer_wins_and_the_other_worker_is_told)
{
    for (int winner = 0; winner < 2; winner++) {
        pair_t pair = begin_pair (3, &hedged);
        CHECK (pair.alias [0] != pair.alias [1]);
        stage_pass (5 * STAGE_MS);
        stage_reply (pair.alias [winner], pair.id [winner], 40 + winner);
        check_cancelled (&pair, 1 - winner);
        CHECK_INT (stage_result (pair.call), 40 + winner);
        CHECK_INT (weft_call_executed (pair.call), WEFT_EXECUTED_YES);
        CHECK_INT (weft_call_attempts (pair.call), 2);
        CHECK_STR (weft_call_worker (pair.call), pair.worker [winner]);
        stage_reply (pair.alias [1 - winner], pair.id [1 - winner], 99);
        CHECK_INT (stage_result (pair.call), 40 + winner);
        const weft_client_stats_t stats = channel_stats (&stage.channel);
        CHECK_INT (stats.late, 1);
        CHECK_INT (stats.hedged, 1);
        CHECK_INT (stats.hedges_won, winner);
        CHECK_INT (stats.retried, 0);
        for (size_t i = 1; i <= 3; i++) {
            char name [8];
            snprintf (name, sizeof name, "w%zu", i);
            CHECK_INT (endpoints_find (&stage.channel.endpoints, name, 2)->outstanding, 0);
        }
        end_pair (&pair);
    }
}

TEST (an_error_of_the_application_is_an_answer)
{
    pair_t pair = begin_pair (3, &hedged);
    stage_refuse (pair.alias [1], pair.id [1], WEFT_APP_ERROR, "overflow");
    check_cancelled (&pair, 0);
    stage_check (pair.call, WEFT_APP_ERROR, WEFT_EXECUTED_YES);
    CHECK_STR (weft_call_worker (pair.call), pair.worker [1]);
    end_pair (&pair);
}

/*  An error of the application whose sender does not claim that it ran. */
static void say_error_with_body (uint64_t alias, uint64_t id, bool attached)
{
    wire_info_t info = wire_info_none ();
    info.executed = WEFT_EXECUTED_MAYBE;
    message_t message;
    buffer_t out;
    buffer_init (&out, 65536);
    message_init (&message);
    wire_write_reply (&out, id, WEFT_APP_ERROR, attached ? NULL : "\x01", 1, attached, &info);
    CHECK (message_add_bytes (&message, out.data, out.size));
    CHECK (!attached || message_add_bytes (&message, "\x01", 1));
    channel_message (&stage.channel, alias, &message, stage.now_us);
    message_fini (&message);
    buffer_fini (&out);
}

TEST (the_body_of_an_error_that_is_no_answer_is_not_kept)
{
    for (int attached = 0; attached < 2; attached++) {
        pair_t pair = begin_pair (3, &hedged);
        size_t size;
        say_error_with_body (pair.alias [0], pair.id [0], attached);
        CHECK (!stage_done (pair.call));
        stage_reply (pair.alias [1], pair.id [1], 41);
        CHECK_INT (stage_result (pair.call), 41);
        const void *body = weft_call_body (pair.call, &size);
        CHECK_MEM (body, size, "\x29", 1);
        end_pair (&pair);
    }
}

TEST (a_reply_that_is_too_large_is_an_answer)
{
    channel_options_t options = stage_options ();
    options.body_max = 2;
    stage_begin_listed (&options, 2);
    pair_t pair = {.call = stage_call ("Test.Get", &hedged)};
    note (&pair, 0);
    stage_pass (20 * STAGE_MS);
    note (&pair, 1);
    stage_reply (pair.alias [0], pair.id [0], 1000000);
    check_cancelled (&pair, 1);
    stage_check (pair.call, WEFT_TOO_LARGE, WEFT_EXECUTED_YES);
    end_pair (&pair);
}

TEST (the_ledger_tells_how_late_the_attempt_that_answered_was_begun)
{
    for (int winner = 0; winner < 2; winner++) {
        pair_t pair = begin_pair (3, &hedged);
        stage_pass (5 * STAGE_MS);
        stage_reply (pair.alias [winner], pair.id [winner], 1);
        CHECK_INT (stage_result (pair.call), 1);
        const weft_ledger_t ledger = weft_call_ledger (pair.call);
        CHECK_INT (ledger.total_us, 25 * STAGE_MS);
        CHECK_INT (ledger.earlier_us, winner ? 20 * STAGE_MS : 0);
        end_pair (&pair);
    }
}

/*  Failures. */

TEST (an_attempt_that_fails_while_the_other_is_open_does_not_end_the_call)
{
    static const weft_status_t failures [] = {WEFT_OVERLOADED, WEFT_DRAINING, WEFT_INVALID, WEFT_INTERNAL, WEFT_UNIMPLEMENTED};
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++)
        for (int failing = 0; failing < 2; failing++) {
            pair_t pair = begin_pair (3, &hedged);
            refuse_for (pair.alias [failing], pair.id [failing], failures [i], 0);
            CHECK (!stage_done (pair.call));
            stage_pass (5 * STAGE_MS);
            CHECK (!next_request ()); /* nor is it replaced */
            stage_reply (pair.alias [1 - failing], pair.id [1 - failing], 5);
            CHECK_INT (stage_result (pair.call), 5);
            CHECK_STR (weft_call_worker (pair.call), pair.worker [1 - failing]);
            CHECK_INT (weft_call_ledger (pair.call).worker_queue_us, 0); /* the failed one's is not the call's */
            end_pair (&pair);
        }
}

TEST (a_lost_connection_leaves_the_other_attempt)
{
    for (int lost = 0; lost < 2; lost++) {
        pair_t pair = begin_pair (3, &hedged);
        stage_link (pair.alias [lost], TRANSPORT_LOST);
        CHECK (!stage_done (pair.call));
        stage_reply (pair.alias [1 - lost], pair.id [1 - lost], 6);
        CHECK_INT (stage_result (pair.call), 6);
        CHECK_INT (weft_call_attempts (pair.call), 2);
        end_pair (&pair);
    }
}

TEST (when_both_fail_it_is_tried_again_as_any_other)
{
    pair_t pair = begin_pair (3, &hedged);
    stage_link (pair.alias [0], TRANSPORT_LOST);
    stage_link (pair.alias [1], TRANSPORT_LOST);
    CHECK (!stage_done (pair.call));
    stage_pass (30 * STAGE_MS);
    const stage_record_t *third = next_request ();
    CHECK (third);
    stage_pass (100 * STAGE_MS);
    CHECK (!next_request ()); /* three attempts are the most */
    stage_reply (third->alias, third->id, 7);
    CHECK_INT (stage_result (pair.call), 7);
    CHECK_INT (weft_call_attempts (pair.call), 3);
    end_pair (&pair);
}

TEST (what_may_have_run_is_said_whichever_attempt_it_was)
{
    for (int lost = 0; lost < 2; lost++) {
        pair_t pair = begin_pair (2, &hedged);
        stage_link (pair.alias [lost], TRANSPORT_LOST);
        stage_refuse (pair.alias [1 - lost], pair.id [1 - lost], WEFT_PERMISSION_DENIED, "no");
        stage_check (pair.call, WEFT_PERMISSION_DENIED, WEFT_EXECUTED_MAYBE);
        end_pair (&pair);
    }
}

TEST (when_both_are_turned_down_it_did_not_run)
{
    pair_t pair = begin_pair (2, &hedged);
    stage_refuse (pair.alias [0], pair.id [0], WEFT_PERMISSION_DENIED, "no");
    stage_refuse (pair.alias [1], pair.id [1], WEFT_PERMISSION_DENIED, "no");
    stage_check (pair.call, WEFT_PERMISSION_DENIED, WEFT_EXECUTED_NO);
    end_pair (&pair);
}

TEST (the_deadline_ends_both_and_names_both)
{
    weft_call_options_t options = hedged;
    options.timeout_ms = 100;
    pair_t pair = begin_pair (3, &options);
    char text [200];
    stage_pass (80 * STAGE_MS);
    stage_check (pair.call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    snprintf (text, sizeof text, "no reply from worker %s and worker %s in 100 ms", pair.worker [0], pair.worker [1]);
    CHECK_STR (weft_call_text (pair.call), text);
    check_cancelled (&pair, 0);
    check_cancelled (&pair, 1);
    for (int i = 0; i < 2; i++)
        CHECK_INT (endpoints_find (&stage.channel.endpoints, pair.worker [i], 2)->silences, 1);
    end_pair (&pair);
}

TEST (the_deadline_names_the_one_that_was_still_asked)
{
    weft_call_options_t options = hedged;
    options.timeout_ms = 100;
    for (int failing = 0; failing < 2; failing++) {
        pair_t pair = begin_pair (3, &options);
        char text [200];
        refuse_for (pair.alias [failing], pair.id [failing], WEFT_OVERLOADED, 0);
        stage_pass (80 * STAGE_MS);
        stage_check (pair.call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
        snprintf (text, sizeof text, "no reply from worker %s in 100 ms", pair.worker [1 - failing]);
        CHECK_STR (weft_call_text (pair.call), text);
        check_cancelled (&pair, 1 - failing);
        end_pair (&pair);
    }
}

TEST (a_caller_that_gives_up_cancels_both)
{
    pair_t pair = begin_pair (3, &hedged);
    channel_cancel (&stage.channel, pair.call, stage.now_us);
    check_cancelled (&pair, 0);
    check_cancelled (&pair, 1);
    stage_check (pair.call, WEFT_CANCELLED, WEFT_EXECUTED_MAYBE);
    end_pair (&pair);
}

TEST (a_first_attempt_that_fails_while_the_second_waits_for_its_connection_leaves_that_one)
{
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("Test.Get", &hedged);
    const stage_record_t *request = next_request ();
    const uint64_t first = request->alias;
    stage_pass (20 * STAGE_MS);
    const uint64_t second = stage_command (CHANNEL_CONNECT)->alias;
    stage_link (first, TRANSPORT_LOST);
    CHECK (!stage_done (call));
    CHECK_INT (call->state, CALL_CONNECTING);
    stage_pass (3 * STAGE_MS);
    stage_link (second, TRANSPORT_READY);
    request = stage_request ("Test.Get");
    CHECK (request && request->alias == second);
    stage_reply (second, request->id, 8);
    CHECK_INT (stage_result (call), 8);
    CHECK_INT (weft_call_attempts (call), 2);
    stage_free (call);
    stage_end ();
}

TEST (a_second_attempt_that_finds_nobody_does_no_harm)
{
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("Test.Get", &hedged);
    const stage_record_t *request = next_request ();
    const uint64_t alias = request->alias, id = request->id;
    stage_pass (20 * STAGE_MS);
    stage_link (stage_command (CHANNEL_CONNECT)->alias, TRANSPORT_FAILED);
    CHECK (!stage_done (call));
    stage_reply (alias, id, 9);
    CHECK_INT (stage_result (call), 9);
    CHECK_INT (weft_call_attempts (call), 1); /* it never left */
    stage_free (call);
    stage_end ();
}

/*  Which calls. */

static void check_never_hedged (const char *method, size_t workers, const weft_call_options_t *options)
{
    stage_begin_listed (NULL, workers);
    weft_call_t *call = stage_call (method, options);
    const channel_command_t *connect = stage_command (CHANNEL_CONNECT);
    if (connect)
        stage_link (connect->alias, TRANSPORT_READY);
    const stage_record_t *request = stage_request (method);
    CHECK (request);
    const uint64_t alias = request->alias, id = request->id;
    stage_pass (1000 * STAGE_MS);
    CHECK (!stage_command (CHANNEL_CONNECT) && !stage_request (method));
    CHECK_INT (channel_stats (&stage.channel).hedged, 0);
    stage_reply (alias, id, 1);
    CHECK_INT (stage_result (call), 1);
    stage_free (call);
    stage_end ();
}

TEST (only_what_was_declared_idempotent_is_hedged)
{
    check_never_hedged ("Test.Set", 3, &hedged);
    check_never_hedged ("Test.Set", 3, &routed);
}

TEST (a_call_for_one_worker_or_with_a_request_key_is_not_hedged)
{
    weft_call_options_t options = hedged;
    options.worker = "w2";
    check_never_hedged ("Test.Get", 3, &options);
    options = hedged;
    options.request_key = "order 66";
    check_never_hedged ("Test.Get", 3, &options);
}

TEST (where_there_is_one_worker_there_is_no_second_attempt)
{
    check_never_hedged ("Test.Get", 1, &hedged);
    check_never_hedged ("Test.Get", 1, &routed);
}

TEST (other_modes_are_not_hedged)
{
    static const weft_retry_t modes [] = {WEFT_RETRY_FAILFAST, WEFT_RETRY_FAILTRY, WEFT_RETRY_FAILOVER};
    for (int i = 0; i < 3; i++)
        check_never_hedged ("Test.Get", 3, &(weft_call_options_t){.via = WEFT_VIA_DIRECT, .retry = modes [i], .backup_ms = 20});
}

TEST (a_broadcast_is_not_hedged)
{
    weft_call_options_t options = hedged;
    options.balance = WEFT_BALANCE_BROADCAST;
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("Test.Get", &options);
    CHECK (next_request () && next_request ());
    stage_pass (500 * STAGE_MS);
    CHECK (!next_request ());
    CHECK_INT (channel_stats (&stage.channel).hedged, 0);
    stage_free (call);
    stage_end ();
}

TEST (a_hedge_does_not_move_the_primary)
{
    weft_call_options_t options = hedged;
    options.balance = WEFT_BALANCE_PRIMARY;
    pair_t pair = begin_pair (3, &options);
    stage_reply (pair.alias [1], pair.id [1], 1);
    CHECK_INT (stage_result (pair.call), 1);
    weft_call_t *call = stage_call ("Test.Get", &options);
    const stage_record_t *request = next_request ();
    CHECK (request && request->alias == pair.alias [0]);
    stage_free (call);
    end_pair (&pair);
}

/*  Through the broker. */

TEST (through_the_broker_it_chooses_both_workers_and_the_first_answer_wins)
{
    for (int winner = 0; winner < 2; winner++) {
        pair_t pair = begin_pair (2, &routed);
        CHECK (pair.alias [0] == BROKER && pair.alias [1] == BROKER && pair.id [0] != pair.id [1]);
        stage_reply (BROKER, pair.id [winner], winner);
        check_cancelled (&pair, 1 - winner);
        CHECK_INT (stage_result (pair.call), winner);
        CHECK_STR (weft_call_worker (pair.call), "");
        CHECK_INT (stage.channel.broker->calls, 0);
        end_pair (&pair);
    }
}

TEST (through_the_broker_hash_names_another_worker)
{
    weft_call_options_t options = routed;
    options.balance = WEFT_BALANCE_HASH;
    options.key = "k";
    stage_begin_listed (NULL, 3);
    weft_call_t *call = stage_call ("Test.Get", &options);
    char first [64];
    strcpy (first, stage_request ("Test.Get")->worker);
    stage_pass (20 * STAGE_MS);
    const stage_record_t *second = stage_request ("Test.Get");
    CHECK (second && second->worker [0] == 'w' && strcmp (second->worker, first) != 0);
    stage_free (call);
    stage_end ();
}

TEST (a_lost_broker_ends_both_and_the_call_waits_for_the_next)
{
    pair_t pair = begin_pair (2, &routed);
    stage_link (BROKER, TRANSPORT_LOST);
    CHECK (!stage_done (pair.call));
    CHECK_INT (stage.channel.broker->calls, 0);
    do
        stage_pass (10 * STAGE_MS);
    while (!stage_command (CHANNEL_OPEN_BROKER));
    stage_link (BROKER, TRANSPORT_READY);
    stage_welcome (BROKER);
    const stage_record_t *third = stage_request ("Test.Get");
    CHECK (third);
    stage_reply (BROKER, third->id, 3);
    CHECK_INT (stage_result (pair.call), 3);
    CHECK_INT (weft_call_attempts (pair.call), 3);
    end_pair (&pair);
}

static void refuse_hello (void)
{
    buffer_t out;
    buffer_init (&out, 65536);
    wire_write_refused (&out, WEFT_DRAINING, "the broker is stopping");
    stage_say (BROKER, &out);
    buffer_fini (&out);
}

static void reopen (void)
{
    while (!stage_command (CHANNEL_OPEN_BROKER))
        stage_pass (1 * STAGE_MS);
    stage_link (BROKER, TRANSPORT_READY);
}

TEST (a_broker_that_refuses_the_connection_of_both_leaves_one_to_be_sent_again)
{
    stage_begin_listed (NULL, 2);
    stage_link (BROKER, TRANSPORT_LOST);
    reopen ();
    weft_call_t *call = stage_call ("Test.Get", &routed);
    CHECK (stage_request ("Test.Get"));
    stage_pass (20 * STAGE_MS);
    CHECK (stage_request ("Test.Get"));
    refuse_hello ();
    CHECK_INT (stage.channel.broker->calls, 0);
    reopen ();
    CHECK (stage_request ("Test.Get"));
    CHECK (!stage_request ("Test.Get"));
    stage.channel.budget.tokens = 0;
    stage_pass (20 * STAGE_MS);
    CHECK (!stage_request ("Test.Get")); /* another second one is paid for anew */
    CHECK_INT (weft_call_attempts (call), 1);
    stage_free (call);
    stage_end ();
}

TEST (what_the_list_tells_later_counts_for_a_call_that_did_not_wait_for_it)
{
    stage_begin (NULL);
    stage_link (BROKER, TRANSPORT_READY);
    stage_welcome (BROKER);
    weft_call_t *call = stage_call ("Test.Get", &routed);
    const stage_record_t *watch = stage_request ("weft.Registry.Watch");
    CHECK (watch);
    const uint64_t id = watch->id;
    CHECK (stage_request ("Test.Get"));
    stage_list (id, 0, 1, true, (const char *[]){"w1 alive", "w2 alive", NULL}, true);
    stage_pass (20 * STAGE_MS);
    CHECK (stage_request ("Test.Get"));
    stage_free (call);
    stage_end ();
}

/*  When. */

TEST (the_delay_is_a_tenth_of_the_timeout_until_it_is_known_how_long_the_method_takes)
{
    weft_call_options_t options = hedged;
    options.backup_ms = 0;
    options.timeout_ms = 3000;
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("Test.Get", &options);
    CHECK (next_request ());
    stage_pass (299 * STAGE_MS);
    CHECK (!next_request ());
    stage_pass (1 * STAGE_MS);
    CHECK (next_request ());
    stage_free (call);
    stage_forget ();

    for (int i = 0; i < 40; i++) { /* two at once, or one worker would have all of them */
        call = stage_call ("Test.Get", &options);
        const stage_record_t *request = next_request ();
        const uint64_t alias = request->alias, id = request->id;
        stage_pass (8 * STAGE_MS);
        stage_reply (alias, id, i);
        CHECK_INT (stage_result (call), i);
        stage_free (call);
    }
    CHECK_INT (channel_stats (&stage.channel).hedged, 1);
    call = stage_call ("Test.Get", &options);
    CHECK (next_request ());
    stage_pass (8 * STAGE_MS);
    CHECK (!next_request ());
    stage_pass (3 * STAGE_MS);
    CHECK (next_request ());
    stage_free (call);
    stage_end ();
}

TEST (calls_that_take_no_time_are_not_hedged_before_a_millisecond)
{
    weft_call_options_t options = hedged;
    options.backup_ms = 0;
    stage_begin_listed (NULL, 2);
    for (int i = 0; i < 50; i++) {
        weft_call_t *call = stage_call ("Test.Get", &options);
        const stage_record_t *request = next_request ();
        stage_reply (request->alias, request->id, i);
        CHECK_INT (stage_result (call), i);
        stage_free (call);
    }
    weft_call_t *call = stage_call ("Test.Get", &options);
    CHECK (next_request ());
    stage_pass (999);
    CHECK (!next_request ());
    stage_pass (1);
    CHECK (next_request ());
    stage_free (call);
    stage_end ();
}

TEST (a_delay_past_the_deadline_is_none)
{
    weft_call_options_t options = hedged;
    options.timeout_ms = 20;
    stage_begin_listed (NULL, 2);
    weft_call_t *call = stage_call ("Test.Get", &options);
    CHECK (next_request ());
    stage_pass (20 * STAGE_MS);
    stage_check (call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    CHECK_INT (channel_stats (&stage.channel).hedged, 0);
    stage_free (call);
    stage_end ();
}

TEST (a_delay_that_makes_no_sense_is_a_flaw_of_its_call)
{
    static const int senseless [] = {-1, WEFT_CALL_TIMEOUT_MS_MAX + 1};
    stage_begin_listed (NULL, 2);
    for (int i = 0; i < 2; i++) {
        weft_call_options_t options = hedged;
        options.backup_ms = senseless [i];
        weft_call_t *call = stage_call ("Test.Get", &options);
        stage_check (call, WEFT_INVALID, WEFT_EXECUTED_NO);
        stage_check_text (call, "backup_ms must be 0 to 86400000");
        stage_free (call);
    }
    stage_end ();
}

/*  What it costs. */

TEST (hedges_and_retries_are_paid_from_one_budget)
{
    stage_begin_listed (NULL, 2);
    const weft_call_options_t sooner = {.via = WEFT_VIA_BROKER, .retry = WEFT_RETRY_FAILBACKUP, .backup_ms = 1};
    const int64_t began_us = stage.now_us;
    int calls = 0;
    for (; calls < 400; calls++) {
        weft_call_t *call = stage_call ("Test.Get", &sooner);
        CHECK (stage_request ("Test.Get"));
        stage_pass (1 * STAGE_MS);
        stage_free (call);
        stage_forget ();
    }
    const uint64_t seconds_worth = (uint64_t) ((stage.now_us - began_us) / 100000);
    const uint64_t hedges = channel_stats (&stage.channel).hedged;
    CHECK (hedges >= 180 && hedges <= 180 + seconds_worth); /* 100 saved and a fifth of 400 */
    weft_call_t *call = stage_call ("Test.Get", &routed); /* and nothing is left for retries */
    stage_refuse (BROKER, stage_request ("Test.Get")->id, WEFT_OVERLOADED, "full");
    CHECK (stage_done (call) == !retry_budget_take (&stage.channel.budget, stage.now_us));
    stage_free (call);
    stage_end ();
}

TEST (who_asked_for_a_pause_gets_no_second_attempts_until_it_is_over)
{
    pair_t pair = begin_pair (2, &hedged);
    refuse_for (pair.alias [1], pair.id [1], WEFT_OVERLOADED, 200);
    stage_reply (pair.alias [0], pair.id [0], 1);
    CHECK_INT (stage_result (pair.call), 1);
    for (int after = 0; after < 2; after++) {
        weft_call_t *call;
        while (true) { /* until the first attempt goes to the other */
            call = stage_call ("Test.Get", &hedged);
            if (stage_request ("Test.Get")->alias == pair.alias [0])
                break;
            stage_free (call);
            stage_forget ();
        }
        stage_pass (25 * STAGE_MS);
        CHECK ((next_request () != NULL) == after);
        stage_free (call);
        stage_forget ();
        stage_pass (200 * STAGE_MS);
    }
    end_pair (&pair);
}

TEST (a_broker_that_asked_for_a_pause_gets_no_second_attempts_either)
{
    pair_t pair = begin_pair (2, &routed);
    refuse_for (BROKER, pair.id [1], WEFT_OVERLOADED, 200);
    weft_call_t *call = stage_call ("Test.Get", &routed);
    CHECK (stage_request ("Test.Get"));
    stage_pass (150 * STAGE_MS);
    CHECK (!stage_request ("Test.Get"));
    stage_free (call);
    end_pair (&pair);
}

TEST (when_both_fail_the_longer_pause_is_kept)
{
    for (int longer = 0; longer < 2; longer++) {
        pair_t pair = begin_pair (2, &hedged);
        refuse_for (pair.alias [longer], pair.id [longer], WEFT_OVERLOADED, 60);
        stage_pass (10 * STAGE_MS);
        refuse_for (pair.alias [1 - longer], pair.id [1 - longer], WEFT_OVERLOADED, 5);
        stage_pass (49 * STAGE_MS);
        CHECK (!next_request ());
        stage_pass (1 * STAGE_MS);
        CHECK (next_request ());
        end_pair (&pair);
    }
}

/*  What is learnt. */

TEST (a_worker_that_is_outrun_again_and_again_is_chosen_less)
{
    stage_begin_listed (NULL, 3);
    const endpoint_t *slow = endpoints_find (&stage.channel.endpoints, "w2", 2);
    int to_slow [2] = {0}; /* in the first and the second half */
    for (int i = 0; i < 80; i++) {
        weft_call_t *call = stage_call ("Test.Get", &hedged);
        const stage_record_t *request = next_request ();
        const bool is_slow = strcmp (call->worker, slow->uuid) == 0;
        to_slow [i / 40] += is_slow;
        if (is_slow) {
            stage_pass (20 * STAGE_MS);
            request = next_request ();
            CHECK (request);
        }
        stage_pass (1 * STAGE_MS);
        stage_reply (request->alias, request->id, i);
        CHECK_INT (stage_result (call), i);
        stage_free (call);
        stage_forget ();
    }
    CHECK (slow->latency_us >= 20 * STAGE_MS);
    CHECK (to_slow [0] > 0);
    CHECK_INT (to_slow [1], 0);
    stage_end ();
}
