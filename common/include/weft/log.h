/* SPDX-License-Identifier: MPL-2.0
 *
 *  log.h - where the library's few remarks go. Silent unless a sink is set. */

#ifndef WEFT_LOG_H_INCLUDED
#define WEFT_LOG_H_INCLUDED

#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { WEFT_LOG_DEBUG, WEFT_LOG_INFO, WEFT_LOG_WARNING, WEFT_LOG_ERROR } weft_log_level_t;

/*  Receives one event: a fixed `message`, and `fields` as "key=value key=value"
 *  (values quoted where they need it). Both are valid during the call only. May be
 *  called from any of the library's threads, one at a time. */
typedef void (weft_log_sink_fn) (weft_log_level_t level, const char *message, const char *fields,
                                 void *arg);

/*  Sends events of `level` and above to `sink`; NULL silences. Process-wide; call it
 *  before other threads use the library. */
WEFT_EXPORT void weft_log_set (weft_log_level_t level, weft_log_sink_fn *sink, void *arg);

#ifdef __cplusplus
}
#endif

#endif
