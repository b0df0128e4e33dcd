/* SPDX-License-Identifier: MPL-2.0 */

#include "probe.h"
#include "clock.h"
#include "transport.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*  What is awaited: a WELCOME (id 0) or the REPLY with this id. */
typedef struct {
    uint64_t id;
    bool done;
    weft_status_t status;
} awaited_t;

bool probe_can_reach (const char *endpoint)
{
    if (strncmp (endpoint, "ipc://", 6) == 0)
        return access (endpoint + 6, F_OK) == 0;
    return strncmp (endpoint, "tcp://", 6) == 0;
}

bool probe_open (probe_t *self, const char *endpoint)
{
    *self = (probe_t){.last_id = 0};
    message_init (&self->message);
    self->context = transport_context_acquire ();
    if (self->context)
        self->socket = transport_socket (self->context, ZMQ_DEALER, 0);
    if (self->socket)
        self->monitor = transport_monitor_open (self->context, self->socket);
    if (self->monitor && zmq_connect (self->socket, endpoint) == 0)
        return true;
    snprintf (self->text, sizeof self->text, "%s", zmq_strerror (errno));
    return false;
}

void probe_close (probe_t *self)
{
    if (self->socket) {
        transport_monitor_close (self->socket, &self->monitor);
        zmq_close (self->socket);
    }
    message_fini (&self->message);
    if (self->context)
        transport_context_release ();
    self->socket = self->context = NULL;
}

static void end (probe_t *self, awaited_t *awaited, weft_status_t status, text_t text)
{
    awaited->done = true;
    awaited->status = status;
    snprintf (self->text, sizeof self->text, "%.*s", TEXT_ARG (text));
}

static void on_welcome (probe_t *self, const wire_record_t *record, awaited_t *awaited)
{
    wire_welcome_t welcome;
    if (!wire_read_welcome (record, &welcome)) {
        end (self, awaited, WEFT_INVALID, text_of ("its WELCOME is malformed"));
        return;
    }
    self->version = welcome.version;
    snprintf (self->server, sizeof self->server, "%.*s", TEXT_ARG (welcome.server));
    if (awaited->id == 0)
        end (self, awaited, WEFT_OK, text_of (""));
}

static void on_reply (probe_t *self, const wire_record_t *record, awaited_t *awaited)
{
    wire_info_t info;
    if (record->id != awaited->id)
        return;
    self->reply = record->body;
    self->reply_size = record->body_size;
    end (self, awaited, record->status, wire_read_info (record->extra, &info) ? info.text : text_of (""));
}

static void on_refused (probe_t *self, const wire_record_t *record, awaited_t *awaited)
{
    wire_refused_t refused;
    if (wire_read_refused (record, &refused))
        end (self, awaited, refused.status == WEFT_OK ? WEFT_INTERNAL : refused.status, refused.text);
}

static void on_message (probe_t *self, awaited_t *awaited)
{
    message_cursor_t cursor = message_cursor (&self->message);
    wire_record_t record;
    zmq_msg_t *attachment;
    const char *fault = "";
    int got;
    while (!awaited->done && (got = message_next (&cursor, &record, &attachment, &fault)) != 0) {
        if (got < 0) {
            end (self, awaited, WEFT_INVALID, text_of (fault));
            return;
        }
        if (record.kind == WIRE_WELCOME)
            on_welcome (self, &record, awaited);
        else if (record.kind == WIRE_REPLY)
            on_reply (self, &record, awaited);
        else if (record.kind == WIRE_REFUSED)
            on_refused (self, &record, awaited);
    }
}

static void on_event (probe_t *self, const transport_event_t *event, awaited_t *awaited)
{
    if (event->kind == TRANSPORT_FAILED)
        end (self, awaited, WEFT_CONNECT_TIMEOUT, text_of ("nobody listens there"));
    else if (event->kind == TRANSPORT_LOST)
        end (self, awaited, WEFT_WORKER_LOST, text_of ("the connection was closed"));
    else if (event->kind == TRANSPORT_REFUSED)
        end (self, awaited, event->status,
             text_of (event->status == WEFT_UNAUTHENTICATED ? "the key was refused"
                                                            : "what answers there does not speak weft"));
}

