/* SPDX-License-Identifier: MPL-2.0
 *
 *  session_fuzz_test.c - a worker survives whatever its broker and its callers send. WEFT_TEST_SEED
 *  replays a run. */

#include <ctype.h>
#include "dice.h"
#include "session_fixture.h"

#define ROUNDS 10000

/*  Good records of every kind, to be spoiled. */
static void write_any (buffer_t *out, dice_t *dice)
{
    static const char *const methods [] = {
        "T.Add",  "T.AddHere", "T.Echo", "T.Power", "U.X", "T", "weft.Worker.Stats", "weft.Worker.Describe",
        "T.Meta", "T.Say"};
    static const char *const keys [] = {"", "one", "another"};
    static const char *const codecs [] = {"msgpack", "json", "raw", "xml", NULL};
    static const char *const texts [] = {"tcp://three:3", "x", NULL};
    static const uint8_t meta [] = "\x81\xa4zone\xa1x";
    const uint64_t id = dice_below (dice, 40);
    const wire_options_t options = {.codec = text_of (codecs [dice_below (dice, 4)]),
                                    .worker = text_of (dice_below (dice, 4) ? UUID : "other"),
                                    .request_key = text_of (keys [dice_below (dice, 3)]),
                                    .meta = mp_reader (meta, sizeof meta - 1)};

    switch (dice_below (dice, 14)) {
        case 0:
            wire_write_hello (out, dice_below (dice, 9) ? "client" : "worker", codecs, "x",
                              dice_below (dice, 9) ? UUID : "other");
            break;
        case 1:
            wire_write_welcome (out, text_of ("msgpack"), 1000, 10, "s", texts);
            break;
        case 2:
            wire_write_refused (out, (weft_status_t) dice_below (dice, WEFT_STATUS_COUNT), "no");
            break;
        case 3:
        case 4:
        case 5:
        case 6:
            wire_write_request (out, id, text_of (methods [dice_below (dice, 10)]),
                                (uint32_t) dice_below (dice, 2000), "\x92\x07\x06", 3,
                                dice_below (dice, 8) == 0, dice_below (dice, 3) ? NULL : &options);
            break;
        case 7:
            wire_write_reply (out, id, WEFT_OK, "x", 1, false, NULL);
            break;
        case 8:
            wire_write_item (out, id, 1, "x", 1, false);
            break;
        case 9:
            wire_write_credit (out, 0, dice_next (dice));
            break;
        case 10:
            wire_write_cancel (out, id);
            break;
        case 11:
            wire_write_beat_ok (out, dice_below (dice, 5), dice_next (dice), dice_next (dice), texts);
            break;
        case 12:
            wire_write_beat (out, 1, &(wire_load_t){0});
            break;
        default:
            if (dice_below (dice, 20) == 0)
                wire_write_goodbye (out, "bye");
            else
                wire_write_draining (out, "me");
    }
}

static void spoil (buffer_t *out, dice_t *dice)
{
    if (out->size == 0)
        return;
    switch (dice_below (dice, 5)) {
        case 0:
            out->size = dice_below (dice, out->size);
            break;
        case 1:
            out->data [dice_below (dice, out->size)] = (uint8_t) dice_next (dice);
            break;
        case 2:
            for (int i = 0; i < 4; i++)
                out->data [dice_below (dice, out->size)] ^= (uint8_t) (1u << dice_below (dice, 8));
            break;
        case 3:
            for (size_t i = 0; i < out->size; i++)
                out->data [i] = (uint8_t) dice_next (dice);
            break;
        default:
            break; /* good as it is */
    }
}

