/* SPDX-License-Identifier: MPL-2.0
 *
 *  exits.h - what the program's exit code says. */

#ifndef EXITS_H_INCLUDED
#define EXITS_H_INCLUDED

#include <weft/status.h>

enum {
    EXITS_OK = 0,
    EXITS_OTHER = 1,
    EXITS_USAGE = 2,
    EXITS_BROKER = 3,
    EXITS_NOBODY = 4,
    EXITS_DEADLINE = 5,
    EXITS_APPLICATION = 6,
    EXITS_REFUSED = 7,
    EXITS_OVERLOADED = 8
};

typedef struct {
    int code;
    const char *meaning; /* NULL ends the table */
} exit_meaning_t;
extern const exit_meaning_t exit_meanings [];

/*  The exit code for an outcome. `broker`: whether the broker is connected, which tells who could not
 *  be reached. */
int exits_of (weft_status_t status, weft_executed_t executed, bool broker);

#endif
