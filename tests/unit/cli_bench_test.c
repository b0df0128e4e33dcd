/* SPDX-License-Identifier: MPL-2.0
 *
 *  cli_bench_test.c - what a benchmark counts, and how it tells it. */

#include "check.h"
#include "cli/bench_report.h"
#include <stdio.h>
#include <stdlib.h>

static const char *const uuids [] = {"11111111-1111-4111-8111-111111111111",
                                     "22222222-2222-4222-8222-222222222222"};

static bench_ended_t ended_well (const char *worker, int64_t latency_us)
{
    return (bench_ended_t){.status = WEFT_OK,
                           .executed = WEFT_EXECUTED_YES,
                           .text = "",
                           .worker = worker,
                           .direct = true,
                           .attempts = 1,
                           .latency_us = latency_us};
}

static bench_ended_t failed (weft_status_t status, weft_executed_t executed, const char *text)
{
    return (bench_ended_t){
        .status = status, .executed = executed, .text = text, .worker = "", .attempts = 2, .latency_us = 5000};
}

/*  A thousand calls of 1 to 1000 µs, a quarter of them at the second worker; three failures of two kinds. */
static bench_tally_t *sample (void)
{
    bench_tally_t *const self = bench_tally_new ();
    CHECK (self);
    for (int i = 1; i <= 1000; i++) {
        const bench_ended_t ended = ended_well (uuids [i % 4 == 0], i);
        bench_tally_add (self, &ended);
        histogram_add (&self->lag, 10);
    }
    const bench_ended_t failures [] = {failed (WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_MAYBE, "too late"),
                                       failed (WEFT_OVERLOADED, WEFT_EXECUTED_NO, "queue full"),
                                       failed (WEFT_DEADLINE_EXCEEDED, WEFT_EXECUTED_NO, "never begun")};
    for (size_t i = 0; i < 3; i++)
        bench_tally_add (self, &failures [i]);
    bench_tally_blame (self, WEFT_DEADLINE_EXCEEDED, 5);
    return self;
}

static bench_result_t closed (const bench_tally_t *tally)
{
    return (bench_result_t){.method = "Arith.Add",
                            .outstanding = 64,
                            .clients = 1,
                            .warmup_us = 500000,
                            .elapsed_us = 2000000,
                            .tally = tally};
}

static bench_result_t open_loop (const bench_tally_t *tally)
{
    bench_result_t result = closed (tally);
    result.rate = 700;
    result.clients = 2;
    result.overdue = 397;
    result.behind_us = 400000;
    return result;
}

static char *text;
static size_t text_size;

static FILE *writing (void)
{
    free (text);
    text = NULL;
    FILE *const out = open_memstream (&text, &text_size);
    CHECK (out);
    return out;
}

static bool has (const char *part)
{
    if (strstr (text, part))
        return true;
    fprintf (stderr, "\"%s\" is not in:\n%s\n", part, text);
    return false;
}

static const char *text_of (const bench_result_t *result, bool titles)
{
    FILE *const out = writing ();
    bench_report_text (result, titles, out);
    fclose (out);
    return text;
}

static const char *json_of (const bench_result_t *result)
{
    object_t object;
    buffer_t out;
    object_init (&object);
    buffer_init (&out, SIZE_MAX / 2);
    bench_report_json (result, &object);
    object_write (&object, &out);
    FILE *const file = writing ();
    fwrite (out.data, 1, out.size, file);
    fclose (file);
    object_fini (&object);
    buffer_fini (&out);
    return text;
}

/* ---- counting ---- */

TEST (outcomes_are_counted_by_status_and_fate)
{
    bench_tally_t *tally = sample ();
    CHECK_INT (tally->calls, 1003);
    CHECK_INT (bench_tally_ok (tally), 1000);
    CHECK_INT (bench_tally_failed (tally), 3);
    CHECK_INT (tally->outcomes [WEFT_DEADLINE_EXCEEDED].calls, 2);
    CHECK_INT (tally->outcomes [WEFT_DEADLINE_EXCEEDED].executed [WEFT_EXECUTED_NO], 1);
    CHECK_INT (tally->outcomes [WEFT_DEADLINE_EXCEEDED].executed [WEFT_EXECUTED_MAYBE], 1);
    CHECK_STR (tally->outcomes [WEFT_DEADLINE_EXCEEDED].text, "too late");
    CHECK_STR (tally->outcomes [WEFT_OVERLOADED].text, "queue full");
    CHECK_INT (tally->retried, 3);
    CHECK_INT (tally->direct, 1000);
    CHECK_INT (tally->worker_count, 2);
    bench_tally_destroy (&tally);
    CHECK (tally == NULL);
}

