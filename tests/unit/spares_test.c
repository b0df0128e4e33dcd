/* SPDX-License-Identifier: MPL-2.0 */

#include <string.h>
#include "check.h"
#include "spares.h"

static buffer_t filled (size_t size)
{
    buffer_t buffer;
    buffer_init (&buffer, 1 << 20);
    CHECK (buffer_extend (&buffer, size));
    memset (buffer.data, 'x', size);
    return buffer;
}

TEST (memory_that_was_sent_is_used_again)
{
    spares_t *spares = spares_new (1 << 20);
    buffer_t buffer = filled (50000);
    const void *memory = buffer.data;
    zmq_msg_t frame;

    CHECK (spares_frame (spares, &buffer, &frame));
    CHECK (!buffer.data);
    CHECK_INT (zmq_msg_size (&frame), 50000);
    CHECK (zmq_msg_data (&frame) == memory);
    spares_furnish (spares, &buffer);
    CHECK (!buffer.data); /* it is still on its way */
    zmq_msg_close (&frame);
    spares_furnish (spares, &buffer);
    CHECK (buffer.data == memory);
    CHECK_INT (buffer.size, 0);
    CHECK (buffer.capacity >= 50000);
    buffer_fini (&buffer);
    spares_destroy (&spares);
    CHECK (!spares);
}

TEST (no_more_is_kept_than_the_bound)
{
    spares_t *spares = spares_new (100000);
    buffer_t first = filled (60000), second = filled (60000); /* of 65536 each */
    zmq_msg_t frames [2];

    CHECK (spares_frame (spares, &first, &frames [0]) && spares_frame (spares, &second, &frames [1]));
    zmq_msg_close (&frames [0]);
    zmq_msg_close (&frames [1]);
    spares_furnish (spares, &first);
    spares_furnish (spares, &second);
    CHECK (first.data && !second.data);
    buffer_fini (&first);
    spares_destroy (&spares);
}

TEST (a_buffer_gets_nothing_over_its_own_bound)
{
    spares_t *spares = spares_new (1 << 20);
    buffer_t buffer = filled (50000), small;
    zmq_msg_t frame;

    CHECK (spares_frame (spares, &buffer, &frame));
    zmq_msg_close (&frame);
    buffer_init (&small, 1000);
    spares_furnish (spares, &small);
    CHECK (!small.data);
    spares_destroy (&spares);
}

TEST (frames_outlive_it)
{
    spares_t *spares = spares_new (1 << 20);
    buffer_t buffer = filled (50000);
    zmq_msg_t frame;

    CHECK (spares_frame (spares, &buffer, &frame));
    spares_destroy (&spares);
    CHECK_INT (((char *) zmq_msg_data (&frame)) [49999], 'x');
    zmq_msg_close (&frame);
}
