/* SPDX-License-Identifier: MPL-2.0
 *
 *  A worker's core, in which memory runs out. */

#include "failing.h"
#include "request.h"
#include "session.h"

#define session_start(...)          OOM_INSIDE (session_start (__VA_ARGS__))
#define session_link_ready(...)     OOM_INSIDE (session_link_ready (__VA_ARGS__))
#define session_link_lost(...)      OOM_INSIDE (session_link_lost (__VA_ARGS__))
#define session_peer_open(...)      OOM_INSIDE (session_peer_open (__VA_ARGS__))
#define session_peer_lost(...)      OOM_INSIDE (session_peer_lost (__VA_ARGS__))
#define session_receive(...)        OOM_INSIDE (session_receive (__VA_ARGS__))
#define session_receive_fault(...)  OOM_INSIDE (session_receive_fault (__VA_ARGS__))
#define session_next(...)           OOM_INSIDE (session_next (__VA_ARGS__))
#define session_finished(...)       OOM_INSIDE (session_finished (__VA_ARGS__))
#define session_drain(...)          OOM_INSIDE (session_drain (__VA_ARGS__))
#define session_quit(...)           OOM_INSIDE (session_quit (__VA_ARGS__))
#define session_cancel_all(...)     OOM_INSIDE (session_cancel_all (__VA_ARGS__))
#define session_send_items(...)     OOM_INSIDE (session_send_items (__VA_ARGS__))
#define session_no_thread(...)      OOM_INSIDE (session_no_thread (__VA_ARGS__))
#define session_tick(...)           OOM_INSIDE (session_tick (__VA_ARGS__))
#define session_settle(...)         OOM_INSIDE (session_settle (__VA_ARGS__))
#define session_command(...)        OOM_INSIDE (session_command (__VA_ARGS__))
#define request_begin(...)          OOM_INSIDE (request_begin (__VA_ARGS__))
#define request_begin_here(...)     OOM_INSIDE (request_begin_here (__VA_ARGS__))
#define request_run(...)            OOM_INSIDE (request_run (__VA_ARGS__))
#define request_end(...)            OOM_INSIDE (request_end (__VA_ARGS__))
#define weft_request_send_item(...) OOM_INSIDE (weft_request_send_item (__VA_ARGS__))
#define outbox_take(...)            OOM_INSIDE (outbox_take (__VA_ARGS__))
