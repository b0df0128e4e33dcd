/* SPDX-License-Identifier: MPL-2.0
 *
 *  Calls between real processes, on both routes: what a call object carries, what ends it, how errors read. */

#include "calling.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/*  A broker, one worker and a client: the smallest mesh. */
typedef struct {
    mesh_t *mesh;
    process_t *broker, *worker;
    weft_client_t *client;
} trio_t;

static trio_t trio_new (void)
{
    trio_t trio = {.mesh = mesh_new ()};
    trio.broker = mesh_broker (trio.mesh, NULL, NULL);
    trio.worker = mesh_worker (trio.mesh, NULL);
    trio.client = client_of (trio.mesh);
    return trio;
}

static void trio_destroy (trio_t *trio)
{
    weft_client_destroy (&trio->client);
    mesh_destroy (&trio->mesh);
}

TEST (n1_a_call_object_carries_method_arguments_reply_error_and_completion)
{
    trio_t trio = trio_new ();
    const pair_args args = {2, 3};
    size_t size = 0;
    int64_t sum = 0;
    weft_call_t *call = weft_client_start (trio.client, "Arith.Add", WEFT_IN (pair_args, &args), NULL, NULL, NULL);
    CHECK_STR (weft_call_method (call), "Arith.Add");
    const void *encoded = weft_call_args_body (call, &size);
    CHECK_MEM (encoded, size, "\x92\x02\x03", 3);
    check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
    CHECK (weft_call_done (call));
    CHECK_INT (weft_call_origin (call), WEFT_ORIGIN_APPLICATION);
    CHECK_STR (weft_call_text (call), "");
    CHECK_STR (weft_call_worker (call), process_uuid (trio.worker));
    CHECK_INT (weft_call_attempts (call), 1);
    CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &sum)), WEFT_OK);
    CHECK_INT (sum, 5);
    weft_call_destroy (&call);
    CHECK (call == NULL);
    trio_destroy (&trio);
}

typedef struct {
    _Atomic (weft_call_t *) seen;
    atomic_int times;
} completion_t;

static void completed (weft_call_t *call, void *arg)
{
    completion_t *completion = arg;
    atomic_store (&completion->seen, call);
    atomic_fetch_add (&completion->times, 1);
}

static bool has_completed (void *arg)
{
    return atomic_load (&((completion_t *) arg)->times) > 0;
}

TEST (n2_n5_s7_completion_comes_by_itself_and_hands_back_the_same_call_object_exactly_once)
{
    trio_t trio = trio_new ();
    const pair_args args = {2, 3};
    completion_t completion = {.seen = NULL};
    weft_call_t *call =
        weft_client_start (trio.client, "Arith.Add", WEFT_IN (pair_args, &args), NULL, completed, &completion);
    await ("the completion", has_completed, &completion);
    CHECK (atomic_load (&completion.seen) == call);
    CHECK (weft_call_arg (call) == &completion);
    weft_call_cancel (call); /* too late to matter */
    check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
    weft_client_close (trio.client);
    CHECK_INT (atomic_load (&completion.times), 1);
    weft_call_destroy (&call);
    trio_destroy (&trio);
}

TEST (n3_sequence_numbers_increase)
{
    trio_t trio = trio_new ();
    uint64_t last = 0;
    for (int i = 0; i < 20; i++) {
        const pair_args args = {i, i};
        weft_call_t *call = NULL;
        CHECK_INT (weft_client_call (trio.client, "Arith.Add", WEFT_IN (pair_args, &args), NULL, &call), WEFT_OK);
        CHECK (weft_call_sequence (call) > last);
        last = weft_call_sequence (call);
        weft_call_destroy (&call);
    }
    trio_destroy (&trio);
}

