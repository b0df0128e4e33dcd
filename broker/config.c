/* SPDX-License-Identifier: MPL-2.0 */

#include "config.h"
#include "hosts.h"
#include "transport.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define ENVIRONMENT_PREFIX "WEFT_BROKER_"
#define DEFAULT_ENDPOINT   "tcp://127.0.0.1:5555"

typedef enum { NUMBER, SIZE, LIST, LEVEL, FORMAT } kind_t;

static const char *const levels [] = {"debug", "info", "warning", "error", NULL};
static const char *const formats [] = {"text", "json", NULL};

typedef struct {
    const char *name;
    kind_t kind;
    size_t offset;
    int64_t otherwise, min, max;
    bool live;          /* SIGHUP may change it */
    const char *help;
} setting_t;

#define KEY(name, kind, otherwise, min, max, live, help)                                                     \
    {#name, kind, offsetof (config_t, name), otherwise, min, max, live, help}
#define GIB (1024LL * 1024 * 1024)

static const setting_t keys [] = {
    KEY (bind, LIST, 0, 0, 0, false, "endpoint to listen on (tcp://host:port, ipc://path); may be repeated"),
    KEY (peer_brokers, LIST, 0, 0, 0, true, "endpoints of other brokers that clients and workers are told of"),
    KEY (allow_hosts, LIST, 0, 0, 0, true,
         "hosts that workers may advertise besides their own address: name, *.domain, address, 10.0.0.0/8, any"),
    KEY (ttl_ms, NUMBER, WEFT_TTL_MS, 100, 3600000, true, "a worker silent for this long is gone"),
    KEY (beat_ms, NUMBER, 0, 0, 3600000, true, "how often workers beat; 0: three tenths of ttl_ms"),
    KEY (drain_ms, NUMBER, 5000, 0, 3600000, true, "how long to wait for calls in flight when stopping"),
    KEY (transport_beat_ms, NUMBER, WEFT_TRANSPORT_BEAT_MS, 0, 60000, false,
         "how often each connection is probed, which is lost after three; 0: by TCP alone, for thousands of them"),
    KEY (peers_max, NUMBER, WEFT_BROKER_PEERS_MAX, 1, 1000000, true, "connections"),
    KEY (calls_max, NUMBER, WEFT_BROKER_CALLS_MAX, 1, 16000000, false, "routed calls open, in all"),
    KEY (service_queue_max, NUMBER, WEFT_BROKER_SERVICE_QUEUE_MAX, 1, 16000000, true, "calls queued per service"),
    KEY (client_calls_max, NUMBER, WEFT_BROKER_CLIENT_CALLS_MAX, 1, 16000000, true, "calls open per client"),
    KEY (services_max, NUMBER, WEFT_BROKER_SERVICES_MAX, 1, 1000000, false, "services known"),
    KEY (watches_max, NUMBER, WEFT_BROKER_WATCHES_MAX, 1, 100000, true, "watches per client"),
    KEY (memory_max, SIZE, WEFT_BROKER_MEMORY_MAX, 1024 * 1024, 1024 * GIB, true, "bytes of queued calls"),
    KEY (body_max, SIZE, WEFT_BODY_MAX, 4096, GIB, false, "bytes of one body"),
    KEY (outbox_max, SIZE, WEFT_OUTBOX_MAX, 65536, 64 * GIB, true,
         "bytes waiting for one peer that does not read; it is dropped beyond"),
    KEY (log_level, LEVEL, WEFT_LOG_INFO, 0, 0, true, "debug, info, warning or error"),
    KEY (log_format, FORMAT, 0, 0, 0, true, "text or json (one object per line)"),
};
#define KEY_COUNT (sizeof keys / sizeof keys [0])

bool config_fail (config_error_t *error, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (error->text, sizeof error->text, format, arguments);
    va_end (arguments);
    for (char *at = error->text; *at; at++)
        if (iscntrl ((unsigned char) *at)) /* it quotes a file or a terminal, which may hold anything */
            *at = '?';
    return false;
}

static int64_t *number_of (const config_t *self, const setting_t *key)
{
    return (int64_t *) (void *) ((char *) (uintptr_t) self + key->offset);
}

static config_list_t *list_of (const config_t *self, const setting_t *key)
{
    return (config_list_t *) (void *) ((char *) (uintptr_t) self + key->offset);
}

/*  Life --------------------------------------------------------------------------------------------------------- */

void config_init (config_t *self)
{
    *self = (config_t){0};
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (keys [i].kind != LIST)
            *number_of (self, &keys [i]) = keys [i].otherwise;
}

static void list_clear (config_list_t *list)
{
    for (size_t i = 0; i < list->count; i++)
        free ((void *) (uintptr_t) list->items [i]);
    *list = (config_list_t){0};
}

void config_fini (config_t *self)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (keys [i].kind == LIST)
            list_clear (list_of (self, &keys [i]));
}

