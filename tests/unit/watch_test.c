/* SPDX-License-Identifier: MPL-2.0 */

#include "broker_harness.h"

static void watch (peer_t *caller, uint64_t id, const char *service)
{
    watch_args args = {.service = service};
    ask (caller, id, "weft.Registry.Watch", WEFT_IN (watch_args, &args));
}

/*  The next ITEM of the last listen_to. */
static watch_item item (peer_t *caller, uint64_t id)
{
    watch_item got = {0};
    const wire_record_t *record = next (WIRE_ITEM);
    CHECK_INT (record->id, id);
    decode (caller, record, WEFT_OUT (watch_item, &got));
    return got;
}

static watch_item only_item (peer_t *caller, uint64_t id)
{
    CHECK_INT (listen_to (caller), 1);
    return item (caller, id);
}

TEST (h6_a_watch_begins_with_the_whole_list)
{
    start ();
    worker_of (1, "Arith", 1);
    worker_of (2, "Arith", 1);
    peer_t *caller = client ();
    watch (caller, 5, "Arith");
    const watch_item first = only_item (caller, 5);
    CHECK (first.full);
    CHECK_INT (first.worker_count, 2);
    CHECK_INT (first.method_count, 2);
    CHECK_STR (first.methods [0].name, "Add");
    CHECK_INT (first.methods [0].flags, 1);
    finish ();
}

TEST (g10_a_watch_does_not_begin_with_the_expired)
{
    start ();
    pass (30 * S);
    worker_of (1, "Arith", 1);
    peer_t *caller = client ();
    now_us += 10 * S; /* no tick */
    watch (caller, 5, "Arith");
    CHECK_INT (only_item (caller, 5).worker_count, 0);
    finish ();
}

TEST (h7_joins_and_leaves_arrive_in_the_same_turn)
{
    start ();
    peer_t *caller = client ();
    watch (caller, 5, "Arith");
    const watch_item first = only_item (caller, 5);
    CHECK_INT (first.worker_count + first.method_count, 0);

    peer_t *worker = worker_of (1, "Arith", 1);
    const watch_item joined = only_item (caller, 5);
    CHECK (!joined.full);
    CHECK_INT (joined.previous, first.revision);
    CHECK_STR (joined.workers [0].uuid, uuid (1));
    CHECK_STR (joined.workers [0].state, "alive");
    CHECK_INT (joined.method_count, 2); /* they changed: there were none */

    say_draining (worker);
    const watch_item draining = only_item (caller, 5);
    CHECK_STR (draining.workers [0].state, "draining");
    CHECK_INT (draining.previous, joined.revision);
    CHECK_INT (draining.method_count, 0);

    lose (worker);
    const watch_item gone = only_item (caller, 5);
    CHECK_STR (gone.workers [0].state, "gone");
    CHECK_INT (gone.previous, draining.revision);
    finish ();
}

TEST (h7_items_are_numbered)
{
    start ();
    peer_t *caller = client ();
    watch (caller, 5, "Arith");
    worker_of (1, "Arith", 1);
    CHECK_INT (listen_to (caller), 2);
    CHECK_INT (next (WIRE_ITEM)->number, 0);
    CHECK_INT (next (WIRE_ITEM)->number, 1);
    finish ();
}

TEST (h8_a_watcher_hears_only_of_what_it_asked_for)
{
    start ();
    peer_t *caller = client ();
    watch (caller, 5, "Arith");
    watch (caller, 6, "Geo");
    listen_to (caller);
    worker_of (1, "Geo", 1);
    CHECK_STR (only_item (caller, 6).workers [0].uuid, uuid (1));
    worker_of (2, "Other", 1);
    check_silent (caller);
    finish ();
}

TEST (silence_shows_as_suspect_and_a_beat_as_alive)
{
    start ();
    pass (30 * S);
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    watch (caller, 5, "Arith");
    listen_to (caller);
    pass (7 * S);
    CHECK_STR (only_item (caller, 5).workers [0].state, "suspect");
    say_beat (worker, 1);
    CHECK_STR (only_item (caller, 5).workers [0].state, "alive");
    pass (11 * S);
    CHECK_INT (listen_to (caller), 2);
    item (caller, 5);
    CHECK_STR (item (caller, 5).workers [0].state, "gone");
    finish ();
}