TEST (parts_of_the_ledger_count_where_they_are_known)
{
    bench_tally_t *tally = bench_tally_new ();
    bench_ended_t ended = ended_well (uuids [0], 9000);
    bench_tally_add (tally, &ended);
    ended.ledger = (weft_ledger_t){.broker_queue_us = 2000, .handler_us = 5000};
    bench_tally_add (tally, &ended);
    ended.ledger = (weft_ledger_t){.handler_us = 7000};
    bench_tally_add (tally, &ended);
    CHECK_INT (tally->parts [BENCH_HANDLER].calls, 2);
    CHECK_INT (tally->parts [BENCH_HANDLER].sum_us, 12000);
    CHECK_INT (tally->parts [BENCH_BROKER_QUEUE].calls, 1);
    CHECK_INT (tally->parts [BENCH_CLIENT_QUEUE].calls, 0);
    const bench_result_t result = closed (tally);
    text_of (&result, true);
    CHECK (has ("\nthe broker's queue            1  2.00 ms\n"));
    CHECK (has ("\nthe handler                   2  6.00 ms\n"));
    CHECK (!strstr (text, "the worker's queue"));
    bench_tally_destroy (&tally);
}

TEST (merged_tallies_tell_what_one_would_have)
{
    bench_tally_t *whole = sample (), *parts = bench_tally_new (), *part = sample ();
    bench_tally_merge (parts, part);
    bench_tally_clear (part);
    CHECK_INT (part->calls, 0);
    CHECK_INT (part->worker_count, 0);
    bench_tally_merge (parts, part); /* nothing */
    bench_result_t one = closed (whole), other = closed (parts);
    char *const expected = strdup (json_of (&one));
    CHECK_STR (json_of (&other), expected);
    CHECK_INT (parts->first_failure, WEFT_DEADLINE_EXCEEDED);
    CHECK_INT (parts->first_exit, 5);
    free (expected);
    bench_tally_destroy (&whole);
    bench_tally_destroy (&parts);
    bench_tally_destroy (&part);
}

TEST (the_first_failure_is_blamed_not_a_later_one)
{
    bench_tally_t *tally = bench_tally_new (), *later = bench_tally_new ();
    bench_tally_blame (tally, WEFT_OVERLOADED, 8);
    bench_tally_blame (tally, WEFT_INTERNAL, 1);
    bench_tally_blame (later, WEFT_APP_ERROR, 6);
    bench_tally_merge (tally, later);
    CHECK_INT (tally->first_failure, WEFT_OVERLOADED);
    CHECK_INT (tally->first_exit, 8);
    bench_tally_destroy (&tally);
    bench_tally_destroy (&later);
}

TEST (many_workers_are_all_counted_and_some_shown)
{
    bench_tally_t *tally = bench_tally_new ();
    for (int i = 0; i < 300; i++) {
        char uuid [37];
        snprintf (uuid, sizeof uuid, "%08d-0000-4000-8000-000000000000", i % 100);
        const bench_ended_t ended = ended_well (uuid, 100);
        bench_tally_add (tally, &ended);
    }
    CHECK_INT (tally->worker_count, 100);
    for (size_t i = 0; i < 100; i++)
        CHECK_INT (tally->workers [i]->calls, 3);
    const bench_result_t result = closed (tally);
    text_of (&result, true);
    CHECK (has ("\n00000015-0000-4000-8000-000000000000      3  1.0 %\nand 84 more\n"));
    bench_tally_destroy (&tally);
}

/* ---- telling ---- */

TEST (an_open_loop_keeps_up_if_all_started_about_when_they_should)
{
    bench_tally_t *tally = sample ();
    bench_result_t result = closed (tally);
    result.rate = 500;
    CHECK (bench_report_kept_up (&result));
    result.behind_us = 119000; /* of 2 s */
    CHECK (bench_report_kept_up (&result));
    result.behind_us = 121000;
    CHECK (!bench_report_kept_up (&result));
    result.behind_us = 0;
    result.overdue = 1;
    CHECK (!bench_report_kept_up (&result));
    bench_tally_destroy (&tally);
}

