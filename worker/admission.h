/* SPDX-License-Identifier: MPL-2.0
 *
 *  admission.h - which requests a worker lets in, and where they are to run. The part of session.c that only they need.
 *
 *      REQUEST --an obstacle, or it does not fit--> turned down, executed no; unless its key's work is known or under way
 *         |--a stream, or its options say more--> described
 *         '--let in--> found: runs where it was read; or put among those that wait */

#ifndef ADMISSION_H_INCLUDED
#define ADMISSION_H_INCLUDED

#include "session.h"

/*  One that came over this link, under an id that is not in use there. */
void admission_request (session_t *self, session_link_t *link, const wire_record_t *record, zmq_msg_t *attachment);

/*  Requests that are let in at once. */
size_t admission_room (const session_options_t *options);

#endif
