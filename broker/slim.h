/* SPDX-License-Identifier: MPL-2.0
 *
 *  slim.h - a record that is passed on must leave room in its frame, for what the broker adds to it and for those who may take smaller
 *  frames than the broker does.
 *
 *  So a large body does not stay inside: it is attached. And the info of a REPLY that is longer than any should be is left out: the
 *  call is over, and its status tells the most of it. (A REQUEST with as many options is not passed on at all.) */

#ifndef SLIM_H_INCLUDED
#define SLIM_H_INCLUDED

#include "message.h"

typedef struct {
    buffer_t bytes;
    wire_record_t record;   /* a view of `bytes`, and of `body` if that is attached */
    zmq_msg_t body;
    bool attached;
} slim_t;

void slim_init (slim_t *self);
void slim_fini (slim_t *self);

/*  Is it one that is passed on, and too large as it is? */
bool slim_is_due (const wire_record_t *record);

/*  Writes it anew, in the place of the one before. False: out of memory. */
bool slim_down (slim_t *self, const wire_record_t *record);

/*  Lets go of the body, if it was not moved out. */
void slim_clear (slim_t *self);

#endif
