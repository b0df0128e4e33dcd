/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "dice.h"
#include "dispatch.h"

#define MANY 8

static calls_t calls;
static dispatch_t dispatch;
static caller_t callers [MANY];
static lane_t lanes [MANY];
static server_t servers [MANY];
static offer_t offers [MANY][MANY]; /* of server to lane */
static uint64_t number;

static void setup (void)
{
    CHECK (calls_init (&calls, 10000, 7));
    CHECK (dispatch_init (&dispatch, 7));
    for (int i = 0; i < MANY; i++) {
        caller_init (&callers [i], &calls);
        lane_init (&lanes [i]);
        server_init (&servers [i]);
        for (int j = 0; j < MANY; j++)
            offers [i][j] = (offer_t){0};
    }
}

/*  What a broker does with calls, without the broker. */

static void serve (server_t *server)
{
    call_t *call;
    while ((call = dispatch_next (&dispatch, server)))
        server_give (server, call);
}

static void join (int server, int lane)
{
    offer_join (&offers [server][lane], &servers [server], &lanes [lane]);
    serve (&servers [server]);
}

static void set_window (server_t *server, uint64_t window, uint64_t capacity)
{
    server->window = window;
    server->capacity = capacity;
    serve (server);
}

static call_t *submit (int caller, int lane)
{
    call_t *call = calls_open (&calls, &callers [caller], ++number, 0, DEADLINES_NEVER);
    CHECK (call != NULL);
    server_t *server = lane_server (&lanes [lane]);
    if (server)
        server_give (server, call);
    else
        CHECK (dispatch_queue (&dispatch, &lanes [lane], call, 0));
    return call;
}

static void finish (call_t *call)
{
    server_t *server = call->server;
    server_release (server, call);
    calls_close (&calls, call);
    serve (server);
}

static call_t *oldest (server_t *server)
{
    list_node_t *node = list_first (&server->calls);
    return node ? CONTAINER_OF (node, call_t, node) : NULL;
}

static void teardown (void)
{
    for (int i = 0; i < MANY; i++) {
        while (oldest (&servers [i])) {
            call_t *call = oldest (&servers [i]);
            server_release (&servers [i], call);
            calls_close (&calls, call);
        }
        call_t *call;
        while ((call = lane_first (&lanes [i]))) {
            dispatch_unqueue (&dispatch, call);
            calls_close (&calls, call);
        }
        for (int j = 0; j < MANY; j++)
            if (offers [i][j].lane)
                offer_part (&offers [i][j]);
    }
    dispatch_fini (&dispatch);
    calls_fini (&calls);
}

TEST (a_call_waits_until_somebody_has_room)
{
    setup ();
    call_t *call = submit (0, 0);
    CHECK (call->flow && !call->server);
    join (0, 0);                        /* no window yet */
    CHECK (!call->server);
    set_window (&servers [0], 1, 1);
    CHECK (call->server == &servers [0]);

    call_t *next = submit (0, 0);
    CHECK (next->flow != NULL);
    finish (call);                      /* majordomo 73: stalled here */
    CHECK (next->server == &servers [0]);
    teardown ();
}

TEST (a_worker_of_one_service_gets_no_call_of_another)
{
    setup ();
    join (0, 0);
    join (1, 1);
    set_window (&servers [0], 9, 9);
    set_window (&servers [1], 9, 9);
    for (int i = 0; i < 5; i++)
        CHECK (submit (0, 1)->server == &servers [1]);
    CHECK (submit (0, 2)->server == NULL);
    teardown ();
}

TEST (idle_workers_come_before_busy_ones)
{
    setup ();
    join (0, 0);
    join (1, 0);
    set_window (&servers [0], 8, 1);
    set_window (&servers [1], 8, 4);
    for (int i = 0; i < 5; i++)
        submit (0, 0);
    CHECK_INT (servers [0].calls.count, 1);
    CHECK_INT (servers [1].calls.count, 4);
    for (int i = 0; i < 4; i++)         /* all are busy: the room that is left, in turns */
        submit (0, 0);
    CHECK_INT (servers [0].calls.count, 3);
    CHECK_INT (servers [1].calls.count, 6);
    while (servers [1].calls.count > 3)
        finish (oldest (&servers [1])); /* idle again */
    CHECK (submit (0, 0)->server == &servers [1]);
    teardown ();
}

