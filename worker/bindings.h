/* SPDX-License-Identifier: MPL-2.0
 *
 *  bindings.h - where a worker takes direct calls, and how it says so. */

#ifndef BINDINGS_H_INCLUDED
#define BINDINGS_H_INCLUDED

#include "direct.h"

typedef struct {
    char bound [WEFT_ENDPOINTS_MAX][WEFT_ENDPOINT_MAX + 1];      /* as they became */
    char advertised [WEFT_ENDPOINTS_MAX][WEFT_ENDPOINT_MAX + 1]; /* as others are told */
    const char *list [WEFT_ENDPOINTS_MAX + 1];                   /* of the advertised ones, NULL-terminated */
    size_t count;
} bindings_t;

/*  Checks what a user gave (either may be NULL). False: `error` (WEFT_TEXT_MAX + 1) says what is wrong. */
bool bindings_check (const char *bind, const char *advertise, char *error);

/*  Binds everything. NULL `bind`: any tcp port and a socket in the user's runtime folder; "none": nothing.
 *  False: as above. */
bool bindings_open (bindings_t *self, direct_t *direct, const char *bind, const char *advertise,
                    const char *uuid, char *error);

/*  Removes what would outlive the sockets. */
void bindings_close (bindings_t *self);

#endif
