/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "calls.h"
#include "dispatch.h"

static calls_t calls;
static caller_t alice, bob;
static server_t worker, other;

static void setup (uint32_t max)
{
    CHECK (calls_init (&calls, max, 7));
    caller_init (&alice, &calls);
    caller_init (&bob, &calls);
    server_init (&worker);
    server_init (&other);
}

/*  A REQUEST with a body of `size` zeros, in a frame of its own. */
static wire_record_t request (message_t *message, size_t size)
{
    static uint8_t body [8192];
    buffer_t bytes;
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault;

    buffer_init (&bytes, SIZE_MAX);
    wire_write_request (&bytes, 5, text_of ("A.B"), 1000, body, size, false, NULL);
    message_init (message);
    CHECK (message_add_bytes (message, bytes.data, bytes.size));
    buffer_fini (&bytes);
    message_cursor_t cursor = message_cursor (message);
    CHECK_INT (message_next (&cursor, &record, &attachment, &fault), 1);
    return record;
}

TEST (n7_a_reply_counts_only_from_the_worker_that_was_given_the_call)
{
    setup (10);
    call_t *call = calls_open (&calls, &alice, 5, 0, DEADLINES_NEVER);
    const uint64_t id = call->id;
    CHECK (!calls_of_server (&calls, id, &worker)); /* queued: nobody's yet */
    server_give (&worker, call);
    CHECK (!calls_of_server (&calls, id, &other));
    CHECK (!calls_of_server (&calls, id + 1, &worker));
    CHECK (calls_of_server (&calls, id, &worker) == call);
    server_release (&worker, call);
    calls_close (&calls, call);
    CHECK (!calls_of_server (&calls, id, &worker));

    call = calls_open (&calls, &alice, 6, 0, DEADLINES_NEVER); /* the same memory, another id */
    server_give (&worker, call);
    CHECK (!calls_of_server (&calls, id, &worker));
    server_release (&worker, call);
    calls_close (&calls, call);
    calls_fini (&calls);
}

TEST (clients_ids_are_their_own)
{
    setup (10);
    call_t *hers = calls_open (&calls, &alice, 5, 0, DEADLINES_NEVER);
    call_t *his = calls_open (&calls, &bob, 5, 0, DEADLINES_NEVER);
    CHECK (hers->id != his->id);
    CHECK (calls_of_caller (&calls, &alice, 5) == hers);
    CHECK (calls_of_caller (&calls, &bob, 5) == his);
    CHECK (!calls_of_caller (&calls, &bob, 6));
    CHECK_INT (alice.calls.count, 1);
    calls_abandon (&calls, hers);
    CHECK_INT (alice.calls.count, 0);
    CHECK (!calls_of_caller (&calls, &alice, 5));
    calls_close (&calls, hers);
    calls_close (&calls, his);
    calls_fini (&calls);
}

TEST (a_full_table_says_so)
{
    setup (2);
    call_t *a = calls_open (&calls, &alice, 1, 0, DEADLINES_NEVER);
    call_t *b = calls_open (&calls, &alice, 2, 0, 50);
    CHECK (a && b);
    CHECK (!calls_open (&calls, &alice, 3, 0, 50));
    CHECK_INT (alice.calls.count, 2);
    calls_close (&calls, a);
    a = calls_open (&calls, &alice, 3, 0, DEADLINES_NEVER);
    CHECK (a != NULL);
    calls_close (&calls, a);
    calls_close (&calls, b);
    calls_fini (&calls);
}

TEST (deadlines_come_due_once_and_in_order)
{
    setup (10);
    call_t *late = calls_open (&calls, &alice, 1, 0, 2000);
    call_t *soon = calls_open (&calls, &alice, 2, 0, 1000);
    CHECK (!calls_expired (&calls, 999));
    CHECK (calls_expired (&calls, 5000) == soon);
    CHECK (calls_expired (&calls, 5000) == late);
    CHECK (!calls_expired (&calls, 5000));
    calls_close (&calls, late);
    calls_close (&calls, soon);
    calls_fini (&calls);
}

TEST (held_requests_are_counted_and_let_go)
{
    message_t small, large;
    zmq_msg_t attachment;
    size_t size;
    setup (10);
    wire_record_t a = request (&small, 10), b = request (&large, 5000);
    call_t *first = calls_open (&calls, &alice, 1, 0, DEADLINES_NEVER);
    call_t *second = calls_open (&calls, &alice, 2, 0, DEADLINES_NEVER);

    zmq_msg_init_size (&attachment, 9000);
    CHECK (calls_hold (&calls, first, &a, &small.frames [0], &attachment));
    CHECK_INT (zmq_msg_size (&attachment), 0);          /* moved */
    CHECK (zmq_msg_size (&small.frames [0]) == a.size); /* copied */
    const void *held = call_record (first, &size);
    CHECK_MEM (held, size, a.start, a.size);
    CHECK (calls_hold (&calls, second, &b, &large.frames [0], NULL));
    CHECK_INT (zmq_msg_size (&large.frames [0]), 0);    /* moved */
    CHECK_INT (calls.bytes, (int64_t) (a.size + 9000 + b.size));

    calls_drop_held (&calls, second);
    CHECK_INT (calls.bytes, (int64_t) (a.size + 9000));
    calls_close (&calls, first);
    calls_close (&calls, second);
    CHECK_INT (calls.bytes, 0);
    message_fini (&small);
    message_fini (&large);
    calls_fini (&calls);
}
