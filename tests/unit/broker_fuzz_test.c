/* SPDX-License-Identifier: MPL-2.0
 *
 *  broker_fuzz_test.c - a broker survives whatever its peers send. */

#include "broker_harness.h"
#include "dice.h"

static void write_seed_record (buffer_t *out, dice_t *dice)
{
    static const char *const codecs [] = {"msgpack", "json", NULL}, *const names [] = {"A.Add", "B.Next", "weft.Registry.List",
        "weft.Registry.Watch", "weft.Registry.Describe", "weft.Registry.Drain", "weft.Worker.Ping", "nodot", "No.Such"};
    static const char *const roles [] = {"client", "worker", "broker"};
    const wire_load_t load = {1, 2, 3, 4};
    const wire_options_t bound = {.worker = text_of (uuid ((unsigned) dice_below (dice, 4)))};
    const uint64_t id = dice_below (dice, 40);
    const char *endpoints [] = {"tcp://*:5", "ipc:///tmp/x", NULL};

    switch (dice_below (dice, 12)) {
        case 0:
            wire_write_hello (out, roles [dice_below (dice, 3)], codecs, "fuzz", NULL);
            break;
        case 1:
        case 2:
        case 3:
            wire_write_request (out, id, text_of (names [dice_below (dice, 9)]), (uint32_t) dice_below (dice, 3000),
                                "\x91\xa1" "A", 3, dice_below (dice, 9) == 0, dice_below (dice, 5) ? NULL : &bound);
            break;
        case 4:
            wire_write_reply (out, dice_below (dice, 2) ? id : 1 + dice_below (dice, 1u << 20), WEFT_OK, "\x01", 1, false, NULL);
            break;
        case 5:
            wire_write_item (out, id, 1, "x", 1, dice_below (dice, 9) == 0);
            break;
        case 6:
            wire_write_credit (out, dice_below (dice, 2) ? 0 : id, dice_below (dice, 9));
            break;
        case 7:
            wire_write_cancel (out, id);
            break;
        case 8:
        case 9:
            wire_write_register_begin (out, uuid ((unsigned) dice_below (dice, 4)), 1 + dice_below (dice, 9), 2);
            write_service (out, "A", (unsigned) dice_below (dice, 4));
            write_service (out, "B", 1);
            wire_write_register_end (out, endpoints, 2, NULL, "h", 1, 2);
            break;
        case 10:
            wire_write_beat (out, 1, &load);
            break;
        default:
            if (dice_below (dice, 2))
                wire_write_draining (out, "x");
            else
                wire_write_goodbye (out, "x");
    }
}

static void mutate (buffer_t *bytes, dice_t *dice)
{
    for (uint64_t n = dice_below (dice, 4); n > 0 && bytes->size; n--) {
        const size_t at = dice_below (dice, bytes->size);
        switch (dice_below (dice, 4)) {
            case 0:
                bytes->data [at] = (uint8_t) dice_next (dice);
                break;
            case 1:
                bytes->data [at] ^= (uint8_t) (1u << dice_below (dice, 8));
                break;
            case 2:
                buffer_truncate (bytes, at);
                break;
            default:
                buffer_append (bytes, "\xdd\xff\xff\xff\xff", 1 + dice_below (dice, 5));
        }
    }
}

/*  Takes all that waits, checking that we never send what cannot be read; gives each request an answer now and then. */
static void read_and_answer (peer_t *peer, dice_t *dice)
{
    listen_to (peer);
    for (size_t i = 0; i < inbox_count; i++)
        if (inbox [i].record.kind == WIRE_REQUEST && dice_below (dice, 2))
            say_reply (peer, inbox [i].record.id);
}

#define FUZZ_PEERS 6

static void fuzz (uint64_t seed, int messages)
{
    dice_t dice;
    peer_t *peers [FUZZ_PEERS];
    buffer_t bytes;
    message_t message;

    dice_init (&dice, seed);
    buffer_init (&bytes, SIZE_MAX);
    start ();
    for (int i = 0; i < FUZZ_PEERS; i++)
        peers [i] = stranger ();
    for (int n = 0; n < messages; n++) {
        peer_t **peer = &peers [dice_below (&dice, FUZZ_PEERS)];
        buffer_clear (&bytes);
        for (uint64_t count = 1 + dice_below (&dice, 4); count > 0; count--)
            write_seed_record (&bytes, &dice);
        if (dice_below (&dice, 2))
            mutate (&bytes, &dice);
        message_init (&message);
        message_add_bytes (&message, bytes.data, bytes.size);
        for (uint64_t count = dice_below (&dice, 3); count > 0; count--)
            message_add_bytes (&message, bytes.data, bytes.size);
        broker_on_message (broker, *peer, &message, now_us);
        message_fini (&message);
        read_and_answer (*peer, &dice);
        if (dice_below (&dice, 50) == 0) {
            lose (*peer);
            *peer = stranger ();
        }
        pass ((int64_t) dice_below (&dice, 100) * MS);
    }
    buffer_fini (&bytes);
    finish ();
}

TEST (ten_thousand_random_and_mutated_messages_harm_nobody)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        fuzz (seed, 1000);
}
