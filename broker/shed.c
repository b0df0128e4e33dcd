/* SPDX-License-Identifier: MPL-2.0 */

#include "shed.h"

void shed_fill (shed_t *self, int64_t now_us)
{
    self->filled_us = now_us;
}

/*  While the call waits the queue is not empty: so it is known now when it will have stood long enough. */
int64_t shed_at_us (const shed_t *self, int64_t arrived_us, int64_t deadline_us)
{
    if (self->off || deadline_us == INT64_MAX)
        return deadline_us;
    const int64_t time_us = deadline_us - arrived_us, share_us = time_us / SHED_SHARE;
    const int64_t stands_us = self->filled_us + (time_us > SHED_STANDING_US ? time_us : SHED_STANDING_US);
    const int64_t at_us = stands_us > arrived_us + share_us ? stands_us : arrived_us + share_us;
    return at_us <= deadline_us - share_us ? at_us : deadline_us;
}