TEST (people_get_figures_a_distribution_and_who_served)
{
    bench_tally_t *tally = sample ();
    const bench_result_t result = closed (tally);
    CHECK_STR (text_of (&result, true),
               "Arith.Add, closed loop: 64 under way\n"
               "\n"
               "calls                                   1,003\n"
               "time                                   2.00 s\n"
               "calls/s                                   500\n"
               "failed                                      3\n"
               "  DEADLINE_EXCEEDED, executed: no           1\n"
               "  DEADLINE_EXCEEDED, executed: maybe        1\n"
               "  OVERLOADED, executed: no                  1\n"
               "tried more than once                        3\n"
               "\n"
               "mean                                   514 us\n"
               "min                                      1 us\n"
               "p50                                    503 us\n"
               "p75                                    755 us\n"
               "p90                                    903 us\n"
               "p99                                    995 us\n"
               "p99.9                                 5.00 ms\n"
               "p99.99                                5.00 ms\n"
               "max                                   5.00 ms\n"
               "\n"
               "   from\n"
               "   1 us                                             0.1 %\n"
               "   2 us                                             0.3 %\n"
               "   5 us                                             0.5 %\n"
               "  10 us  #                                          1.0 %\n"
               "  20 us  ##                                         3.0 %\n"
               "  50 us  ####                                       5.0 %\n"
               " 100 us  ########                                  10.0 %\n"
               " 200 us  ########################                  29.9 %\n"
               " 500 us  ########################################  49.9 %\n"
               "1.00 ms                                             0.1 %\n"
               "2.00 ms                                             0.0 %\n"
               "5.00 ms                                             0.3 %\n"
               "\n"
               "worker                                calls\n"
               "11111111-1111-4111-8111-111111111111    750  74.8 %\n"
               "22222222-2222-4222-8222-222222222222    250  24.9 %\n");
    CHECK (strncmp (text_of (&result, false), "calls  ", 7) == 0);
    CHECK (!strstr (text, "from"));
    bench_tally_destroy (&tally);
}

TEST (an_open_loop_tells_what_was_asked_and_what_came_late)
{
    bench_tally_t *tally = sample ();
    const bench_result_t result = open_loop (tally);
    text_of (&result, true);
    CHECK (strncmp (text, "Arith.Add, open loop: 700 calls/s, at most 64 under way, 2 clients\n\n", 68) == 0);
    CHECK (has ("\ncalls/s asked for                         700\n"));
    CHECK (has ("\nnever started                             397\n"));
    CHECK (has ("\nstarted late, p99                       10 us\n"));
    bench_tally_destroy (&tally);
}

TEST (programs_get_one_object)
{
    bench_tally_t *tally = sample ();
    bench_result_t result = open_loop (tally);
    CHECK_STR (
        json_of (&result),
        "{\"method\":\"Arith.Add\",\"loop\":\"open\",\"rate\":700,\"arrivals\":\"even\",\"outstanding\":64,\"clients\":2,"
        "\"warmup_seconds\":0.500,\"seconds\":2.000,\"interrupted\":false,"
        "\"calls\":1003,\"failed\":3,\"calls_per_second\":500.000,\"kept_up\":false,\"never_started\":397,"
        "\"started_late_us\":{\"min\":10,\"mean\":10.000,\"p50\":10,\"p75\":10,\"p90\":10,\"p99\":10,\"p999\":10,"
        "\"p9999\":10,\"max\":10},"
        "\"latency_us\":{\"min\":1,\"mean\":513.958,\"p50\":503,\"p75\":755,\"p90\":903,\"p99\":995,\"p999\":5000,"
        "\"p9999\":5000,\"max\":5000},"
        "\"failures\":{\"DEADLINE_EXCEEDED\":{\"calls\":2,\"executed\":{\"no\":1,\"maybe\":1,\"yes\":0},"
        "\"text\":\"too late\"},"
        "\"OVERLOADED\":{\"calls\":1,\"executed\":{\"no\":1,\"maybe\":0,\"yes\":0},\"text\":\"queue full\"}},"
        "\"retried\":3,\"direct\":1000,"
        "\"workers\":{\"11111111-1111-4111-8111-111111111111\":750,\"22222222-2222-4222-8222-222222222222\":250},"
        "\"ledger\":{\"earlier\":{\"calls\":0,\"mean_us\":0.000},\"client_queue\":{\"calls\":0,\"mean_us\":0.000},\"broker_queue\":{\"calls\":0,\"mean_us\":0.000},"
        "\"worker_queue\":{\"calls\":0,\"mean_us\":0.000},\"handler\":{\"calls\":0,\"mean_us\":0.000}}}");
    result = closed (tally);
    json_of (&result);
    CHECK (has ("\"loop\":\"closed\",\"outstanding\":64,"));
    CHECK (!strstr (text, "kept_up") && !strstr (text, "started_late_us"));
    bench_tally_destroy (&tally);
}

