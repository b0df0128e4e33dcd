/* SPDX-License-Identifier: MPL-2.0
 *
 *  heart_test.c - the heart as a machine, time moved by hand; and running, against a broker that only
 *  pretends. */

#include "heart.h"
#include "fake_broker.h"

#define MS 1000 /* microseconds */

/*  ------------------------------------------------------------------ what the beater and the observer saw  */

typedef struct {
    int calls, new, updated, retried, disconnected;
    weft_beat_answer_t answer;
    char broker [64], text [64];
    weft_beat_t arrived;    /* next, as it came to the beater */
    weft_beat_t wanted;     /* what the beater sets, if set */
    bool set;
    int end_after;          /* answers; 0: never */
} witness_t;

static void beat (const weft_beat_answer_t *answer, weft_beat_t *next, void *arg)
{
    witness_t *self = arg;
    self->calls++;
    self->answer = *answer;
    snprintf (self->broker, sizeof self->broker, "%s", answer->brokers [0] ? answer->brokers [0] : "");
    self->arrived = *next;
    if (self->set)
        *next = self->wanted;
    if (self->end_after && self->calls >= self->end_after)
        next->kind = WEFT_BEAT_NONE;
}

static void observe (weft_heart_event_t event, const weft_beat_answer_t *answer, void *arg)
{
    witness_t *self = arg;
    int *const counts [] = {&self->new, &self->updated, &self->retried, &self->disconnected};
    ++*counts [event];
    if (event == WEFT_HEART_DISCONNECTED && answer) {
        self->answer = *answer;
        snprintf (self->text, sizeof self->text, "%s", answer->text);
    }
}

static void make (heart_t *heart, witness_t *witness)
{
    *witness = (witness_t){0};
    heart_init (heart);
    heart->beater = beat;
    heart->beater_arg = witness;
    heart->observer = observe;
    heart->observer_arg = witness;
}

/*  Begun, connected, and the first request sent at 0. */
static void begin (heart_t *heart, witness_t *witness, int64_t timeout_ms, int retries)
{
    make (heart, witness);
    heart_begin (heart, timeout_ms, retries, 0);
    heart_connected (heart);
    CHECK_INT (heart_take (heart, 0), HEART_REGISTER);
}

static void answer (heart_t *heart, uint64_t sequence, uint64_t next_ms, int64_t now_us)
{
    const wire_beat_ok_t ok = {.sequence = sequence, .next_ms = next_ms, .ttl_ms = 10000};
    heart_answer (heart, &ok, now_us);
}

TEST (b2_sends_the_first_request_then_asks_the_beater_and_sends)
{
    heart_t heart;
    witness_t witness;
    begin (&heart, &witness, 100, 0);
    CHECK_INT (witness.calls, 0);

    answer (&heart, 0, 50, 10 * MS);
    CHECK_INT (witness.calls, 1);
    CHECK_INT (heart_take (&heart, 10 * MS), HEART_NOTHING);
    CHECK_INT (heart_next_us (&heart), 60 * MS);
    heart_tick (&heart, 59 * MS);
    CHECK_INT (heart_take (&heart, 59 * MS), HEART_NOTHING);
    heart_tick (&heart, 60 * MS);
    CHECK_INT (heart_take (&heart, 60 * MS), HEART_BEAT);
    CHECK_INT (heart.sequence, 1);

    answer (&heart, 1, 50, 61 * MS);
    CHECK_INT (witness.calls, 2);
    heart_tick (&heart, 111 * MS);
    CHECK_INT (heart_take (&heart, 111 * MS), HEART_BEAT);
    CHECK_INT (heart.sequence, 2);
}

TEST (b3_beater_is_given_answer_round_trip_and_retransmissions)
{
    heart_t heart;
    witness_t witness;
    begin (&heart, &witness, 100, 3);
    heart_tick (&heart, 100 * MS);
    CHECK_INT (heart_take (&heart, 100 * MS), HEART_REGISTER);
    heart_tick (&heart, 200 * MS);
    CHECK_INT (heart_take (&heart, 200 * MS), HEART_REGISTER);

    answer (&heart, 0, 50, 207 * MS);
    CHECK_INT (witness.answer.round_trip_us, 7 * MS);
    CHECK_INT (witness.answer.retransmissions, 2);
    CHECK_INT (witness.answer.sequence, 0);
    CHECK (!witness.answer.rejected);
}

