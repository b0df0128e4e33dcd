/* SPDX-License-Identifier: MPL-2.0
 *
 *  catalog.h - what the mesh offers: rows of weft.Registry and weft.Worker (PROTOCOL.md, section 6),
 *  fetched and found.
 *
 *  A fetched list lives until it is freed; fetching says what went wrong and returns the exit code. */

#ifndef CATALOG_H_INCLUDED
#define CATALOG_H_INCLUDED

#include "cli.h"
#include "clock.h"
#include "rows.h"

/*  Live workers and their services, all pages of them. */
typedef struct {
    weft_call_t **calls; /* which hold what `is` points to */
    size_t call_count;
    list_reply is;
} list_t;
int catalog_list (cli_t *cli, const char *service /* NULL: all */, list_t *list);
void list_free (list_t *list);

/*  Definitions, by service or worker or of all (NULL). */
typedef struct {
    weft_call_t *call;
    describe_reply is;
} definitions_t;
int catalog_describe (cli_t *cli, const char *what /* "service", for errors */, const char *name,
                      definitions_t *definitions);
void definitions_free (definitions_t *definitions);

/*  What one method takes and gives: from the registry, or of a built-in service. Unknown names are
 *  answered with the known ones. */
typedef struct {
    char name [WEFT_METHOD_NAME_MAX + 1]; /* "Service.Method" */
    size_t service_size;                  /* of it, up to the last dot */
    const char *method;                   /* and after it */
    buffer_t arguments, reply;            /* types; empty: any */
    bool stream;
} signature_t;
int catalog_signature (cli_t *cli, const char *name, signature_t *signature);
void signature_free (signature_t *signature);

/*  Among the list's workers, the one whose UUID is, or alone begins with, `name` (4 letters or more).
 *  NULL: none, or several. */
const worker_row *catalog_find_worker (const list_reply *list, const char *name);
const service_row *catalog_find_service (const list_reply *list, const char *name);
bool catalog_serves (const worker_row *worker, const char *service);

/*  Says that `name` is neither service nor worker, with the nearest and the known ones. */
int catalog_fail_unknown (cli_t *cli, const list_reply *list, const char *what, const char *name);

/*  The whole UUID of the worker whose UUID begins with `name`. */
int catalog_worker (cli_t *cli, const char *name, char uuid [UUID_SIZE + 1]);

/*  Has the client learn that worker's endpoints, which come with the list of a service. weft.Worker has none. */
int catalog_reach (cli_t *cli, const char *uuid);

#endif
