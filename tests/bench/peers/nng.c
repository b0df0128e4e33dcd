/* SPDX-License-Identifier: MPL-2.0
 *
 *  nng.c - nng's request and reply: REP and REQ sockets with as many contexts as calls are outstanding, driven by
 *  asynchronous operations; one outstanding call is nng_sendmsg and nng_recvmsg.
 *
 *  Bodies are raw: {number, a, b} of native integers, {number, sum}; an echo goes back as it came. */

#include "load.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

#define SERVED_MAX 1024 /* at once */

typedef struct {
    nng_ctx context;
    nng_aio *aio;
    bool sending;
    load_call_t *call;
} exchange_t;

static load_t load;
static nng_socket sock;
static exchange_t exchanges [LOAD_OUTSTANDING_MAX];
static unsigned char blob [LOAD_ECHO_MAX];
static atomic_int open_calls;
static sem_t all_answered;

static void must (int rc, const char *what)
{
    if (rc != 0)
        load_fail (what, nng_strerror (rc));
}

static void exchange_init (exchange_t *self, void (*step) (void *))
{
    must (nng_ctx_open (&self->context, sock), "context");
    must (nng_aio_alloc (&self->aio, step, self), "aio");
}

/*  Receives a request, sends its answer, and so on. A client that left is no failure. */
static void serve (void *arg)
{
    exchange_t *self = arg;
    const bool failed = nng_aio_result (self->aio) != 0;
    if (failed && self->sending)
        nng_msg_free (nng_aio_get_msg (self->aio));
    if (failed || self->sending) {
        self->sending = false;
        nng_ctx_recv (self->context, self->aio);
        return;
    }
    nng_msg *message = nng_aio_get_msg (self->aio);
    if (nng_msg_len (message) == 3 * sizeof (uint64_t)) {
        uint64_t *numbers = nng_msg_body (message);
        numbers [1] += numbers [2];
        nng_msg_chop (message, sizeof (uint64_t));
    }
    nng_aio_set_msg (self->aio, message);
    self->sending = true;
    nng_ctx_send (self->context, self->aio);
}

static void listen_and_serve (void)
{
    must (nng_rep0_open (&sock), "socket");
    must (nng_socket_set_size (sock, NNG_OPT_RECVMAXSZ, 0), "size");
    for (int i = 0; i < SERVED_MAX; i++)
        exchange_init (&exchanges [i], serve);
    must (nng_listen (sock, load.address, NULL, 0), load.address);
    for (int i = 0; i < SERVED_MAX; i++)
        nng_ctx_recv (exchanges [i].context, exchanges [i].aio);
    load_ready ();
    for (;;)
        pause ();
}

static nng_msg *request_of (uint64_t number)
{
    const uint64_t numbers [3] = {number, number, LOAD_ADDEND};
    nng_msg *message;
    must (nng_msg_alloc (&message, load.echo_size > 0 ? load.echo_size : sizeof numbers), "message");
    if (load.echo_size > 0) {
        memcpy (nng_msg_body (message), blob, load.echo_size);
        load_stamp (nng_msg_body (message), number);
    } else
        memcpy (nng_msg_body (message), numbers, sizeof numbers);
    return message;
}

static void check (const load_call_t *call, nng_msg *message)
{
    if (load.echo_size > 0)
        load_check_echo (&load, call->number, nng_msg_body (message), nng_msg_len (message));
    else {
        int64_t numbers [2] = {0, 0};
        if (nng_msg_len (message) == sizeof numbers)
            memcpy (numbers, nng_msg_body (message), sizeof numbers);
        if ((uint64_t) numbers [0] != call->number)
            load_fail ("answer", "wrong number");
        load_check_add (call->number, numbers [1]);
    }
    nng_msg_free (message);
}

static void call_one_by_one (void)
{
    load_call_t *call = &load.calls [0];
    nng_msg *message;
    load_start (call);
    do {
        must (nng_sendmsg (sock, request_of (call->number), 0), "send");
        must (nng_recvmsg (sock, &message, 0), "receive");
        check (call, message);
    } while (load_next (&load, call));
}

static void send_call (exchange_t *self)
{
    nng_aio_set_msg (self->aio, request_of (self->call->number));
    self->sending = true;
    nng_ctx_send (self->context, self->aio);
}

static void call_again (void *arg)
{
    exchange_t *self = arg;
    must (nng_aio_result (self->aio), "call");
    if (self->sending) {
        self->sending = false;
        nng_ctx_recv (self->context, self->aio);
        return;
    }
    check (self->call, nng_aio_get_msg (self->aio));
    if (load_next (&load, self->call))
        send_call (self);
    else if (atomic_fetch_sub (&open_calls, 1) == 1)
        sem_post (&all_answered);
}

static void call_many (void)
{
    sem_init (&all_answered, 0, 0);
    atomic_store (&open_calls, load.outstanding);
    for (int i = 0; i < load.outstanding; i++) {
        exchange_init (&exchanges [i], call_again);
        exchanges [i].call = &load.calls [i];
        load_start (&load.calls [i]);
        send_call (&exchanges [i]);
    }
    sem_wait (&all_answered);
}

int main (int argc, char **argv)
{
    load_begin (&load, argc, argv);
    load_fill (blob);
    if (strcmp (load.role, "server") == 0)
        listen_and_serve ();
    must (nng_req0_open (&sock), "socket");
    must (nng_socket_set_size (sock, NNG_OPT_RECVMAXSZ, 0), "size");
    must (nng_dial (sock, load.address, NULL, 0), load.address);
    if (load.outstanding == 1)
        call_one_by_one ();
    else
        call_many ();
    load_end ();
}
