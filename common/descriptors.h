/* SPDX-License-Identifier: MPL-2.0
 *
 *  descriptors.h - whose connection each descriptor of a bound socket is, as its monitor and its messages tell.
 *
 *      closed --opened--> nobody's <--owner set, released--> its owner's
 *         ^                  |                                    |
 *         '------------------'------------ lost ------------------'
 *
 *  Descriptors are used again. So what came over one that is closed by now came over a connection that is no more, and to hang
 *  up there would end somebody else's. Who connects and says nothing would hold one for ever, and count as nobody: what stays
 *  nobody's for WEFT_SILENCE_MS is to be hung up. Touches no socket, reads no clock. */

#ifndef DESCRIPTORS_H_INCLUDED
#define DESCRIPTORS_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    void *owner;        /* NULL: nobody */
    bool open;
    int64_t since_us;   /* nobody's */
} descriptor_t;

typedef struct {
    descriptor_t *all;  /* by number */
    size_t count;
    bool silent;        /* perhaps one is nobody's */
    int64_t sweep_us;   /* not to be looked for before */
    size_t swept;       /* so far */
} descriptors_t;

void descriptors_init (descriptors_t *self);
void descriptors_fini (descriptors_t *self);

/*  What the monitor says. Each returns whose connection is no more by that; NULL: nobody's. Without memory one may stay unknown. */
void *descriptors_opened (descriptors_t *self, int fd, int64_t now_us);
void *descriptors_closed (descriptors_t *self, int fd);

/*  NULL: it is unknown, as -1 is. Valid until the next one is opened. */
descriptor_t *descriptors_find (const descriptors_t *self, int fd);

/*  Is it open, and that owner's (NULL: nobody's)? Only then may one hang up there. */
bool descriptors_holds (const descriptors_t *self, int fd, const void *owner);

/*  It is nobody's any more, if it is open and was this owner's. */
void descriptors_release (descriptors_t *self, int fd, const void *owner, int64_t now_us);

/*  Closes one that was nobody's for too long, to be hung up; -1: there is none more. Due at descriptors_next_us. */
int descriptors_take_silent (descriptors_t *self, int64_t now_us);
int64_t descriptors_next_us (const descriptors_t *self);

#endif
