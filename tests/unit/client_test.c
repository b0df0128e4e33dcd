/* SPDX-License-Identifier: MPL-2.0
 *
 *  The client as its users see it, against fake peers over real sockets. */

#include <weft/client.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "check.h"
#include "client_inside.h"
#include "clock.h"
#include "fake.h"

typedef struct {
    int64_t a, b;
} pair;
WEFT_SCHEMA (pair, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

typedef struct {
    weft_string text;
} note;
WEFT_SCHEMA (note, WEFT_FIELD (text, weft_string))

static const weft_call_options_t direct = {.via = WEFT_VIA_DIRECT};
static const weft_call_options_t routed = {.via = WEFT_VIA_BROKER};

static fake_t *fake;
static weft_client_t *client;

static void set_up_with (size_t workers, const weft_client_options_t *options)
{
    fake = fake_new (workers);
    client = weft_client_new (fake_broker (fake), options);
    CHECK_STR (weft_client_error (), "");
    CHECK (client);
}

static void set_up (size_t workers)
{
    set_up_with (workers, NULL);
}

static void tear_down (void)
{
    weft_client_destroy (&client);
    CHECK (!client);
    fake_destroy (&fake);
}

static void check_sum (int64_t a, int64_t b, const weft_call_options_t *options)
{
    weft_call_t *call;
    int64_t result;
    weft_status_t status =
        weft_client_call (client, "Test.Sum", WEFT_IN (pair, &(pair){a, b}), options, &call);
    CHECK_STR (status ? weft_call_text (call) : "", "");
    CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &result)), WEFT_OK);
    CHECK_INT (result, a + b);
    CHECK_INT (weft_call_executed (call), WEFT_EXECUTED_YES);
    weft_call_destroy (&call);
    CHECK (!call);
}

static weft_call_t *start (const char *method, const weft_call_options_t *options, weft_call_fn *done,
                           void *arg)
{
    weft_call_t *call = weft_client_start (client, method, WEFT_IN (pair, &(pair){1, 2}), options, done, arg);
    CHECK (call);
    return call;
}

static void check_status (const weft_call_t *call, weft_status_t status, weft_executed_t executed)
{
    CHECK (weft_call_done (call));
    CHECK_STR (weft_status_str (weft_call_status (call)), weft_status_str (status));
    CHECK_STR (weft_executed_str (weft_call_executed (call)), weft_executed_str (executed));
}

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

/*  Asynchronous. */

typedef struct {
    atomic_int left, finished;
    pthread_mutex_t lock;
    pthread_cond_t all;
} tally;

static void count_one (tally *self)
{
    pthread_mutex_lock (&self->lock);
    self->finished++;
    pthread_cond_signal (&self->all);
    pthread_mutex_unlock (&self->lock);
}

static void await_all (tally *self, int count)
{
    pthread_mutex_lock (&self->lock);
    while (self->finished < count)
        pthread_cond_wait (&self->all, &self->lock);
    pthread_mutex_unlock (&self->lock);
    CHECK_INT (self->finished, count);
}

static void on_done (weft_call_t *call, void *arg)
{
    int64_t result;
    CHECK (weft_call_arg (call) == arg);
    CHECK_INT (weft_call_read (call, WEFT_OUT (weft_int64, &result)), WEFT_OK);
    CHECK_INT (result, 3);
    weft_call_destroy (&call);
    count_one (arg);
}

TEST (n2_n5_s7_asynchronous_calls_are_handed_back_without_a_further_step)
{
    set_up (2);
    tally all = {.lock = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < 500; i++)
        start ("Test.Sum", i % 2 ? &direct : &routed, on_done, &all);
    await_all (&all, 500);
    tear_down ();
    CHECK_INT (all.finished, 500);
}

static void start_next (weft_call_t *call, void *arg)
{
    tally *self = arg;
    CHECK_INT (weft_call_status (call), WEFT_OK);
    weft_call_destroy (&call);
    if (self->left-- > 0)
        start ("Test.Sum", NULL, start_next, self);
    count_one (self);
}

TEST (a_callback_may_start_the_next_call)
{
    set_up (1);
    tally all = {.left = 2000, .lock = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < 16; i++)
        start ("Test.Sum", NULL, start_next, &all);
    await_all (&all, 2016);
    tear_down ();
}

