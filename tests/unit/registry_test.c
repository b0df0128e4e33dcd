/* SPDX-License-Identifier: MPL-2.0 */

#include "broker_harness.h"
#include "hosts.h"

static list_reply list (peer_t *caller, const char *service)
{
    static uint64_t id = 1000;
    list_reply reply = {0};
    list_args args = {.service = service, .has_service = service != NULL};
    ask (caller, ++id, "weft.Registry.List", WEFT_IN (list_args, &args));
    const wire_record_t *record = only (caller, WIRE_REPLY);
    CHECK_INT (record->status, WEFT_OK);
    decode (caller, record, WEFT_OUT (list_reply, &reply));
    return reply;
}

static describe_reply describe (peer_t *caller, const char *name)
{
    static uint64_t id = 2000;
    describe_reply reply = {0};
    describe_args args = {.name = name, .has_name = name != NULL};
    ask (caller, ++id, "weft.Registry.Describe", WEFT_IN (describe_args, &args));
    const wire_record_t *record = only (caller, WIRE_REPLY);
    CHECK_INT (record->status, WEFT_OK);
    decode (caller, record, WEFT_OUT (describe_reply, &reply));
    return reply;
}

TEST (g3_registration_is_the_first_beat_and_is_acknowledged)
{
    start ();
    peer_t *peer = greeted_worker ();
    say_register (peer, uuid (1), 1, "Arith", "tcp://*:7000", 0);
    only (peer, WIRE_BEAT_OK);
    CHECK_INT (list (client (), "Arith").worker_count, 1);
    finish ();
}

TEST (g7_the_list_is_sorted_and_stable)
{
    start ();
    worker_of (3, "Zoo,Arith", 1);
    worker_of (1, "Geo", 1);
    worker_of (2, "Arith", 1);
    for (int i = 0; i < 2; i++) {
        const list_reply reply = list (client (), NULL);
        CHECK_INT (reply.service_count, 3);
        CHECK_STR (reply.services [0].name, "Arith");
        CHECK_INT (reply.services [0].workers, 2);
        CHECK_INT (reply.services [0].capacity, 8);
        CHECK_STR (reply.services [1].name, "Geo");
        CHECK_STR (reply.services [2].name, "Zoo");
        CHECK_INT (reply.worker_count, 3);
        CHECK_STR (reply.workers [0].uuid, uuid (1));
        CHECK_STR (reply.workers [1].uuid, uuid (2));
        CHECK_STR (reply.workers [2].uuid, uuid (3));
        CHECK_STR (reply.workers [2].services [0], "Arith");
        CHECK_STR (reply.workers [2].services [1], "Zoo");
    }
    finish ();
}

TEST (h11_a_row_says_all_about_a_worker)
{
    start ();
    worker_of (1, "Arith", 1);
    now_us += 3 * S;
    const list_reply reply = list (client (), "Arith");
    const worker_row *row = &reply.workers [0];
    CHECK_INT (row->incarnation, 1);
    CHECK_STR (row->endpoints [0], "tcp://10.0.0.5:7000");
    CHECK_INT (row->cores, 4);
    CHECK_STR (row->state, "alive");
    CHECK_STR (row->name, "tester");
    CHECK_STR (row->host, "box");
    CHECK_INT (row->pid, 77);
    CHECK_INT (row->age_ms, 3000);
    finish ();
}

TEST (h8_a_list_of_one_service_holds_that_one)
{
    start ();
    worker_of (1, "Arith", 1);
    worker_of (2, "Geo", 1);
    peer_t *caller = client ();
    const list_reply reply = list (caller, "Geo");
    CHECK_INT (reply.service_count, 1);
    CHECK_INT (reply.worker_count, 1);
    CHECK_STR (reply.workers [0].uuid, uuid (2));
    list_args unknown = {.service = "Nope", .has_service = true};
    ask (caller, 1, "weft.Registry.List", WEFT_IN (list_args, &unknown));
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_NO_SERVICE, 0, "\"Nope\" was ever registered");
    finish ();
}

