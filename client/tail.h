/* SPDX-License-Identifier: MPL-2.0
 *
 *  tail.h - how long do nearly all calls of a method take?
 *
 *  The 95th percentile of what was seen lately, from a histogram whose buckets grow by a quarter at most. So
 *  it takes little room, never allocates, and is never told too short; nor too long by more than a quarter.
 *  Its counts are halved from time to time, so that what is long past weighs little.
 *
 *  Of an attempt that was given up nobody knows how long it would have taken, only that it is longer. If such
 *  attempts were left out, only the quick ones would count, and the percentile would creep down. */

#ifndef TAIL_H_INCLUDED
#define TAIL_H_INCLUDED

#include <stdint.h>

#define TAIL_BUCKETS     112     /* the last begins at 235 s */
#define TAIL_KNOWN_MIN   20      /* fewer say nothing of one in twenty */
#define TAIL_FULL        2000    /* halved at so many */
#define TAIL_HALVE_US    5000000 /* and after so long */

typedef struct {
    int64_t halved_us;
    int64_t p95_us;     /* 0: too few are known */
    uint32_t count;
    uint32_t unread;    /* since p95_us was found */
    uint16_t buckets [TAIL_BUCKETS];
} tail_t;

void tail_init (tail_t *self, int64_t now_us);

/*  One took so long; or was given up after so long, which tells something only if it is unusually long. */
void tail_note (tail_t *self, int64_t took_us, int64_t now_us);
void tail_note_given_up (tail_t *self, int64_t after_us, int64_t now_us);

/*  0 while too few are known. */
int64_t tail_p95_us (tail_t *self, int64_t now_us);

#endif