/*  Keys --------------------------------------------------------------------------------------------------------- */

static const setting_t *key_find (const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (strcmp (keys [i].name, name) == 0)
            return &keys [i];
    return NULL;
}

static size_t least (size_t a, size_t b)
{
    return a < b ? a : b;
}

/*  How many letters two short words are apart. */
static size_t distance (const char *a, const char *b)
{
    size_t row [33];
    const size_t width = least (strlen (b), 32);

    for (size_t j = 0; j <= width; j++)
        row [j] = j;
    for (size_t i = 1; i <= least (strlen (a), 32); i++) {
        size_t diagonal = row [0];
        row [0] = i;
        for (size_t j = 1; j <= width; j++) {
            const size_t replaced = diagonal + (a [i - 1] != b [j - 1]);
            diagonal = row [j];
            row [j] = least (replaced, least (row [j], row [j - 1]) + 1);
        }
    }
    return row [width];
}

static const char *nearest (const char *name, size_t *apart)
{
    const char *best = NULL;
    *apart = SIZE_MAX;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const size_t d = distance (name, keys [i].name);
        if (d >= *apart)
            continue;
        *apart = d;
        best = keys [i].name;
    }
    return best;
}

/*  ttl_ms ⇄ ttl-ms. */
static void respell (char *text, char old, char fresh)
{
    for (; *text; text++)
        if (*text == old)
            *text = fresh;
}

/*  Values ------------------------------------------------------------------------------------------------------- */

static bool parse_number (const char *text, bool size, int64_t *value)
{
    char *end;
    int64_t unit = 1;

    errno = 0;
    const long long number = strtoll (text, &end, 10);
    if (end == text || errno || number < 0)
        return false;
    if (size && *end && strchr ("KMG", *end)) {
        unit = *end == 'K' ? 1024 : *end == 'M' ? 1024 * 1024 : GIB;
        end += strcmp (end + 1, "iB") == 0 ? 3 : 1;
    }
    return !*end && !__builtin_mul_overflow (number, unit, value);
}

static bool set_number (config_t *self, const setting_t *key, const char *text, config_error_t *error)
{
    int64_t value;
    if (!parse_number (text, key->kind == SIZE, &value))
        return config_fail (error, "%s: \"%s\" is no %s", key->name, text,
                            key->kind == SIZE ? "size (bytes, or with K, M or G)" : "whole number");
    if (value < key->min || value > key->max)
        return config_fail (error, "%s: %s is out of range: %" PRId64 " to %" PRId64, key->name, text, key->min, key->max);
    *number_of (self, key) = value;
    return true;
}

static bool set_word (config_t *self, const setting_t *key, const char *text, const char *const *words,
                      config_error_t *error)
{
    for (int i = 0; words [i]; i++) {
        if (strcmp (text, words [i]) != 0)
            continue;
        *number_of (self, key) = i;
        return true;
    }
    return config_fail (error, "%s: \"%s\" is none of %s", key->name, text, key->help);
}

static bool list_add (config_list_t *list, const setting_t *key, const char *text, size_t size, config_error_t *error)
{
    while (size && isspace ((unsigned char) *text))
        text++, size--;
    while (size && isspace ((unsigned char) text [size - 1]))
        size--;
    if (size == 0)
        return true;
    if (list->count == CONFIG_LIST_MAX)
        return config_fail (error, "%s: more than %d values", key->name, CONFIG_LIST_MAX);
    list->items [list->count] = strndup (text, size);
    if (!list->items [list->count])
        return config_fail (error, "out of memory");
    list->count++;
    return true;
}

static bool set_list (config_t *self, config_source_t source, const setting_t *key, const char *text,
                      config_error_t *error)
{
    config_list_t *list = list_of (self, key);

    if (list->source != source)
        list_clear (list);
    list->source = source;
    for (;;) {
        const size_t size = strcspn (text, ",");
        if (!list_add (list, key, text, size, error))
            return false;
        if (!text [size])
            return true;
        text += size + 1;
    }
}

bool config_set (config_t *self, config_source_t source, const char *name, const char *value, config_error_t *error)
{
    const setting_t *key = key_find (name);
    size_t apart;

    if (!key)
        return config_fail (error, "unknown key \"%s\"; the nearest is \"%s\"", name, nearest (name, &apart));
    switch (key->kind) {
        case LIST:
            return set_list (self, source, key, value, error);
        case LEVEL:
            return set_word (self, key, value, levels, error);
        case FORMAT:
            return set_word (self, key, value, formats, error);
        default:
            return set_number (self, key, value, error);
    }
}

