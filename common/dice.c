/* SPDX-License-Identifier: MPL-2.0 */

#include "dice.h"

void dice_init (dice_t *self, uint64_t seed)
{
    for (int i = 0; i < 4; i++) { /* splitmix64, as xoshiro's authors advise */
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        self->s [i] = z ^ (z >> 31);
    }
}

static uint64_t rotate (uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t dice_next (dice_t *self)
{
    uint64_t *s = self->s;
    const uint64_t result = rotate (s [1] * 5, 7) * 9;
    const uint64_t t = s [1] << 17;
    s [2] ^= s [0];
    s [3] ^= s [1];
    s [1] ^= s [2];
    s [0] ^= s [3];
    s [2] ^= t;
    s [3] = rotate (s [3], 45);
    return result;
}

uint64_t dice_below (dice_t *self, uint64_t bound)
{
    __extension__ typedef unsigned __int128 wide_t;
    return (uint64_t) ((wide_t) dice_next (self) * bound >> 64);
}

double dice_unit (dice_t *self)
{
    return (double) (dice_next (self) >> 11) * 0x1.0p-53;
}