TEST (g10_expired_is_not_listed_without_a_timer)
{
    start ();
    pass (30 * S);
    worker_of (1, "Arith", 1);
    peer_t *caller = client ();
    now_us += 10 * S; /* no tick */
    CHECK_INT (list (caller, "Arith").worker_count, 0);
    CHECK_INT (list (caller, NULL).worker_count, 0);
    CHECK_INT (list (caller, "Arith").services [0].workers, 0);
    finish ();
}

static void check_registration_refused (const char *id, uint64_t incarnation, const char *services,
                                        const char *endpoint, const char *why)
{
    peer_t *peer = greeted_worker ();
    say_register (peer, id, incarnation, services, endpoint, 0);
    check_refused (peer, WEFT_INVALID, why);
    CHECK_INT (broker_gauges (broker).workers, 0);
    say_register (peer, uuid (1), 1, "Good", "tcp://10.0.0.5:1", 0); /* the connection goes on */
    only (peer, WIRE_BEAT_OK);
    lose (peer);
}

TEST (g8_a_registration_with_something_empty_or_wrong_is_refused_clearly)
{
    start ();
    check_registration_refused (uuid (1), 1, "", "tcp://*:1", "no services");
    check_registration_refused (uuid (1), 1, ",Arith", "tcp://*:1", "name is empty");
    check_registration_refused (uuid (1), 1, "Arith", "", "an endpoint is empty");
    check_registration_refused (uuid (1), 1, "Ar ith", "tcp://*:1", "ill-formed service name \"Ar ith\"");
    check_registration_refused (uuid (1), 1, "weft.Mine", "tcp://*:1", "reserved");
    check_registration_refused (uuid (1), 1, "Arith,Geo,Arith", "tcp://*:1", "duplicate service \"Arith\"");
    check_registration_refused (uuid (1), 1, "Arith", "udp://*:1", "udp");
    check_registration_refused (uuid (1), 1, "Arith", "tcp://*:*", "no port");
    check_registration_refused (uuid (1), 1, "Arith", "tcp://8.8.8.8:53", "host is not 10.0.0.5");
    check_registration_refused ("short", 1, "Arith", "tcp://*:1", "ill-formed uuid");
    check_registration_refused ("E0000000-0000-4000-8000-000000000001", 1, "Arith", "tcp://*:1", "ill-formed uuid");
    check_registration_refused (uuid (1), 0, "Arith", "tcp://*:1", "from 1");
    finish ();
}

static void say_register_methods (peer_t *peer, const char *first, const char *second, const char *type)
{
    const char *endpoints [] = {NULL};
    const char *names [] = {first, second};
    buffer_t *out = records ();
    wire_write_register_begin (out, uuid (1), 1, 1);
    mp_write_array (out, 3);
    mp_write_text (out, "Arith");
    mp_write_text (out, "1");
    mp_write_array (out, 2);
    for (int i = 0; i < 2; i++) {
        mp_write_array (out, 4);
        mp_write_text (out, names [i]);
        mp_write_uint (out, 0);
        mp_write_text (out, type);
        mp_write_text (out, "any");
    }
    wire_write_register_end (out, endpoints, 1, NULL, "h", 1, 1);
    say (peer, out);
}

TEST (n15_duplicate_and_ill_formed_methods_are_refused)
{
    start ();
    peer_t *peer = greeted_worker ();
    say_register_methods (peer, "Add", "Add", "any");
    check_refused (peer, WEFT_INVALID, "duplicate method \"Arith.Add\"");
    say_register_methods (peer, "Add", "a.b", "any");
    check_refused (peer, WEFT_INVALID, "ill-formed method name \"a.b\"");
    say_register_methods (peer, "Add", "Sub", "float17");
    CHECK_INT (listen_to (peer), 1);
    next (WIRE_REFUSED);
    say_register_methods (peer, "Add", "Sub", "any");
    only (peer, WIRE_BEAT_OK);
    finish ();
}

