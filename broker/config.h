/* SPDX-License-Identifier: MPL-2.0
 *
 *  config.h - what the broker is told: one table of keys, and four places that may set them.
 *
 *      defaults  <  file (ZPL)  <  environment (WEFT_BROKER_TTL_MS)  <  flags (--ttl-ms)
 *
 *  Later ones win; a list is replaced as a whole. A wrong key or value is one line that names it. */

#ifndef CONFIG_H_INCLUDED
#define CONFIG_H_INCLUDED

#include <stdbool.h>
#include <stdio.h>
#include <weft/log.h>
#include "broker.h"

#define CONFIG_LIST_MAX 64

typedef enum { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_FLAG } config_source_t;

typedef struct {
    const char *items [CONFIG_LIST_MAX + 1]; /* NULL-terminated */
    size_t count;
    config_source_t source;
} config_list_t;

typedef struct {
    config_list_t bind, peer_brokers, allow_hosts;
    int64_t ttl_ms, beat_ms, drain_ms, transport_beat_ms;
    int64_t peers_max, calls_max, service_queue_max, client_calls_max, services_max, watches_max;
    int64_t memory_max, body_max, outbox_max;
    int64_t log_level, log_format;      /* a weft_log_level_t; 1: json */
    bool bind_is_default;
} config_t;

typedef struct {
    char text [512];
} config_error_t;

/*  Writes the line, with what cannot be printed as "?". Returns false. */
bool config_fail (config_error_t *error, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

/*  Defaults; what they need is freed with config_fini. */
void config_init (config_t *self);
void config_fini (config_t *self);

/*  Sets one key (spelled with _ ) from text. Lists: comma-separated, added to those of the same source. False: `error` says what
 *  is wrong, without the source. */
bool config_set (config_t *self, config_source_t source, const char *key, const char *value, config_error_t *error);

/*  Reads a ZPL file. */
bool config_read_file (config_t *self, const char *path, config_error_t *error);

/*  Reads "WEFT_BROKER_KEY=value" strings (NULL-terminated). Names that are no key are left alone: orchestrators make such
 *  variables too; `warning` gets a line if one looks like a misspelt key, else "". */
bool config_read_environment (config_t *self, char *const *environment, config_error_t *warning,
                              config_error_t *error);

/*  Reads --key value and --key=value. What is no flag of the table is left for the caller: *next is the first argument that was not taken. */
bool config_read_flags (config_t *self, int argc, char *const *argv, int *next, config_error_t *error);

/*  The line for an argument that nobody takes. */
void config_unknown_flag (const char *flag, config_error_t *error);

/*  Fills in what follows from other keys, and checks them together. */
bool config_check (config_t *self, config_error_t *error);

/*  The broker's settings; they view the config. */
broker_settings_t config_settings (const config_t *self);

/*  As ZPL that config_read_file takes; and the list of flags for --help. */
void config_print (const config_t *self, FILE *out);
void config_help (FILE *out);

/*  Calls `differ` for each key in which the two differ; `live`: it can be changed while the broker runs. */
void config_compare (const config_t *old, const config_t *fresh, void (*differ) (const char *key, bool live));

#endif
