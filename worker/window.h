/* SPDX-License-Identifier: MPL-2.0
 *
 *  window.h - how many calls the broker may have open here. Decides; knows no link, reads no clock. */

#ifndef WINDOW_H_INCLUDED
#define WINDOW_H_INCLUDED

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_MAX 1024     /* what fills a batch on its way, and one at either end */

typedef struct {
    uint64_t lanes;         /* calls that run at once */
    uint64_t least, most;   /* what it stays between */
    uint64_t size;
    /* the present round: as many calls as the window has room for */
    uint64_t ended, peak;   /* calls that ended; the most that were here */
    int64_t waited_us;      /* the longest that one waited for a thread */
    int64_t stayed_us;      /* the longest that one was here */
    int64_t heard_us;       /* when a call last came or ended */
} window_t;

/*  `lanes`: calls that run at once; `room`: those that are let in. */
void window_init (window_t *self, uint64_t lanes, uint64_t room);

/*  A call came through the broker: so many have not left yet, ended ones included. One ended that had waited so
 *  long before it began, and stayed so long in all. */
void window_came (window_t *self, uint64_t here, int64_t now_us);
void window_ended (window_t *self, int64_t waited_us, int64_t stayed_us, int64_t now_us);

/*  Time passes. Call it now and then. */
void window_tick (window_t *self, int64_t now_us);

/*  The window while `stuck` lanes are of no use; 0 if all are. */
uint64_t window_size (const window_t *self, uint64_t stuck);

#endif