TEST (who_gets_stuck_is_told_and_who_is_busy_is_not)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    watch (caller, 5, "Arith");
    listen_to (caller);
    for (uint64_t i = 1; i <= 3; i++) {
        pass (3 * S);
        say_load (worker, i, (wire_load_t){4, 4, 3000 * i, 17});
        check_silent (caller); /* busy */
    }
    pass (3 * S);
    say_load (worker, 4, (wire_load_t){4, 4, 12000, 17});
    CHECK_STR (only_item (caller, 5).workers [0].state, "stuck");
    pass (3 * S);
    say_load (worker, 5, (wire_load_t){4, 4, 15000, 17});
    check_silent (caller);
    say_load (worker, 6, (wire_load_t){4, 4, 100, 18});
    CHECK_STR (only_item (caller, 5).workers [0].state, "busy");
    say_load (worker, 7, (wire_load_t){0, 4, 0, 22});
    check_silent (caller);
    watch (caller, 6, "Arith");
    CHECK_STR (only_item (caller, 6).workers [0].state, "alive");
    finish ();
}

TEST (a_watch_of_a_service_that_may_come_back_to_a_broker_just_started_waits_for_it)
{
    start_cold (usual_settings ());
    peer_t *caller = client (), *gone = client ();
    watch (caller, 5, "Arith");
    watch (caller, 6, "Geo");
    watch (gone, 5, "Arith");
    lose (gone);
    check_silent (caller);
    now_us += 300 * MS;
    worker_of (1, "Arith", 1);
    const watch_item first = only_item (caller, 5);
    CHECK (first.full);
    CHECK_INT (first.worker_count, 1);
    worker_of (2, "Arith", 1);
    CHECK_INT (only_item (caller, 5).previous, first.revision);
    now_us = 1001 * S;
    broker_tick (broker, now_us);
    CHECK_INT (only_item (caller, 6).worker_count, 0); /* nobody came */
    watch (caller, 7, "Geo");
    CHECK_INT (only_item (caller, 7).worker_count, 0);
    finish ();
}

TEST (a_change_of_methods_is_told)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    watch (caller, 5, "Arith");
    listen_to (caller);
    say_register (worker, uuid (1), 2, "Arith", NULL, 0);
    const watch_item changed = only_item (caller, 5);
    CHECK_INT (changed.method_count, 2);
    CHECK_INT (changed.methods [0].flags, 0);
    say_register (worker, uuid (1), 3, "Arith", "tcp://*:9", 0);
    const watch_item moved = only_item (caller, 5);
    CHECK_INT (moved.method_count, 0);
    CHECK_STR (moved.workers [0].endpoints [0], "tcp://10.0.0.5:9");
    finish ();
}

TEST (a_service_that_a_worker_gives_up_is_told)
{
    start ();
    peer_t *worker = worker_of (1, "Arith,Geo", 1), *caller = client ();
    watch (caller, 5, "Geo");
    listen_to (caller);
    say_register (worker, uuid (1), 2, "Arith", NULL, 0);
    CHECK_STR (only_item (caller, 5).workers [0].state, "gone");
    finish ();
}

TEST (a_cancelled_watch_ends_with_its_reply)
{
    start ();
    peer_t *caller = client ();
    watch (caller, 5, "Arith");
    listen_to (caller);
    say_cancel (caller, 5);
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_CANCELLED);
    worker_of (1, "Arith", 1);
    check_silent (caller);
    watch (caller, 5, "Arith");
    listen_to (caller);
    watch (caller, 5, "Arith");
    check_refused (caller, WEFT_INVALID, "open already");
    finish ();
}

TEST (a_watch_with_a_deadline_ends_at_it)
{
    watch_args args = {.service = "Arith"};
    codec_error_t error;
    buffer_t body, *out;
    start ();
    peer_t *caller = client ();
    buffer_init (&body, SIZE_MAX);
    CHECK (codec_encode (CODEC_MSGPACK, WEFT_IN (watch_args, &args), &body, &error));
    out = records ();
    wire_write_request (out, 5, text_of ("weft.Registry.Watch"), 500, body.data, body.size, false, NULL);
    buffer_fini (&body);
    say (caller, out);
    listen_to (caller);
    CHECK_INT (broker_next_us (broker), now_us + 500 * MS);
    pass (500 * MS);
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_DEADLINE_EXCEEDED);
    finish ();
}

