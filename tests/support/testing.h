/* SPDX-License-Identifier: MPL-2.0
 *
 *  testing.h - types of the services that testing.so hosts, for the tests that call them. */

#ifndef TESTING_H_INCLUDED
#define TESTING_H_INCLUDED

#include <weft/schema.h>

/*  Arith.Add, .Multiply (fails with 34 on overflow), .Divide (fails with 33 by zero), Foo.Sum: pair → int64. */
typedef struct {
    int64_t a, b;
} pair_args;
WEFT_SCHEMA (pair_args, WEFT_FIELD (a, weft_int64), WEFT_FIELD (b, weft_int64))

/*  Slow.Sleep (ends early with 1 when cancelled), Slow.Hang (does not notice): milliseconds → int64, those slept. */
typedef struct {
    int64_t ms;
} slow_args;
WEFT_SCHEMA (slow_args, WEFT_FIELD (ms, weft_int64))

/*  Count.Next, Count.Safe (the same, declared idempotent): tag, ms to sleep → executions so far in this process. Each appends
 *  "<tag>" as a line to the file named by WEFT_TEST_LOG, if set, before it sleeps, and sleeps no longer once there is a file of
 *  that name and ".open". */
typedef struct {
    const char *tag;
    int64_t ms;
} count_args;
WEFT_SCHEMA (count_args, WEFT_FIELD (tag, weft_string), WEFT_FIELD (ms, weft_int64))

/*  Who.Am: none → process id. */
typedef struct {
    int64_t pid;
} who_reply;
WEFT_SCHEMA (who_reply, WEFT_FIELD (pid, weft_int64))

/*  Echo.Echo: bytes → the same; Echo.Text: string → the same; Echo.Shape: shape → the same. */
typedef struct {
    double x, y;
} point;
WEFT_SCHEMA (point, WEFT_FIELD (x, weft_double), WEFT_FIELD (y, weft_double))
typedef struct {
    const char *title;
    point *points;
    size_t point_count;
    int64_t colour;
    bool has_colour;
} shape;
WEFT_SCHEMA (shape, WEFT_FIELD (title, weft_string), WEFT_ARRAY (points, point, point_count),
             WEFT_OPTIONAL (colour, weft_int64, has_colour))

/*  Stream.Count, Stream.Once (the same, not declared idempotent): `count` items (-1: for ever), numbers from 0, each with so many
 *  bytes more, `gap_ms` apart. At its end it appends "<tag> <status of the last send> <items sent>" to the log of Count.
 *  Stream.Sent: none → items that weft_request_send_item took so far, of all streams of this process. Stream.Fail: as Count, and fails with 7
 *  in the end. */
typedef struct {
    int64_t count, pad, gap_ms;
    const char *tag;
} stream_args;
WEFT_SCHEMA (stream_args, WEFT_FIELD (count, weft_int64), WEFT_FIELD (pad, weft_int64), WEFT_FIELD (gap_ms, weft_int64),
             WEFT_FIELD (tag, weft_string))
typedef struct {
    int64_t number;
    weft_bytes pad;
} stream_item;
WEFT_SCHEMA (stream_item, WEFT_FIELD (number, weft_int64), WEFT_FIELD (pad, weft_bytes))

#endif
