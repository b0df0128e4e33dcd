/* SPDX-License-Identifier: MPL-2.0
 *
 *  A client's core, in which memory runs out. */

#include "channel.h"
#include "failing.h"

#define channel_start(...)      OOM_INSIDE (channel_start (__VA_ARGS__))
#define channel_cancel(...)     OOM_INSIDE (channel_cancel (__VA_ARGS__))
#define channel_link(...)       OOM_INSIDE (channel_link (__VA_ARGS__))
#define channel_message(...)    OOM_INSIDE (channel_message (__VA_ARGS__))
#define channel_take_item(...)  OOM_INSIDE (channel_take_item (__VA_ARGS__))
#define channel_spoil_item(...) OOM_INSIDE (channel_spoil_item (__VA_ARGS__))
#define channel_displace(...)   OOM_INSIDE (channel_displace (__VA_ARGS__))
#define channel_tick(...)       OOM_INSIDE (channel_tick (__VA_ARGS__))
#define channel_close(...)      OOM_INSIDE (channel_close (__VA_ARGS__))
#define outbox_take(...)        OOM_INSIDE (outbox_take (__VA_ARGS__))
