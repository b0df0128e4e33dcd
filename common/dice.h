/* SPDX-License-Identifier: MPL-2.0
 *
 *  dice.h - pseudo-random numbers from a seed (xoshiro256**), for cores that must be replayable. */

#ifndef DICE_H_INCLUDED
#define DICE_H_INCLUDED

#include <stdint.h>

typedef struct {
    uint64_t s [4];
} dice_t;

void dice_init (dice_t *self, uint64_t seed);
uint64_t dice_next (dice_t *self);
uint64_t dice_below (dice_t *self, uint64_t bound); /* 0 .. bound-1; bound > 0 */
double dice_unit (dice_t *self);                    /* 0 <= x < 1 */

#endif
