/* SPDX-License-Identifier: MPL-2.0 */

#include "log.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define VALUE_MAX 256    /* longer values are cut */
#define LINE_BYTES 16384 /* enough for eight fields of escaped values */

static struct {
    pthread_mutex_t lock;
    weft_log_level_t level;
    weft_log_sink_fn *sink;
    void *arg;
    bool to_stderr, json;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const level_names [] = {"debug", "info", "warning", "error"};

/*  A line that is cut, not overrun. */
typedef struct {
    char text [LINE_BYTES];
    size_t size;
} line_t;

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

/*  One write per event, so that lines of several processes do not mix. A failed write is nobody's
 *  problem: calls go on when the log's disk is full. */
static void write_stderr (weft_log_level_t level, const char *message, const log_field_t *fields)
{
    line_t line = {.size = 0};
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
    fwrite (line.text, 1, line.size, stderr);
}

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

void log_event (weft_log_level_t level, const char *message, const log_field_t *fields)
{
    pthread_mutex_lock (&state.lock);
    if (state.to_stderr)
        write_stderr (level, message, fields);
    else if (state.sink)
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

bool log_level_parse (const char *name, weft_log_level_t *level)
{
    for (int i = 0; i < 4; i++)
        if (strcmp (name, level_names [i]) == 0) {
            *level = (weft_log_level_t) i;
            return true;
        }
    return false;
}
