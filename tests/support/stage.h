/* SPDX-License-Identifier: MPL-2.0
 *
 *  stage.h - a channel with nobody behind it: the test is its shell, its broker and its workers, and moves the time.
 *
 *  Everything the channel says is kept until it is looked at. Workers are "w1", "w2", … at "tcp://w1:1", "tcp://w2:1", …; the broker is
 *  "tcp://b1:1". */

#ifndef STAGE_H_INCLUDED
#define STAGE_H_INCLUDED

#include "channel.h"

#define STAGE_MS 1000LL

typedef struct {
    uint64_t alias;
    unsigned kind;
    uint64_t id;
    char method [64];
    uint32_t remaining_ms;
    uint64_t number, credit;
    char worker [64], key [64], request_key [64], codec [16];
    char meta [64]; /* "KEY=VALUE " for each */
    uint8_t body [8192];
    size_t body_size;
} stage_record_t;

typedef struct {
    channel_t channel;
    call_pool_t pool;
    int64_t now_us;
    stage_record_t records [512];
    size_t record_count, record_at;
    channel_command_t commands [512];
    size_t command_count, command_at;
    const char *unreachable; /* addresses that begin so are out of reach */
} stage_t;

extern stage_t stage;

/*  A channel with usual settings, changed by `options` (may be NULL); its broker's link is opening. */
void stage_begin (const channel_options_t *options);
void stage_end (void); /* closes; checks that nothing is left */
channel_options_t stage_options (void);

/*  The same, with the broker ready and welcoming, and `workers` workers of service "Test" listed. */
void stage_begin_listed (const channel_options_t *options, size_t workers);

/*  The same with one worker, connected; its alias. */
uint64_t stage_begin_connected (void);

/*  Events. */
void stage_pass (int64_t us); /* time goes by, in steps of a millisecond at most */
void stage_link (uint64_t alias, transport_event_kind_t event);
void stage_say (uint64_t alias, const buffer_t *records);
void stage_welcome (uint64_t alias);
void stage_reply (uint64_t alias, uint64_t id, int64_t number);
void stage_refuse (uint64_t alias, uint64_t id, weft_status_t status, const char *text);
void stage_list (uint64_t id, uint64_t previous, uint64_t revision, bool full, const char *const *rows /* "w1 alive", or "w1 alive none" if it has no address; NULL-terminated */,
                 bool known);

/*  What the channel said since it was last looked at: the next record of that kind, or the next command of that kind; NULL
 *  when there is none. What is skipped on the way is forgotten. */
const stage_record_t *stage_record (wire_kind_t kind);
const stage_record_t *stage_any_record (void); /* the next one, of whatever kind */
const stage_record_t *stage_request (const char *method); /* the next REQUEST of that method */
const channel_command_t *stage_command (channel_command_kind_t kind);
void stage_forget (void); /* all that was said */

/*  The next CONNECT is to that worker: it is answered with READY and WELCOME; its alias. */
uint64_t stage_connect (const char *worker);

/*  Calls. The argument is one number. */
weft_call_t *stage_call (const char *method, const weft_call_options_t *options);
weft_call_t *stage_stream (const char *method, uint64_t window, const weft_call_options_t *options);
bool stage_done (weft_call_t *call); /* has ended, and was handed out exactly once */
void stage_free (weft_call_t *call);
int64_t stage_result (weft_call_t *call);
void stage_check (weft_call_t *call, weft_status_t status, weft_executed_t executed); /* ended so */
void stage_check_text (weft_call_t *call, const char *part); /* its text holds that */

#endif
