/* SPDX-License-Identifier: MPL-2.0 */

#include "message.h"
#include "check.h"

TEST (a_lone_record_may_be_moved_out_while_its_message_is_walked)
{
    static const uint8_t cancel [] = {0x92, WIRE_CANCEL, 0x07};
    message_t message;
    message_init (&message);
    CHECK (message_add_bytes (&message, cancel, sizeof cancel));

    message_cursor_t cursor = message_cursor (&message);
    wire_record_t record;
    zmq_msg_t *attachment, moved;
    const char *fault;
    CHECK_INT (message_next (&cursor, &record, &attachment, &fault), 1);
    CHECK (message_is_lone (&cursor, &record));
    zmq_msg_init (&moved);
    zmq_msg_move (&moved, &message.frames [0]);
    CHECK_INT (message_next (&cursor, &record, &attachment, &fault), 0);

    zmq_msg_close (&moved);
    message_fini (&message);
}

TEST (an_empty_message_is_malformed)
{
    message_t message;
    message_init (&message);
    for (int frames = 0; frames < 2; frames++) {
        message_cursor_t cursor = message_cursor (&message);
        wire_record_t record;
        zmq_msg_t *attachment;
        const char *fault = NULL;
        CHECK_INT (message_next (&cursor, &record, &attachment, &fault), -1);
        CHECK_STR (fault, "empty records frame");
        CHECK (message_add_bytes (&message, "", 0));
    }
    message_fini (&message);
}
