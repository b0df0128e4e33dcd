/* SPDX-License-Identifier: MPL-2.0 */

#include <string.h>
#include "check.h"
#include "deadlines.h"
#include "replies.h"

#define SECOND 1000000LL

static const char method [] = "any address will do", other_method [] = "another one";

static void open_with (replies_t *replies, size_t count_max, size_t bytes_max, int64_t age_us)
{
    replies_init (replies, &(replies_limits_t){count_max, bytes_max, age_us}, 7);
}

static work_t *begin (replies_t *replies, const char *key)
{
    work_t *work = replies_begin (replies, method, text_of (key), CODEC_MSGPACK, "args", 4);
    CHECK (work);
    return work;
}

static work_t *find (replies_t *replies, const char *key, int64_t now_us)
{
    return replies_find (replies, method, text_of (key), now_us);
}

static reply_t reply_of (const void *body, size_t size)
{
    return (reply_t){.executed = WEFT_EXECUTED_YES, .origin = WEFT_ORIGIN_APPLICATION, .text = "", .body = body,
                     .body_size = size};
}

static void finish (replies_t *replies, const char *key, const reply_t *reply, int64_t now_us)
{
    work_t *work = begin (replies, key);
    replies_know (replies, work, reply);
    replies_finish (replies, work, now_us);
}

TEST (what_was_answered_is_found_again_by_method_and_key)
{
    replies_t replies;
    char text [] = "no such account", body [] = "body";
    const reply_t reply = {.status = WEFT_APP_ERROR, .executed = WEFT_EXECUTED_YES, .origin = WEFT_ORIGIN_APPLICATION,
                           .code = 17, .text = text, .body = body, .body_size = 4};
    open_with (&replies, 0, 0, 0);
    work_t *work = begin (&replies, "k");
    CHECK (find (&replies, "k", 0) == work && !work->known);
    replies_know (&replies, work, &reply);
    memset (text, 'x', sizeof text - 1);
    memset (body, 'x', sizeof body - 1);
    replies_finish (&replies, work, 0);
    CHECK (find (&replies, "k", 1) == work && work->known && !work->runner);
    CHECK_INT (work->reply.status, WEFT_APP_ERROR);
    CHECK_INT (work->reply.code, 17);
    CHECK_STR (work->reply.text, "no such account");
    CHECK_MEM (work->reply.body, work->reply.body_size, "body", 4);
    CHECK (!find (&replies, "other", 1) && !find (&replies, "", 1));
    CHECK (!replies_find (&replies, other_method, text_of ("k"), 1));
    replies_fini (&replies);
}

TEST (other_arguments_or_another_codec_do_not_match)
{
    replies_t replies;
    open_with (&replies, 0, 0, 0);
    const work_t *work = begin (&replies, "k");
    CHECK (replies_match (&replies, work, CODEC_MSGPACK, "args", 4));
    CHECK (!replies_match (&replies, work, CODEC_MSGPACK, "argz", 4));
    CHECK (!replies_match (&replies, work, CODEC_MSGPACK, "arg", 3));
    CHECK (!replies_match (&replies, work, CODEC_MSGPACK, "", 0));
    CHECK (!replies_match (&replies, work, CODEC_JSON, "args", 4));
    replies_fini (&replies);
}

TEST (what_never_ran_leaves_nothing)
{
    replies_t replies;
    open_with (&replies, 0, 0, 0);
    replies_abandon (&replies, begin (&replies, "k"));
    CHECK (!find (&replies, "k", 0));
    CHECK_INT (replies.works.count, 0);
    replies_fini (&replies);
}

TEST (too_many_push_out_the_oldest_and_never_what_is_under_way)
{
    replies_t replies;
    const reply_t reply = reply_of ("r", 1);
    open_with (&replies, 2, 0, 0);
    work_t *running = begin (&replies, "running");
    finish (&replies, "a", &reply, 1);
    finish (&replies, "b", &reply, 2);
    CHECK (find (&replies, "a", 3) && find (&replies, "b", 3));
    finish (&replies, "c", &reply, 3);
    CHECK (!find (&replies, "a", 4) && find (&replies, "b", 4) && find (&replies, "c", 4));
    CHECK (find (&replies, "running", 4) == running);
    replies_fini (&replies);
}