TEST (n6_replies_out_of_order_find_their_calls)
{
    mesh_t *mesh = mesh_new ();
    const call_log_t log = call_log (mesh);
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, NULL);
    weft_client_t *client = client_of (mesh);
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via, .timeout_ms = 30000};
        call_log_clear (&log);
        weft_call_t *slow = start_count (client, "Count.Next", "slow", 20000, &options);
        check_add_call (client, via, 20, 22);
        CHECK (!weft_call_done (slow)); /* asked first, answered last */
        call_log_let_go (&log);
        check_outcome (slow, WEFT_OK, WEFT_EXECUTED_YES);
        weft_call_destroy (&slow);
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (n8_an_error_reply_sets_that_calls_error_only)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via};
        const pair_args args = {1, 0};
        weft_call_t *call = NULL;
        weft_client_call (trio.client, "Arith.Divide", WEFT_IN (pair_args, &args), &options, &call);
        check_outcome (call, WEFT_APP_ERROR, WEFT_EXECUTED_YES);
        CHECK_INT (weft_call_code (call), 33);
        CHECK_STR (weft_call_text (call), "division by zero");
        CHECK_INT (weft_call_origin (call), WEFT_ORIGIN_APPLICATION);
        weft_call_destroy (&call);
        check_add_call (trio.client, via, 1, 2);
    }
    trio_destroy (&trio);
}

TEST (n9_a_reply_that_does_not_decode_fails_that_call_only)
{
    trio_t trio = trio_new ();
    const pair_args args = {1, 2};
    const char *wrong = NULL;
    weft_call_t *call = NULL;
    CHECK_INT (weft_client_call (trio.client, "Arith.Add", WEFT_IN (pair_args, &args), NULL, &call), WEFT_OK);
    CHECK_INT (weft_call_read (call, WEFT_OUT (weft_string, &wrong)), WEFT_INVALID);
    CHECK (strncmp (weft_call_text (call), "reading body: ", 14) == 0);
    CHECK_INT (weft_call_executed (call), WEFT_EXECUTED_YES);
    weft_call_destroy (&call);
    check_add_call (trio.client, WEFT_VIA_AUTO, 1, 2);
    trio_destroy (&trio);
}

TEST (n10_closing_ends_pending_calls_with_shutdown)
{
    trio_t trio = trio_new ();
    weft_call_t *calls [2];
    for (int i = 0; i < 2; i++)
        calls [i] = start_slow (trio.client, "Slow.Sleep", 10000, &(weft_call_options_t){.via = both_routes [i], .timeout_ms = 30000});
    check_add_call (trio.client, WEFT_VIA_BROKER, 1, 1);
    const int64_t start_ms = now_ms ();
    weft_client_close (trio.client);
    for (int i = 0; i < 2; i++) {
        CHECK (weft_call_wait (calls [i], -1));
        CHECK_STR (weft_status_str (weft_call_status (calls [i])), "SHUTDOWN");
        weft_call_destroy (&calls [i]);
    }
    CHECK (now_ms () - start_ms < 5000);
    const pair_args args = {1, 2};
    CHECK_INT (weft_client_call (trio.client, "Arith.Add", WEFT_IN (pair_args, &args), NULL, NULL), WEFT_SHUTDOWN);
    trio_destroy (&trio);
}

TEST (n10_a_call_handle_outlives_its_client)
{
    trio_t trio = trio_new ();
    weft_call_t *call = start_slow (trio.client, "Slow.Sleep", 10000, NULL);
    weft_client_destroy (&trio.client);
    CHECK (weft_call_done (call));
    CHECK_STR (weft_status_str (weft_call_status (call)), "SHUTDOWN");
    weft_call_destroy (&call);
    mesh_destroy (&trio.mesh);
}

TEST (n14_a_method_without_a_dot_is_ill_formed)
{
    trio_t trio = trio_new ();
    static const char *const bad [] = {"Add", "", ".", ".Add", "Arith.", "Ari th.Add", "Arith..Add"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        weft_call_t *call = NULL;
        weft_client_call (trio.client, bad [i], WEFT_NOTHING, NULL, &call);
        check_outcome (call, WEFT_INVALID, WEFT_EXECUTED_NO);
        CHECK (strstr (weft_call_text (call), "ill-formed"));
        weft_call_destroy (&call);
    }
    trio_destroy (&trio);
}