/*  Something that is only to be found, not called: weft_heart registers such. */
static void say_register_bare (peer_t *peer, const char *id, const char *version)
{
    const char *endpoints [] = {"tcp://*:9100", NULL};
    buffer_t *out = records ();
    wire_write_register_begin (out, id, 1, 1);
    mp_write_array (out, 3);
    mp_write_text (out, "Printer");
    mp_write_text (out, version);
    mp_write_array (out, 0);
    wire_write_register_end (out, endpoints, 1, NULL, "h", 1, 1);
    say (peer, out);
    only (peer, WIRE_BEAT_OK);
}

TEST (a_service_may_have_no_methods)
{
    start ();
    say_register_bare (greeted_worker (), uuid (1), "1");
    say_register_bare (greeted_worker (), uuid (2), "2");
    say_register_bare (greeted_worker (), uuid (3), "3");
    peer_t *caller = client ();
    CHECK_INT (list (caller, "Printer").worker_count, 3);
    say_call (caller, 1, "Printer.Print", 1000);
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_UNIMPLEMENTED);
    finish ();
}

TEST (only_workers_register)
{
    start ();
    peer_t *peer = client ();
    say_register (peer, uuid (1), 1, "Arith", NULL, 0);
    check_refused (peer, WEFT_INVALID, "REGISTER is for workers");
    finish ();
}

TEST (h12_endpoints_of_several_transports_coexist)
{
    const char *endpoints [] = {"tcp://*:7000", "ipc:///tmp/a", "inproc://b", NULL};
    buffer_t *out = records ();
    start ();
    peer_t *peer = greeted_worker ();
    wire_write_register_begin (out, uuid (1), 1, 1);
    write_service (out, "Arith", 0);
    wire_write_register_end (out, endpoints, 1, NULL, "h", 1, 1);
    say (peer, out);
    only (peer, WIRE_BEAT_OK);
    const list_reply reply = list (client (), "Arith");
    CHECK_INT (reply.workers [0].endpoint_count, 3);
    CHECK_STR (reply.workers [0].endpoints [0], "tcp://10.0.0.5:7000");
    CHECK_STR (reply.workers [0].endpoints [1], "ipc:///tmp/a");
    CHECK_STR (reply.workers [0].endpoints [2], "inproc://b");
    finish ();
}

static bool resolves (const char *endpoint, const char *address, const char *const *patterns, char *resolved)
{
    refusal_t refusal;
    return hosts_resolve (text_of (endpoint), address, patterns, resolved, &refusal);
}

TEST (a_worker_advertises_its_own_address_or_what_is_allowed)
{
    static const char *const patterns [] = {"10.1.0.0/16", "*.mesh.local", "gate", "fd00::/8", "192.168.128.0/17", NULL};
    static const char *const any [] = {"any", NULL};
    char out [WEFT_ENDPOINT_MAX + 1];

    CHECK (resolves ("tcp://*:5", "10.0.0.5", NULL, out));
    CHECK_STR (out, "tcp://10.0.0.5:5");
    CHECK (resolves ("tcp://0.0.0.0:5", "::ffff:10.0.0.5", NULL, out));
    CHECK_STR (out, "tcp://10.0.0.5:5");
    CHECK (resolves ("tcp://*:5", "fe80::1", NULL, out));
    CHECK_STR (out, "tcp://[fe80::1]:5");
    CHECK (resolves ("tcp://*:5", "", NULL, out)); /* over ipc */
    CHECK_STR (out, "tcp://127.0.0.1:5");
    CHECK (resolves ("tcp://localhost:5", "127.0.0.1", NULL, out));
    CHECK (!resolves ("tcp://localhost:5", "10.0.0.5", NULL, out));
    CHECK (resolves ("tcp://10.1.2.3:5", "10.0.0.5", patterns, out));
    CHECK (!resolves ("tcp://10.2.2.3:5", "10.0.0.5", patterns, out));
    CHECK (resolves ("tcp://192.168.200.1:5", "10.0.0.5", patterns, out));
    CHECK (!resolves ("tcp://192.168.100.1:5", "10.0.0.5", patterns, out));
    CHECK (resolves ("tcp://a.mesh.local:5", "10.0.0.5", patterns, out));
    CHECK (!resolves ("tcp://mesh.local:5", "10.0.0.5", patterns, out));
    CHECK (resolves ("tcp://GATE:5", "10.0.0.5", patterns, out));
    CHECK (resolves ("tcp://[fd12::9]:5", "10.0.0.5", patterns, out));
    CHECK_STR (out, "tcp://[fd12::9]:5");
    CHECK (resolves ("tcp://anything:5", "10.0.0.5", any, out));
    CHECK (hosts_pattern_valid ("10.0.0.0/8") && hosts_pattern_valid ("*.x") && hosts_pattern_valid ("any"));
    CHECK (!hosts_pattern_valid ("10.0.0.0/33") && !hosts_pattern_valid ("") && !hosts_pattern_valid ("a b"));
}