TEST (many_bytes_push_out_the_oldest)
{
    static const char large [3200];
    replies_t replies;
    const reply_t reply = reply_of (large, sizeof large), small = reply_of ("r", 1);
    open_with (&replies, 0, 10000, 0);
    finish (&replies, "a", &reply, 1);
    finish (&replies, "b", &reply, 2);
    CHECK (find (&replies, "a", 3));
    finish (&replies, "c", &reply, 3);
    CHECK (!find (&replies, "a", 4) && find (&replies, "b", 4) && find (&replies, "c", 4));
    CHECK (replies.bytes <= 10000);
    for (int i = 0; i < 1000; i++) {
        char key [16];
        snprintf (key, sizeof key, "%d", i);
        finish (&replies, key, &small, 5);
        CHECK (replies.bytes <= 10000);
    }
    CHECK (find (&replies, "999", 6) && !find (&replies, "c", 6)); /* keys take room too */
    replies_fini (&replies);
}

TEST (of_a_reply_too_large_to_keep_it_is_known_that_it_was_given)
{
    static const char large [5000];
    replies_t replies;
    const reply_t reply = reply_of (large, sizeof large);
    open_with (&replies, 0, 4000, 0);
    finish (&replies, "a", &reply, 1);
    const work_t *work = find (&replies, "a", 2);
    CHECK (work && work->known);
    CHECK_INT (work->reply.status, WEFT_TOO_LARGE);
    CHECK_INT (work->reply.executed, WEFT_EXECUTED_YES);
    CHECK_INT (work->reply.body_size, 0);
    CHECK (strstr (work->reply.text, "done before"));
    replies_fini (&replies);
}

TEST (what_is_old_is_forgotten_and_when_is_known)
{
    replies_t replies;
    const reply_t reply = reply_of ("r", 1);
    open_with (&replies, 0, 0, 60 * SECOND);
    CHECK_INT (replies_next_us (&replies), DEADLINES_NEVER);
    finish (&replies, "a", &reply, 1 * SECOND);
    finish (&replies, "b", &reply, 2 * SECOND);
    CHECK_INT (replies_next_us (&replies), 61 * SECOND);
    CHECK (find (&replies, "a", 61 * SECOND - 1));
    CHECK (!find (&replies, "a", 61 * SECOND) && find (&replies, "b", 61 * SECOND));
    replies_expire (&replies, 62 * SECOND);
    CHECK_INT (replies.works.count, 0);
    CHECK_INT (replies.bytes, 0);
    CHECK_INT (replies_next_us (&replies), DEADLINES_NEVER);
    replies_fini (&replies);
}

static int freed;

static void note_free (void *data, void *hint)
{
    (void) data;
    (void) hint;
    freed++;
}

TEST (a_frame_is_shared_and_let_go_with_its_work)
{
    static char large [50000];
    replies_t replies;
    zmq_msg_t frame;
    open_with (&replies, 0, 0, 60 * SECOND);
    freed = 0;
    zmq_msg_init_data (&frame, large, sizeof large, note_free, NULL);
    reply_t reply = reply_of (large, sizeof large);
    reply.frame = &frame;
    finish (&replies, "a", &reply, 0);
    zmq_msg_close (&frame);
    const work_t *work = find (&replies, "a", 1);
    CHECK (work && work->reply.frame && zmq_msg_data (work->reply.frame) == large && work->reply.body == large);
    CHECK (replies.bytes > sizeof large);
    CHECK_INT (freed, 0);
    replies_expire (&replies, 60 * SECOND);
    CHECK_INT (freed, 1);
    replies_fini (&replies);
}

TEST (keys_may_be_any_bytes_up_to_their_bound)
{
    replies_t replies;
    char bytes [WEFT_REQUEST_KEY_MAX] = {0};
    const text_t longest = {bytes, sizeof bytes}, shorter = {bytes, sizeof bytes - 1};
    open_with (&replies, 0, 0, 0);
    work_t *work = replies_begin (&replies, method, longest, CODEC_RAW, NULL, 0);
    CHECK (work && replies_find (&replies, method, longest, 0) == work);
    CHECK (!replies_find (&replies, method, shorter, 0));
    CHECK (replies_match (&replies, work, CODEC_RAW, NULL, 0));
    replies_fini (&replies);
}