TEST (n15_unknown_service_and_unknown_method_differ)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via};
        weft_call_t *call = NULL;
        weft_client_call (trio.client, "Nobody.Home", WEFT_NOTHING, &options, &call);
        check_outcome (call, WEFT_NO_SERVICE, WEFT_EXECUTED_NO);
        CHECK (strstr (weft_call_text (call), "Nobody"));
        weft_call_destroy (&call);
        weft_client_call (trio.client, "Arith.Subtract", WEFT_NOTHING, &options, &call);
        check_outcome (call, WEFT_UNIMPLEMENTED, WEFT_EXECUTED_NO);
        CHECK (strstr (weft_call_text (call), "Subtract"));
        weft_call_destroy (&call);
    }
    trio_destroy (&trio);
}

TEST (arguments_that_do_not_fit_are_invalid_and_never_run)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via};
        const char *wrong = "seven";
        weft_call_t *call = NULL;
        weft_client_call (trio.client, "Arith.Add", WEFT_IN (weft_string, &wrong), &options, &call);
        check_outcome (call, WEFT_INVALID, WEFT_EXECUTED_NO);
        CHECK (strstr (weft_call_text (call), "reading body"));
        weft_call_destroy (&call);
    }
    trio_destroy (&trio);
}

TEST (s1_both_codecs_carry_every_type)
{
    trio_t trio = trio_new ();
    static const char *const codecs [] = {"msgpack", "json"};
    point points [] = {{0.5, -1e300}, {3, 4}};
    const shape full = {"a \"quoted\"\ttitle, ünïcode", points, 2, INT64_MIN, true};
    const shape bare = {"", NULL, 0, 0, false};
    for (size_t c = 0; c < 2; c++) {
        weft_client_t *client = weft_client_new (mesh_endpoint (trio.mesh), &(weft_client_options_t){.codec = codecs [c]});
        FOR_BOTH_ROUTES (via)
        {
            const weft_call_options_t options = {.via = via};
            weft_call_t *call = NULL;
            shape got;
            weft_client_call (client, "Echo.Shape", WEFT_IN (shape, &full), &options, &call);
            check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
            CHECK_INT (weft_call_read (call, WEFT_OUT (shape, &got)), WEFT_OK);
            CHECK_STR (got.title, full.title);
            CHECK_INT (got.point_count, 2);
            CHECK_MEM (got.points, sizeof points, points, sizeof points);
            CHECK (got.has_colour && got.colour == INT64_MIN);
            weft_call_destroy (&call);
            weft_client_call (client, "Echo.Shape", WEFT_IN (shape, &bare), &options, &call);
            check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
            CHECK_INT (weft_call_read (call, WEFT_OUT (shape, &got)), WEFT_OK);
            CHECK_STR (got.title, "");
            CHECK (got.point_count == 0 && !got.has_colour);
            weft_call_destroy (&call);
        }
        weft_client_destroy (&client);
    }
    trio_destroy (&trio);
}

TEST (s9_n12_n13_a_service_serves_several_methods_with_typed_arguments_from_one_table)
{
    static const struct {
        const char *method;
        int64_t expected;
    } calls [] = {{"Arith.Add", 13}, {"Arith.Multiply", 42}, {"Arith.Divide", 1}, {"Foo.Sum", 13}};
    const pair_args args = {7, 6}, by_zero = {7, 0};
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via};
        weft_call_t *call = NULL;
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
            int64_t reply = 0;
            weft_client_call (trio.client, calls [i].method, WEFT_IN (pair_args, &args), &options, &call);
            check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
            CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &reply)), WEFT_OK);
            CHECK_INT (reply, calls [i].expected);
            weft_call_destroy (&call);
        }
        weft_client_call (trio.client, "Arith.Divide", WEFT_IN (pair_args, &by_zero), &options, &call);
        check_outcome (call, WEFT_APP_ERROR, WEFT_EXECUTED_YES); /* what the handler returned */
        CHECK_INT (weft_call_code (call), 33);
        weft_call_destroy (&call);
    }
    trio_destroy (&trio);
}

