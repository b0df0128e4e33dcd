/* SPDX-License-Identifier: MPL-2.0
 *
 *  keyed.h - requests with a request key: the first one runs, those that come meanwhile wait for its reply, and later
 *  ones get it from memory. The part of requests.c that only they need.
 *
 *      (new) --work unknown--> runs as any other: its work's runner --it ran--> replies to all
 *        |                        ^                      '--it never ran--.
 *        |--work under way--> REPEATING <---------------------------------'  the next one runs
 *        '--work known--> answered */

#ifndef KEYED_H_INCLUDED
#define KEYED_H_INCLUDED

#include "requests.h"

/*  A request whose work is remembered: it is answered, turned down, or waits from now on, and true. It may not wait if
 *  `status` is not OK, but says why: while its work is under way it is turned down so, executed maybe. False: its work is
 *  unknown; then nothing has happened. */
bool keyed_repeat (requests_t *self, session_link_t *link, const wire_record_t *record, method_t *method,
                   codec_t codec, text_t key, weft_status_t status, const char *why, int64_t now_us);

/*  As requests_admit, for one whose work is unknown. */
weft_request_t *keyed_admit (requests_t *self, session_link_t *link, const wire_record_t *record,
                             zmq_msg_t *attachment, method_t *method, codec_t codec, text_t key,
                             int64_t now_us);

/*  For requests.c, of one that has a work. */

/*  Its handler has returned; the limit on handlers has ended it, with this text; it will not run. */
void keyed_ran (requests_t *self, weft_request_t *request, int64_t now_us);
void keyed_timed_out (requests_t *self, weft_request_t *request, const char *text);
void keyed_never_ran (requests_t *self, weft_request_t *request);

/*  Does another one wait for what it does? */
bool keyed_is_wanted (const weft_request_t *request);

/*  One that is REPEATING: looked at by a sweep, which learns when it is due next; or its sender does not want it any
 *  more, or is gone. */
int64_t keyed_look_at (requests_t *self, weft_request_t *request, int64_t now_us);
void keyed_cancel (requests_t *self, weft_request_t *request, int64_t now_us);
void keyed_leave (requests_t *self, weft_request_t *request);

#endif