/*  Sources ------------------------------------------------------------------------------------------------------ */

static bool read_variable (config_t *self, const char *variable, config_error_t *warning, config_error_t *error)
{
    const char *equals = strchr (variable, '=');
    const size_t prefix = strlen (ENVIRONMENT_PREFIX);
    char name [64];
    size_t size = 0, apart;
    config_error_t fault;

    if (!equals || strncmp (variable, ENVIRONMENT_PREFIX, prefix) != 0)
        return true;
    for (const char *at = variable + prefix; at < equals && size < sizeof name - 1; at++)
        name [size++] = (char) tolower ((unsigned char) *at);
    name [size] = 0;
    if (!key_find (name)) {
        const char *likely = nearest (name, &apart);
        if (apart <= 2 && strcmp (name, "config") != 0)
            config_fail (warning, "%.*s is no setting; did you mean %s?", (int) (equals - variable), variable, likely);
        return true;
    }
    if (config_set (self, CONFIG_ENVIRONMENT, name, equals + 1, &fault))
        return true;
    return config_fail (error, "environment %.*s: %s", (int) (equals - variable), variable, fault.text);
}

bool config_read_environment (config_t *self, char *const *environment, config_error_t *warning,
                              config_error_t *error)
{
    warning->text [0] = 0;
    for (; *environment; environment++)
        if (!read_variable (self, *environment, warning, error))
            return false;
    return true;
}

/*  One flag: 1: taken with its value; 0: none of ours; -1: wrong. */
static int read_flag (config_t *self, const char *flag, const char *following, bool *used, config_error_t *error)
{
    char name [64];
    config_error_t fault;
    const char *equals = strchr (flag, '=');
    const size_t size = equals ? (size_t) (equals - flag) : strlen (flag);

    if (size >= sizeof name || size < 3 || strncmp (flag, "--", 2) != 0)
        return 0;
    snprintf (name, sizeof name, "%.*s", (int) (size - 2), flag + 2);
    respell (name, '-', '_');
    if (!key_find (name))
        return 0;
    const char *value = equals ? equals + 1 : following;
    if (!value) {
        config_fail (error, "%s needs a value", flag);
        return -1;
    }
    *used = !equals;
    if (config_set (self, CONFIG_FLAG, name, value, &fault))
        return 1;
    config_fail (error, "%.*s: %s", (int) size, flag, fault.text);
    return -1;
}

bool config_read_flags (config_t *self, int argc, char *const *argv, int *next, config_error_t *error)
{
    while (*next < argc) {
        bool used = false;
        const int rc = read_flag (self, argv [*next], *next + 1 < argc ? argv [*next + 1] : NULL, &used, error);
        if (rc <= 0)
            return rc == 0;
        *next += 1 + used;
    }
    return true;
}

void config_unknown_flag (const char *flag, config_error_t *error)
{
    char given [64], likely [64];
    size_t apart;

    snprintf (given, sizeof given, "%.*s", (int) strcspn (flag, "="), flag);
    snprintf (likely, sizeof likely, "%s", given + strspn (given, "-"));
    respell (likely, '-', '_');
    snprintf (likely, sizeof likely, "%s", nearest (likely, &apart));
    respell (likely, '_', '-');
    config_fail (error, "unknown flag %s; the nearest is --%s (--help lists all)", given, likely);
}

/*  Together ----------------------------------------------------------------------------------------------------- */

static bool set_default_bind (config_t *self, config_error_t *error)
{
    char ipc [WEFT_ENDPOINT_MAX];
    const char *folder = getenv ("XDG_RUNTIME_DIR");

    if (folder && folder [0] == '/' && strlen (folder) < 80)
        snprintf (ipc, sizeof ipc, "ipc://%s/weft-broker-5555", folder);
    else
        snprintf (ipc, sizeof ipc, "ipc:///tmp/weft-broker-5555-%u", (unsigned) getuid ());
    self->bind_is_default = true;
    return config_set (self, CONFIG_DEFAULT, "bind", DEFAULT_ENDPOINT, error)
           && config_set (self, CONFIG_DEFAULT, "bind", ipc, error);
}

static bool check_endpoints (const config_list_t *list, const char *key, bool bind, config_error_t *error)
{
    const char *fault;
    for (size_t i = 0; i < list->count; i++) {
        const char *endpoint = list->items [i];
        if (strncmp (endpoint, "inproc:", 7) == 0)
            return config_fail (error, "%s: \"%s\": expected tcp://host:port or ipc://path", key, endpoint);
        if (!transport_endpoint_valid (endpoint, bind, &fault))
            return config_fail (error, "%s: \"%s\": %s", key, endpoint, fault);
    }
    return true;
}