TEST (clients_take_turns)
{
    setup ();
    join (0, 0);
    for (int i = 0; i < 100; i++)
        submit (0, 0);                  /* a greedy one came first */
    call_t *modest = submit (1, 0), *other = submit (2, 0);
    set_window (&servers [0], 3, 3);
    CHECK (modest->server && other->server);
    CHECK_INT (lanes [0].queued, 99);
    teardown ();
}

TEST (a_clients_own_calls_keep_their_order)
{
    setup ();
    call_t *first = submit (0, 0), *second = submit (0, 0);
    join (0, 0);
    set_window (&servers [0], 1, 1);
    CHECK (first->server && !second->server);
    teardown ();
}

TEST (a_closed_or_backlogged_worker_gets_nothing)
{
    setup ();
    join (0, 0);
    set_window (&servers [0], 9, 9);
    servers [0].closed = true;
    call_t *call = submit (0, 0);
    CHECK (!call->server);
    servers [0].closed = false;
    servers [0].backlogged = true;
    serve (&servers [0]);
    CHECK (!call->server);
    servers [0].backlogged = false;
    serve (&servers [0]);
    CHECK (call->server == &servers [0]);
    teardown ();
}

TEST (a_stuck_worker_takes_from_a_lane_only_while_nobody_else_is_there)
{
    setup ();
    join (0, 0);
    join (1, 0);
    servers [0].stuck = true;
    lanes [0].well = 1;
    set_window (&servers [0], 9, 9);
    set_window (&servers [1], 1, 1);
    call_t *first = submit (0, 0), *second = submit (0, 0), *third = submit (0, 0);
    CHECK (first->server == &servers [1]);
    CHECK (!second->server);
    lanes [0].well = 0;
    serve (&servers [0]);
    CHECK (second->server == &servers [0] && third->server == &servers [0]);
    lanes [0].well = 1;
    CHECK (!submit (0, 0)->server); /* its offer goes back down */
    finish (first);
    CHECK_INT (lanes [0].queued, 0);
    teardown ();
}

TEST (a_queued_call_can_be_taken_out)
{
    setup ();
    call_t *first = submit (0, 0), *second = submit (1, 0);
    dispatch_unqueue (&dispatch, first);
    calls_close (&calls, first);
    CHECK_INT (lanes [0].queued, 1);
    CHECK (lane_first (&lanes [0]) == second);
    teardown ();
}

/*  While a call waits in a lane, no worker of that lane has room; and no call sits in a busy worker that an idle one
 *  could have had at the time. */
static void check_work_is_conserved (void)
{
    for (int lane = 0; lane < MANY; lane++)
        for (int server = 0; server < MANY && lanes [lane].queued; server++)
            CHECK (!offers [server][lane].lane || !offer_takes (&offers [server][lane]));
}

TEST (no_sequence_of_events_leaves_work_beside_room)
{
    dice_t dice;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        setup ();
        dice_init (&dice, seed);
        for (int step = 0; step < 2000; step++) {
            const int a = (int) dice_below (&dice, MANY), b = (int) dice_below (&dice, MANY);
            call_t *call;
            switch (dice_below (&dice, 8)) {
                case 0:
                    if (!offers [a][b].lane)
                        join (a, b);
                    break;
                case 1:
                    set_window (&servers [a], dice_below (&dice, 6), dice_below (&dice, 4));
                    break;
                case 2:
                    servers [a].closed = dice_below (&dice, 4) == 0;
                    serve (&servers [a]);
                    break;
                case 3:
                case 4:
                    if ((call = oldest (&servers [a])))
                        finish (call);
                    break;
                case 5:
                    if ((call = lane_first (&lanes [a]))) {
                        dispatch_unqueue (&dispatch, call);
                        calls_close (&calls, call);
                    }
                    break;
                default:
                    submit (a, b);
            }
            check_work_is_conserved ();
        }
        teardown ();
    }
}
