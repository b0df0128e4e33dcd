/* SPDX-License-Identifier: MPL-2.0
 *
 *  spares.h - memory of large replies that were sent, for the next ones: fresh memory costs the system more than
 *  the reply does. */

#ifndef SPARES_H_INCLUDED
#define SPARES_H_INCLUDED

#include <zmq.h>
#include "buffer.h"

typedef struct spares spares_t;

/*  Keeps at most `bytes_max`. NULL: out of memory. */
spares_t *spares_new (size_t bytes_max);

/*  Frees what is kept. Frames that are on their way may be closed later, on any thread. */
void spares_destroy (spares_t **self);

/*  Makes a frame of the buffer's content, without a copy; the buffer becomes empty. When the frame is closed, on
 *  whichever thread, the memory is kept. False: out of memory, and the buffer stays. */
bool spares_frame (spares_t *self, buffer_t *buffer, zmq_msg_t *frame);

/*  Gives an empty buffer without memory some that was kept, if there is any that fits its bound. */
void spares_furnish (spares_t *self, buffer_t *buffer);

#endif