/*  Registering again -------------------------------------------------------------------------------------------- */

TEST (a_higher_incarnation_replaces_and_a_lower_one_is_refused)
{
    start ();
    peer_t *old = worker_of (1, "Arith", 1), *caller = client ();
    say_call (caller, 1, "Arith.Add", 5000);
    only (old, WIRE_REQUEST);
    peer_t *fresh = greeted_worker ();
    say_register (fresh, uuid (1), 1, "Arith", NULL, 0);
    check_refused (fresh, WEFT_INVALID, "registered already, with incarnation 1");
    say_register (fresh, uuid (1), 2, "Arith", NULL, 0);
    only (fresh, WIRE_BEAT_OK);
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_WORKER_LOST);
    CHECK_INT (list (caller, "Arith").workers [0].incarnation, 2);
    say_beat (old, 1);
    check_refused (old, WEFT_NO_WORKERS, "");
    lose (old); /* takes nothing with it */
    CHECK_INT (broker_gauges (broker).workers, 1);
    finish ();
}

TEST (registering_again_on_the_same_connection_keeps_calls_and_changes_services)
{
    start ();
    peer_t *worker = worker_of (1, "Arith,Old", 2), *caller = client ();
    say_call (caller, 1, "Arith.Add", 5000);
    const uint64_t id = only (worker, WIRE_REQUEST)->id;
    say_register (worker, uuid (1), 2, "Arith,New", NULL, 0);
    only (worker, WIRE_BEAT_OK);
    say_call (caller, 2, "Old.Add", 5000);
    check_reply (only (caller, WIRE_REPLY), 2, WEFT_NO_WORKERS, 0, "Old");
    say_call (caller, 3, "New.Add", 5000);
    only (worker, WIRE_REQUEST);
    say_reply (worker, id);
    CHECK_INT (only (caller, WIRE_REPLY)->id, 1);
    CHECK_INT (broker_gauges (broker).workers, 1);
    finish ();
}

TEST (a_repeated_registration_is_acknowledged_again)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 2);
    say_register (worker, uuid (1), 1, "Arith", NULL, 0);
    only (worker, WIRE_BEAT_OK);
    finish ();
}

TEST (another_uuid_on_the_same_connection_replaces_the_first)
{
    start ();
    peer_t *worker = worker_of (1, "Arith", 2);
    say_register (worker, uuid (2), 1, "Geo", NULL, 0);
    only (worker, WIRE_BEAT_OK);
    CHECK_INT (broker_gauges (broker).workers, 1);
    CHECK_INT (list (client (), "Arith").worker_count, 0);
    finish ();
}

/*  Describe ----------------------------------------------------------------------------------------------------- */

TEST (idempotent_only_if_all_its_workers_say_so)
{
    start ();
    peer_t *caller = client ();
    worker_of (1, "Arith", 1);
    CHECK (describe (caller, "Arith").services [0].methods [0].idempotent);
    peer_t *doubtful = greeted_worker ();
    say_register (doubtful, uuid (2), 1, "Arith", NULL, 2);
    only (doubtful, WIRE_BEAT_OK);
    const describe_reply reply = describe (caller, "Arith");
    CHECK (!reply.services [0].methods [0].idempotent);
    CHECK (reply.services [0].methods [0].runs_inline);
    CHECK_INT (reply.worker_count, 2);
    worker_of (3, "Arith", 1); /* the newest does not outvote the doubtful one */
    CHECK (!describe (caller, "Arith").services [0].methods [0].idempotent);
    lose (doubtful);
    CHECK (describe (caller, "Arith").services [0].methods [0].idempotent);
    doubtful = greeted_worker ();
    say_register (doubtful, uuid (4), 1, "Geo", NULL, 0);
    only (doubtful, WIRE_BEAT_OK);
    worker_of (5, "Geo", 1);
    CHECK (!describe (caller, "Geo").services [0].methods [0].idempotent);
    finish ();
}

