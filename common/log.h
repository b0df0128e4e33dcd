/* SPDX-License-Identifier: MPL-2.0
 *
 *  log.h - structured events: a fixed message and typed fields.
 *
 *      log_info ("worker lost", log_text ("uuid", uuid), log_int ("calls", n)); */

#ifndef LOG_H_INCLUDED
#define LOG_H_INCLUDED

#include <stdint.h>
#include <weft/log.h>
#include "text.h"

typedef struct {
    const char *key;
    text_t text;        /* if data is not NULL */
    int64_t number;     /* else */
} log_field_t;

static inline log_field_t log_text (const char *key, const char *value)
{
    return (log_field_t){key, text_of (value ? value : ""), 0};
}
static inline log_field_t log_view (const char *key, text_t value)
{
    return (log_field_t){key, {value.data ? value.data : "", value.size}, 0};
}
static inline log_field_t log_int (const char *key, int64_t value)
{
    return (log_field_t){key, {NULL, 0}, value};
}

/*  True if an event of this level would go anywhere. */
bool log_enabled (weft_log_level_t level);

/*  A place in the program that logs, and how often it did lately. */
typedef struct log_site {
    struct log_site *next;      /* in the list of those that hold something back */
    const char *message;
    int64_t second;
    unsigned lines;             /* in that second */
    uint64_t held_back;
} log_site_t;

/*  `fields` ends with a NULL key. `site` is all zeros at first and lives as long as the program. */
void log_event (log_site_t *site, weft_log_level_t level, const char *message, const log_field_t *fields);

#define LOG_(level, message, ...)                                                                            \
    do {                                                                                                     \
        static log_site_t log_site_;                                                                         \
        if (log_enabled (level))                                                                             \
            log_event (&log_site_, level, message,                                                           \
                       (const log_field_t []){__VA_ARGS__, {NULL, {NULL, 0}, 0}});                           \
    } while (0)
#define log_debug(message, ...)   LOG_ (WEFT_LOG_DEBUG, message, __VA_ARGS__)
#define log_info(message, ...)    LOG_ (WEFT_LOG_INFO, message, __VA_ARGS__)
#define log_warning(message, ...) LOG_ (WEFT_LOG_WARNING, message, __VA_ARGS__)
#define log_error(message, ...)   LOG_ (WEFT_LOG_ERROR, message, __VA_ARGS__)

/*  For programs: events to stderr, one line each, with UTC time: text ("2026-01-31T12:00:00.123Z info worker lost uuid=…") or JSON
 *  ({"time":…,"level":…,"message":…,"uuid":…}).
 *
 *  Peers can neither flood the log nor stop the program by it. A site writes at most LOG_LINES_PER_SECOND (debug: any number); the rest
 *  is counted, and the count told later. And a reader that has stopped reading is not waited for: lines that find no room are
 *  lost, and counted, too. */
#define LOG_LINES_PER_SECOND 50
void log_to_stderr (weft_log_level_t level, bool json);

#endif
