/* SPDX-License-Identifier: MPL-2.0
 *
 *  hostile.c - a process that means no good. To the broker it is a worker of a service of its own, which answers calls
 *  that others were given, cancels what is not its own, and talks nonsense; it does the same to a worker as a stranger and as
 *  a caller. Nobody else may notice. */

#include <stdio.h>
#include <stdlib.h>
#include "checker.h"
#include "faults.h"
#include "roles.h"

#define SAY_US (20 * MS) /* between two sayings, usually */

typedef struct {
    port_t ports [2];           /* towards the broker, towards a worker */
    end_t *ends [2];
    bool ready [2];
    uint64_t incarnation, sequence;
    int64_t next_us, open_us;
    char uuid [40];
} model_t;

static void say (end_t *end, buffer_t *records)
{
    message_t message;
    message_init (&message);
    message_add_bytes (&message, records->data, records->size);
    if (chance (50)) /* an attachment that nobody asked for */
        message_add_bytes (&message, "surprise", 8);
    end_send (end, &message);
    message_clear (&message);
}

static void write_registration (model_t *self, buffer_t *out)
{
    static const char *const codecs [] = {"msgpack", NULL};
    const char *endpoints [] = {"tcp://*:6666", NULL};
    wire_write_hello (out, "worker", codecs, "harmless", NULL);
    wire_write_register_begin (out, self->uuid, ++self->incarnation, 1);
    mp_write_array (out, 3);
    mp_write_text (out, "Evil");
    mp_write_text (out, "1");
    mp_write_array (out, 1);
    mp_write_array (out, 4);
    mp_write_text (out, "Do");
    mp_write_uint (out, 0);
    mp_write_text (out, "any");
    mp_write_text (out, "any");
    wire_write_register_end (out, endpoints, 1, NULL, "lair", 1, 1);
    wire_write_credit (out, 0, roll (100));
}

/*  An id that means something to somebody else, perhaps. */
static uint64_t some_id (void)
{
    const uint64_t known = checker_some_id ();
    return known && chance (700) ? known : chance (500) ? roll (200) : roll (UINT64_MAX);
}

static void write_nonsense (model_t *self, buffer_t *out)
{
    static const wire_load_t load = {UINT64_MAX, 0, UINT64_MAX, 1};
    switch (roll (9)) {
    case 0:
        wire_write_cancel (out, some_id ());
        break;
    case 1:
        wire_write_credit (out, some_id (), roll (UINT64_MAX));
        break;
    case 2:
        wire_write_item (out, some_id (), roll (10), "\x92\x01\x02", 3, false);
        break;
    case 3:
        wire_write_beat (out, ++self->sequence, &load);
        break;
    case 4: /* bytes */
        for (uint64_t left = roll (60) + 1; left > 0; left--)
            buffer_append (out, &(uint8_t){(uint8_t) roll (256)}, 1);
        break;
    case 5: /* a body that is not there */
        wire_write_reply (out, some_id (), WEFT_OK, NULL, 0, true, NULL);
        break;
    case 6:
        wire_write_refused (out, WEFT_INVALID, "I do not like that");
        break;
    default: { /* somebody else's answer */
        const bool right = chance (500);
        wire_write_reply (out, some_id (), right ? WEFT_OK : WEFT_APP_ERROR, "\x93\x01\x02\xc4\x00", 5, false, NULL);
        break;
    }
    }
}

static void open_port (process_t *process, model_t *self, int which)
{
    char address [WEFT_ENDPOINT_MAX + 1];
    const process_t *worker = &world.processes [profile.brokers + (int) roll ((uint64_t) profile.workers)];
    const char *theirs = worker->up ? worker_process_address (worker) : "";
    snprintf (address, sizeof address, "%s", which ? theirs : broker_addresses [0]);
    if (!*address)
        return;
    port_open (&self->ports [which], process);
    self->ends [which] = end_connect (&self->ports [which], address, NULL);
}

static void close_port (model_t *self, int which)
{
    if (self->ends [which])
        port_close (&self->ports [which], true);
    self->ends [which] = NULL;
    self->ready [which] = false;
}

static void listen_to (model_t *self, int which)
{
    network_event_t event;
    message_t message;
    int64_t transit_us;
    bool lost = false;

    message_init (&message);
    while (port_event (&self->ports [which], &event)) {
        self->ready [which] |= event.kind == TRANSPORT_READY;
        lost |= event.kind == TRANSPORT_LOST || event.kind == TRANSPORT_FAILED;
    }
    while (port_receive (&self->ports [which], &message, &transit_us))
        message_clear (&message);
    if (lost)
        close_port (self, which);
}

static void speak (model_t *self, int which)
{
    static const char *const codecs [] = {"msgpack", NULL};
    buffer_t records;
    buffer_init (&records, 1 << 16);
    if (which == 0 && chance (self->sequence == 0 ? 800 : 20)) {
        write_registration (self, &records);
        self->sequence = 1;
    } else if (which == 1 && chance (100))
        wire_write_hello (&records, "client", codecs, "harmless", NULL);
    for (uint64_t left = roll (4); left > 0; left--)
        write_nonsense (self, &records);
    if (chance (10))
        wire_write_goodbye (&records, "see you");
    if (records.size)
        say (self->ends [which], &records);
    buffer_fini (&records);
}

static void turn (process_t *process)
{
    model_t *self = process->model;
    for (int which = 0; which < 2; which++) {
        if (!self->ends [which] && world.now_us >= self->open_us)
            open_port (process, self, which);
        if (self->ends [which])
            listen_to (self, which);
        if (self->ends [which] && self->ready [which] && world.now_us >= self->next_us) {
            speak (self, which);
            if (chance (20)) {
                close_port (self, which);
                self->open_us = world.now_us + between (0, 500 * MS);
            }
        }
    }
    if (world.now_us >= self->next_us)
        self->next_us = world.now_us + between (1, 2 * SAY_US);
}

static int64_t next_us (const process_t *process)
{
    const model_t *self = process->model;
    return self->next_us + process->offset_us;
}

static void start (process_t *process)
{
    model_t *self = calloc (1, sizeof *self);
    process->model = self;
    snprintf (self->uuid, sizeof self->uuid, "f0000000-0000-4000-8000-%012llx", (unsigned long long) process->lives);
    self->next_us = self->open_us = world.now_us;
    process_wake (process, world.now_us);
}

static void end_process_of (process_t *process)
{
    model_t *self = process->model;
    close_port (self, 0);
    close_port (self, 1);
    free (self);
    process->model = NULL;
}

const program_t hostile_program = {start, end_process_of, turn, next_us};