static void feed_some (fixture_t *f, session_link_t *link, dice_t *dice)
{
    buffer_t records = fixture_records ();
    message_t message;
    char attachment [40] = {0};

    for (uint64_t i = dice_below (dice, 4) + 1; i > 0; i--)
        write_any (&records, dice);
    spoil (&records, dice);
    message_init (&message);
    CHECK (message_add_bytes (&message, records.data, records.size));
    for (uint64_t i = dice_below (dice, 3); i > 0; i--)
        CHECK (message_add_bytes (&message, attachment, dice_below (dice, sizeof attachment)));
    fixture_receive (f, link, &message);
    message_fini (&message);
    buffer_fini (&records);
}

/*  What an honest shell does after each event. */
static void shell (fixture_t *f, dice_t *dice)
{
    const char *endpoint;
    session_link_t *link;
    standing_command_t command;
    message_t message;

    fixture_take (f);
    while (f->held.count && dice_below (dice, 4)) {
        weft_request_t *request = fixture_begin (f);
        if (request)
            fixture_end (f, request);
    }
    while ((command = session_command (&f->session, &f->link, &endpoint)) != STANDING_NOTHING)
        if (command == STANDING_OPEN)
            session_link_ready (&f->session, f->link, f->now_us);
    message_init (&message);
    while ((link = session_next_dirty (&f->session)) != NULL)
        while (outbox_take (&link->outbox, &message))
            message_clear (&message);
}

static uint64_t seed_of_run (void)
{
    const char *given = getenv ("WEFT_TEST_SEED");
    const uint64_t seed = given ? strtoull (given, NULL, 0) : 20260101;
    printf ("WEFT_TEST_SEED=%llu\n", (unsigned long long) seed);
    return seed;
}

TEST (ten_thousand_frames_from_callers_are_survived)
{
    fixture_t f;
    dice_t dice;
    dice_init (&dice, seed_of_run ());
    session_link_t *callers [2] = {fixture_serving (&f), fixture_caller (&f)};
    for (int i = 0; i < ROUNDS; i++) {
        session_link_t **caller = &callers [dice_below (&dice, 2)];
        feed_some (&f, *caller, &dice);
        shell (&f, &dice);
        fixture_tick (&f, (int64_t) dice_below (&dice, 3 * MS));
        shell (&f, &dice);
        if ((*caller)->state == LINK_GONE || (*caller)->state == LINK_REFUSED) {
            session_peer_lost (&f.session, *caller, f.now_us);
            *caller = fixture_caller (&f);
        }
    }
    CHECK_INT (f.session.peers.count, 2);
    CHECK (f.session.stats.malformed > 1000);
    CHECK (f.session.requests.finished > 1000);

    session_link_t *fresh = fixture_caller (&f); /* and it still works */
    fixture_run (&f);
    fixture_add (&f, fresh, 1);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, fresh, WIRE_REPLY)->status, WEFT_OK);
    fixture_close (&f);
}

TEST (ten_thousand_frames_from_the_broker_are_survived)
{
    fixture_t f;
    dice_t dice;
    dice_init (&dice, seed_of_run ());
    fixture_open (&f);
    fixture_register (&f);
    for (int i = 0; i < ROUNDS; i++) {
        feed_some (&f, &f.session.post->link, &dice);
        shell (&f, &dice);
        fixture_tick (&f, (int64_t) dice_below (&dice, 30 * MS));
        shell (&f, &dice);
        if (dice_below (&dice, 50) == 0) {
            session_link_lost (&f.session, &f.session.post->link, WEFT_BROKER_LOST, "gone", f.now_us);
            fixture_register (&f);
        }
    }
    CHECK (f.session.stats.malformed > 100);
    CHECK (f.session.state == SESSION_SERVING || f.session.state == SESSION_JOINING);
    session_link_lost (&f.session, &f.session.post->link, WEFT_BROKER_LOST, "gone", f.now_us);
    fixture_run (&f);
    fixture_register (&f);
    fixture_add (&f, &f.session.post->link, 1);
    fixture_run (&f);
    CHECK_INT (fixture_one (&f, &f.session.post->link, WIRE_REPLY)->status, WEFT_OK);
    fixture_close (&f);
}