TEST (a_stopping_broker_does_not_report_workers_that_leave_it_for_that)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    watch (caller, 5, "Arith");
    listen_to (caller);
    broker_drain (broker, now_us);
    lose (worker);
    only (caller, WIRE_DRAINING);
    finish ();
}

TEST (watches_are_bounded_and_leave_no_services_behind)
{
    broker_settings_t settings = usual_settings ();
    char name [16];
    settings.watches_max = 3;
    settings.services_max = 2;
    start_with (settings);
    peer_t *caller = client (), *other = client ();
    for (uint64_t id = 1; id <= 2; id++) {
        snprintf (name, sizeof name, "S%d", (int) id);
        watch (caller, id, name);
        only_item (caller, id);
    }
    watch (caller, 3, "S3"); /* no room for another service */
    check_reply (only (caller, WIRE_REPLY), 3, WEFT_OVERLOADED, 0, "no room");
    watch (caller, 4, "S1");
    only_item (caller, 4);
    watch (caller, 5, "S1"); /* one watch too many */
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_OVERLOADED);
    CHECK_INT (broker_gauges (broker).services, 2);
    lose (caller);
    CHECK_INT (broker_gauges (broker).services, 0);
    watch (other, 1, "S3");
    only_item (other, 1);
    finish ();
}

TEST (each_watcher_is_told_in_its_own_codec)
{
    start ();
    peer_t *plain = client (), *json = client_with ("json");
    watch (plain, 1, "Arith");
    watch (json, 2, "Arith");
    listen_to (plain);
    listen_to (json);
    worker_of (1, "Arith", 1);
    CHECK_STR (only_item (plain, 1).workers [0].uuid, uuid (1));
    CHECK_STR (only_item (json, 2).workers [0].uuid, uuid (1));
    finish ();
}

TEST (an_ill_formed_service_cannot_be_watched)
{
    start ();
    peer_t *caller = client ();
    watch (caller, 1, "no such name");
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_INVALID, 0, "ill-formed service name");
    finish ();
}

/*  A list in parts ------------------------------------------------------------------------------------------------ */

#define MANY 2000

static peer_t *crowd [MANY];

static void gather (const char *service)
{
    for (unsigned i = 0; i < MANY; i++) {
        crowd [i] = greeted_worker ();
        say_register (crowd [i], uuid (i), 1, service, "tcp://*:7000", 1);
        listen_to (crowd [i]);
    }
}

/*  What a watcher would believe, from the parts and changes in order: 1 if worker n is there. */
static bool believed [MANY + 8];

static unsigned number_of (const char *worker)
{
    unsigned n = 0;
    CHECK_INT (sscanf (worker + 24, "%x", &n), 1);
    return n;
}

/*  Takes in what came, one turn of the broker each, until the list is whole. How many parts it had. */
static int read_list (peer_t *caller, uint64_t id, void (*between) (int part))
{
    uint64_t revision = 0;
    int parts = 0;
    memset (believed, 0, sizeof believed);
    for (int turns = 0; turns < 100; turns++) {
        broker_tick (broker, now_us);
        for (size_t left = listen_to (caller); left > 0; left--) {
            const watch_item got = item (caller, id);
            CHECK_INT (got.previous, parts ? revision : 0);
            revision = got.revision;
            CHECK (got.worker_count <= WEFT_LIST_PART_ELEMENTS / 13 + 1);
            for (size_t i = 0; i < got.worker_count; i++)
                believed [number_of (got.workers [i].uuid)] = strcmp (got.workers [i].state, "gone") != 0;
            parts += got.full;
            if (got.full && !got.more) {
                CHECK_INT (got.method_count, 2);
                return parts;
            }
            CHECK_INT (got.has_more, got.full);
        }
        if (between)
            between (parts);
    }
    CHECK (!"the list never became whole");
    return 0;
}

