/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "outbox.h"

static void put_record (outbox_t *outbox, uint64_t id, size_t body_size)
{
    static uint8_t body [WEFT_BODY_INLINE_MAX];
    wire_write_reply (outbox_open_record (outbox), id, WEFT_OK, body, body_size, false, NULL);
    outbox_close_record (outbox, NULL);
}

static void put_attached (outbox_t *outbox, uint64_t id, size_t body_size)
{
    zmq_msg_t body;
    CHECK (zmq_msg_init_size (&body, body_size) == 0);
    memset (zmq_msg_data (&body), (int) id, body_size);
    wire_write_reply (outbox_open_record (outbox), id, WEFT_OK, NULL, 0, true, NULL);
    outbox_close_record (outbox, &body);
    zmq_msg_close (&body);
}

/*  Takes all messages; each reply must come in order, with its own attachment. Returns how many messages there were. */
static int take_all (outbox_t *outbox, uint64_t first, uint64_t last)
{
    int messages = 0;
    uint64_t expected = first;
    message_t message;
    message_init (&message);
    for (; outbox_take (outbox, &message); messages++, message_clear (&message)) {
        message_cursor_t cursor = message_cursor (&message);
        wire_record_t record;
        zmq_msg_t *attachment;
        const char *fault;
        while (message_next (&cursor, &record, &attachment, &fault) == 1) {
            CHECK_INT (record.id, expected++);
            if (attachment)
                CHECK_INT (*(uint8_t *) zmq_msg_data (attachment), (uint8_t) record.id);
        }
        CHECK_INT (mp_left (&cursor.reader), 0);
    }
    CHECK_INT (expected, last + 1);
    CHECK (outbox_empty (outbox));
    CHECK_INT (outbox_bytes (outbox), 0);
    return messages;
}

TEST (small_records_share_one_message)
{
    outbox_t outbox;
    outbox_init (&outbox, WEFT_OUTBOX_MAX);
    CHECK (outbox_empty (&outbox));
    for (uint64_t id = 1; id <= 100; id++)
        put_record (&outbox, id, 8);
    CHECK_INT (take_all (&outbox, 1, 100), 1);
    outbox_fini (&outbox);
}

TEST (a_message_is_closed_at_the_batch_limit)
{
    outbox_t outbox;
    outbox_init (&outbox, WEFT_OUTBOX_MAX);
    for (uint64_t id = 1; id <= 40; id++)
        put_record (&outbox, id, 4000);
    CHECK_INT (take_all (&outbox, 1, 40), 8); /* 5 × 4 KiB pass 16 KiB */
    outbox_fini (&outbox);
}

TEST (a_full_outbox_is_one_with_a_message_that_gets_no_more)
{
    outbox_t outbox;
    message_t message;
    outbox_init (&outbox, WEFT_OUTBOX_MAX);
    message_init (&message);
    for (uint64_t id = 1; id <= 6; id++) {
        CHECK_INT (outbox_full (&outbox), id > 5);
        put_record (&outbox, id, 4000);
    }
    CHECK (outbox_take (&outbox, &message));
    CHECK (!outbox_full (&outbox)); /* but not empty */
    message_clear (&message);
    CHECK_INT (take_all (&outbox, 6, 6), 1);
    outbox_fini (&outbox);
}

/*  Takes a message; the size of its records. */
static size_t take_one (outbox_t *outbox)
{
    message_t message;
    message_init (&message);
    CHECK (outbox_take (outbox, &message));
    const size_t size = zmq_msg_size (&message.frames [0]);
    message_clear (&message);
    return size;
}

TEST (a_large_record_begins_a_message_of_its_own)
{
    static uint8_t body [200000];
    outbox_t outbox;
    zmq_msg_t frame;
    outbox_init (&outbox, WEFT_OUTBOX_MAX);
    for (uint64_t id = 1; id <= 3; id += 2) {
        put_record (&outbox, id, 4000);
        wire_write_reply (outbox_open_record (&outbox), id + 1, WEFT_OK, body, sizeof body, false, NULL);
        outbox_close_record (&outbox, NULL);
    }
    put_record (&outbox, 5, 4000);
    CHECK_INT (take_all (&outbox, 1, 5), 5);

    wire_write_reply (outbox_open_record (&outbox), 1, WEFT_OK, body, sizeof body, false, NULL); /* alone, as it is */
    outbox_close_record (&outbox, NULL);
    const size_t alone = take_one (&outbox);
    put_attached (&outbox, 1, 5000);
    wire_write_reply (outbox_open_record (&outbox), 2, WEFT_OK, body, sizeof body, false, NULL);
    outbox_close_record (&outbox, NULL);
    CHECK (take_one (&outbox) < 100);
    CHECK_INT (take_one (&outbox), alone);

    CHECK (zmq_msg_init_size (&frame, 100000) == 0); /* and one that was passed on whole gets no company */
    outbox_adopt (&outbox, &frame, NULL);
    put_record (&outbox, 2, 4000);
    CHECK_INT (take_one (&outbox), 100000);
    CHECK_INT (take_all (&outbox, 2, 2), 1);
    outbox_fini (&outbox);
}