TEST (bodies_of_every_size_come_back_whole)
{
    trio_t trio = trio_new ();
    static const size_t sizes [] = {0, 1, 31, 255, 4088, 4093, 4096, 4097, 65536, 1 << 20, 15 << 20};
    uint8_t *data = malloc (16 << 20);
    CHECK (data);
    for (size_t i = 0; i < 16 << 20; i++)
        data [i] = (uint8_t) (i * 2654435761u >> 13);
    FOR_BOTH_ROUTES (via)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const weft_call_options_t options = {.via = via, .timeout_ms = 30000};
        const weft_bytes sent = {data, sizes [i]};
        weft_bytes got;
        weft_call_t *call = NULL;
        weft_client_call (trio.client, "Echo.Echo", WEFT_IN (weft_bytes, &sent), &options, &call);
        check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
        CHECK_INT (weft_call_read (call, WEFT_OUT (weft_bytes, &got)), WEFT_OK);
        CHECK (got.size == sizes [i] && (got.size == 0 || memcmp (got.data, data, got.size) == 0));
        weft_call_destroy (&call);
    }
    free (data);
    trio_destroy (&trio);
}

TEST (a_body_over_the_limit_is_too_large_and_nothing_is_lost)
{
    trio_t trio = trio_new ();
    const size_t size = (16 << 20) + 1;
    const weft_bytes huge = {calloc (1, size), size};
    CHECK (huge.data);
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via};
        weft_call_t *call = NULL;
        weft_client_call (trio.client, "Echo.Echo", WEFT_IN (weft_bytes, &huge), &options, &call);
        check_outcome (call, WEFT_TOO_LARGE, WEFT_EXECUTED_NO);
        CHECK (strstr (weft_call_text (call), "16777216"));
        weft_call_destroy (&call);
        check_add_call (trio.client, via, 1, 2);
    }
    free ((void *) (uintptr_t) huge.data);
    trio_destroy (&trio);
}

TEST (bodies_over_the_usual_limit_pass_where_everybody_takes_them)
{
    const int limit = 32 << 20;
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, "--body-max", "33554432", NULL);
    mesh_worker (mesh, "--body-max", "33554432", NULL);
    weft_client_t *client = weft_client_new (mesh_endpoint (mesh), &(weft_client_options_t){.body_max = (size_t) limit});
    const weft_bytes sent = {calloc (1, (size_t) limit), (size_t) limit - 100};
    CHECK (client && sent.data);
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via, .timeout_ms = 30000};
        weft_bytes got;
        weft_call_t *call = NULL;
        weft_client_call (client, "Echo.Echo", WEFT_IN (weft_bytes, &sent), &options, &call);
        check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
        CHECK_INT (weft_call_read (call, WEFT_OUT (weft_bytes, &got)), WEFT_OK);
        CHECK (got.size == sent.size && memcmp (got.data, sent.data, got.size) == 0);
        weft_call_destroy (&call);
    }
    free ((void *) (uintptr_t) sent.data);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

static void *sum_up (void *arg)
{
    weft_client_t *client = ((void **) arg) [0];
    const int64_t i = *(int64_t *) ((void **) arg) [1];
    const pair_args args = {i, i * i};
    int64_t sum = 0;
    CHECK_INT (weft_call (client, "Foo.Sum", WEFT_IN (pair_args, &args), WEFT_OUT (weft_int64, &sum), 0), WEFT_OK);
    CHECK_INT (sum, i + i * i);
    return NULL;
}

TEST (s8_five_concurrent_calls_on_one_client_each_get_their_own_reply)
{
    trio_t trio = trio_new ();
    pthread_t threads [5];
    int64_t numbers [5];
    void *args [5][2];
    for (int i = 0; i < 5; i++) {
        numbers [i] = i;
        args [i][0] = trio.client;
        args [i][1] = &numbers [i];
        CHECK (pthread_create (&threads [i], NULL, sum_up, args [i]) == 0);
    }
    for (int i = 0; i < 5; i++)
        pthread_join (threads [i], NULL);
    trio_destroy (&trio);
}

