/* SPDX-License-Identifier: MPL-2.0 */

#include "cli.h"
#include "codec.h"
#include "json.h"
#include "transport.h"
#include "words.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BROKER_DEFAULT "tcp://127.0.0.1:5555"

/* ---- beginning and end ---- */

const char *cli_next_endpoint (const char *list, char endpoint [WEFT_ENDPOINT_MAX + 1])
{
    const size_t size = strcspn (list, ",");
    snprintf (endpoint, WEFT_ENDPOINT_MAX + 1, "%.*s", (int) size, list);
    return list + size + (list [size] == ',');
}

/*  Each endpoint of the list; if one is wrong, that and where it was given is said. */
static bool check_brokers (cli_t *self, const char *source)
{
    const char *at = self->options.broker, *fault = "expected an endpoint";
    char endpoint [WEFT_ENDPOINT_MAX + 1] = "";
    bool valid = *at != '\0';
    while (valid && *at) {
        const bool too_long = strcspn (at, ",") > WEFT_ENDPOINT_MAX;
        at = cli_next_endpoint (at, endpoint);
        fault = "longer than 255 bytes";
        valid = !too_long && transport_endpoint_valid (endpoint, false, &fault);
    }
    if (!valid)
        cli_fail (self, EXITS_USAGE, "%s: \"%s\": %s", source, endpoint, fault);
    return valid;
}

bool cli_init (cli_t *self)
{
    const char *const environment = getenv ("WEFT_BROKER"), *const no_color = getenv ("NO_COLOR");
    const bool terminal = isatty (STDOUT_FILENO);
    self->json = self->options.output == OUTPUT_JSON;
    self->pretty = terminal;
    self->colour = terminal && !(no_color && *no_color);
    if (self->options.broker)
        return check_brokers (self, "--broker");
    self->options.broker = environment && *environment ? environment : BROKER_DEFAULT;
    return check_brokers (self, "WEFT_BROKER");
}

bool cli_flush (void)
{
    return fflush (stdout) == 0 && !ferror (stdout);
}

/*  True if nobody reads standard output any more. The failed write may be long past, and its errno with
 *  it. */
static bool reader_is_gone (void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    return poll (&out, 1, 0) == 1 && out.revents & (POLLERR | POLLHUP);
}

int cli_fini (cli_t *self, int code)
{
    cli_progress (self, "%s", "");
    weft_client_destroy (&self->client);
    errno = 0;
    if (cli_flush () || reader_is_gone () || self->mute)
        return code == EXITS_OK ? self->lost : code;
    return cli_fail (self, EXITS_OTHER, "cannot write the output: %s", errno ? strerror (errno) : "lost");
}

/* ---- saying ---- */

static void print_text_line (FILE *out, const char *text)
{
    char line [WEFT_TEXT_MAX + 512];
    snprintf (line, sizeof line, "%s", text);
    words_defuse (line);
    fprintf (out, "weft: %s\n", line);
}

static void write_line (const buffer_t *text, FILE *out)
{
    fwrite (text->data, 1, text->size, out);
    fputc ('\n', out);
}

/*  JSON on one line, or indented if it is to be pretty and is not too large for that. */
static void write_json (const buffer_t *json, bool pretty, FILE *out)
{
    buffer_t value, indented;
    codec_error_t error;
    buffer_init (&value, SIZE_MAX / 2);
    buffer_init (&indented, SIZE_MAX / 2);
    const bool done = pretty && json_to_mp ((const char *) json->data, json->size, NULL, 0, &value, &error) &&
                      json_from_mp (value.data, value.size, NULL, 0, true, &indented, &error);
    write_line (done ? &indented : json, out);
    buffer_fini (&value);
    buffer_fini (&indented);
}

static void write_object (const object_t *object, bool pretty, FILE *out)
{
    buffer_t json;
    buffer_init (&json, SIZE_MAX / 2);
    object_write (object, &json);
    write_json (&json, pretty, out);
    buffer_fini (&json);
}

