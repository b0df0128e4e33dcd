/* SPDX-License-Identifier: MPL-2.0
 *
 *  twice.c - a worker that answers each call twice, for LD_PRELOAD: whatever it sends that begins with a REPLY goes out once
 *  more, at once, and a third time with the next message that goes out half a second later. */

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#define FRAMES_MAX 64
#define KEPT_MAX   64
#define LATE_NS    500000000
#define REPLY      5 /* PROTOCOL.md */

typedef struct {
    zmq_msg_t frames [FRAMES_MAX];
    int count;
} parts_t;

typedef struct {
    parts_t parts;
    void *socket;
    int64_t due_ns;
} kept_t;

static int (*real_send) (zmq_msg_t *, void *, int);
static int (*real_send_bytes) (void *, const void *, size_t, int);

/*  Of this thread: what was sent of a message so far, and what is to be sent again. */
static __thread parts_t current;
static __thread kept_t kept [KEPT_MAX];
static __thread unsigned kept_first, kept_last;

static int64_t clock_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static void find_real (void)
{
    if (!real_send) {
        *(void **) &real_send_bytes = dlsym (RTLD_NEXT, "zmq_send");
        *(void **) &real_send = dlsym (RTLD_NEXT, "zmq_msg_send");
    }
}

static void parts_clear (parts_t *parts)
{
    for (int i = 0; i < parts->count; i++)
        zmq_msg_close (&parts->frames [i]);
    parts->count = 0;
}

static void parts_copy (parts_t *to, parts_t *from)
{
    for (to->count = 0; to->count < from->count; to->count++) {
        zmq_msg_init (&to->frames [to->count]);
        zmq_msg_copy (&to->frames [to->count], &from->frames [to->count]);
    }
}

static void parts_send (parts_t *parts, void *socket)
{
    for (int i = 0; i < parts->count; i++)
        if (real_send (&parts->frames [i], socket, ZMQ_DONTWAIT | (i + 1 < parts->count ? ZMQ_SNDMORE : 0)) < 0)
            break; /* nobody is there any more */
    parts_clear (parts);
}

/*  The records frame is the first, or follows the peer's routing id. */
static bool is_reply (parts_t *parts)
{
    for (int i = 0; i < 2 && i < parts->count; i++) {
        const uint8_t *at = zmq_msg_data (&parts->frames [i]);
        if (zmq_msg_size (&parts->frames [i]) > 2 && (at [0] & 0xf0) == 0x90 && at [1] == REPLY)
            return true;
    }
    return false;
}

static void send_late (void *socket)
{
    while (kept_first != kept_last && kept [kept_first % KEPT_MAX].due_ns <= clock_ns ()) {
        kept_t *one = &kept [kept_first++ % KEPT_MAX];
        if (one->socket == socket)
            parts_send (&one->parts, socket);
        else
            parts_clear (&one->parts);
    }
}

/*  Another part went out. */
static void note_part (zmq_msg_t *part, void *socket, bool more)
{
    if (current.count < FRAMES_MAX) {
        zmq_msg_init (&current.frames [current.count]);
        zmq_msg_copy (&current.frames [current.count++], part);
    }
    if (more)
        return;
    if (is_reply (&current)) {
        if (kept_last - kept_first < KEPT_MAX) {
            kept_t *one = &kept [kept_last++ % KEPT_MAX];
            parts_copy (&one->parts, &current);
            one->socket = socket;
            one->due_ns = clock_ns () + LATE_NS;
        }
        parts_send (&current, socket);
    }
    parts_clear (&current);
    send_late (socket);
}

__attribute__ ((visibility ("default"))) int zmq_msg_send (zmq_msg_t *message, void *socket, int flags)
{
    zmq_msg_t copy;

    find_real ();
    zmq_msg_init (&copy);
    zmq_msg_copy (&copy, message);
    const int result = real_send (message, socket, flags);
    if (result >= 0)
        note_part (&copy, socket, flags & ZMQ_SNDMORE);
    zmq_msg_close (&copy);
    return result;
}

__attribute__ ((visibility ("default"))) int zmq_send (void *socket, const void *data, size_t size, int flags)
{
    find_real ();
    const int result = real_send_bytes (socket, data, size, flags);
    if (result < 0)
        return result;
    zmq_msg_t copy;
    zmq_msg_init_size (&copy, size);
    memcpy (zmq_msg_data (&copy), data, size);
    note_part (&copy, socket, flags & ZMQ_SNDMORE);
    zmq_msg_close (&copy);
    return result;
}
