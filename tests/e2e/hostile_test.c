/* SPDX-License-Identifier: MPL-2.0
 *
 *  A client against brokers that send anything at all. (Brokers and workers meet the same in tests/interop.) */

#include "calling.h"
#include "dice.h"
#include "transport.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/*  A peer that binds a ROUTER and answers with what a test tells it to. */
typedef struct {
    void *context, *router;
    char endpoint [WEFT_ENDPOINT_MAX + 1];
    zmq_msg_t id; /* of the client */
} impostor_t;

static void impostor_init (impostor_t *self)
{
    size_t size = sizeof self->endpoint;
    self->context = transport_context_acquire ();
    self->router = transport_socket (self->context, ZMQ_ROUTER, 0);
    CHECK (zmq_bind (self->router, "tcp://127.0.0.1:*") == 0);
    CHECK (zmq_getsockopt (self->router, ZMQ_LAST_ENDPOINT, self->endpoint, &size) == 0);
    zmq_msg_init (&self->id);
}

static void impostor_fini (impostor_t *self)
{
    zmq_msg_close (&self->id);
    zmq_close (self->router);
    transport_context_release ();
}

/*  The next message from the client; fails the test if none comes. */
static void impostor_receive (impostor_t *self, message_t *message)
{
    const char *fault;
    zmq_pollitem_t item = {self->router, 0, ZMQ_POLLIN, 0};
    CHECK (zmq_poll (&item, 1, PATIENCE_MS) == 1);
    message_clear (message);
    CHECK_INT (transport_receive (self->router, &self->id, message, &fault), 1);
}

static void impostor_send (impostor_t *self, const void *data, size_t size)
{
    message_t message;
    message_init (&message);
    CHECK (message_add_bytes (&message, data, size));
    if (transport_send (self->router, zmq_msg_data (&self->id), zmq_msg_size (&self->id), &message) < 0)
        message_clear (&message); /* the client left: it said so, or will come again */
}

/*  One valid record of a random kind that a broker may send. */
static void random_record (dice_t *dice, buffer_t *out)
{
    static const char *const brokers [] = {"tcp://127.0.0.1:1", NULL};
    const uint64_t id = dice_below (dice, 2) ? dice_below (dice, 8) : dice_next (dice);
    wire_info_t info = wire_info_none ();
    switch (dice_below (dice, 9)) {
        case 0:
            wire_write_welcome (out, text_of ("msgpack"), dice_next (dice), dice_next (dice), "me", brokers);
            break;
        case 1:
            info.text = text_of ("text");
            wire_write_reply (out, id, (weft_status_t) dice_below (dice, 30), "\x92\x01\x02", 3, false, &info);
            break;
        case 2:
            wire_write_item (out, id, dice_below (dice, 3), "\x95\x01\x00\xc3\x90\x90", 6, dice_below (dice, 4) == 0);
            break;
        case 3:
            wire_write_credit (out, id, dice_next (dice));
            break;
        case 4:
            wire_write_cancel (out, id);
            break;
        case 5:
            wire_write_request (out, id | 1, text_of ("A.B"), 1000, "", 0, false, NULL);
            break;
        case 6:
            wire_write_beat_ok (out, id, 1, 2, brokers);
            break;
        case 7:
            wire_write_hello (out, "broker", brokers, "odd", NULL);
            break;
        default:
            mp_write_array (out, 2);
            mp_write_uint (out, dice_below (dice, 200));
            mp_write_uint (out, id);
    }
}

static void mutate (dice_t *dice, buffer_t *bytes)
{
    for (uint64_t n = dice_below (dice, 4); n > 0 && bytes->size > 0; n--)
        bytes->data [dice_below (dice, bytes->size)] = (uint8_t) dice_next (dice);
    if (dice_below (dice, 4) == 0)
        buffer_truncate (bytes, dice_below (dice, bytes->size + 1));
    if (dice_below (dice, 8) == 0)
        for (uint64_t n = dice_below (dice, 64); n > 0; n--) {
            const uint8_t byte = (uint8_t) dice_next (dice);
            buffer_append (bytes, &byte, 1);
        }
}

TEST (a_client_survives_ten_thousand_random_and_mutated_frames)
{
    impostor_t impostor;
    message_t message;
    buffer_t bytes;
    dice_t dice;
    dice_init (&dice, 20250101);
    buffer_init (&bytes, 1 << 16);
    message_init (&message);
    impostor_init (&impostor);

    weft_client_t *client = weft_client_new (impostor.endpoint, NULL);
    const weft_call_options_t options = {.via = WEFT_VIA_BROKER, .timeout_ms = 60000, .retry = WEFT_RETRY_FAILFAST};
    weft_call_t *call = NULL;
    for (int i = 0; i < 10000; i++) {
        if (i % 100 == 0) { /* there is always a call to hit */
            weft_call_destroy (&call);
            call = start_slow (client, "Slow.Sleep", 1, &options);
            impostor_receive (&impostor, &message);
        }
        buffer_clear (&bytes);
        for (uint64_t n = dice_below (&dice, 3); n > 0; n--)
            random_record (&dice, &bytes);
        mutate (&dice, &bytes);
        impostor_send (&impostor, bytes.data ? bytes.data : (const void *) "", bytes.size);
    }
    weft_call_destroy (&call);
    weft_client_destroy (&client);

    /* and with a sound one it works as ever: nothing was left behind */
    mesh_t *mesh = mesh_new ();
    mesh_broker (mesh, NULL, NULL);
    mesh_worker (mesh, NULL);
    client = client_of (mesh);
    check_add_call (client, WEFT_VIA_DIRECT, 1, 2);
    check_add_call (client, WEFT_VIA_BROKER, 1, 2);
    weft_client_destroy (&client);
    mesh_destroy (&mesh);
    message_clear (&message);
    buffer_fini (&bytes);
    impostor_fini (&impostor);
}