static bool receive (probe_t *self)
{
    const char *fault; /* of a message that was dropped: as if it had never come */
    message_clear (&self->message);
    return transport_receive (self->socket, NULL, &self->message, &fault) > 0;
}

static weft_status_t await (probe_t *self, awaited_t *awaited, int timeout_ms)
{
    const int64_t until_us = clock_now_us () + (int64_t) timeout_ms * 1000;
    while (!awaited->done) {
        const int64_t left_us = until_us - clock_now_us ();
        if (left_us <= 0) {
            end (self, awaited, WEFT_DEADLINE_EXCEEDED, text_of ("no answer in time"));
            break;
        }
        zmq_pollitem_t items [] = {{self->socket, 0, ZMQ_POLLIN, 0}, {self->monitor, 0, ZMQ_POLLIN, 0}};
        zmq_poll (items, 2, (long) (left_us + 999) / 1000);

        while (!awaited->done && receive (self)) /* what was said before the connection closed comes first */
            on_message (self, awaited);
        transport_event_t event;
        while (!awaited->done && transport_monitor_next (self->monitor, &event))
            on_event (self, &event, awaited);
    }
    return awaited->status;
}

static weft_status_t send_and_await (probe_t *self, const buffer_t *records, const void *attachment,
                                     size_t size, uint64_t id, int timeout_ms)
{
    awaited_t awaited = {.id = id};
    message_t message;
    message_init (&message);
    const int64_t start_us = clock_now_us ();
    if (records->failed || !message_add_bytes (&message, records->data, records->size) ||
        (attachment && !message_add_bytes (&message, attachment, size)))
        end (self, &awaited, WEFT_INTERNAL, text_of ("out of memory"));
    else if (transport_send (self->socket, NULL, 0, &message) < 0 &&
             errno != EAGAIN) /* lost: an event says so */
        end (self, &awaited, WEFT_INTERNAL, text_of (zmq_strerror (errno)));
    message_fini (&message);
    const weft_status_t status = await (self, &awaited, timeout_ms);
    self->round_trip_us = clock_now_us () - start_us;
    return status;
}

weft_status_t probe_hello (probe_t *self, const char *worker, int timeout_ms)
{
    static const char *const codecs [] = {"msgpack", NULL};
    buffer_t records;
    buffer_init (&records, WEFT_BATCH_MAX);
    wire_write_hello (&records, "client", codecs, "weft", worker);
    const weft_status_t status = send_and_await (self, &records, NULL, 0, 0, timeout_ms);
    buffer_fini (&records);
    return status;
}

weft_status_t probe_call (probe_t *self, const char *method, const char *worker, const void *body,
                          size_t size, int timeout_ms)
{
    const wire_options_t options = {.worker = text_of (worker)};
    const bool attached = size > WEFT_BODY_INLINE_MAX;
    buffer_t records;
    buffer_init (&records, WEFT_BATCH_MAX);
    wire_write_request (&records, ++self->last_id, text_of (method), (uint32_t) timeout_ms,
                        attached ? NULL : body, size, attached, worker ? &options : NULL);
    const weft_status_t status = send_and_await (self, &records, attached ? body : NULL, size, self->last_id,
                                                 timeout_ms);
    buffer_fini (&records);
    return status;
}

weft_status_t probe_ping_broker (probe_t *self, int timeout_ms)
{
    static const uint8_t nothing [] = {0x91, 0xa1, '-'}; /* {service: "-"}, which is none */
    const weft_status_t status = probe_call (self, "weft.Registry.List", NULL, nothing, sizeof nothing,
                                             timeout_ms);
    return status == WEFT_NO_SERVICE ? WEFT_OK : status;
}

weft_status_t probe_ping_worker (probe_t *self, const char *through_broker_to, int timeout_ms)
{
    static const uint8_t empty [] = {0x90};
    return probe_call (self, "weft.Worker.Ping", through_broker_to, empty, sizeof empty, timeout_ms);
}