/*  A port that accepts connections and never says a word. */
static int silent_port (char endpoint [64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK (bind (fd, (struct sockaddr *) &address, sizeof address) == 0 && listen (fd, 16) == 0);
    CHECK (getsockname (fd, (struct sockaddr *) &address, &size) == 0);
    snprintf (endpoint, 64, "tcp://127.0.0.1:%d", ntohs (address.sin_port));
    return fd;
}

TEST (s10_the_connect_timeout_has_its_own_outcome)
{
    char endpoint [64];
    const int fd = silent_port (endpoint);
    weft_client_t *client = weft_client_new (endpoint, NULL);
    const weft_call_options_t options = {.connect_timeout_ms = 200, .timeout_ms = 10000};
    weft_call_t *call = NULL;
    const int64_t start_ms = now_ms ();
    weft_client_call (client, "Arith.Add", WEFT_NOTHING, &options, &call);
    check_outcome (call, WEFT_CONNECT_TIMEOUT, WEFT_EXECUTED_NO);
    CHECK (now_ms () - start_ms >= 200 && now_ms () - start_ms < 5000);
    CHECK (strstr (weft_call_text (call), endpoint));
    weft_call_destroy (&call);
    weft_client_destroy (&client);
    close (fd);
}

TEST (s11_the_call_timeout_covers_send_handling_and_receive)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via, .timeout_ms = 200};
        know_the_way (trio.client, "Slow.Sleep", via);
        const int64_t start_ms = now_ms ();
        weft_call_t *call = start_slow (trio.client, "Slow.Sleep", 10000, &options);
        check_outcome (call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
        CHECK (now_ms () - start_ms >= 199 && now_ms () - start_ms < 5000);
        CHECK (weft_call_text (call) [0] != '\0');
        weft_call_destroy (&call);
    }
    trio_destroy (&trio);
}

TEST (s12_the_handler_timeout_is_the_workers_and_says_so)
{
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, "--handler-timeout-ms", "150", NULL);
    weft_client_t *client = client_of (mesh);
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via, .timeout_ms = 20000};
        weft_call_t *call = start_slow (client, "Slow.Sleep", 10000, &options);
        check_outcome (call, WEFT_HANDLER_TIMEOUT, WEFT_EXECUTED_YES);
        CHECK_INT (weft_call_origin (call), WEFT_ORIGIN_WORKER);
        CHECK (strstr (weft_call_text (call), "150"));
        weft_call_destroy (&call);
        check_add_call (client, via, 1, 2);
    }
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

/*  The number of lines in the test log. */
static int executions (const char *path, const char *tag)
{
    char line [256];
    int count = 0;
    FILE *file = fopen (path, "r");
    while (file && fgets (line, sizeof line, file)) {
        line [strcspn (line, "\n")] = '\0';
        count += strcmp (line, tag) == 0;
    }
    if (file)
        fclose (file);
    return count;
}

TEST (cancel_ends_the_call_and_reaches_the_handler)
{
    trio_t trio = trio_new ();
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via, .timeout_ms = 60000};
        const int64_t start_ms = now_ms ();
        weft_call_t *running [8]; /* more than the worker has cores: some wait in queues */
        for (int i = 0; i < 8; i++)
            running [i] = start_slow (trio.client, "Slow.Sleep", 50000, &options);
        if (via == WEFT_VIA_DIRECT) /* they have arrived: this one came behind them */
            check_add_call (trio.client, via, 1, 1);
        else
            CHECK_INT (workers_of (trio.client, "Slow"), 1);
        for (int i = 0; i < 8; i++) {
            weft_call_cancel (running [i]);
            CHECK (weft_call_wait (running [i], -1));
            CHECK_STR (weft_status_str (weft_call_status (running [i])), "CANCELLED");
            weft_call_destroy (&running [i]);
        }
        /* the handlers noticed: their threads are free again */
        weft_call_t *quick = start_slow (trio.client, "Slow.Sleep", 1, &options);
        check_outcome (quick, WEFT_OK, WEFT_EXECUTED_YES);
        weft_call_destroy (&quick);
        CHECK (now_ms () - start_ms < 20000);
    }
    trio_destroy (&trio);
}

