/* SPDX-License-Identifier: MPL-2.0
 *
 *  requests_inside.h - what keyed.c needs of requests.c. */

#ifndef REQUESTS_INSIDE_H_INCLUDED
#define REQUESTS_INSIDE_H_INCLUDED

#include "requests.h"

/*  Among the open ones; no longer, and nobody waits for it, and its memory is for the next one. */
void requests_enlist (requests_t *self, weft_request_t *request, int64_t now_us);
void requests_retire (requests_t *self, weft_request_t *request);

/*  To be run, soon or away. */
void requests_give_out (requests_t *self, weft_request_t *request);

/*  What is to be said of a reply; what goes without saying is not. */
wire_info_t requests_info (weft_status_t status, weft_executed_t executed, weft_origin_t origin, const char *text,
                           int64_t queue_us, int64_t handler_us);

/*  A large reply as a frame, to be closed, which may be kept for long and so holds no memory but its own; without memory for that the reply becomes a failure. False: no frame. */
bool requests_frame (requests_t *self, weft_request_t *request, zmq_msg_t *frame);

/*  Answers one that ran; one that did not. */
void requests_answer (requests_t *self, weft_request_t *request);
void requests_turn_down_as (requests_t *self, session_link_t *link, uint64_t id, weft_status_t status,
                            weft_executed_t executed, int64_t queue_us, const char *text);

#endif
