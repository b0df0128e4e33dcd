/* SPDX-License-Identifier: MPL-2.0
 *
 *  czmq.c - what code on czmq typically does: a zmsg of [number][method][body] a call, bodies by msgpack-c.
 *  The server is a ROUTER, the client a DEALER. The same libzmq as the limit's: the difference is what is around it. */

#include "load.h"

#include <czmq.h>
#include <msgpack.h>

static load_t load;
static unsigned char blob [LOAD_ECHO_MAX];

static void must (bool good, const char *what)
{
    if (!good)
        load_fail (what, zmq_strerror (zmq_errno ()));
}

/*  The numbers of a packed array of `count`. */
static void unpack (zframe_t *frame, int64_t *numbers, size_t count)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init (&unpacked);
    const msgpack_unpack_return result =
        msgpack_unpack_next (&unpacked, (char *) zframe_data (frame), zframe_size (frame), NULL);
    if (result != MSGPACK_UNPACK_SUCCESS || unpacked.data.type != MSGPACK_OBJECT_ARRAY ||
        unpacked.data.via.array.size != count)
        load_fail ("body", "not what was packed");
    for (size_t i = 0; i < count; i++)
        numbers [i] = unpacked.data.via.array.ptr [i].via.i64;
    msgpack_unpacked_destroy (&unpacked);
}

static void pack (zmsg_t *message, const int64_t *numbers, size_t count)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_sbuffer_init (&buffer);
    msgpack_packer_init (&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_array (&packer, count);
    for (size_t i = 0; i < count; i++)
        msgpack_pack_int64 (&packer, numbers [i]);
    zmsg_addmem (message, buffer.data, buffer.size);
    msgpack_sbuffer_destroy (&buffer);
}

static void serve (zsock_t *socket)
{
    for (;;) {
        zmsg_t *request = zmsg_recv (socket);
        must (request, "receive");
        zframe_t *peer = zmsg_pop (request), *number = zmsg_pop (request);
        char *method = zmsg_popstr (request);
        zframe_t *body = zmsg_pop (request);
        zmsg_t *reply = zmsg_new ();
        zmsg_append (reply, &peer);
        zmsg_append (reply, &number);
        zmsg_addstr (reply, "OK");
        if (streq (method, "Bench.Add")) {
            int64_t numbers [2];
            unpack (body, numbers, 2);
            numbers [0] += numbers [1];
            pack (reply, numbers, 1);
            zframe_destroy (&body);
        } else
            zmsg_append (reply, &body);
        zstr_free (&method);
        zmsg_destroy (&request);
        must (zmsg_send (&reply, socket) == 0, "send");
    }
}

static void send_call (void *socket, uint64_t number)
{
    zmsg_t *message = zmsg_new ();
    zmsg_addmem (message, &number, sizeof number);
    if (load.echo_size > 0) {
        load_stamp (blob, number);
        zmsg_addstr (message, "Bench.Echo");
        zmsg_addmem (message, blob, load.echo_size);
    } else {
        const int64_t numbers [2] = {(int64_t) number, LOAD_ADDEND};
        zmsg_addstr (message, "Bench.Add");
        pack (message, numbers, 2);
    }
    must (zmsg_send (&message, socket) == 0, "send");
}

static load_call_t *receive_answer (void *socket)
{
    zmsg_t *message = zmsg_recv (socket);
    must (message, "receive");
    zframe_t *number = zmsg_pop (message);
    char *status = zmsg_popstr (message);
    zframe_t *body = zmsg_pop (message);
    const uint64_t stamp = load_stamp_of (zframe_data (number), zframe_size (number));
    if (LOAD_PLACE (stamp) >= (size_t) load.outstanding || stamp != load.calls [LOAD_PLACE (stamp)].number)
        load_fail ("answer", "wrong number");
    load_call_t *call = &load.calls [LOAD_PLACE (stamp)];
    if (load.echo_size > 0)
        load_check_echo (&load, call->number, zframe_data (body), zframe_size (body));
    else {
        int64_t sum;
        unpack (body, &sum, 1);
        load_check_add (call->number, sum);
    }
    zframe_destroy (&number);
    zstr_free (&status);
    zframe_destroy (&body);
    zmsg_destroy (&message);
    return call;
}

int main (int argc, char **argv)
{
    load_begin (&load, argc, argv);
    load_fill (blob);
    zsys_handler_set (NULL);
    zsys_set_sndhwm (0); /* a ROUTER drops beyond */
    zsys_set_rcvhwm (0);
    const bool server = streq (load.role, "server");
    zsock_t *socket = zsock_new (server ? ZMQ_ROUTER : ZMQ_DEALER);
    must (socket && zsock_attach (socket, load.address, server) == 0, load.address);
    if (!server)
        load_call_on (&load, socket, send_call, receive_answer);
    load_ready ();
    serve (socket);
    return 2;
}