TEST (a_message_is_closed_at_the_frame_limit)
{
    outbox_t outbox;
    outbox_init (&outbox, WEFT_OUTBOX_MAX);
    for (uint64_t id = 1; id <= 100; id++)
        put_attached (&outbox, id, 5000);
    CHECK_INT (take_all (&outbox, 1, 100), 2); /* 63 attachments each */
    outbox_fini (&outbox);
}

TEST (a_message_is_closed_when_its_attachments_are_large)
{
    outbox_t outbox;
    outbox_init (&outbox, WEFT_OUTBOX_MAX);
    for (uint64_t id = 1; id <= 20; id++)
        put_attached (&outbox, id, 300000);
    CHECK_INT (take_all (&outbox, 1, 20), 5); /* 4 pass 1 MiB */
    put_attached (&outbox, 1, 5000000);
    CHECK (outbox_full (&outbox));
    for (uint64_t id = 2; id <= 20; id++)
        put_attached (&outbox, id, 5000);
    CHECK_INT (take_all (&outbox, 1, 20), 2);
    outbox_fini (&outbox);
}

/*  A frame that holds reply `id`, alone. */
static void lone_frame (zmq_msg_t *frame, uint64_t id)
{
    buffer_t bytes;
    buffer_init (&bytes, 1000);
    wire_write_reply (&bytes, id, WEFT_OK, "x", 1, false, NULL);
    CHECK (zmq_msg_init_size (frame, bytes.size) == 0);
    memcpy (zmq_msg_data (frame), bytes.data, bytes.size);
    buffer_fini (&bytes);
}

TEST (an_adopted_frame_travels_uncopied_when_alone)
{
    outbox_t outbox;
    zmq_msg_t frame, big;
    message_t message;
    outbox_init (&outbox, WEFT_OUTBOX_MAX);
    CHECK (zmq_msg_init_size (&big, 100000) == 0);
    const void *data = zmq_msg_data (&big);
    outbox_adopt (&outbox, &big, NULL);
    zmq_msg_close (&big);

    message_init (&message);
    CHECK (outbox_take (&outbox, &message));
    CHECK (zmq_msg_data (&message.frames [0]) == data);
    CHECK (!outbox_take (&outbox, &message));
    message_clear (&message);

    lone_frame (&frame, 1); /* alone first, then joined by others */
    outbox_adopt (&outbox, &frame, NULL);
    zmq_msg_close (&frame);
    put_record (&outbox, 2, 3);
    lone_frame (&frame, 3);
    outbox_adopt (&outbox, &frame, NULL);
    zmq_msg_close (&frame);
    CHECK_INT (take_all (&outbox, 1, 3), 1);
    outbox_fini (&outbox);
}

TEST (a_peer_that_does_not_read_fails_at_the_limit)
{
    outbox_t outbox;
    outbox_init (&outbox, 100000);
    for (uint64_t id = 1; id <= 100 && !outbox.failed; id++)
        put_record (&outbox, id, 4000);
    CHECK (outbox.failed);
    outbox_clear (&outbox);
    CHECK (!outbox.failed);
    for (uint64_t id = 1; id <= 100 && !outbox.failed; id++)
        put_attached (&outbox, id, 5000);
    CHECK (outbox.failed);
    outbox_fini (&outbox);
}

TEST (records_and_attachments_have_one_limit_together)
{
    outbox_t outbox;
    outbox_init (&outbox, 200000);
    for (uint64_t id = 1; id <= 36; id++)
        put_attached (&outbox, id, 5000);
    for (uint64_t id = 37; id <= 100 && !outbox.failed; id++) {
        put_record (&outbox, id, 4000);
        CHECK (outbox_bytes (&outbox) <= 200000 + WEFT_BATCH_MAX + 4100);
    }
    CHECK (outbox.failed);
    outbox_fini (&outbox);
}

TEST (a_slow_but_steady_reader_never_reaches_the_limit)
{
    outbox_t outbox;
    message_t message;
    uint64_t put = 0;
    outbox_init (&outbox, 1000000);
    message_init (&message);
    for (int i = 0; i < 40; i++)
        put_record (&outbox, ++put, 4000);
    for (int round = 0; round < 3000; round++) { /* always some left behind: 75 MB in all */
        for (int i = 0; i < 5; i++)
            put_record (&outbox, ++put, 4000);
        put_attached (&outbox, ++put, 5000);
        CHECK (!outbox.failed);
        CHECK (outbox_take (&outbox, &message));
        message_clear (&message);
        CHECK (!outbox_empty (&outbox));
        if (outbox_bytes (&outbox) > 500000) {
            CHECK (outbox_take (&outbox, &message));
            message_clear (&message);
        }
    }
    outbox_fini (&outbox);
}

TEST (records_without_attachments_move_up_behind_those_taken)
{
    outbox_t outbox;
    message_t message;
    uint64_t put = 0;
    outbox_init (&outbox, 1000000);
    message_init (&message);
    while (put < 40)
        put_record (&outbox, ++put, 4000);
    for (int i = 0; i < 5; i++) { /* 5 records each: the larger part of all */
        CHECK (outbox_take (&outbox, &message));
        message_clear (&message);
    }
    put_record (&outbox, ++put, 4000);
    CHECK_INT (outbox.taken_records, 0);
    CHECK_INT (take_all (&outbox, 26, 41), 4);
    outbox_fini (&outbox);
}
