/* SPDX-License-Identifier: MPL-2.0
 *
 *  The client's sockets, with a channel that the test moves by hand and a worker that only listens. */

#include "channel_inside.h"
#include "check.h"
#include "clock.h"
#include "sockets.h"

static sockets_t sockets;
static channel_t channel;
static call_pool_t pool;
static void *listener;
static char address [WEFT_ENDPOINT_MAX + 1];

static bool reach (const char *at, void *arg)
{
    (void) at;
    (void) arg;
    return true;
}

static void set_up (int listener_type)
{
    size_t size = sizeof address;
    call_pool_init (&pool, 10);
    CHECK (sockets_init (&sockets, 10000, 1));
    listener = transport_socket (sockets.context, listener_type, 0);
    CHECK (zmq_bind (listener, "tcp://127.0.0.1:*") == 0);
    CHECK (zmq_getsockopt (listener, ZMQ_LAST_ENDPOINT, address, &size) == 0);
    const channel_options_t options = {.brokers = "tcp://127.0.0.1:1",
                                       .name = "test",
                                       .call = {5000, 60000, WEFT_VIA_AUTO, WEFT_BALANCE_P2C,
                                                WEFT_RETRY_FAILOVER, 0},
                                       .refresh_us = 10000000,
                                       .calls_max = 100000,
                                       .body_max = 10000,
                                       .seed = 1,
                                       .reach = reach,
                                       .pool = &pool};
    CHECK (channel_init (&channel, &options, clock_now_us ()));
}

static void tear_down (void)
{
    channel_close (&channel, clock_now_us ());
    channel_fini (&channel);
    zmq_close (listener);
    sockets_fini (&sockets, 0);
    call_pool_fini (&pool);
}

static endpoint_t *add_worker (const char *uuid)
{
    endpoint_t *endpoint = endpoints_add (&channel.endpoints, uuid);
    CHECK (endpoint);
    CHECK (endpoint_update (endpoint, 1, 1, ENDPOINT_ALIVE, (const char *[]){address}, 1));
    return endpoint;
}

/*  Turns and sleeps as a driver does, until nothing is left to look at. */
static void turn (void)
{
    do
        sockets_turn (&sockets, &channel, false);
    while (sockets_busy (&sockets));
}

static endpoint_t *connect_worker (const char *uuid)
{
    endpoint_t *endpoint = add_worker (uuid);
    CHECK (channel_connect (&channel, endpoint));
    turn ();
    while (endpoint->link.state == LINK_CONNECTING) {
        const int64_t now_us = clock_now_us ();
        sockets_note (&sockets, sockets_sleep (&sockets, now_us, now_us + 1000000));
        turn ();
    }
    return endpoint;
}

TEST (after_a_disconnect_the_other_connections_are_looked_at)
{
    set_up (ZMQ_ROUTER);
    endpoint_t *endpoint = connect_worker ("w1");
    CHECK_INT (endpoint->link.state, LINK_READY);
    turn ();
    channel_link (&channel, endpoint->link.alias, TRANSPORT_LOST, WEFT_OK, clock_now_us ());
    CHECK (!sockets_busy (&sockets));
    sockets_flush (&sockets, &channel, clock_now_us ());
    CHECK (sockets_busy (&sockets)); /* libzmq may have taken in what made the descriptor readable */
    tear_down ();
}

TEST (who_is_connected_keeps_its_address_from_one_that_is_out_of_date)
{
    set_up (ZMQ_ROUTER);
    endpoint_t *first = connect_worker ("w1");
    const uint64_t alias = first->link.alias;
    endpoint_t *second = connect_worker ("w2");
    CHECK_INT (second->link.state, LINK_IDLE);
    CHECK (second->unreachable);
    CHECK_INT (first->link.state, LINK_READY);
    CHECK_INT (first->link.alias, alias);
    tear_down ();
}

TEST (who_is_not_connected_yet_gives_way)
{
    set_up (ZMQ_STREAM); /* says nothing by itself */
    endpoint_t *first = add_worker ("w1"), *second = add_worker ("w2");
    CHECK (channel_connect (&channel, first) && channel_connect (&channel, second));
    sockets_flush (&sockets, &channel, clock_now_us ());
    CHECK_INT (first->link.state, LINK_IDLE);
    CHECK_INT (second->link.state, LINK_CONNECTING);
    tear_down ();
}

TEST (who_has_just_gone_leaves_its_address_to_the_next)
{
    set_up (ZMQ_ROUTER);
    endpoint_t *first = connect_worker ("w1");
    zmq_close (listener);
    zmq_pollitem_t monitor = {.socket = sockets.workers.monitor, .events = ZMQ_POLLIN};
    CHECK (zmq_poll (&monitor, 1, 5000) == 1); /* it is said, but the channel has not heard it yet */
    endpoint_t *second = add_worker ("w2");
    CHECK (channel_connect (&channel, second));
    listener = transport_socket (sockets.context, ZMQ_ROUTER, 0);
    while (zmq_bind (listener, address) < 0) {
    }
    sockets_flush (&sockets, &channel, clock_now_us ());
    CHECK_INT (first->link.state, LINK_IDLE);
    CHECK_INT (second->link.state, LINK_CONNECTING);
    tear_down ();
}

