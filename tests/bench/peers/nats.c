/* SPDX-License-Identifier: MPL-2.0
 *
 *  nats.c - NATS request and reply with nats.c, through nats-server (ADDRESS nats://host:port).
 *
 *  One outstanding call is natsConnection_Request. Many are published with one inbox as the reply subject, and answered
 *  to one subscription. Bodies are raw: {number, a, b} of native integers, {number, sum}; an echo goes back as it came.
 *
 *  --option asap: what is published is sent at once. Without it nats.c gathers it for up to a millisecond. */

#include "load.h"

#include <nats/nats.h>
#include <semaphore.h>
#include <unistd.h>

#define SUBJECT "bench"
#define WAIT_MS 5000

static load_t load;
static natsConnection *connection;
static natsInbox *inbox;
static unsigned char blob [LOAD_ECHO_MAX];
static int open_calls;
static sem_t all_started, all_answered;

static void must (natsStatus status, const char *what)
{
    if (status != NATS_OK)
        load_fail (what, natsStatus_GetText (status));
}

static void serve (natsConnection *c, natsSubscription *subscription, natsMsg *request, void *arg)
{
    (void) subscription, (void) arg;
    const int size = natsMsg_GetDataLength (request);
    if (size == 3 * sizeof (uint64_t)) {
        uint64_t numbers [3];
        memcpy (numbers, natsMsg_GetData (request), sizeof numbers);
        numbers [1] += numbers [2];
        must (natsConnection_Publish (c, natsMsg_GetReply (request), numbers, 2 * sizeof (uint64_t)),
              "reply");
    } else
        must (natsConnection_Publish (c, natsMsg_GetReply (request), natsMsg_GetData (request), size),
              "reply");
    natsMsg_Destroy (request);
}

/*  The body of a call, valid until the next. */
static const void *body_of (uint64_t number, int *size)
{
    static uint64_t numbers [3];
    if (load.echo_size > 0) {
        load_stamp (blob, number);
        *size = (int) load.echo_size;
        return blob;
    }
    numbers [0] = numbers [1] = number;
    numbers [2] = LOAD_ADDEND;
    *size = sizeof numbers;
    return numbers;
}

static load_call_t *check (natsMsg *reply)
{
    const size_t size = (size_t) natsMsg_GetDataLength (reply);
    const void *data = natsMsg_GetData (reply);
    const size_t place = LOAD_PLACE (load_stamp_of (data, size));
    if (place >= (size_t) load.outstanding || load_stamp_of (data, size) != load.calls [place].number)
        load_fail ("answer", "wrong number");
    load_call_t *call = &load.calls [place];
    if (load.echo_size > 0)
        load_check_echo (&load, call->number, data, size);
    else {
        int64_t numbers [2] = {0, 0};
        if (size == sizeof numbers)
            memcpy (numbers, data, sizeof numbers);
        load_check_add (call->number, numbers [1]);
    }
    natsMsg_Destroy (reply);
    return call;
}

static void call_one_by_one (void)
{
    load_call_t *call = &load.calls [0];
    load_start (call);
    do {
        int size;
        const void *body = body_of (call->number, &size);
        natsMsg *reply;
        must (natsConnection_Request (&reply, connection, SUBJECT, body, size, WAIT_MS), "request");
        check (reply);
    } while (load_next (&load, call));
}

static void publish (const load_call_t *call)
{
    int size;
    const void *body = body_of (call->number, &size);
    must (natsConnection_PublishRequest (connection, SUBJECT, (const char *) inbox, body, size), "request");
}

static void answered (natsConnection *c, natsSubscription *subscription, natsMsg *reply, void *arg)
{
    static bool first = true;
    (void) c, (void) subscription, (void) arg;
    if (first) /* both write to `blob` */
        sem_wait (&all_started);
    first = false;
    load_call_t *call = check (reply);
    if (load_next (&load, call))
        publish (call);
    else if (--open_calls == 0)
        sem_post (&all_answered);
}

static void call_many (void)
{
    natsSubscription *subscription;
    sem_init (&all_started, 0, 0);
    sem_init (&all_answered, 0, 0);
    must (natsInbox_Create (&inbox), "inbox");
    must (natsConnection_Subscribe (&subscription, connection, (const char *) inbox, answered, NULL),
          "subscribe");
    must (natsConnection_Flush (connection), "flush");
    open_calls = load.outstanding;
    for (int i = 0; i < load.outstanding; i++) {
        load_start (&load.calls [i]);
        publish (&load.calls [i]);
    }
    sem_post (&all_started);
    sem_wait (&all_answered);
}

int main (int argc, char **argv)
{
    natsOptions *options;
    load_begin (&load, argc, argv);
    load_fill (blob);
    must (natsOptions_Create (&options), "options");
    must (natsOptions_SetURL (options, load.address), "address");
    if (strcmp (load.option, "asap") == 0)
        must (natsOptions_SetSendAsap (options, true), "options");
    must (natsConnection_Connect (&connection, options), load.address);
    if (strcmp (load.role, "server") == 0) {
        natsSubscription *subscription;
        must (natsConnection_Subscribe (&subscription, connection, SUBJECT, serve, NULL), "subscribe");
        must (natsConnection_Flush (connection), "flush");
        load_ready ();
        for (;;)
            pause ();
    }
    if (load.outstanding == 1)
        call_one_by_one ();
    else
        call_many ();
    load_end ();
}