TEST (spreadsheets_get_a_line_under_its_names)
{
    bench_tally_t *tally = sample ();
    bench_result_t result = closed (tally);
    FILE *out = writing ();
    bench_report_csv (&result, true, out);
    result = open_loop (tally);
    bench_report_csv (&result, false, out);
    fclose (out);
    CHECK_STR (text, "method,loop,rate,outstanding,clients,seconds,calls,failed,calls_per_second,never_started,"
                     "min_us,mean_us,p50_us,p75_us,p90_us,p99_us,p999_us,p9999_us,max_us\n"
                     "Arith.Add,closed,,64,1,2.000,1003,3,500.000,0,1,513.958,503,755,903,995,5000,5000,5000\n"
                     "Arith.Add,open,700,64,2,2.000,1003,3,500.000,397,1,513.958,503,755,903,995,5000,5000,5000\n");
    bench_tally_destroy (&tally);
}

TEST (plots_get_percentiles_ever_closer_together)
{
    bench_tally_t *tally = bench_tally_new ();
    FILE *out = writing ();
    bench_report_distribution (&tally->latency, out);
    fclose (out);
    CHECK_STR (text, "percentile,one_in,latency_us\n");
    for (int i = 1; i <= 8; i++)
        histogram_add (&tally->latency, (uint64_t) i * 10);
    out = writing ();
    bench_report_distribution (&tally->latency, out);
    fclose (out);
    CHECK_STR (text, "percentile,one_in,latency_us\n"
                     "0,1,10\n10,1.111111111,10\n20,1.25,20\n30,1.428571429,30\n40,1.666666667,40\n"
                     "50,2,40\n55,2.222222222,50\n60,2.5,50\n65,2.857142857,60\n70,3.333333333,60\n"
                     "75,4,60\n77.5,4.444444444,70\n80,5,70\n82.5,5.714285714,70\n85,6.666666667,70\n"
                     "87.5,8,70\n"
                     "100,8,80\n");
    bench_tally_destroy (&tally);
}

TEST (the_series_leaves_blank_what_an_empty_second_cannot_know)
{
    bench_tally_t *tally = sample (), *empty = bench_tally_new ();
    FILE *const out = writing ();
    bench_report_series_titles (out);
    bench_report_series (1000000, 1000000, tally, out);
    bench_report_series (2500000, 1500000, empty, out);
    fclose (out);
    CHECK_STR (text, "seconds,calls,failed,calls_per_second,p50_us,p90_us,p99_us,max_us\n"
                     "1.000,1003,3,1000.000,503,903,995,5000\n"
                     "2.500,0,0,0.000,,,,\n");
    bench_tally_destroy (&tally);
    bench_tally_destroy (&empty);
}

TEST (progress_is_one_line)
{
    bench_tally_t *tally = sample ();
    char line [BENCH_REPORT_PROGRESS_MAX];
    bench_report_progress (3000000, 500000, tally, line);
    CHECK_STR (line, "3 s: 2,000 calls/s, p50 503 us, p99 995 us, max 5.00 ms, 3 failed");
    bench_tally_destroy (&tally);
}

TEST (a_distribution_of_one_value_has_one_row)
{
    bench_tally_t *tally = bench_tally_new ();
    const bench_ended_t ended = ended_well (uuids [0], 60000000);
    bench_tally_add (tally, &ended);
    const bench_result_t result = closed (tally);
    text_of (&result, true);
    CHECK (has ("\n  from\n60.0 s  ########################################  100.0 %\n\n"));
    bench_tally_destroy (&tally);
}

TEST (nothing_at_all_can_be_told_too)
{
    bench_tally_t *tally = bench_tally_new ();
    bench_result_t result = closed (tally);
    result.elapsed_us = 0;
    text_of (&result, true);
    CHECK (has ("\ncalls/s     0\n"));
    CHECK (has ("\nmax      0 us\n"));
    json_of (&result);
    CHECK (has ("\"calls_per_second\":0.000"));
    bench_tally_destroy (&tally);
}