static void call_inside (weft_call_t *call, void *arg)
{
    CHECK_INT (weft_call_status (call), WEFT_OK);
    check_sum (5, 6, &direct);
    weft_call_t *later = start ("Test.Sum", NULL, NULL, NULL);
    CHECK (weft_call_wait (later, -1));
    CHECK_INT (weft_call_status (later), WEFT_OK);
    weft_call_destroy (&later);
    weft_call_destroy (&call);
    count_one (arg);
}

TEST (a_callback_may_even_call_and_wait)
{
    set_up (1);
    tally all = {.lock = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < 20; i++) {
        start ("Test.Sum", NULL, call_inside, &all);
        check_sum (i, i, NULL);
    }
    await_all (&all, 20);
    tear_down ();
}

TEST (a_handle_destroyed_early_takes_its_callback_with_it)
{
    set_up (1);
    weft_call_t *call = start ("Test.Never", NULL, on_done, NULL);
    weft_call_destroy (&call);
    check_sum (1, 1, NULL);
    CHECK_INT (weft_client_stats (client).failed, 1);
    tear_down ();
}

static void expect_invalid (weft_call_t *call, void *arg)
{
    check_status (call, WEFT_INVALID, WEFT_EXECUTED_NO);
    weft_call_destroy (&call);
    count_one (arg);
}

TEST (a_call_that_cannot_start_ends_through_its_callback_too)
{
    set_up (1);
    tally all = {.lock = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < 10; i++)
        start ("ill-formed", NULL, expect_invalid, &all);
    await_all (&all, 10);
    tear_down ();
}

TEST (a_handle_destroyed_between_the_end_and_the_callback_takes_its_callback_with_it)
{
    set_up_with (1, &(weft_client_options_t){.own_loop = true});
    tally all = {.lock = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER};
    weft_call_t *call = start ("ill-formed", NULL, expect_invalid, &all); /* ended, and nobody has driven yet */
    CHECK (weft_call_done (call));
    weft_call_destroy (&call);
    weft_client_drive (client);
    CHECK_INT (all.finished, 0);
    tear_down ();
}

/*  A callback that another thread overtakes: it goes on only when that one leads, and sleeps. */

typedef struct {
    atomic_bool inside, timed_out;
    atomic_int invalid;
} overtaken;