TEST (b4_beater_sets_the_next_request_its_timeout_and_its_retries)
{
    heart_t heart;
    witness_t witness;
    begin (&heart, &witness, 100, 0);
    witness.set = true;
    witness.wanted = (weft_beat_t){.kind = WEFT_BEAT_AGAIN, .delay_ms = 7, .timeout_ms = 20, .retries = 1};
    answer (&heart, 0, 50, 0);
    CHECK_INT (witness.arrived.kind, WEFT_BEAT_AGAIN);
    CHECK_INT (witness.arrived.delay_ms, 50);
    CHECK_INT (witness.arrived.timeout_ms, 100);

    CHECK_INT (heart_next_us (&heart), 7 * MS);
    heart_tick (&heart, 7 * MS);
    CHECK_INT (heart_take (&heart, 7 * MS), HEART_BEAT);
    CHECK_INT (heart_next_us (&heart), 27 * MS);
    heart_tick (&heart, 27 * MS);
    CHECK_INT (heart_take (&heart, 27 * MS), HEART_BEAT);
    heart_tick (&heart, 47 * MS);
    CHECK_INT (heart.state, HEART_ENDED);
}

TEST (b4_beater_may_ask_for_a_registration)
{
    heart_t heart;
    witness_t witness;
    begin (&heart, &witness, 100, 0);
    witness.set = true;
    witness.wanted = (weft_beat_t){.kind = WEFT_BEAT_REGISTER, .delay_ms = 5, .timeout_ms = 20};
    answer (&heart, 0, 50, 0);
    heart_tick (&heart, 5 * MS);
    CHECK_INT (heart_take (&heart, 5 * MS), HEART_REGISTER);
    CHECK_INT (heart.sequence, 0);
}

TEST (b5_no_next_beat_ends_cleanly)
{
    heart_t heart;
    witness_t witness;
    begin (&heart, &witness, 100, 0);
    witness.end_after = 1;
    answer (&heart, 0, 50, 0);
    CHECK_INT (heart.state, HEART_ENDED);
    CHECK_INT (heart.status, WEFT_OK);
    CHECK_INT (heart_take (&heart, 0), HEART_GOODBYE);
    CHECK_INT (heart_next_us (&heart), DEADLINES_NEVER);
    CHECK_INT (witness.disconnected, 1);
}

TEST (b6_rejection_ends_with_the_registrys_reason)
{
    heart_t heart;
    witness_t witness;
    begin (&heart, &witness, 100, 5);
    heart_refused (&heart, &(wire_refused_t){WEFT_PERMISSION_DENIED, text_of ("not yours")}, 1 * MS);
    CHECK_INT (heart.state, HEART_ENDED);
    CHECK_INT (heart.status, WEFT_PERMISSION_DENIED);
    CHECK_STR (heart.text, "not yours");
    CHECK_INT (witness.disconnected, 1);
    CHECK (witness.answer.rejected);
    CHECK_STR (witness.text, "not yours");
}

TEST (b6_silence_ends_it_only_after_timeout_times_retries_and_one)
{
    heart_t heart;
    witness_t witness;
    begin (&heart, &witness, 100, 2);
    heart_lost (&heart, 20 * MS); /* a transport error ends nothing by itself */
    CHECK_INT (heart.state, HEART_ASKING);
    heart_tick (&heart, 100 * MS);
    heart_connected (&heart);
    CHECK_INT (heart_take (&heart, 150 * MS), HEART_REGISTER);
    heart_tick (&heart, 200 * MS);
    heart_tick (&heart, 299 * MS);
    CHECK_INT (heart.state, HEART_ASKING);
    heart_tick (&heart, 300 * MS);
    CHECK_INT (heart.state, HEART_ENDED);
    CHECK_INT (heart.status, WEFT_BROKER_LOST);
    CHECK_STR (heart.text, "no answer from the registry within 300 ms");
    CHECK_INT (witness.retried, 2);
}

TEST (b7_options_travel_with_each_request)
{
    static const char *const options [] = {"zone=a", "colour=green", NULL};
    heart_t heart;
    witness_t witness;
    buffer_t out;
    wire_record_t record;
    const char *fault;
    begin (&heart, &witness, 100, 0);
    witness.set = true;
    witness.wanted = (weft_beat_t){
        .kind = WEFT_BEAT_AGAIN, .timeout_ms = 20, .load = {1, 2, 3, 4}, .options = options};
    answer (&heart, 0, 50, 0);
    heart_tick (&heart, 0);
    CHECK_INT (heart_take (&heart, 0), HEART_BEAT);

    buffer_init (&out, 1000);
    heart_write_beat (&heart, &out);
    mp_reader_t reader = mp_reader (out.data, out.size);
    uint64_t sequence;
    wire_load_t load;
    CHECK_INT (wire_next (&reader, &record, &fault), 1);
    CHECK (wire_read_beat (&record, &sequence, &load));
    CHECK_INT (sequence, 1);
    CHECK_INT (load.oldest_ms, 3);
    CHECK_INT (record.field_count, 3);
    CHECK (memmem (out.data, out.size, "\xa4zone\xa1" "a\xa6" "colour\xa5green", 20));
    buffer_fini (&out);
}