static bool check_lists (const config_t *self, config_error_t *error)
{
    if (self->peer_brokers.count > WEFT_BROKERS_MAX)
        return config_fail (error, "peer_brokers: more than %d", WEFT_BROKERS_MAX);
    for (size_t i = 0; i < self->allow_hosts.count; i++)
        if (!hosts_pattern_valid (self->allow_hosts.items [i]))
            return config_fail (error, "allow_hosts: \"%s\": expected a name, *.domain, an address, a range as 10.0.0.0/8, or any",
                                self->allow_hosts.items [i]);
    return check_endpoints (&self->bind, "bind", true, error)
           && check_endpoints (&self->peer_brokers, "peer_brokers", false, error);
}

bool config_check (config_t *self, config_error_t *error)
{
    if (self->bind.count == 0 && !set_default_bind (self, error))
        return false;
    if (self->beat_ms == 0)
        self->beat_ms = broker_beat_ms (self->ttl_ms);
    if (self->beat_ms >= self->ttl_ms)
        return config_fail (error, "beat_ms (%" PRId64 ") must be less than ttl_ms (%" PRId64 ")", self->beat_ms,
                            self->ttl_ms);
    if (self->outbox_max < 2 * self->body_max)
        return config_fail (error, "outbox_max (%" PRId64 ") must be at least twice body_max (%" PRId64 ")",
                            self->outbox_max, self->body_max);
    return check_lists (self, error);
}

broker_settings_t config_settings (const config_t *self)
{
    return (broker_settings_t){
        .ttl_ms = self->ttl_ms,
        .beat_ms = self->beat_ms,
        .peer_brokers = self->peer_brokers.items,
        .allow_hosts = self->allow_hosts.items,
        .peers_max = (size_t) self->peers_max,
        .calls_max = (size_t) self->calls_max,
        .service_queue_max = (size_t) self->service_queue_max,
        .client_calls_max = (size_t) self->client_calls_max,
        .services_max = (size_t) self->services_max,
        .watches_max = (size_t) self->watches_max,
        .memory_max = (size_t) self->memory_max,
        .body_max = (size_t) self->body_max,
        .outbox_max = (size_t) self->outbox_max,
    };
}

/*  Printing ----------------------------------------------------------------------------------------------------- */

static void print_text (FILE *out, const char *name, const char *value)
{
    const char quote = strchr (value, '"') ? '\'' : '"';
    fprintf (out, "%s = %c%s%c\n", name, quote, value, quote);
}

static void print_key (const config_t *self, const setting_t *key, FILE *out)
{
    const config_list_t *list = list_of (self, key);

    switch (key->kind) {
        case LIST:
            for (size_t i = 0; i < list->count; i++)
                print_text (out, key->name, list->items [i]);
            break;
        case LEVEL:
            print_text (out, key->name, levels [*number_of (self, key)]);
            break;
        case FORMAT:
            print_text (out, key->name, formats [*number_of (self, key)]);
            break;
        default:
            fprintf (out, "%s = %" PRId64 "\n", key->name, *number_of (self, key));
    }
}

void config_print (const config_t *self, FILE *out)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        print_key (self, &keys [i], out);
}

void config_help (FILE *out)
{
    char flag [64];
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const setting_t *key = &keys [i];
        snprintf (flag, sizeof flag, "%s", key->name);
        respell (flag, '_', '-');
        fprintf (out, "  --%-18s %s", flag, key->help);
        if (key->kind == LEVEL || key->kind == FORMAT)
            fprintf (out, " (%s)", key->kind == LEVEL ? levels [key->otherwise] : formats [key->otherwise]);
        else if (key->kind != LIST && key->otherwise)
            fprintf (out, " (%" PRId64 ")", key->otherwise);
        fputc ('\n', out);
    }
}

static bool lists_equal (const config_list_t *a, const config_list_t *b)
{
    bool equal = a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++)
        equal = strcmp (a->items [i], b->items [i]) == 0;
    return equal;
}

void config_compare (const config_t *old, const config_t *fresh, void (*differ) (const char *key, bool live))
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const setting_t *key = &keys [i];
        const bool equal = key->kind == LIST ? lists_equal (list_of (old, key), list_of (fresh, key))
                                             : *number_of (old, key) == *number_of (fresh, key);
        if (!equal)
            differ (key->name, key->live);
    }
}
