/* SPDX-License-Identifier: MPL-2.0
 *
 *  Calls that are handed back through callbacks, and many threads on one client. */

#include <poll.h>
#include <sched.h>
#include "client_fixture.h"
#include "client_inside.h"
#include "clock.h"

/*  Callbacks. */

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

/*  Its end is handed out behind the callback that destroys it. */
static void destroy_another (weft_call_t *call, void *arg)
{
    weft_call_t *const *others = arg;
    for (int i = 0; i < 2; i++) {
        weft_call_t *other = others [i];
        if (i == 1)
            weft_call_cancel (other); /* it has ended then, and nobody knows */
        weft_call_destroy (&other);
    }
    weft_call_destroy (&call);
}

TEST (a_handle_destroyed_in_the_callback_of_another_call_is_expected_no_more)
{
    set_up_with (1, &(weft_client_options_t){.own_loop = true});
    weft_call_t *others [2];
    for (int i = 0; i < 2; i++)
        others [i] = start ("Test.Never", NULL, on_done, NULL);
    CHECK_INT (client_called_back (client), 2);
    start ("ill-formed", NULL, destroy_another, others);
    weft_client_drive (client);
    CHECK_INT (client_called_back (client), 0);
    CHECK_INT (client_uncollected (client), 0);
    weft_client_drive (client);
    CHECK_INT (weft_client_stats (client).failed, 3);
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
