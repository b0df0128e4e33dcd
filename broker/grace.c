/* SPDX-License-Identifier: MPL-2.0 */

#include "grace.h"

void grace_init (grace_t *self)
{
    *self = (grace_t){.until_us = INT64_MIN, .warm_us = INT64_MIN, .silence_us = INT64_MIN};
}

void grace_begin (grace_t *self, grace_reason_t reason, int64_t ttl_us, int64_t now_us)
{
    self->reason = reason;
    self->until_us = now_us + ttl_us;
    if (reason == GRACE_FRESH || reason == GRACE_STALLED)
        self->warm_us = now_us + GRACE_WARM_US;
    self->silent = 0;
}

bool grace_silent (grace_t *self, size_t workers, int64_t beat_us, int64_t since_us)
{
    if (self->silent == 0 || since_us - self->silence_us > beat_us) {
        self->silence_us = since_us;
        self->silent = 0;
    }
    self->silent++;
    return self->silent >= GRACE_HUSH_LEAST && self->silent * 100 > workers * GRACE_HUSH_PERCENT;
}

const char *grace_text (const grace_t *self, int64_t now_us)
{
    static const char *const texts [] = {
        [GRACE_FRESH] = "the broker has just started",
        [GRACE_STALLED] = "the broker was stalled",
        [GRACE_HUSH] = "many workers fell silent at once",
        [GRACE_HASTE] = "the TTL was made shorter",
    };
    return now_us < self->until_us && self->reason != GRACE_NONE ? texts [self->reason] : NULL;
}