TEST (h6_a_long_list_comes_in_parts)
{
    start ();
    gather ("Arith");
    peer_t *caller = client ();
    watch (caller, 5, "Arith");
    CHECK_INT (read_list (caller, 5, NULL), 4);
    for (unsigned i = 0; i < MANY; i++)
        CHECK (believed [i]);
    CHECK (!watch_busy (broker));
    lose (crowd [3]);
    CHECK_STR (only_item (caller, 5).workers [0].state, "gone");
    finish ();
}

/*  Of each kind: some that were listed already, some that come later, and the very next one. */
static void stir (int part)
{
    static const unsigned leave [] = {0, 1, 545, 546, 547, 548, 1999};
    if (part != 1)
        return;
    for (size_t i = 0; i < sizeof leave / sizeof *leave; i++)
        lose (crowd [leave [i]]);
    for (unsigned n = 700; n < 703; n++)
        say_register (crowd [n], uuid (n), 2, n == 701 ? "Other" : "Arith", "tcp://*:7000", 1);
    worker_of (MANY + 1, "Arith", 1);
}

TEST (h7_changes_between_two_parts_are_told)
{
    start ();
    gather ("Arith");
    peer_t *caller = client ();
    watch (caller, 5, "Arith");
    read_list (caller, 5, stir);
    for (unsigned i = 2; i < 545; i++)
        CHECK (believed [i]);
    CHECK (!believed [0] && !believed [1] && !believed [545] && !believed [546] && !believed [547] && !believed [548]);
    CHECK (!believed [1999] && !believed [701]);
    CHECK (believed [549] && believed [700] && believed [702] && believed [1998] && believed [MANY + 1]);
    finish ();
}

TEST (a_part_is_written_when_the_one_before_was_taken)
{
    start ();
    gather ("Arith");
    peer_t *caller = client ();
    watch (caller, 5, "Arith");
    const size_t waiting = outbox_bytes (&caller->outbox);
    for (int i = 0; i < 50; i++)
        broker_tick (broker, now_us);
    CHECK_INT (outbox_bytes (&caller->outbox), waiting);
    read_list (caller, 5, NULL);
    finish ();
}

TEST (a_turn_writes_a_few_parts_whoever_asks)
{
    peer_t *callers [40];
    start ();
    gather ("Arith");
    for (int i = 0; i < 40; i++) {
        callers [i] = client ();
        watch (callers [i], 5, "Arith");
        listen_to (callers [i]);
    }
    const uint64_t before = broker_counters (broker)->pushed;
    CHECK_INT (broker_next_us (broker), now_us); /* more is to be done */
    broker_tick (broker, now_us);
    CHECK_INT (broker_counters (broker)->pushed - before, 4);
    for (int i = 0; i < 40; i++)
        lose (callers [i]);
    CHECK (!watch_busy (broker));
    finish ();
}

TEST (a_long_list_ends_with_its_watch)
{
    start ();
    gather ("Arith");
    peer_t *caller = client ();
    watch (caller, 5, "Arith");
    watch (caller, 6, "Arith");
    listen_to (caller);
    say_cancel (caller, 5);
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_CANCELLED);
    CHECK_INT (read_list (caller, 6, NULL), 4);
    finish ();
}

TEST (a_worker_that_changes_its_mind_without_end_is_told_of_once_a_turn)
{
    buffer_t *out;
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client (), *gone = worker_of (2, "Geo", 1);
    watch (caller, 5, "Arith");
    listen_to (caller);
    out = records ();
    for (uint64_t i = 1; i <= 1001; i++)
        wire_write_beat (out, i, &(wire_load_t){0, 4 + i % 2, 0, 0});
    say (worker, out);
    check_silent (caller);
    broker_tick (broker, now_us);
    CHECK_INT (only_item (caller, 5).workers [0].capacity, 5);
    CHECK_INT (listen_to (worker), 1001); /* each is answered */
    broker_tick (broker, now_us);
    check_silent (caller);

    wire_write_beat (out, 1, &(wire_load_t){0, 7, 0, 0}); /* who changes and goes in one turn is gone */
    say (gone, out);
    lose (gone);
    broker_tick (broker, now_us);
    finish ();
}
