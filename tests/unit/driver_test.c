/* SPDX-License-Identifier: MPL-2.0
 *
 *  Who drives a client: a loop of the user's own, whoever waits, or the background thread; and what is held back
 *  meanwhile to leave with others. */

#include <poll.h>
#include <sched.h>
#include "client_fixture.h"
#include "client_inside.h"
#include "clock.h"

/*  A loop of the user's own. */

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

/*  Held back, to leave with others. */

/*  Leaves `count` finished calls lying about. */
static void finish_some (weft_call_t **calls, int count)
{
    for (int i = 0; i < count; i++)
        CHECK_INT (weft_client_call (client, "Test.Sum", WEFT_IN (pair, &(pair){1, 2}), &direct, &calls [i]),
                   WEFT_OK);
}

/*  Starts `count` calls for that many finished ones. */
static void exchange (weft_call_t **calls, int count)
{
    for (int i = 0; i < count; i++) {
        weft_call_destroy (&calls [i]);
        calls [i] = start ("Test.Sum", &direct, NULL, NULL);
    }
}

TEST (calls_started_while_finished_ones_lie_about_leave_together)
{
    enum { COUNT = 8 };
    weft_call_t *calls [COUNT];
    uint64_t gathered = 0;
    set_up (1);
    check_sum (1, 1, NULL);
    for (int round = 0; gathered == 0; round++) { /* a thread that is held up long enough finds none to gather with */
        CHECK (round < 100);
        finish_some (calls, COUNT);
        exchange (calls, COUNT);
        gathered = client_gathered (client);
        CHECK (gathered < COUNT); /* nothing lay about any more when the last was started */
        for (int i = 0; i < COUNT; i++) {
            CHECK (weft_call_wait (calls [i], -1));
            check_status (calls [i], WEFT_OK, WEFT_EXECUTED_YES);
            weft_call_destroy (&calls [i]);
        }
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
    while (!client_asleep (client) || !client_rests (client))
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

typedef struct {
    atomic_bool inside, released;
} gate_t;

static void stay_inside (weft_call_t *call, void *arg)
{
    gate_t *self = arg;
    weft_call_destroy (&call);
    self->inside = true;
    while (!self->released)
        sched_yield ();
}

/*  It would come to that only after them. */
TEST (nothing_is_held_back_while_the_background_thread_runs_callbacks)
{
    weft_call_t *finished, *open, *call;
    gate_t gate = {.inside = false};
    set_up (1);
    check_sum (1, 1, NULL);
    finish_some (&finished, 1);
    start ("Test.Sum", &direct, stay_inside, &gate);
    while (!gate.inside)
        sched_yield ();
    open = start ("Test.Never", &direct, NULL, NULL);
    call = start ("Test.Sum", &direct, NULL, NULL);
    CHECK_INT (client_gathered (client), 0);
    gate.released = true;
    CHECK (weft_call_wait (call, -1));
    check_status (call, WEFT_OK, WEFT_EXECUTED_YES);
    weft_call_destroy (&call);
    weft_call_destroy (&open);
    weft_call_destroy (&finished);
    tear_down ();
}

/*  Whoever waits, and the background thread. */

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

/*  Lets so much time pass that the background thread has taken the lead. */
static void idle (void)
{
    weft_client_t *other = weft_client_new (fake_broker (fake), NULL);
    weft_client_call (other, "Test.Never", WEFT_NOTHING, &(weft_call_options_t){.timeout_ms = 200}, NULL);
    weft_client_destroy (&other);
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
