/* SPDX-License-Identifier: MPL-2.0 */

#include <weft/status.h>
#include <stddef.h>

static const struct {
    const char *name, *text;
    weft_executed_t executed;
} statuses [WEFT_STATUS_COUNT] = {
    [WEFT_OK] = {"OK", "done", WEFT_EXECUTED_YES},
    [WEFT_CANCELLED] = {"CANCELLED", "the caller gave up", WEFT_EXECUTED_MAYBE},
    [WEFT_APP_ERROR] = {"APP_ERROR", "the method reported an error", WEFT_EXECUTED_YES},
    [WEFT_INVALID] = {"INVALID", "the call does not fit the protocol or the method's types", WEFT_EXECUTED_NO},
    [WEFT_DEADLINE_EXCEEDED] = {"DEADLINE_EXCEEDED", "time is up", WEFT_EXECUTED_MAYBE},
    [WEFT_HANDLER_TIMEOUT] = {"HANDLER_TIMEOUT", "the worker's limit on its handler was reached", WEFT_EXECUTED_YES},
    [WEFT_CONNECT_TIMEOUT] = {"CONNECT_TIMEOUT", "no connection in time", WEFT_EXECUTED_NO},
    [WEFT_NO_SERVICE] = {"NO_SERVICE", "no such service was ever registered", WEFT_EXECUTED_NO},
    [WEFT_NO_WORKERS] = {"NO_WORKERS", "the service is known, but no worker is live", WEFT_EXECUTED_NO},
    [WEFT_UNIMPLEMENTED] = {"UNIMPLEMENTED", "no such method or version", WEFT_EXECUTED_NO},
    [WEFT_PERMISSION_DENIED] = {"PERMISSION_DENIED", "the policy says no", WEFT_EXECUTED_NO},
    [WEFT_UNAUTHENTICATED] = {"UNAUTHENTICATED", "the key was not accepted", WEFT_EXECUTED_NO},
    [WEFT_OVERLOADED] = {"OVERLOADED", "a queue, window or memory limit is reached", WEFT_EXECUTED_NO},
    [WEFT_TOO_LARGE] = {"TOO_LARGE", "the body is over the limit", WEFT_EXECUTED_NO},
    [WEFT_DRAINING] = {"DRAINING", "going away, try another", WEFT_EXECUTED_NO},
    [WEFT_WORKER_LOST] = {"WORKER_LOST", "the worker was lost after the call was sent", WEFT_EXECUTED_MAYBE},
    [WEFT_BROKER_LOST] = {"BROKER_LOST", "the broker was lost after the call was sent", WEFT_EXECUTED_MAYBE},
    [WEFT_SHUTDOWN] = {"SHUTDOWN", "the client is closing", WEFT_EXECUTED_MAYBE},
    [WEFT_INTERNAL] = {"INTERNAL", "a fault of the library", WEFT_EXECUTED_MAYBE},
};

const char *weft_version (void)
{
    return WEFT_VERSION;
}

/*  Compared as unsigned: the number may come from anywhere. */
static bool known (weft_status_t status)
{
    return (unsigned) status < WEFT_STATUS_COUNT;
}

const char *weft_status_str (weft_status_t status)
{
    return known (status) ? statuses [status].name : "?";
}

const char *weft_status_text (weft_status_t status)
{
    return known (status) ? statuses [status].text : "an unknown status";
}

weft_executed_t weft_status_executed (weft_status_t status)
{
    return known (status) ? statuses [status].executed : WEFT_EXECUTED_MAYBE;
}

const char *weft_executed_str (weft_executed_t executed)
{
    static const char *const names [] = {"no", "maybe", "yes"};
    return (unsigned) executed <= WEFT_EXECUTED_YES ? names [executed] : "?";
}

const char *weft_origin_str (weft_origin_t origin)
{
    static const char *const names [] = {"client", "broker", "worker", "application"};
    return (unsigned) origin <= WEFT_ORIGIN_APPLICATION ? names [origin] : "?";
}
