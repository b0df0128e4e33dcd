/* SPDX-License-Identifier: MPL-2.0 */

#include "log.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define VALUE_MAX 256    /* longer values are cut */
#define LINE_BYTES 16384 /* enough for eight fields of escaped values */

/*  A line that is cut, not overrun. */
typedef struct {
    char text [LINE_BYTES];
    size_t size;
} line_t;

static struct {
    pthread_mutex_t lock;
    weft_log_level_t level;
    weft_log_sink_fn *sink;
    void *arg;
    bool to_stderr, json;
    log_site_t *holding;    /* sites that hold something back */
    line_t rest;            /* of a line that was written in part */
    uint64_t lost;          /* lines that found no room */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const level_names [] = {"debug", "info", "warning", "error"};

static void put (line_t *line, const char *data, size_t size)
{
    const size_t room = sizeof line->text - 2 - line->size; /* for '\n' and NUL */
    if (size > room)
        size = room;
    memcpy (line->text + line->size, data, size);
    line->size += size;
}

static void put_text (line_t *line, const char *text)
{
    put (line, text, strlen (text));
}

static void put_int (line_t *line, int64_t number)
{
    char digits [32];
    put (line, digits, (size_t) snprintf (digits, sizeof digits, "%lld", (long long) number));
}

/*  In quotes; all but printable ASCII escaped, since peers may send anything. */
static void put_quoted (line_t *line, text_t value)
{
    put_text (line, "\"");
    for (size_t i = 0; i < value.size && i < VALUE_MAX; i++) {
        const unsigned char c = (unsigned char) value.data [i];
        char escaped [8];
        if (c == '"' || c == '\\')
            put (line, escaped, (size_t) snprintf (escaped, sizeof escaped, "\\%c", c));
        else if (c < 0x20 || c > 0x7e)
            put (line, escaped, (size_t) snprintf (escaped, sizeof escaped, "\\u%04x", c));
        else
            put (line, (const char *) &c, 1);
    }
    put_text (line, "\"");
}

static bool plain (text_t value)
{
    for (size_t i = 0; i < value.size; i++) {
        const char c = value.data [i];
        if (c <= ' ' || c > '~' || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return value.size > 0 && value.size <= VALUE_MAX;
}

static void put_fields (line_t *line, const log_field_t *fields, bool json)
{
    for (const log_field_t *field = fields; field->key; field++) {
        if (json) {
            put_text (line, ",\"");
            put_text (line, field->key);
            put_text (line, "\":");
        } else {
            if (line->size)
                put_text (line, " ");
            put_text (line, field->key);
            put_text (line, "=");
        }
        if (!field->text.data)
            put_int (line, field->number);
        else if (!json && plain (field->text))
            put (line, field->text.data, field->text.size);
        else
            put_quoted (line, field->text);
    }
}

static void put_time (line_t *line)
{
    struct timespec now;
    struct tm utc;
    char stamp [64];
    clock_gettime (CLOCK_REALTIME, &now);
    gmtime_r (&now.tv_sec, &utc);
    size_t size = strftime (stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    size += (size_t) snprintf (stamp + size, sizeof stamp - size, ".%03ldZ", now.tv_nsec / 1000000);
    put (line, stamp, size);
}

static line_t make_line (weft_log_level_t level, const char *message, const log_field_t *fields)
{
    line_t line;
    line.size = 0;
    if (state.json) {
        put_text (&line, "{\"time\":\"");
        put_time (&line);
        put_text (&line, "\",\"level\":\"");
        put_text (&line, level_names [level]);
        put_text (&line, "\",\"message\":");
        put_quoted (&line, text_of (message));
        put_fields (&line, fields, true);
        put_text (&line, "}");
    } else {
        put_time (&line);
        put_text (&line, " ");
        put_text (&line, level_names [level]);
        put_text (&line, " ");
        put_text (&line, message);
        put_fields (&line, fields, false);
    }
    line.text [line.size++] = '\n';
    return line;
}

/*  Writing ------------------------------------------------------------------------------------------------------ */

/*  What is writable takes PIPE_BUF bytes without making us wait, unless another process writes there at the same moment. (To make
 *  the descriptor non-blocking is no way: it is shared with whoever gave it to us.) */
static bool stderr_has_room (void)
{
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll (&fd, 1, 0) > 0 && (fd.revents & (POLLOUT | POLLERR));
}

/*  How much of it there was room for. A failed write is nobody's problem: calls go on when the log's disk is full. */
static size_t write_some (const char *text, size_t size)
{
    size_t done = 0;
    while (done < size && stderr_has_room ()) {
        const ssize_t written = write (STDERR_FILENO, text + done, size - done < PIPE_BUF ? size - done : PIPE_BUF);
        if (written < 0 && errno == EAGAIN)
            break;
        if (written < 0 && errno != EINTR)
            return size;
        done += written > 0 ? (size_t) written : 0;
    }
    return done;
}

/*  One write per event if it is not long, so that lines of several processes do not mix. What there is only room for in part is
 *  ended later, so that lines are whole. */
static void write_line (const line_t *line)
{
    const size_t done = write_some (line->text, line->size);
    if (done == 0) {
        state.lost++;
        return;
    }
    state.rest.size = line->size - done;
    memcpy (state.rest.text, line->text + done, state.rest.size);
}

/*  True if nothing is unsaid any more. */
static bool write_what_waits (void)
{
    line_t *rest = &state.rest;
    const size_t done = write_some (rest->text, rest->size);

    rest->size -= done;
    memmove (rest->text, rest->text + done, rest->size);
    if (rest->size == 0 && state.lost && stderr_has_room ()) {
        const log_field_t fields [] = {log_int ("lines", (int64_t) state.lost), {NULL, {NULL, 0}, 0}};
        const line_t line = make_line (WEFT_LOG_WARNING, "the log was not read fast enough: lines were lost", fields);
        state.lost = 0;
        write_line (&line);
    }
    return rest->size == 0 && state.lost == 0;
}

static void write_stderr (weft_log_level_t level, const char *message, const log_field_t *fields)
{
    if (!write_what_waits ()) {
        state.lost++;
        return;
    }
    const line_t line = make_line (level, message, fields);
    write_line (&line);
}

/*  The rate ----------------------------------------------------------------------------------------------------- */

static int64_t second_now (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/*  Tells of what was held back before this second. */
static void tell_held_back (int64_t second)
{
    for (log_site_t **at = &state.holding, *site; (site = *at);) {
        if (site->second == second) {
            at = &site->next;
            continue;
        }
        *at = site->next;
        const log_field_t fields [] = {log_text ("like", site->message), log_int ("lines", (int64_t) site->held_back),
                                       {NULL, {NULL, 0}, 0}};
        site->held_back = 0;
        write_stderr (WEFT_LOG_WARNING, "too many lines were held back", fields);
    }
}

/*  Counts a line of the site; false: it is one too many. */
static bool admit (log_site_t *site, const char *message)
{
    const int64_t second = second_now ();

    tell_held_back (second);
    if (site->second != second) {
        site->second = second;
        site->lines = 0;
    }
    if (site->lines++ < LOG_LINES_PER_SECOND)
        return true;
    if (site->held_back++ == 0) {
        site->message = message;
        site->next = state.holding;
        state.holding = site;
    }
    return false;
}

/*  Events ------------------------------------------------------------------------------------------------------- */

static void write_sink (weft_log_level_t level, const char *message, const log_field_t *fields)
{
    line_t line = {.size = 0};
    put_fields (&line, fields, false);
    line.text [line.size] = '\0';
    state.sink (level, message, line.text, state.arg);
}

bool log_enabled (weft_log_level_t level)
{
    return (state.sink || state.to_stderr) && level >= state.level;
}

void log_event (log_site_t *site, weft_log_level_t level, const char *message, const log_field_t *fields)
{
    pthread_mutex_lock (&state.lock);
    if (state.to_stderr && (level == WEFT_LOG_DEBUG || admit (site, message)))
        write_stderr (level, message, fields);
    else if (!state.to_stderr && state.sink)
        write_sink (level, message, fields);
    pthread_mutex_unlock (&state.lock);
}

void weft_log_set (weft_log_level_t level, weft_log_sink_fn *sink, void *arg)
{
    pthread_mutex_lock (&state.lock);
    state.level = level;
    state.sink = sink;
    state.arg = arg;
    state.to_stderr = false;
    pthread_mutex_unlock (&state.lock);
}

void log_to_stderr (weft_log_level_t level, bool json)
{
    pthread_mutex_lock (&state.lock);
    state.level = level;
    state.sink = NULL;
    state.to_stderr = true;
    state.json = json;
    pthread_mutex_unlock (&state.lock);
}