TEST (b8_cancel_says_goodbye_once)
{
    heart_t heart;
    witness_t witness;
    begin (&heart, &witness, 100, 0);
    answer (&heart, 0, 50, 0);
    heart_cancel (&heart);
    CHECK_INT (heart.state, HEART_ENDED);
    CHECK_INT (heart.status, WEFT_CANCELLED);
    CHECK_INT (heart_take (&heart, 0), HEART_GOODBYE);
    CHECK_INT (heart_take (&heart, 0), HEART_NOTHING);
    heart_cancel (&heart);
    CHECK_INT (witness.disconnected, 1);
}

TEST (b9_events_are_observed)
{
    heart_t heart;
    witness_t witness;
    begin (&heart, &witness, 100, 1);
    heart_tick (&heart, 100 * MS);
    CHECK_INT (witness.retried, 1);
    answer (&heart, 0, 50, 101 * MS);
    CHECK_INT (witness.new, 1);
    heart_tick (&heart, 151 * MS);
    CHECK_INT (heart_take (&heart, 151 * MS), HEART_BEAT);
    answer (&heart, 1, 50, 152 * MS);
    CHECK_INT (witness.new, 1);
    CHECK_INT (witness.updated, 1);
    heart_cancel (&heart);
    CHECK_INT (witness.disconnected, 1);
}

TEST (b10_registry_decides_interval_and_names_others)
{
    heart_t heart;
    witness_t witness;
    begin (&heart, &witness, 100, 0);
    const wire_beat_ok_t ok = {
        .next_ms = 1234, .ttl_ms = 4000, .brokers = {text_of ("tcp://other:1")}, .broker_count = 1};
    heart_answer (&heart, &ok, 1 * MS);
    CHECK_INT (witness.answer.interval_ms, 1234);
    CHECK_INT (witness.answer.ttl_ms, 4000);
    CHECK_STR (witness.broker, "tcp://other:1");
    CHECK_INT (heart_next_us (&heart), 1 * MS + 1234 * MS);
}

TEST (b10_a_registry_cannot_make_us_spin_or_sleep_for_ever)
{
    heart_t heart;
    witness_t witness;
    begin (&heart, &witness, 100, 0);
    answer (&heart, 0, 0, 0);
    CHECK_INT (heart_next_us (&heart), HEART_INTERVAL_MIN_MS * MS);
    heart_tick (&heart, HEART_INTERVAL_MIN_MS * MS);
    heart_take (&heart, 0);
    answer (&heart, 1, UINT64_MAX, 0);
    CHECK_INT (heart_next_us (&heart), HEART_INTERVAL_MAX_MS * (int64_t) MS);
}

TEST (g6_registers_anew_after_a_loss_and_after_being_forgotten)
{
    heart_t heart;
    witness_t witness;
    begin (&heart, &witness, 100, 0);
    answer (&heart, 0, 50, 0);
    heart_lost (&heart, 10 * MS);
    CHECK_INT (heart_take (&heart, 10 * MS), HEART_NOTHING);
    heart_connected (&heart);
    CHECK_INT (heart_take (&heart, 11 * MS), HEART_REGISTER);
    answer (&heart, 0, 50, 12 * MS);
    CHECK_INT (witness.updated, 1);

    heart_tick (&heart, 62 * MS);
    CHECK_INT (heart_take (&heart, 62 * MS), HEART_BEAT);
    heart_refused (&heart, &(wire_refused_t){WEFT_NO_WORKERS, text_of ("who are you?")}, 63 * MS);
    CHECK_INT (heart_take (&heart, 63 * MS), HEART_REGISTER);
    CHECK_INT (heart.sequence, 0);
}

TEST (late_and_strange_answers_change_nothing)
{
    heart_t heart;
    witness_t witness;
    begin (&heart, &witness, 100, 1);
    answer (&heart, 7, 50, 1 * MS);
    CHECK_INT (heart.state, HEART_ASKING);
    answer (&heart, 0, 50, 2 * MS);
    answer (&heart, 0, 5000, 3 * MS); /* the answer to a repetition */
    CHECK_INT (heart_next_us (&heart), 52 * MS);
    CHECK_INT (witness.calls, 1);
    heart_refused (&heart, &(wire_refused_t){WEFT_INVALID, text_of ("something else")}, 4 * MS);
    CHECK_INT (heart.state, HEART_RESTING);
}