TEST (methods_are_those_that_any_worker_has)
{
    start ();
    peer_t *caller = client (), *peer = greeted_worker ();
    worker_of (2, "Arith", 1); /* Add, Next */
    say_register_methods (peer, "Add", "Sub", "any");
    only (peer, WIRE_BEAT_OK);
    const describe_reply reply = describe (caller, "Arith");
    CHECK_INT (reply.services [0].method_count, 3);
    CHECK_STR (reply.services [0].methods [1].name, "Next");
    CHECK_STR (reply.services [0].methods [2].name, "Sub");
    lose (peer);
    CHECK_INT (describe (caller, "Arith").services [0].method_count, 2);
    finish ();
}

TEST (h11_describe_knows_workers_itself_and_what_it_does_not_know)
{
    start ();
    peer_t *caller = client ();
    worker_of (1, "Arith,Geo", 1);
    const describe_reply one = describe (caller, uuid (1));
    CHECK_INT (one.service_count, 2);
    CHECK_STR (one.services [1].name, "Geo");
    CHECK_INT (one.worker_count, 1);
    const describe_reply self = describe (caller, "weft.Registry");
    CHECK_INT (self.services [0].method_count, 4);
    CHECK_STR (self.services [0].methods [2].name, "List");
    CHECK (self.services [0].methods [2].reply.size > 20);
    CHECK_INT (describe (caller, NULL).service_count, 2);
    describe_args args = {.name = "Nope", .has_name = true};
    ask (caller, 1, "weft.Registry.Describe", WEFT_IN (describe_args, &args));
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_NO_SERVICE);
    finish ();
}

TEST (s3_the_registry_speaks_json_too)
{
    start ();
    worker_of (1, "Arith", 1);
    peer_t *caller = client_with ("json");
    const list_reply reply = list (caller, "Arith");
    CHECK_STR (reply.workers [0].uuid, uuid (1));
    finish ();
}

TEST (wrong_arguments_name_the_field)
{
    start ();
    peer_t *caller = client ();
    buffer_t *out = records ();
    wire_write_request (out, 1, text_of ("weft.Registry.List"), 1000, "\x91\x05", 2, false, NULL);
    say (caller, out);
    check_reply (only (caller, WIRE_REPLY), 1, WEFT_INVALID, 0, "service");
    out = records ();
    wire_write_request (out, 2, text_of ("weft.Registry.List"), 1000, NULL, 0, false, NULL);
    say (caller, out);
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_OK); /* nothing given is fine */
    finish ();
}

TEST (drain_is_an_order_to_that_worker)
{
    text_t text;
    start ();
    peer_t *worker = worker_of (1, "Arith", 1), *caller = client ();
    drain_args args = {.worker = uuid (1)};
    ask (caller, 1, "weft.Registry.Drain", WEFT_IN (drain_args, &args));
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_OK);
    const wire_record_t *record = only (worker, WIRE_DRAINING);
    mp_reader_t fields = record->fields;
    CHECK_INT (record->field_count, 2);
    CHECK (mp_skip (&fields) && mp_read_str (&fields, &text.data, &text.size));
    CHECK (text_is (text, uuid (1)));
    args.worker = uuid (5);
    ask (caller, 2, "weft.Registry.Drain", WEFT_IN (drain_args, &args));
    check_reply (only (caller, WIRE_REPLY), 2, WEFT_NO_WORKERS, 0, "is not here");
    finish ();
}

