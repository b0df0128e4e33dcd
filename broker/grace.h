/* SPDX-License-Identifier: MPL-2.0
 *
 *  grace.h - when is silence no proof that a worker is gone? Decides; never sends, never reads a clock.
 *
 *      FRESH     the broker has just started: its workers are on their way back to it
 *      STALLED   it did not listen for a while: who did not hear cannot say who was silent
 *      HUSH      more than 15 % of all workers fell silent within one beat: it is rather the way to them that is broken
 *      HASTE     the TTL has become shorter, and workers have yet to hear of it
 *
 *  Each gives all workers one TTL in which none expires. A hush is believed once: who is still silent after that TTL goes.
 *  A broker that is fresh or was stalled is *warming* for its first second: whom it does not know yet may be about to register. */

#ifndef GRACE_H_INCLUDED
#define GRACE_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRACE_WARM_US      1000000
#define GRACE_HUSH_PERCENT 15
#define GRACE_HUSH_LEAST   2        /* workers: one alone that falls silent is no hush */

typedef enum { GRACE_NONE, GRACE_FRESH, GRACE_STALLED, GRACE_HUSH, GRACE_HASTE } grace_reason_t;

typedef struct {
    grace_reason_t reason;  /* of the last one */
    int64_t until_us;       /* nobody expires before */
    int64_t warm_us;        /* warming until then */
    int64_t silence_us;     /* when the first of those that are counted fell silent */
    size_t silent;          /* workers since */
} grace_t;

void grace_init (grace_t *self);
void grace_begin (grace_t *self, grace_reason_t reason, int64_t ttl_us, int64_t now_us);

/*  One of `workers` that are registered has been silent since then: they are told of in that order, however late they were noticed. True
 *  if that makes it a hush, which the caller is to begin. */
bool grace_silent (grace_t *self, size_t workers, int64_t beat_us, int64_t since_us);

static inline bool grace_warming (const grace_t *self, int64_t now_us)
{
    return now_us < self->warm_us;
}

/*  Why nobody expires at this moment, for people; NULL: workers may. */
const char *grace_text (const grace_t *self, int64_t now_us);

#endif
