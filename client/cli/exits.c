/* SPDX-License-Identifier: MPL-2.0 */

#include "exits.h"
#include <stddef.h>

const exit_meaning_t exit_meanings [] = {
    {EXITS_OK, "all went well"},
    {EXITS_OTHER, "anything that has no code of its own"},
    {EXITS_USAGE, "wrong usage or input: flags, names, JSON, types, sizes"},
    {EXITS_BROKER, "no broker could be reached"},
    {EXITS_NOBODY, "no such service, method or worker, or none is live"},
    {EXITS_DEADLINE, "the time was up"},
    {EXITS_APPLICATION, "the method itself failed"},
    {EXITS_REFUSED, "refused: not known or not allowed"},
    {EXITS_OVERLOADED, "overloaded: a queue or limit is full"},
    {EXITS_OK, NULL}};

int exits_of (weft_status_t status, weft_executed_t executed, bool broker)
{
    switch (status) {
    case WEFT_OK:
        return EXITS_OK;
    case WEFT_APP_ERROR:
        return EXITS_APPLICATION;
    case WEFT_INVALID:
    case WEFT_TOO_LARGE: /* what was asked; but once it ran it was the answer, and not the user's doing */
        return executed == WEFT_EXECUTED_NO ? EXITS_USAGE : EXITS_OTHER;
    case WEFT_DEADLINE_EXCEEDED: /* spent on a broker that never answered? */
        return executed == WEFT_EXECUTED_NO && !broker ? EXITS_BROKER : EXITS_DEADLINE;
    case WEFT_HANDLER_TIMEOUT:
        return EXITS_DEADLINE;
    case WEFT_CONNECT_TIMEOUT:
        return broker ? EXITS_NOBODY : EXITS_BROKER;
    case WEFT_BROKER_LOST:
        return EXITS_BROKER;
    case WEFT_NO_SERVICE:
    case WEFT_NO_WORKERS:
    case WEFT_UNIMPLEMENTED:
    case WEFT_DRAINING:
        return EXITS_NOBODY;
    case WEFT_PERMISSION_DENIED:
    case WEFT_UNAUTHENTICATED:
        return EXITS_REFUSED;
    case WEFT_OVERLOADED:
        return EXITS_OVERLOADED;
    case WEFT_CANCELLED:
    case WEFT_WORKER_LOST:
    case WEFT_SHUTDOWN:
    case WEFT_INTERNAL:
        break;
    }
    return EXITS_OTHER;
}
