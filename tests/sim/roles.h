/* SPDX-License-Identifier: MPL-2.0
 *
 *  roles.h - what a process of each kind is made of: a core of the product, and a model of the shell around it.
 *
 *  The models do what the shells do, in the same order, with ports instead of sockets; each function that stands for one
 *  of a shell's names it. */

#ifndef ROLES_H_INCLUDED
#define ROLES_H_INCLUDED

#include "network.h"
#include "world.h"

typedef struct {
    void (*start) (process_t *self);    /* as a new process: empty memory, a new UUID */
    void (*kill) (process_t *self);     /* at once; also after it ended by itself */
    void (*turn) (process_t *self);
    int64_t (*next_us) (const process_t *self); /* by its own clock */
} program_t;

extern const program_t broker_program, worker_program, client_program, hostile_program;
const program_t *program_of (const process_t *process);

void process_start (process_t *self);
void process_kill (process_t *self, bool politely);
extern bool leaves_politely; /* during kill: what it sent still arrives */

#define BROKERS_MAX 2
extern const char *const broker_addresses [BROKERS_MAX];

/*  broker.c */
void broker_process_drain (process_t *self);
/*  Is this the registry's content: exactly these workers, all alive? `why` says what is not so. */
bool broker_process_lists (const process_t *self, const char *const *uuids, size_t count, char why [200]);
bool broker_process_is_empty (const process_t *self, char why [200]);

/*  worker.c */
void worker_process_drain (process_t *self);
const char *worker_process_uuid (const process_t *self);
const char *worker_process_address (const process_t *self); /* for direct calls; "": none */
bool worker_process_is_idle (const process_t *self, char why [200]);

/*  client.c: the client's end of load.c. */
struct weft_call;
struct weft_client_stats;
void client_process_begin (process_t *self, struct weft_call *call);
void client_process_cancel (process_t *self, struct weft_call *call);
struct weft_call *client_process_call (process_t *self);
const void *client_process_take (process_t *self, struct weft_call *call, size_t *size);
void client_process_release (process_t *self, struct weft_call *call);
void client_process_close (process_t *self);
bool client_process_lists (const process_t *self, const char *const *uuids, size_t count, char why [200]);
bool client_process_is_idle (const process_t *self, char why [200]);

#endif
