/* SPDX-License-Identifier: MPL-2.0
 *
 *  A futex: QUIET, LISTENING while a thread sleeps on it, or the tune. */

#include "bell.h"
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "deadlines.h"

#define QUIET     0u
#define LISTENING 256u

static void futex (bell_t *self, int operation, unsigned value, const struct timespec *until)
{
    /* a wake-up too many or too few of the kernel's is told from one that counts by the state */
    syscall (SYS_futex, &self->state, operation | FUTEX_PRIVATE_FLAG, value, until, NULL,
             FUTEX_BITSET_MATCH_ANY);
}

void bell_ring (bell_t *self, unsigned tune)
{
    if (atomic_exchange_explicit (&self->state, tune, memory_order_acq_rel) == LISTENING)
        futex (self, FUTEX_WAKE_BITSET, 1, NULL);
}

unsigned bell_wait (bell_t *self, int64_t until_us)
{
    const struct timespec at = {until_us / 1000000, until_us % 1000000 * 1000};
    unsigned state = QUIET;
    if (!atomic_compare_exchange_strong_explicit (&self->state, &state, LISTENING, memory_order_acq_rel,
                                                  memory_order_acquire))
        return atomic_exchange_explicit (&self->state, QUIET, memory_order_acq_rel); /* rung before */
    do
        futex (self, FUTEX_WAIT_BITSET, LISTENING, until_us == DEADLINES_NEVER ? NULL : &at);
    while (atomic_load_explicit (&self->state, memory_order_acquire) == LISTENING &&
           (until_us == DEADLINES_NEVER || clock_now_us () < until_us));
    state = atomic_exchange_explicit (&self->state, QUIET, memory_order_acq_rel);
    return state == LISTENING ? 0 : state;
}