/*  The longest unused one goes first, but none that is served, watched, or about to be served again. */
TEST (services_without_workers_make_room_for_new_ones)
{
    const watch_args args = {"C"};
    broker_settings_t settings = usual_settings ();
    settings.services_max = 3;
    start_with (settings);
    peer_t *caller = client (), *a = worker_of (1, "A", 1), *bc = worker_of (2, "B,C", 1);
    ask (caller, 1, "weft.Registry.Watch", WEFT_IN (watch_args, &args));
    only (caller, WIRE_ITEM);
    lose (bc);
    only (caller, WIRE_ITEM);
    lose (a);
    CHECK_INT (broker_gauges (broker).services, 3);
    peer_t *bd = worker_of (3, "B,D", 1); /* B is the oldest, but wanted: A goes */
    CHECK_INT (broker_gauges (broker).services, 3);
    say_call (caller, 2, "A.Add", 1000);
    CHECK_INT (only (caller, WIRE_REPLY)->status, WEFT_NO_SERVICE);
    say_call (caller, 3, "B.Add", 1000);
    only (bd, WIRE_REQUEST);
    peer_t *refused = greeted_worker ();
    say_register (refused, uuid (4), 1, "E", NULL, 0);
    check_refused (refused, WEFT_OVERLOADED, "takes no more"); /* B and D are served, C is watched */
    say_cancel (caller, 1);
    only (caller, WIRE_REPLY);
    say_register (refused, uuid (4), 1, "E", NULL, 0);
    only (refused, WIRE_BEAT_OK);
    finish ();
}

TEST (known_services_are_bounded)
{
    broker_settings_t settings = usual_settings ();
    settings.services_max = 2;
    start_with (settings);
    worker_of (1, "A,B", 1);
    peer_t *peer = greeted_worker ();
    say_register (peer, uuid (2), 1, "A,C", NULL, 0);
    check_refused (peer, WEFT_OVERLOADED, "takes no more");
    say_register (peer, uuid (2), 1, "A,B", NULL, 0);
    only (peer, WIRE_BEAT_OK);
    finish ();
}

/*  Pages ---------------------------------------------------------------------------------------------------------- */

#define CROWD 5000

/*  The last rows that were seen. */
typedef struct {
    char service [64], worker [64];
} seen_t;

static list_reply page_of (peer_t *caller, const char *service, seen_t *seen)
{
    static uint64_t id = 9000;
    list_reply reply = {0};
    const list_args args = {.service = service,
                            .has_service = service != NULL,
                            .services_after = seen->service,
                            .has_services_after = seen->service [0],
                            .workers_after = seen->worker,
                            .has_workers_after = seen->worker [0]};
    ask (caller, ++id, "weft.Registry.List", WEFT_IN (list_args, &args));
    const wire_record_t *record = only (caller, WIRE_REPLY);
    CHECK_INT (record->status, WEFT_OK);
    decode (caller, record, WEFT_OUT (list_reply, &reply));
    CHECK (reply.service_count + reply.worker_count > 0);
    if (reply.service_count)
        snprintf (seen->service, sizeof seen->service, "%s", reply.services [reply.service_count - 1].name);
    if (reply.worker_count)
        snprintf (seen->worker, sizeof seen->worker, "%s", reply.workers [reply.worker_count - 1].uuid);
    return reply;
}

static void gather (unsigned count, bool own_services)
{
    char service [32] = "Arith";
    for (unsigned i = 0; i < count; i++) {
        if (own_services)
            snprintf (service, sizeof service, "S%05u", i);
        peer_t *worker = greeted_worker ();
        say_register (worker, uuid (i), 1, service, "tcp://*:7000", 1);
        listen_to (worker);
    }
}

TEST (g7_a_list_too_long_for_one_answer_goes_on_behind_the_last_row)
{
    start ();
    gather (CROWD, false);
    peer_t *caller = client ();
    list_reply list;
    seen_t seen = {0};
    unsigned workers = 0;
    int pages = 0;
    do {
        list = page_of (caller, "Arith", &seen);
        CHECK_INT (list.service_count, pages == 0); /* the service is on the first page only */
        for (size_t i = 0; i < list.worker_count; i++)
            CHECK_STR (list.workers [i].uuid, uuid (workers++));
        pages++;
    } while (list.more);
    CHECK_INT (workers, CROWD);
    CHECK_INT (pages, 3);
    finish ();
}