static void on_timeout (weft_call_t *call, void *arg)
{
    check_status (call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    weft_call_destroy (&call);
    ((overtaken *) arg)->timed_out = true;
}

static void on_invalid (weft_call_t *call, void *arg)
{
    check_status (call, WEFT_INVALID, WEFT_EXECUTED_NO);
    weft_call_destroy (&call);
    ((overtaken *) arg)->invalid++;
}

static void be_overtaken (weft_call_t *call, void *arg)
{
    overtaken *self = arg;
    weft_call_destroy (&call);
    self->inside = true;
    while (!client_asleep (client))
        sched_yield ();
    start ("ill-formed", NULL, on_invalid, self);
    start ("Test.Never", &(weft_call_options_t){.via = WEFT_VIA_DIRECT, .timeout_ms = 30}, on_timeout, self);
}

/*  Two callbacks in a row, the first of which goes on only when the second has run. */
typedef struct {
    atomic_int ended;
    atomic_bool held_up;
} pair_t;

static void wait_for_the_other (weft_call_t *call, void *arg)
{
    pair_t *self = arg;
    weft_call_destroy (&call);
    if (self->ended++ > 0)
        return;
    for (int i = 0; i < 100 && self->ended == 1; i++)
        check_sum (i, 1, &direct);
    self->held_up = self->ended == 1;
    self->ended++;
}

static void start_pair (weft_call_t *call, void *arg)
{
    weft_call_destroy (&call);
    start ("Test.Sum", &direct, wait_for_the_other, arg);
    start ("Test.Sum", &direct, wait_for_the_other, arg);
}

TEST (a_callback_that_waits_holds_up_no_other)
{
    pair_t self = {0};
    set_up (1);
    check_sum (1, 1, &direct);
    start ("Test.Sum", &direct, start_pair, &self);
    while (self.ended < 3)
        sched_yield ();
    CHECK (!self.held_up);
    tear_down ();
}

/*  Callbacks in a row, the first of which start more calls than one message holds, while a later one looks
 *  at whether they are on their way. */
typedef struct {
    atomic_int ran, open;
    unsigned before;
    bool left;
} wave_t;

static void end_of_wave (weft_call_t *call, void *arg)
{
    weft_call_destroy (&call);
    ((wave_t *) arg)->open--;
}

static void make_wave (weft_call_t *call, void *arg)
{
    enum { STARTED = 50, LOOKS = 20 };
    wave_t *self = arg;
    weft_call_destroy (&call);
    if (self->ran++ < LOOKS) {
        for (int i = 0; i < STARTED; i++, self->open++)
            start ("Test.Sum", &direct, end_of_wave, self);
    } else {
        const int64_t until_us = clock_now_us () + 2000000;
        while (fake_requests (fake, 0) == self->before && clock_now_us () < until_us)
            sched_yield ();
        self->left = fake_requests (fake, 0) > self->before;
    }
    self->open--;
}

static void start_wave (weft_call_t *call, void *arg)
{
    wave_t *self = arg;
    weft_call_destroy (&call);
    self->before = fake_requests (fake, 0) + 21;
    for (int i = 0; i < 21; i++, self->open++)
        start ("Test.Sum", &direct, make_wave, self);
    self->open--;
}

TEST (a_full_message_leaves_while_more_callbacks_run)
{
    wave_t self = {.open = 1};
    set_up (1);
    check_sum (1, 1, &direct);
    start ("Test.Sum", &direct, start_wave, &self);
    while (self.open > 0)
        sched_yield ();
    CHECK (self.left);
    tear_down ();
}

static void *wait_for_cancel (void *arg)
{
    CHECK (weft_call_wait (arg, -1));
    check_status (arg, WEFT_CANCELLED, WEFT_EXECUTED_MAYBE);
    return NULL;
}

TEST (what_a_callback_starts_is_not_slept_through_by_the_thread_that_leads_meanwhile)
{
    set_up (1);
    check_sum (1, 1, &direct);
    overtaken self = {.inside = false};
    pthread_t waiting;
    const int64_t from_us = clock_now_us ();
    weft_call_t *never = start ("Test.Never", &(weft_call_options_t){.timeout_ms = 20000}, NULL, NULL);
    start ("ill-formed", NULL, be_overtaken, &self);
    while (!self.inside)
        sched_yield ();
    CHECK (pthread_create (&waiting, NULL, wait_for_cancel, never) == 0);
    while (!self.timed_out || self.invalid < 1)
        sched_yield ();
    weft_call_cancel (never);
    pthread_join (waiting, NULL); /* it is woken, though others led since it fell asleep */
    CHECK (clock_now_us () - from_us < 10000000);
    weft_call_destroy (&never);
    tear_down ();
}

/*  Many threads on one client. */

static void *call_a_lot (void *arg)
{
    const int64_t thread = *(int64_t *) arg;
    for (int64_t i = 0; i < 400; i++)
        check_sum (thread * 1000, i, i % 2 ? &direct : &routed);
    return NULL;
}

TEST (s8_eight_threads_share_a_client_and_each_gets_its_own)
{
    set_up (3);
    pthread_t threads [8];
    int64_t numbers [8];
    tally all = {.lock = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER, .left = 1000};
    for (int i = 0; i < 8; i++) {
        numbers [i] = i;
        CHECK (pthread_create (&threads [i], NULL, call_a_lot, &numbers [i]) == 0);
    }
    for (int i = 0; i < 4; i++)
        start ("Test.Sum", NULL, start_next, &all);
    for (int i = 0; i < 8; i++)
        pthread_join (threads [i], NULL);
    await_all (&all, 1004);
    const weft_client_stats_t stats = weft_client_stats (client);
    CHECK_INT (stats.finished, 8 * 400 + 1004);
    CHECK_INT (stats.failed + stats.late + stats.malformed, 0);
    CHECK_INT (stats.endpoints, 3);
    CHECK (stats.broker);
    tear_down ();
}

static void *wait_for_shutdown (void *arg)
{
    weft_call_t *call = arg;
    CHECK (weft_call_wait (call, -1));
    check_status (call, WEFT_SHUTDOWN, weft_call_executed (call));
    weft_call_destroy (&call);
    return NULL;
}

static void expect_shutdown (weft_call_t *call, void *arg)
{
    CHECK_INT (weft_call_status (call), WEFT_SHUTDOWN);
    weft_call_destroy (&call);
    count_one (arg);
}

TEST (n10_closing_wakes_all_who_wait_with_shutdown)
{
    set_up (1);
    pthread_t threads [4];
    tally all = {.lock = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < 4; i++)
        CHECK (pthread_create (&threads [i], NULL, wait_for_shutdown,
                               start ("Test.Never", NULL, NULL, NULL)) == 0);
    start ("Test.Never", NULL, expect_shutdown, &all);
    check_sum (1, 1, NULL);
    weft_client_close (client);
    CHECK_INT (all.finished, 1);
    CHECK_INT (weft_client_call (client, "Test.Sum", WEFT_NOTHING, NULL, NULL), WEFT_SHUTDOWN);
    weft_client_destroy (&client);
    for (int i = 0; i < 4; i++)
        pthread_join (threads [i], NULL);
    while (fake_goodbyes (fake) < 2)
        poll (NULL, 0, 1);
    fake_destroy (&fake);
}

static void start_again (weft_call_t *call, void *arg)
{
    tally *self = arg;
    CHECK_INT (weft_call_status (call), WEFT_SHUTDOWN);
    weft_call_destroy (&call);
    if (self->left-- > 0)
        start ("Test.Sum", NULL, start_again, self);
    count_one (self);
}

TEST (callbacks_that_start_calls_while_the_client_closes_get_them_back_too)
{
    set_up (1);
    tally all = {.left = 5, .lock = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER};
    start ("Test.Never", NULL, start_again, &all);
    weft_client_close (client);
    CHECK_INT (all.finished, 6);
    all.left = 5;
    start ("Test.Never", NULL, start_again, &all);
    tear_down ();
    CHECK_INT (all.finished, 12);
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

/*  A loop of the user's own, and idleness. */

static void drive_until (const weft_call_t *call)
{
    while (!weft_call_done (call)) {
        struct pollfd item = {.fd = weft_client_fd (client), .events = POLLIN};
        CHECK (poll (&item, 1, 5000) == 1); /* it never has to be driven without being told */
        weft_client_drive (client);
    }
}

TEST (an_event_loop_of_ones_own_can_drive)
{
    set_up_with (2, &(weft_client_options_t){.own_loop = true});
    tally all = {.lock = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER};
    for (int round = 0; round < 50; round++) {
        weft_call_t *call = start ("Test.Sum", round % 2 ? &routed : NULL, NULL, NULL);
        start ("Test.Sum", NULL, on_done, &all);
        drive_until (call);
        CHECK_INT (weft_call_status (call), WEFT_OK);
        weft_call_destroy (&call);
    }
    weft_call_t *never = start ("Test.Never", &(weft_call_options_t){.timeout_ms = 50}, NULL, NULL);
    drive_until (never);
    check_status (never, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    weft_call_destroy (&never);
    weft_call_t *bad = start ("bad", NULL, NULL, NULL);
    drive_until (bad);
    weft_call_destroy (&bad);
    check_sum (1, 2, NULL); /* and waiting works as well */
    CHECK_INT (all.finished, 50);
    tear_down ();
}

static void start_wrong_again (weft_call_t *call, void *arg)
{
    tally *self = arg;
    weft_call_destroy (&call);
    self->finished++;
    if (self->left > 0)
        start ("ill-formed", NULL, start_wrong_again, self);
}

TEST (callbacks_that_start_what_fails_at_once_do_not_keep_a_drive_from_returning)
{
    set_up_with (1, &(weft_client_options_t){.own_loop = true});
    tally all = {.left = 1};
    start ("ill-formed", NULL, start_wrong_again, &all);
    for (int i = 0; i < 10; i++) {
        struct pollfd item = {.fd = weft_client_fd (client), .events = POLLIN};
        CHECK (poll (&item, 1, 5000) == 1);
        weft_client_drive (client);
    }
    CHECK (all.finished >= 1 && all.finished <= 10);
    all.left = 0;
    tear_down ();
}

TEST (a_loop_of_ones_own_is_told_of_what_a_waiting_call_left_behind)
{
    set_up_with (1, &(weft_client_options_t){.own_loop = true});
    check_sum (1, 1, &direct);
    weft_call_t *first = start ("Test.Never", &(weft_call_options_t){.timeout_ms = 50}, NULL, NULL);
    weft_call_t *second = start ("Test.Never", &(weft_call_options_t){.timeout_ms = 150}, NULL, NULL);
    CHECK_INT (weft_client_call (client, "Test.Never", WEFT_NOTHING,
                                 &(weft_call_options_t){.timeout_ms = 100}, NULL),
               WEFT_DEADLINE_EXCEEDED);
    CHECK (weft_call_done (first));
    drive_until (second);
    weft_call_destroy (&first);
    weft_call_destroy (&second);
    tear_down ();
}

/*  Lets so much time pass that the background thread has taken the lead. */
static void idle (void)
{
    weft_client_t *other = weft_client_new (fake_broker (fake), NULL);
    weft_client_call (other, "Test.Never", WEFT_NOTHING, &(weft_call_options_t){.timeout_ms = 200}, NULL);
    weft_client_destroy (&other);
}

/*  A thread that keeps some calls open and waits for the oldest drives all of them itself. */
TEST (handles_waited_for_in_order_need_no_other_thread)
{
    enum { WINDOW = 16, ROUNDS = 2000 };
    weft_call_t *window [WINDOW];
    set_up (1);
    check_sum (1, 1, NULL);
    const uint64_t before = client_rouses (client);
    for (int i = 0; i < WINDOW; i++)
        window [i] = start ("Test.Sum", &direct, NULL, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        weft_call_t **oldest = &window [i % WINDOW];
        CHECK (weft_call_wait (*oldest, -1));
        check_status (*oldest, WEFT_OK, WEFT_EXECUTED_YES);
        weft_call_destroy (oldest);
        *oldest = start ("Test.Sum", &direct, NULL, NULL);
    }
    CHECK (client_rouses (client) - before < ROUNDS / 4); /* not at each start */
    for (int i = 0; i < WINDOW; i++)
        weft_call_destroy (&window [i]);
    tear_down ();
}

/*  Leaves `count` finished calls lying about. */
static void finish_some (weft_call_t **calls, int count)
{
    for (int i = 0; i < count; i++)
        CHECK_INT (weft_client_call (client, "Test.Sum", WEFT_IN (pair, &(pair){1, 2}), &direct, &calls [i]),
                   WEFT_OK);
}

TEST (calls_started_while_finished_ones_lie_about_leave_together)
{
    enum { COUNT = 8 };
    weft_call_t *calls [COUNT];
    set_up (1);
    check_sum (1, 1, NULL);
    finish_some (calls, COUNT);
    const uint64_t before = client_gathered (client);
    for (int i = 0; i < COUNT; i++) {
        weft_call_destroy (&calls [i]);
        calls [i] = start ("Test.Sum", &direct, NULL, NULL);
    }
    const uint64_t gathered = client_gathered (client) - before;
    CHECK (gathered > 0);
    CHECK (gathered < COUNT); /* nothing lay about any more when the last was started */
    for (int i = 0; i < COUNT; i++) {
        CHECK (weft_call_wait (calls [i], -1));
        check_status (calls [i], WEFT_OK, WEFT_EXECUTED_YES);
        weft_call_destroy (&calls [i]);
    }
    tear_down ();
}

/*  A finished call that is kept makes no other one wait. */
TEST (a_call_that_is_alone_is_never_held_back)
{
    weft_call_t *kept, *call;
    set_up (1);
    check_sum (1, 1, NULL);
    finish_some (&kept, 1);
    for (int i = 0; i < 100; i++) {
        call = start ("Test.Sum", &direct, NULL, NULL);
        CHECK (weft_call_wait (call, -1));
        weft_call_destroy (&call);
    }
    CHECK_INT (client_gathered (client), 0);
    weft_call_destroy (&kept);
    tear_down ();
}

static void *wait_for_never (void *arg)
{
    weft_client_call (client, "Test.Never", WEFT_NOTHING, &(weft_call_options_t){.timeout_ms = 1000}, NULL);
    return arg;
}

/*  Nobody waits for it, and who leads is asleep. */
TEST (a_call_held_back_leaves_though_its_owner_has_gone)
{
    weft_call_t *finished, *call;
    pthread_t other;
    set_up (1);
    check_sum (1, 1, NULL);
    finish_some (&finished, 1);
    CHECK_INT (pthread_create (&other, NULL, wait_for_never, NULL), 0);
    while (!client_asleep (client))
        sched_yield ();
    const uint64_t before = client_gathered (client);
    const int64_t since_us = clock_now_us ();
    call = start ("Test.Sum", &direct, NULL, NULL);
    CHECK_INT (client_gathered (client) - before, 1);
    while (!weft_call_done (call))
        sched_yield ();
    CHECK (clock_now_us () - since_us < 500000); /* with the other thread's time limit it would be 1000 ms */
    check_status (call, WEFT_OK, WEFT_EXECUTED_YES);
    weft_call_destroy (&call);
    call = start ("Test.Sum", &direct, NULL, NULL);
    CHECK (client_gathered (client) - before == 1 || clock_now_us () - since_us > 100000); /* not again so soon */
    weft_call_destroy (&call);
    pthread_join (other, NULL);
    weft_call_destroy (&finished);
    tear_down ();
}

/*  It would sleep over what it is to send when the owner forgets it. */
TEST (nothing_is_held_back_while_the_background_thread_drives)
{
    weft_call_t *finished, *open, *call;
    set_up (1);
    check_sum (1, 1, NULL);
    finish_some (&finished, 1);
    open = start ("Test.Never", &direct, NULL, NULL);
    while (!client_asleep (client))
        sched_yield ();
    call = start ("Test.Sum", &direct, NULL, NULL);
    CHECK_INT (client_gathered (client), 0);
    while (!weft_call_done (call))
        sched_yield ();
    check_status (call, WEFT_OK, WEFT_EXECUTED_YES);
    weft_call_destroy (&call);
    weft_call_destroy (&open);
    weft_call_destroy (&finished);
    tear_down ();
}

/*  Nobody waits: somebody else must look after it, and soon, also just after a caller drove. */
TEST (a_handle_that_is_only_looked_at_ends_too)
{
    enum { ROUNDS = 20 };
    set_up (1);
    check_sum (1, 1, NULL);
    const int64_t since_us = clock_now_us ();
    for (int i = 0; i < ROUNDS; i++) {
        check_sum (1, 2, &direct);
        weft_call_t *call = start ("Test.Sum", &direct, NULL, NULL);
        while (!weft_call_done (call))
            sched_yield ();
        check_status (call, WEFT_OK, WEFT_EXECUTED_YES);
        weft_call_destroy (&call);
    }
    CHECK (clock_now_us () - since_us < ROUNDS * 37000); /* the background thread's own pace is 75 ms */
    weft_call_t *never =
        start ("Test.Never", &(weft_call_options_t){.via = WEFT_VIA_DIRECT, .timeout_ms = 30}, NULL, NULL);
    while (!weft_call_done (never))
        sched_yield ();
    check_status (never, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    weft_call_destroy (&never);
    tear_down ();
}

TEST (an_idle_client_does_nothing)
{
    set_up (1);
    check_sum (1, 1, NULL);
    const uint64_t before = client_turns (client);
    CHECK_INT (weft_client_call (client, "Test.Never", WEFT_NOTHING,
                                 &(weft_call_options_t){.timeout_ms = 300}, NULL),
               WEFT_DEADLINE_EXCEEDED);
    const uint64_t waiting = client_turns (client);
    CHECK (waiting - before <= 12);
    idle ();
    CHECK (client_turns (client) - waiting <= 12); /* the background thread sleeps too */
    tear_down ();
}

static void expect_deadline (weft_call_t *call, void *arg)
{
    check_status (call, WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE);
    weft_call_destroy (&call);
    count_one (arg);
}

TEST (a_background_thread_that_was_sent_away_comes_back_for_deadlines)
{
    set_up (1);
    tally all = {.lock = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < 3; i++) {
        check_sum (1, 1, NULL);
        idle ();
        check_sum (1, 1, NULL); /* sends it away */
        start ("Test.Never", &(weft_call_options_t){.timeout_ms = 30}, expect_deadline, &all);
        await_all (&all, i + 1);
    }
    tear_down ();
}

static void *wait_in_vain (void *arg)
{
    const weft_call_options_t options = {.timeout_ms = *(int *) arg};
    CHECK_INT (weft_client_call (client, "Test.Never", WEFT_NOTHING, &options, NULL), WEFT_DEADLINE_EXCEEDED);
    return NULL;
}

TEST (who_stops_driving_hands_over_to_who_waits)
{
    set_up_with (1, &(weft_client_options_t){.own_loop = true}); /* no background thread that would help */
    static int timeouts [] = {30, 60, 90, 120};
    pthread_t threads [4];
    check_sum (1, 1, NULL);
    for (int i = 0; i < 4; i++)
        CHECK (pthread_create (&threads [i], NULL, wait_in_vain, &timeouts [i]) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join (threads [i], NULL);
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
