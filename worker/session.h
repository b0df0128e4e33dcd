/* SPDX-License-Identifier: MPL-2.0
 *
 *  session.h - the worker without its sockets: everything it decides.
 *
 *  Events go in: connections, messages, finished requests, time. A message is read piece by piece, with
 *    session_next          requests to run on this thread, now
 *  between. After events session_settle draws the consequences, and its owner empties what came out:
 *    session_command       connections to the broker to open or close
 *    session_soon          requests to run on this thread, or on others
 *    session_away          requests to run on other threads
 *    session_apart         streams, each to run on a thread of its own; session_send_items takes what they say
 *    session_next_dirty    links with something to send
 *  and calls session_tick at session_next_us. It reads no clock and makes no call that waits. */

#ifndef SESSION_H_INCLUDED
#define SESSION_H_INCLUDED

#include "message.h"
#include "post.h"
#include "requests.h"
#include "window.h"

/*  What does not change. Borrowed for the session's life. */
typedef struct {
    standing_identity_t identity;     /* endpoints: given to session_start */
    const char *const *brokers;         /* NULL-terminated, at least one */
    services_t *services;
    int concurrency, queue_max;
    size_t queue_bytes_max;             /* 0: the default */
    int64_t handler_timeout_us;         /* 0: none */
    int64_t drain_timeout_us;
    int64_t beat_ms;                    /* 0: as the broker says; else no longer than this */
    size_t body_max, peers_max, streams_max;
    uint64_t seed;
    replies_limits_t replies;           /* to be remembered under request keys */
    int64_t (*clock_us) (void);         /* for handlers; NULL: the system's */
} session_options_t;

typedef enum {
    SESSION_JOINING,    /* no registration stands, yet or any more */
    SESSION_SERVING,
    SESSION_REFUSED,    /* the broker does not want us; final */
    SESSION_DRAINING,
    SESSION_DONE
} session_state_t;

typedef struct {
    uint64_t malformed, unknown;
} session_stats_t;

/*  A message that is being read. */
typedef struct {
    session_link_t *link;   /* NULL: none is */
    message_cursor_t cursor;
    bool may_run;           /* requests here; else all are put off */
    bool told;              /* that HELLO is missing; once a message is enough */
    weft_request_t *found;  /* to be run at once */
} session_reading_t;

typedef struct session {
    session_options_t options;
    session_state_t state;
    int64_t now_us, started_us;
    session_stats_t stats;

    post_t posts [POSTS];
    post_t *post;               /* where it serves, or wants to */
    post_t *other;              /* that it moves to, or is leaving; NULL: none. See move.c */
    bool leaving;
    window_t window;            /* for calls through the broker */
    uint64_t unsent;            /* of those, that ended since replies were last sent */
    session_reading_t reading;

    list_t peers, dirty;
    uint64_t serial;            /* of the last link */

    requests_t requests;

    int64_t drain_by_us;        /* what runs longer is abandoned */
    int64_t part_by_us;         /* peers that have not said goodbye are left */
    int64_t linger_by_us;       /* until then new callers may still turn up, however quick the ways */
} session_t;

/*  False: out of memory. The session may not be moved. */
bool session_init (session_t *self, const session_options_t *options);

/*  Frees everything, the requests too: none may be with the executor, or running, any more. */
void session_fini (session_t *self);

/*  Starts looking for a broker, to register these direct endpoints there (NULL-terminated, borrowed). */
void session_start (session_t *self, const char *const *endpoints, int64_t now_us);

/*  Events of a connection to a broker: that of a post. */
void session_link_ready (session_t *self, session_link_t *link, int64_t now_us);
void session_link_lost (session_t *self, session_link_t *link, weft_status_t status, const char *text, int64_t now_us);

/*  Events of direct callers. The new link is the session's, and valid until session_peer_lost; that is
 *  also due when its state became LINK_GONE, or its outbox failed. NULL: too many, or no memory. */
session_link_t *session_peer_open (session_t *self, void *owner);
void session_peer_lost (session_t *self, session_link_t *peer, int64_t now_us);

/*  Begins to read a message that came over `link`, whose frames may be moved out of it; or one that could not be
 *  read. The message must stay until session_next has said NULL, and until then no other event may come but
 *  those of its requests. */
void session_receive (session_t *self, session_link_t *link, message_t *message, int64_t now_us);
void session_receive_fault (session_t *self, session_link_t *link, const char *fault, int64_t now_us);

/*  Reads on, up to a request that is to be run here at once; NULL when there is nothing more. If this thread may
 *  not run requests, only those are returned that run here in any case. */
weft_request_t *session_next (session_t *self, bool may_run, int64_t now_us);

/*  A request that was given out is back; or one that was to be run here is run elsewhere, and takes long. */
void session_finished (session_t *self, executor_job_t *job, int64_t now_us);
void session_adopt (session_t *self, executor_job_t *job, int64_t now_us);

/*  True for those that look into the session: they may not be run by another thread than its own. */
bool session_is_own (const weft_request_t *request);

/*  Stop taking work; DONE follows once nothing runs. Or at once. */
void session_drain (session_t *self, int64_t now_us);
void session_quit (session_t *self, int64_t now_us);

void session_tick (session_t *self, int64_t now_us);
int64_t session_next_us (const session_t *self);

/*  Draws the consequences of what happened. */
void session_settle (session_t *self);

/*  What came out. A command is about the connection of `*link`. */
standing_command_t session_command (session_t *self, session_link_t **link, const char **endpoint);
executor_batch_t *session_soon (session_t *self);
executor_batch_t *session_away (session_t *self);
session_link_t *session_next_dirty (session_t *self); /* taken off the list; link_set_dirty puts it back */

executor_batch_t *session_apart (session_t *self);

/*  Items of streams are sent, if there are any: true. To be asked often. There was no thread for a job of apart. */
bool session_send_items (session_t *self, int64_t now_us);
void session_no_thread (session_t *self, executor_job_t *job, int64_t now_us);

/*  Requests that are open, in handlers or waiting for one. */
size_t session_in_flight (const session_t *self);
/*  Tells every handler that runs that nobody waits any more. */
void session_cancel_all (session_t *self);

#endif