/*  ------------------------------------------------------------------ running  */

static const char *const endpoints [] = {"tcp://127.0.0.1:9", NULL};
static const weft_registrant_t registrant = {
    .service = "Printer", .endpoints = endpoints, .name = "a printer", .cores = 3};

static weft_heart_t *open_heart (const fake_broker_t *broker, witness_t *witness)
{
    *witness = (witness_t){0};
    weft_heart_t *heart = weft_heart_new (broker->endpoint, &registrant);
    CHECK (heart);
    weft_heart_set_beater (heart, beat, witness);
    weft_heart_set_observer (heart, observe, witness);
    return heart;
}

TEST (b1_run_blocks_until_the_beating_ends)
{
    static const char *const options [] = {"zone=a", NULL};
    fake_broker_t broker;
    witness_t witness;
    fake_start (&broker, NULL);
    atomic_store (&broker.next_ms, 10);
    weft_heart_t *heart = open_heart (&broker, &witness);
    witness.end_after = 4;
    witness.set = true;
    witness.wanted = (weft_beat_t){
        .kind = WEFT_BEAT_AGAIN, .delay_ms = 5, .timeout_ms = 5000, .load = {9, 8, 7, 6}, .options = options};

    const weft_status_t status = weft_heart_run (heart, 5000, 0);
    CHECK_STR (weft_heart_error (heart), "");
    CHECK_INT (status, WEFT_OK);
    CHECK_INT (broker.registers, 1);
    CHECK_INT (broker.beats, 3);
    CHECK_STR (fake_seen (&broker).endpoints, "tcp://127.0.0.1:9 ");
    CHECK_INT (fake_seen (&broker).load.in_flight, 9);
    CHECK_STR (fake_seen (&broker).meta, "zone=a ");
    CHECK_STR (weft_heart_error (heart), "");
    fake_await (&broker.goodbyes, 1);
    weft_heart_destroy (&heart);
    fake_stop (&broker);
}

static void *cancel_later (void *arg)
{
    weft_heart_t *heart = ((void **) arg) [0];
    fake_broker_t *broker = ((void **) arg) [1];
    fake_await (&broker->beats, 2);
    weft_heart_cancel (heart);
    return NULL;
}

TEST (b8_cancel_ends_a_run_with_a_goodbye)
{
    fake_broker_t broker;
    witness_t witness;
    pthread_t thread;
    fake_start (&broker, NULL);
    atomic_store (&broker.next_ms, 10);
    weft_heart_t *heart = open_heart (&broker, &witness);
    void *both [] = {heart, &broker};
    CHECK (pthread_create (&thread, NULL, cancel_later, both) == 0);

    CHECK_INT (weft_heart_run (heart, 5000, 0), WEFT_CANCELLED);
    pthread_join (thread, NULL);
    fake_await (&broker.goodbyes, 1);
    CHECK_INT (witness.disconnected, 1);
    weft_heart_destroy (&heart);
    fake_stop (&broker);
}

TEST (b6_run_ends_with_the_registrys_reason)
{
    fake_broker_t broker;
    witness_t witness;
    fake_start (&broker, NULL);
    atomic_store (&broker.refuse, WEFT_PERMISSION_DENIED);
    weft_heart_t *heart = open_heart (&broker, &witness);
    CHECK_INT (weft_heart_run (heart, 5000, 3), WEFT_PERMISSION_DENIED);
    CHECK_STR (weft_heart_error (heart), "not you");
    weft_heart_destroy (&heart);
    fake_stop (&broker);
}

TEST (b6_run_ends_when_nobody_answers_in_all_that_time)
{
    fake_broker_t broker;
    witness_t witness;
    fake_start (&broker, NULL);
    fake_stop (&broker); /* nobody is at that port */
    weft_heart_t *heart = open_heart (&broker, &witness);
    const int64_t start_us = clock_now_us ();
    CHECK_INT (weft_heart_run (heart, 40, 2), WEFT_BROKER_LOST);
    CHECK (clock_now_us () - start_us >= 120 * MS);
    CHECK_INT (witness.retried, 2);
    weft_heart_destroy (&heart);
}

TEST (b1_a_wrong_registry_is_refused_at_once)
{
    CHECK (!weft_heart_new ("http://x", &registrant));
    CHECK (!weft_heart_new (NULL, &registrant));
    CHECK (!weft_heart_new ("tcp://127.0.0.1:1", &(weft_registrant_t){.service = "A"}));
    weft_heart_destroy (&(weft_heart_t *){NULL});
}