TEST (expired_work_never_starts)
{
    mesh_t *mesh = mesh_new ();
    const call_log_t log = call_log (mesh);
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, "--concurrency", "1", NULL);
    weft_client_t *client = client_of (mesh);
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t patient = {.via = via, .timeout_ms = 20000}, hasty = {.via = via, .timeout_ms = 100};
        weft_call_t *block = start_slow (client, "Slow.Sleep", 20000, &patient);
        weft_call_t *late [20];
        for (int i = 0; i < 20; i++)
            late [i] = start_count (client, "Count.Next", "late", 0, &hasty);
        for (int i = 0; i < 20; i++) {
            CHECK (weft_call_wait (late [i], -1));
            CHECK_STR (weft_status_str (weft_call_status (late [i])), "DEADLINE_EXCEEDED");
            weft_call_destroy (&late [i]);
        }
        weft_call_destroy (&block); /* cancelled: it goes on for a moment */
        weft_call_t *after = start_count (client, "Count.Next", "after", 0, &patient);
        check_outcome (after, WEFT_OK, WEFT_EXECUTED_YES);
        weft_call_destroy (&after);
    }
    CHECK_INT (executions (log.path, "late"), 0);
    CHECK_INT (executions (log.path, "after"), 2);
    unsetenv ("WEFT_TEST_LOG");
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
}

TEST (metadata_and_request_options_travel)
{
    trio_t trio = trio_new ();
    static const char *const meta [] = {"tenant=blue", "empty=", NULL};
    FOR_BOTH_ROUTES (via)
    {
        const weft_call_options_t options = {.via = via, .meta = meta, .request_key = "k1"};
        const pair_args args = {4, 5};
        weft_call_t *call = NULL;
        weft_client_call (trio.client, "Arith.Add", WEFT_IN (pair_args, &args), &options, &call);
        check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
        weft_call_destroy (&call);
    }
    trio_destroy (&trio);
}

TEST (a_client_on_the_users_own_loop_needs_no_thread)
{
    trio_t trio = trio_new ();
    weft_client_t *client = weft_client_new (mesh_endpoint (trio.mesh), &(weft_client_options_t){.own_loop = true});
    const int loop = epoll_create1 (EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK (epoll_ctl (loop, EPOLL_CTL_ADD, weft_client_fd (client), &event) == 0);
    FOR_BOTH_ROUTES (via)
    for (int i = 0; i < 200; i++) {
        const weft_call_options_t options = {.via = via};
        const pair_args args = {i, 1};
        completion_t completion = {.seen = NULL};
        int64_t sum = 0;
        weft_call_t *call =
            weft_client_start (client, "Arith.Add", WEFT_IN (pair_args, &args), &options, completed, &completion);
        while (atomic_load (&completion.times) == 0) {
            CHECK (epoll_wait (loop, &event, 1, PATIENCE_MS) == 1);
            weft_client_drive (client);
        }
        check_outcome (call, WEFT_OK, WEFT_EXECUTED_YES);
        CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &sum)), WEFT_OK);
        CHECK_INT (sum, i + 1);
        weft_call_destroy (&call);
    }
    close (loop);
    weft_client_destroy (&client);
    trio_destroy (&trio);
}

TEST (n11_a_peer_that_is_not_weft_is_refused_with_a_clear_error)
{
    char endpoint [64];
    const int fd = silent_port (endpoint);
    weft_client_t *client = weft_client_new (endpoint, NULL);
    const weft_call_options_t options = {.timeout_ms = 10000, .connect_timeout_ms = 500};
    weft_call_t *call = weft_client_start (client, "Arith.Add", WEFT_NOTHING, &options, NULL, NULL);
    const int peer = accept (fd, NULL, NULL);
    static const char http [] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    CHECK (peer >= 0 && write (peer, http, sizeof http - 1) > 0);
    close (peer);
    CHECK (weft_call_wait (call, -1));
    CHECK_INT (weft_call_executed (call), WEFT_EXECUTED_NO);
    CHECK (weft_call_status (call) != WEFT_OK);
    if (!strstr (weft_call_text (call), "does not speak"))
        check_failed (__FILE__, __LINE__, weft_call_text (call));
    weft_call_destroy (&call);
    weft_client_destroy (&client);
    close (fd);
}
