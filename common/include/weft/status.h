/* SPDX-License-Identifier: MPL-2.0
 *
 *  status.h - what happened to a call, whether it ran, and who says so.
 *
 *  The numbers are those of the wire (PROTOCOL.md, section 4); what each means to
 *  a caller is in SEMANTICS.md. */

#ifndef WEFT_STATUS_H_INCLUDED
#define WEFT_STATUS_H_INCLUDED

#include <stdbool.h>
#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    WEFT_OK = 0,
    WEFT_CANCELLED = 1,
    WEFT_APP_ERROR = 2,
    WEFT_INVALID = 3,
    WEFT_DEADLINE_EXCEEDED = 4,
    WEFT_HANDLER_TIMEOUT = 5,
    WEFT_CONNECT_TIMEOUT = 6,
    WEFT_NO_SERVICE = 7,
    WEFT_NO_WORKERS = 8,
    WEFT_UNIMPLEMENTED = 9,
    WEFT_PERMISSION_DENIED = 10,
    WEFT_UNAUTHENTICATED = 11,
    WEFT_OVERLOADED = 12,
    WEFT_TOO_LARGE = 13,
    WEFT_DRAINING = 14,
    WEFT_WORKER_LOST = 15,
    WEFT_BROKER_LOST = 16,
    WEFT_SHUTDOWN = 17,
    WEFT_INTERNAL = 18
} weft_status_t;

#define WEFT_STATUS_COUNT 19

/*  Whether the method ran: certainly not, perhaps, certainly. */
typedef enum { WEFT_EXECUTED_NO = 0, WEFT_EXECUTED_MAYBE = 1, WEFT_EXECUTED_YES = 2 } weft_executed_t;

/*  Who decided the outcome. */
typedef enum {
    WEFT_ORIGIN_CLIENT = 0,
    WEFT_ORIGIN_BROKER = 1,
    WEFT_ORIGIN_WORKER = 2,
    WEFT_ORIGIN_APPLICATION = 3
} weft_origin_t;

/*  The status's name as in SEMANTICS.md ("WORKER_LOST"); "?" for a number that is
 *  none. Static; any thread. */
WEFT_EXPORT const char *weft_status_str (weft_status_t status);

/*  The same in words for people ("the worker was lost after the call was sent").
 *  Static; any thread. */
WEFT_EXPORT const char *weft_status_text (weft_status_t status);

/*  What `executed` is unless an outcome says otherwise. Any thread. */
WEFT_EXPORT weft_executed_t weft_status_executed (weft_status_t status);

/*  "no", "maybe", "yes"; "client", "broker", "worker", "application". Static; any thread. */
WEFT_EXPORT const char *weft_executed_str (weft_executed_t executed);
WEFT_EXPORT const char *weft_origin_str (weft_origin_t origin);

#ifdef __cplusplus
}
#endif

#endif