/*  An error of `call`, or of nobody (NULL). */
static int fail (cli_t *self, int code, const weft_call_t *call, const char *text)
{
    if (self->mute)
        return code;
    cli_progress (self, "%s", "");
    if (!self->json) {
        print_text_line (stderr, text);
        return code;
    }
    object_t object;
    object_init (&object);
    object_text (&object, "error", text);
    object_int (&object, "exit", code);
    if (call) {
        object_text (&object, "status", weft_status_str (weft_call_status (call)));
        object_text (&object, "executed", weft_executed_str (weft_call_executed (call)));
        object_text (&object, "origin", weft_origin_str (weft_call_origin (call)));
        if (weft_call_status (call) == WEFT_APP_ERROR)
            object_int (&object, "code", weft_call_code (call));
    }
    write_object (&object, false, stderr);
    object_fini (&object);
    return code;
}

int cli_fail (cli_t *self, int code, const char *format, ...)
{
    char text [WEFT_TEXT_MAX + 512];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    return fail (self, code, NULL, text);
}

#define UNREACHABLE "broker %s%scannot be reached: %s; 'weft doctor' looks closer"

int cli_fail_status (cli_t *self, const char *what, weft_status_t status)
{
    const int code = exits_of (status, WEFT_EXECUTED_NO, weft_client_stats (self->client).broker);
    if (code == EXITS_BROKER)
        return cli_fail (self, code, UNREACHABLE, self->options.broker, " ", weft_status_text (status));
    return cli_fail (self, code, "%s: %s: %s", what, weft_status_str (status), weft_status_text (status));
}

int cli_exit_of (const cli_t *self, const weft_call_t *call)
{
    return exits_of (weft_call_status (call), weft_call_executed (call),
                     weft_client_stats (self->client).broker);
}

/*  "; executed: maybe" where it is news. */
static const char *fate (const weft_call_t *call)
{
    static const char *const fates [] = {"", "; executed: maybe", "; executed: yes"};
    return weft_call_status (call) == WEFT_APP_ERROR ? "" : fates [weft_call_executed (call)];
}

int cli_fail_call (cli_t *self, const char *what, const weft_call_t *call)
{
    char text [WEFT_TEXT_MAX + 512], number [48] = "";
    if (!call)
        return cli_fail (self, EXITS_OTHER, "%s: out of memory", what);
    const weft_status_t status = weft_call_status (call);
    const int code = cli_exit_of (self, call);
    const char *const said = weft_call_text (call), *const reason = *said ? said : weft_status_text (status);

    if (status == WEFT_APP_ERROR)
        snprintf (number, sizeof number, " (code %lld)", (long long) weft_call_code (call));
    const bool named = strstr (reason, self->options.broker);

    if (code == EXITS_BROKER)
        snprintf (text, sizeof text, UNREACHABLE "%s", named ? "" : self->options.broker, named ? "" : " ",
                  reason, fate (call));
    else
        snprintf (text, sizeof text, "%s: %s: %s%s%s", what, weft_status_str (status), reason, number,
                  fate (call));
    return fail (self, code, call, text);
}

void cli_note (cli_t *self, const char *format, ...)
{
    if (self->options.quiet || self->mute)
        return;
    char text [WEFT_TEXT_MAX + 512];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    cli_progress (self, "%s", "");
    if (!self->json) {
        print_text_line (stderr, text);
        return;
    }
    object_t object;
    object_init (&object);
    object_text (&object, "note", text);
    write_object (&object, false, stderr);
    object_fini (&object);
}

void cli_progress (cli_t *self, const char *format, ...)
{
    char text [256];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    if (self->options.quiet || self->mute || (!*text && !self->progress) || !isatty (STDERR_FILENO))
        return;
    self->progress = *text != '\0';
    words_defuse (text);
    fprintf (stderr, "\r%s\033[K", text);
    fflush (stderr);
}

