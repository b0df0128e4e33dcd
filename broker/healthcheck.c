/* SPDX-License-Identifier: MPL-2.0 */

#include "healthcheck.h"
#include "codec.h"
#include "refusal.h"
#include "rows.h"
#include "transport.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    void *socket;
    bool welcomed, listed, refused;
    char why [256];
    char paused [128];      /* ", no worker expires for ..." */
} check_t;

/*  A bound host of any address is reached at the loopback one. */
bool healthcheck_endpoint (const config_t *config, char endpoint [WEFT_ENDPOINT_MAX + 1])
{
    for (size_t i = 0; i < config->bind.count; i++) {
        const char *bound = config->bind.items [i], *port = strrchr (bound, ':') + 1;
        const bool tcp = strncmp (bound, "tcp://", 6) == 0;
        if (tcp && (strcmp (port, "*") == 0 || strcmp (port, "0") == 0))
            continue;
        const bool any = strncmp (bound, "tcp://*:", 8) == 0 || strncmp (bound, "tcp://0.0.0.0:", 14) == 0;
        if (any)
            snprintf (endpoint, WEFT_ENDPOINT_MAX + 1, "tcp://127.0.0.1:%s", port);
        else
            snprintf (endpoint, WEFT_ENDPOINT_MAX + 1, "%s", bound);
        return true;
    }
    return false;
}

static bool ask (check_t *self)
{
    static const char *const codecs [] = {"msgpack", NULL};
    buffer_t records;
    message_t message;

    message_init (&message);
    buffer_init (&records, 1024);
    wire_write_hello (&records, "client", codecs, "healthcheck", NULL);
    wire_write_request (&records, 1, text_of ("weft.Registry.List"), 2000, NULL, 0, false, NULL);
    const bool sent = !records.failed && message_add_bytes (&message, records.data, records.size)
                      && transport_send (self->socket, NULL, 0, &message) == 0;
    message_fini (&message);
    buffer_fini (&records);
    return sent;
}

static void note_pause (check_t *self, const wire_record_t *record)
{
    list_reply list = {0};
    codec_error_t error;
    arena_t arena;

    arena_init (&arena, WEFT_DECODED_MAX);
    if (codec_decode (CODEC_MSGPACK, record->body, record->body_size, WEFT_OUT (list_reply, &list), &arena, &error)
        && list.has_paused && list.has_paused_ms)
        snprintf (self->paused, sizeof self->paused, "; no worker expires for %.1f s more: %.80s",
                  (double) list.paused_ms / 1000, list.paused);
    arena_fini (&arena);
}

static void on_record (check_t *self, const wire_record_t *record)
{
    wire_refused_t refused;
    wire_info_t info;

    if (record->kind == WIRE_WELCOME)
        self->welcomed = true;
    else if (record->kind == WIRE_REPLY && record->id == 1 && record->status == WEFT_OK) {
        self->listed = true;
        note_pause (self, record);
    } else if (record->kind == WIRE_REPLY && wire_read_info (record->extra, &info)) {
        self->refused = true;
        snprintf (self->why, sizeof self->why, "%s: %.*s", weft_status_str (record->status), QUOTED (info.text));
    } else if (record->kind == WIRE_REFUSED && wire_read_refused (record, &refused)) {
        self->refused = true;
        snprintf (self->why, sizeof self->why, "%s: %.*s", weft_status_str (refused.status), QUOTED (refused.text));
    }
}

static void read_answers (check_t *self)
{
    message_t message;
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault;

    message_init (&message);
    while (transport_receive (self->socket, NULL, &message, &fault) > 0) {
        message_cursor_t cursor = message_cursor (&message);
        while (message_next (&cursor, &record, &attachment, &fault) > 0)
            on_record (self, &record);
        message_clear (&message);
    }
    message_fini (&message);
}

static bool finished (const check_t *self)
{
    return self->refused || (self->welcomed && self->listed);
}

static void wait_for_answers (check_t *self, int64_t until_us)
{
    for (int64_t now_us; !finished (self) && (now_us = clock_now_us ()) < until_us;) {
        zmq_pollitem_t item = {.socket = self->socket, .events = ZMQ_POLLIN};
        zmq_poll (&item, 1, (long) ((until_us - now_us + 999) / 1000));
        read_answers (self);
    }
}

bool healthcheck (const char *endpoint, int timeout_ms, config_error_t *line)
{
    const int64_t start_us = clock_now_us ();
    check_t self = {0};
    void *context = transport_context_acquire ();

    if (context)
        self.socket = transport_socket (context, ZMQ_DEALER, 0);
    const bool connected = self.socket && zmq_connect (self.socket, endpoint) == 0;
    if (connected && ask (&self))
        wait_for_answers (&self, start_us + (int64_t) timeout_ms * 1000);
    if (self.socket)
        zmq_close (self.socket);
    if (context)
        transport_context_release ();

    const bool healthy = self.welcomed && self.listed;
    if (healthy)
        snprintf (line->text, sizeof line->text, "%s answers, in %.1f ms%s", endpoint,
                  (double) (clock_now_us () - start_us) / 1000, self.paused);
    else if (self.refused)
        snprintf (line->text, sizeof line->text, "%s refuses: %s", endpoint, self.why);
    else
        snprintf (line->text, sizeof line->text, "%s does not answer within %d ms", endpoint, timeout_ms);
    return healthy;
}
