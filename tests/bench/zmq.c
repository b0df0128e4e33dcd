/* SPDX-License-Identifier: MPL-2.0
 *
 *  zmq.c - the limit: libzmq with one frame a call and nothing around it.
 *
 *      server   ROUTER, bound, answers on the thread that reads          (direct)
 *      broker   ROUTER, bound, passes frames on between clients and workers, putting in front who gets the answer
 *      worker   DEALER, connected to that broker, answers as the server does
 *      client   DEALER
 *
 *  A call is {number, a, b} of native integers, its answer {number, sum}; an echo goes back as it came. A blocking
 *  zmq_msg_recv takes all that is there before it sleeps, so this is the loop that drains. */

#include "load.h"

#include <zmq.h>

#define FRAMES_MAX  8
#define WORKERS_MAX 64

typedef struct {
    uint64_t number;
    int64_t a, b;
} add_request_t;

typedef struct {
    uint64_t number;
    int64_t sum;
} add_reply_t;

static load_t load;
static unsigned char blob [LOAD_ECHO_MAX];

static void must (int rc, const char *what)
{
    if (rc < 0)
        load_fail (what, zmq_strerror (zmq_errno ()));
}

/*  No high-water marks: beyond one a ROUTER drops, and a call would be lost. */
static void *open_socket (int type, bool bound)
{
    static const int zero = 0;
    void *socket = zmq_socket (zmq_ctx_new (), type);
    must (zmq_setsockopt (socket, ZMQ_LINGER, &zero, sizeof zero), "linger");
    must (zmq_setsockopt (socket, ZMQ_SNDHWM, &zero, sizeof zero), "high-water mark");
    must (zmq_setsockopt (socket, ZMQ_RCVHWM, &zero, sizeof zero), "high-water mark");
    must (bound ? zmq_bind (socket, load.address) : zmq_connect (socket, load.address), load.address);
    return socket;
}

static int receive (zmq_msg_t *frames, void *socket)
{
    int count = 0;
    do {
        if (count == FRAMES_MAX)
            load_fail ("receive", "too many frames");
        zmq_msg_init (&frames [count]);
        must (zmq_msg_recv (&frames [count], socket, 0), "receive");
    } while (zmq_msg_more (&frames [count++]));
    return count;
}

static void send_all (zmq_msg_t *frames, int count, void *socket)
{
    for (int i = 0; i < count; i++)
        must (zmq_msg_send (&frames [i], socket, i + 1 < count ? ZMQ_SNDMORE : 0), "send");
}

/*  A message is whoever asks, one frame or two, and the body. */
static void serve (void *socket)
{
    zmq_msg_t frames [FRAMES_MAX];
    for (;;) {
        const int count = receive (frames, socket);
        zmq_msg_t *body = &frames [count - 1];
        if (zmq_msg_size (body) == sizeof (add_request_t)) {
            const add_request_t request = *(const add_request_t *) zmq_msg_data (body);
            load_handle (&load);
            zmq_msg_close (body);
            zmq_msg_init_size (body, sizeof (add_reply_t));
            *(add_reply_t *) zmq_msg_data (body) =
                (add_reply_t){request.number, request.a + request.b + load_error (&load)};
        }
        send_all (frames, count, socket);
    }
}

/*  A worker says one byte, and is told one. */
static void join (void *socket)
{
    char answer;
    must (zmq_send (socket, "W", 1, 0), "join");
    must (zmq_recv (socket, &answer, 1, 0), "join");
}

typedef struct {
    unsigned char id [5]; /* as libzmq makes them */
} peer_t;

static bool is_worker (zmq_msg_t *id, const peer_t *workers, int worker_count)
{
    for (int i = 0; i < worker_count; i++)
        if (memcmp (zmq_msg_data (id), workers [i].id, sizeof workers [i].id) == 0)
            return true;
    return false;
}

static void pass_on (void *socket)
{
    peer_t workers [WORKERS_MAX];
    int worker_count = 0, turn = 0;
    zmq_msg_t frames [FRAMES_MAX + 1];
    for (;;) {
        const int count = receive (frames + 1, socket);
        zmq_msg_t *id = &frames [1];
        if (is_worker (id, workers, worker_count)) {
            zmq_msg_close (id);
            send_all (frames + 2, count - 1, socket);
        } else if (zmq_msg_size (&frames [2]) == 1) {
            if (worker_count < WORKERS_MAX)
                memcpy (workers [worker_count++].id, zmq_msg_data (id), sizeof workers->id);
            send_all (frames + 1, count, socket);
        } else {
            zmq_msg_init_size (&frames [0], sizeof workers->id);
            memcpy (zmq_msg_data (&frames [0]), workers [turn].id, sizeof workers->id);
            turn = (turn + 1) % worker_count;
            send_all (frames, count + 1, socket);
        }
    }
}

static void send_call (void *socket, uint64_t number)
{
    zmq_msg_t body;
    if (load.echo_size > 0) {
        load_stamp (blob, number);
        zmq_msg_init_size (&body, load.echo_size);
        memcpy (zmq_msg_data (&body), blob, load.echo_size);
    } else {
        zmq_msg_init_size (&body, sizeof (add_request_t));
        *(add_request_t *) zmq_msg_data (&body) = (add_request_t){number, (int64_t) number, LOAD_ADDEND};
    }
    must (zmq_msg_send (&body, socket, 0), "send");
}

/*  The call that this message ends. */
static load_call_t *receive_answer (void *socket)
{
    zmq_msg_t body;
    zmq_msg_init (&body);
    must (zmq_msg_recv (&body, socket, 0), "receive");
    const void *data = zmq_msg_data (&body);
    const size_t size = zmq_msg_size (&body);
    const size_t place = LOAD_PLACE (load_stamp_of (data, size));
    if (place >= (size_t) load.outstanding)
        load_fail ("answer", "wrong number");
    load_call_t *call = &load.calls [place];
    if (load.echo_size > 0)
        load_check_echo (&load, call->number, data, size);
    else if (size != sizeof (add_reply_t) || ((const add_reply_t *) data)->number != call->number)
        load_fail ("answer", "wrong number");
    else
        load_check_add (call->number, ((const add_reply_t *) data)->sum);
    zmq_msg_close (&body);
    return call;
}

int main (int argc, char **argv)
{
    load_begin (&load, argc, argv);
    load_fill (blob);
    const bool broker = strcmp (load.role, "broker") == 0, server = strcmp (load.role, "server") == 0;
    void *socket = open_socket (broker || server ? ZMQ_ROUTER : ZMQ_DEALER, broker || server);
    if (strcmp (load.role, "client") == 0)
        load_call_on (&load, socket, send_call, receive_answer);
    if (strcmp (load.role, "worker") == 0)
        join (socket);
    load_ready ();
    if (broker)
        pass_on (socket);
    serve (socket);
    return 2;
}
