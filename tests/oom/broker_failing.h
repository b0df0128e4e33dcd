/* SPDX-License-Identifier: MPL-2.0
 *
 *  The broker's core, in which memory runs out. */

#include "broker.h"
#include "failing.h"

#define broker_peer_open(...)   OOM_INSIDE (broker_peer_open (__VA_ARGS__))
#define broker_on_message(...)  OOM_INSIDE (broker_on_message (__VA_ARGS__))
#define broker_on_fault(...)    OOM_INSIDE (broker_on_fault (__VA_ARGS__))
#define broker_on_lost(...)     OOM_INSIDE (broker_on_lost (__VA_ARGS__))
#define broker_tick(...)        OOM_INSIDE (broker_tick (__VA_ARGS__))
#define broker_take(...)        OOM_INSIDE (broker_take (__VA_ARGS__))
#define broker_drain(...)       OOM_INSIDE (broker_drain (__VA_ARGS__))
#define broker_stop(...)        OOM_INSIDE (broker_stop (__VA_ARGS__))
#define broker_reconfigure(...) OOM_INSIDE (broker_reconfigure (__VA_ARGS__))