TEST (h11_services_come_before_workers_on_the_pages_of_a_list)
{
    start ();
    gather (CROWD, true);
    peer_t *caller = client ();
    list_reply list;
    seen_t seen = {0};
    unsigned services = 0, workers = 0;
    char name [16];
    do {
        list = page_of (caller, NULL, &seen);
        CHECK (workers == 0 || list.service_count == 0);
        for (size_t i = 0; i < list.service_count; i++, services++) {
            snprintf (name, sizeof name, "S%05u", services);
            CHECK_STR (list.services [i].name, name);
        }
        for (size_t i = 0; i < list.worker_count; i++)
            CHECK_STR (list.workers [i].uuid, uuid (workers++));
    } while (list.more);
    CHECK_INT (services, CROWD);
    CHECK_INT (workers, CROWD);
    finish ();
}

TEST (h9_a_service_of_many_workers_can_be_described)
{
    start ();
    gather (CROWD, false);
    const describe_reply reply = describe (client (), "Arith");
    CHECK_INT (reply.services [0].method_count, 2);
    CHECK (reply.more); /* not all of its workers are named */
    CHECK_STR (reply.workers [0].uuid, uuid (0));
    CHECK (reply.worker_count > 1000);
    finish ();
}

/*  What one message may cost ------------------------------------------------------------------------------------- */

TEST (of_requests_about_all_that_is_registered_one_message_may_hold_a_few)
{
    wire_info_t info;
    start ();
    worker_of (1, "Arith", 1);
    peer_t *caller = client ();
    CHECK (!broker_pressed (broker));
    for (int round = 0; round < 2; round++) {
        buffer_t *out = records ();
        for (uint64_t id = 1; id <= 100; id++)
            wire_write_request (out, id, text_of (id % 2 ? "weft.Registry.List" : "weft.Registry.Describe"), 1000, NULL, 0, false, NULL);
        say (caller, out);
        CHECK (broker_pressed (broker)); /* others before more of it */
        CHECK_INT (listen_to (caller), 100);
        for (uint64_t id = 1; id <= WEFT_BROKER_DEAR_MAX; id++)
            CHECK_INT (next (WIRE_REPLY)->status, WEFT_OK);
        for (uint64_t id = WEFT_BROKER_DEAR_MAX + 1; id <= 100; id++) {
            const wire_record_t *reply = next (WIRE_REPLY);
            check_reply (reply, id, WEFT_OVERLOADED, 0, "more than 32 requests of weft.Registry in one message");
            CHECK (wire_read_info (reply->extra, &info) && info.retry_after_ms > 0);
        }
    }
    finish ();
}

TEST (one_message_may_register_a_few_times)
{
    start ();
    peer_t *worker = greeted_worker ();
    buffer_t *out = records ();
    for (uint64_t i = 1; i <= WEFT_BROKER_DEAR_MAX + 8; i++) {
        wire_write_register_begin (out, uuid (1), i, 1);
        write_service (out, i % 2 ? "Arith" : "Geo", 0);
        wire_write_register_end (out, (const char *[]){NULL}, 1, NULL, "h", 1, 2);
    }
    say (worker, out);
    CHECK_INT (listen_to (worker), WEFT_BROKER_DEAR_MAX + 8);
    for (int i = 0; i < WEFT_BROKER_DEAR_MAX; i++)
        next (WIRE_BEAT_OK);
    for (int i = 0; i < 8; i++) {
        wire_refused_t refused;
        CHECK (wire_read_refused (next (WIRE_REFUSED), &refused));
        CHECK_INT (refused.status, WEFT_OVERLOADED);
    }
    CHECK_INT (list (client (), "Geo").workers [0].incarnation, WEFT_BROKER_DEAR_MAX);
    finish ();
}