/*  Sends CANCELs of growing ids until there is no room; how many, the last of which is stuck. */
static uint64_t fill (link_t *link)
{
    static const uint8_t padding [4000];
    uint64_t id = 0;
    while (sockets.stuck.count == 0) {
        CHECK (id < 100000);
        wire_write_cancel (outbox_open_record (&link->outbox), ++id);
        outbox_close_record (&link->outbox, NULL);
        wire_write_item (outbox_open_record (&link->outbox), id, 0, padding, sizeof padding, false);
        outbox_close_record (&link->outbox, NULL);
        channel_touch (&channel, link);
        sockets_flush (&sockets, &channel, clock_now_us ());
    }
    return id;
}

/*  The ids of the CANCELs that the listener gets: 1, 2, ... up to `last`. */
static void hear_all (uint64_t last)
{
    zmq_msg_t id;
    message_t message;
    const char *fault;
    zmq_msg_init (&id);
    message_init (&message);
    for (uint64_t expected = 1; expected <= last;) {
        sockets_flush (&sockets, &channel, clock_now_us ());
        if (transport_receive (listener, &id, &message, &fault) != 1)
            continue;
        message_cursor_t cursor = message_cursor (&message);
        wire_record_t record;
        zmq_msg_t *attachment;
        while (message_next (&cursor, &record, &attachment, &fault) == 1)
            if (record.kind == WIRE_CANCEL)
                CHECK_INT (record.id, expected++);
        message_clear (&message);
    }
    message_fini (&message);
    zmq_msg_close (&id);
}

TEST (a_peer_that_does_not_read_is_tried_less_and_less_and_costs_no_turn)
{
    set_up (ZMQ_ROUTER);
    endpoint_t *endpoint = connect_worker ("w1");
    link_t *link = &endpoint->link;
    uint64_t last = fill (link);
    int64_t now_us = clock_now_us () + 2000, waits_us [7];
    for (int i = 0; i < 7; i++) {
        sockets_flush (&sockets, &channel, now_us);
        waits_us [i] = sockets_next_us (&sockets) - now_us;
        now_us += waits_us [i];
    }
    CHECK_INT (waits_us [0], 4000);
    CHECK_INT (waits_us [6], 64000);
    CHECK_INT (channel.dirty.count, 0); /* nobody looks at it meanwhile */
    wire_write_cancel (outbox_open_record (&link->outbox), ++last);
    outbox_close_record (&link->outbox, NULL);
    channel_touch (&channel, link);
    sockets_flush (&sockets, &channel, now_us - 1);
    CHECK_INT (channel.dirty.count, 0);
    hear_all (last); /* all of it, in order */
    CHECK_INT (sockets.stuck.count, 0);
    tear_down ();
}

static weft_call_t *calls [100000];
static size_t call_count;

/*  Calls with a body of four kilobytes, until there is no room: the last one is stuck. */
static void call_until_stuck (void)
{
    static const uint8_t padding [4000];
    const weft_call_options_t options = {
        .worker = "w1", .via = WEFT_VIA_DIRECT, .retry = WEFT_RETRY_FAILFAST, .timeout_ms = 60000};
    for (call_count = 0; sockets.stuck.count == 0; call_count++) {
        CHECK (call_count < sizeof calls / sizeof *calls);
        weft_call_t *call = calls [call_count] = call_new (&pool);
        buffer_append (&call->args, padding, sizeof padding);
        CHECK (call_ask (call, "A.B", &options, &channel.options.call));
        channel_start (&channel, call, clock_now_us ());
        sockets_flush (&sockets, &channel, clock_now_us ());
    }
}

/*  The connection is lost: which of the calls may have run? */
static void check_lost (link_t *link, size_t maybe)
{
    channel_link (&channel, link->alias, TRANSPORT_LOST, WEFT_OK, clock_now_us ());
    for (weft_call_t *call; (call = channel_next_done (&channel));)
        call_release (call, &pool);
    for (size_t i = 0; i < call_count; i++) {
        CHECK_INT (calls [i]->status, WEFT_WORKER_LOST);
        CHECK_INT (calls [i]->executed, i < maybe ? WEFT_EXECUTED_MAYBE : WEFT_EXECUTED_NO);
        call_release (calls [i], &pool);
    }
}

TEST (what_is_stuck_when_its_connection_is_lost_did_not_run)
{
    set_up (ZMQ_ROUTER);
    endpoint_t *endpoint = connect_worker ("w1");
    call_until_stuck ();
    check_lost (&endpoint->link, call_count - 1);
    tear_down ();
}

TEST (what_was_stuck_and_left_may_have_run)
{
    set_up (ZMQ_ROUTER);
    endpoint_t *endpoint = connect_worker ("w1");
    zmq_msg_t id;
    message_t message;
    const char *fault;
    zmq_msg_init (&id);
    message_init (&message);
    call_until_stuck ();
    while (sockets.stuck.count > 0) {
        transport_receive (listener, &id, &message, &fault);
        message_clear (&message);
        sockets_flush (&sockets, &channel, clock_now_us ());
    }
    check_lost (&endpoint->link, call_count);
    message_fini (&message);
    zmq_msg_close (&id);
    tear_down ();
}

TEST (what_is_stuck_goes_with_its_connection)
{
    set_up (ZMQ_ROUTER);
    endpoint_t *endpoint = connect_worker ("w1");
    fill (&endpoint->link);
    channel_link (&channel, endpoint->link.alias, TRANSPORT_LOST, WEFT_OK, clock_now_us ());
    sockets_flush (&sockets, &channel, clock_now_us ());
    CHECK_INT (sockets.stuck.count, 0);
    CHECK_INT (deadlines_next (&sockets.stuck_due), DEADLINES_NEVER);
    tear_down ();
}