/* ---- data ---- */

bool cli_print_typed (cli_t *self, const void *type, size_t type_size, const void *value, size_t size)
{
    buffer_t json;
    codec_error_t error;
    buffer_init (&json, SIZE_MAX / 2);
    const bool fits = json_from_mp (value, size, type, type_size, self->pretty, &json, &error);
    if (json.size > 0)
        write_line (&json, stdout);
    buffer_fini (&json);
    return fits;
}

void cli_print_value (cli_t *self, weft_value_t value)
{
    buffer_t json;
    codec_error_t error;
    buffer_init (&json, SIZE_MAX / 2);
    if (codec_encode (CODEC_JSON, value, &json, &error))
        write_json (&json, self->pretty, stdout);
    else
        self->lost = cli_fail (self, EXITS_OTHER, "cannot print: %s", error.text);
    buffer_fini (&json);
}

void cli_print_rows (cli_t *self, const char *name, weft_value_t rows, size_t count)
{
    buffer_t json;
    codec_error_t error;
    bool encoded = true;
    buffer_init (&json, SIZE_MAX / 2);
    buffer_append (&json, "{", 1);
    json_quote (&json, name, strlen (name));
    buffer_append (&json, ":[", 2);
    for (size_t i = 0; i < count && encoded; i++) {
        if (i > 0)
            buffer_append (&json, ",", 1);
        encoded = codec_encode (CODEC_JSON, rows, &json, &error);
        rows.data = (char *) rows.data + rows.schema->size;
    }
    buffer_append (&json, "]}", 2);
    if (encoded)
        write_json (&json, self->pretty, stdout);
    else
        self->lost = cli_fail (self, EXITS_OTHER, "cannot print: %s", error.text);
    buffer_fini (&json);
}

void cli_print_object (cli_t *self, const object_t *object)
{
    write_object (object, self->pretty, stdout);
}

void cli_print_grid (cli_t *self, const grid_t *grid)
{
    const grid_style_t titles = self->colour ? GRID_BOLD_TITLES : GRID_TITLES;
    grid_print (grid, self->options.quiet ? GRID_UNTITLED : titles, stdout);
}

/* ---- the mesh ---- */

int cli_timeout_ms (const cli_t *self)
{
    return self->options.timeout_us ? (int) (self->options.timeout_us / 1000) : WEFT_CALL_TIMEOUT_MS;
}

int cli_connect_timeout_ms (const cli_t *self)
{
    return self->options.connect_timeout_us ? (int) (self->options.connect_timeout_us / 1000)
                                            : WEFT_CONNECT_TIMEOUT_MS;
}

weft_client_t *cli_new_client (cli_t *self, bool own_loop)
{
    const weft_client_options_t options = {
        .name = "weft",
        .own_loop = own_loop,
        .call = {.timeout_ms = cli_timeout_ms (self), .connect_timeout_ms = cli_connect_timeout_ms (self)}};
    weft_client_t *const client = weft_client_new (self->options.broker, &options);
    if (!client)
        cli_fail (self, EXITS_OTHER, "%s", weft_client_error ());
    return client;
}

int cli_connect (cli_t *self, bool own_loop)
{
    self->client = cli_new_client (self, own_loop);
    return self->client ? EXITS_OK : EXITS_OTHER;
}

/* ---- interrupts ---- */

static int interrupts = -1;

static void on_interrupt (int number)
{
    const int saved = errno;
    (void) number;
    transport_wake (interrupts);
    errno = saved;
}

int cli_catch_interrupts (void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART | (int) SA_RESETHAND};
    sigemptyset (&action.sa_mask);
    interrupts = transport_wake_open ();
    if (interrupts >= 0) {
        sigaction (SIGINT, &action, NULL);
        sigaction (SIGTERM, &action, NULL);
    }
    return interrupts;
}
