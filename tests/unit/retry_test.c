/* SPDX-License-Identifier: MPL-2.0 */

#include "check.h"
#include "retry.h"

/*  An attempt that was sent, in failover mode. */
static retry_question_t after (weft_status_t status, weft_executed_t executed)
{
    return (retry_question_t){
        .mode = WEFT_RETRY_FAILOVER, .status = status, .executed = executed, .left = true, .attempts = 1};
}

TEST (what_did_not_run_goes_to_another_worker)
{
    retry_question_t question = after (WEFT_OVERLOADED, WEFT_EXECUTED_NO);
    CHECK_INT (retry_decide (&question), RETRY_OTHER);
    question.mode = WEFT_RETRY_FAILTRY;
    CHECK_INT (retry_decide (&question), RETRY_SAME);
    question.mode = WEFT_RETRY_FAILFAST;
    CHECK_INT (retry_decide (&question), RETRY_END);
}

TEST (what_may_have_run_is_repeated_only_if_that_is_safe)
{
    retry_question_t question = after (WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    CHECK_INT (retry_decide (&question), RETRY_END);
    question.idempotent = true;
    CHECK_INT (retry_decide (&question), RETRY_OTHER);
    question.mode = WEFT_RETRY_FAILTRY;
    CHECK_INT (retry_decide (&question), RETRY_SAME);
    question = after (WEFT_WORKER_LOST, WEFT_EXECUTED_MAYBE);
    question.keyed = true; /* only the worker that knows the key knows what it did */
    CHECK_INT (retry_decide (&question), RETRY_SAME);
    question.executed = WEFT_EXECUTED_NO;
    CHECK_INT (retry_decide (&question), RETRY_OTHER);
}

TEST (what_may_have_run_before_counts_though_the_last_attempt_did_not)
{
    retry_question_t question = after (WEFT_DRAINING, WEFT_EXECUTED_NO);
    question.before = WEFT_EXECUTED_MAYBE;
    CHECK_INT (retry_decide (&question), RETRY_END);
    question.keyed = true;
    CHECK_INT (retry_decide (&question), RETRY_SAME);
    question.idempotent = true; /* it could not be asked: another may as well run it */
    CHECK_INT (retry_decide (&question), RETRY_OTHER);
    question.executed = WEFT_EXECUTED_MAYBE;
    CHECK_INT (retry_decide (&question), RETRY_SAME);
}

TEST (what_ran_is_never_repeated)
{
    for (int status = 0; status < WEFT_STATUS_COUNT; status++) {
        retry_question_t question = after ((weft_status_t) status, WEFT_EXECUTED_YES);
        question.idempotent = question.keyed = true;
        CHECK_INT (retry_decide (&question), RETRY_END);
    }
}

TEST (a_method_that_this_worker_lacks_and_another_has_is_asked_for_there)
{
    retry_question_t question = after (WEFT_UNIMPLEMENTED, WEFT_EXECUTED_NO);
    CHECK_INT (retry_decide (&question), RETRY_END);
    question.offered = true;
    CHECK_INT (retry_decide (&question), RETRY_OTHER);
}

TEST (what_would_end_the_same_way_is_not_repeated)
{
    static const weft_status_t settled [] = {WEFT_INVALID,       WEFT_NO_SERVICE,        WEFT_NO_WORKERS,
                                             WEFT_UNIMPLEMENTED, WEFT_PERMISSION_DENIED, WEFT_UNAUTHENTICATED,
                                             WEFT_TOO_LARGE,     WEFT_DEADLINE_EXCEEDED, WEFT_CANCELLED,
                                             WEFT_SHUTDOWN};
    for (size_t i = 0; i < sizeof settled / sizeof *settled; i++) {
        const retry_question_t question = after (settled [i], WEFT_EXECUTED_NO);
        CHECK_INT (retry_decide (&question), RETRY_END);
    }
}

TEST (three_attempts_are_the_most)
{
    retry_question_t question = after (WEFT_OVERLOADED, WEFT_EXECUTED_NO);
    question.attempts = WEFT_ATTEMPTS_MAX - 1;
    CHECK_INT (retry_decide (&question), RETRY_OTHER);
    question.attempts = WEFT_ATTEMPTS_MAX;
    CHECK_INT (retry_decide (&question), RETRY_END);
    question.stayed = 1;
    CHECK_INT (retry_decide (&question), RETRY_OTHER);
}

TEST (work_handed_back_costs_no_budget)
{
    retry_question_t question = after (WEFT_DRAINING, WEFT_EXECUTED_NO);
    CHECK (retry_is_free (&question));
    question = after (WEFT_OVERLOADED, WEFT_EXECUTED_NO);
    CHECK (!retry_is_free (&question));
    question.left = false;
    CHECK (!retry_is_free (&question)); /* there is no room: trying again at once would not find any */
    question = after (WEFT_WORKER_LOST, WEFT_EXECUTED_NO);
    question.left = false;
    CHECK (retry_is_free (&question));
}

static int take_all (retry_budget_t *budget, int64_t now_us)
{
    int taken = 0;
    while (retry_budget_take (budget, now_us))
        taken++;
    return taken;
}

TEST (the_budget_is_a_fifth_of_the_calls_and_ten_a_second)
{
    retry_budget_t budget;
    retry_budget_init (&budget, 0);
    CHECK_INT (take_all (&budget, 0), 100);
    for (int i = 0; i < 100; i++)
        retry_budget_call (&budget);
    CHECK_INT (take_all (&budget, 0), 20);
    CHECK_INT (take_all (&budget, 1000000), 10);
    CHECK_INT (take_all (&budget, 1050000), 0);
    CHECK_INT (take_all (&budget, 1100000), 1);
    for (int64_t us = 1100150; us < 2100000; us += 150)
        CHECK (!retry_budget_take (&budget, us) || (us - 1100000) % 100000 < 150); /* parts of a token are kept */
    CHECK_INT (take_all (&budget, 2100000), 1);
    for (int i = 0; i < 100000; i++)
        retry_budget_call (&budget);
    CHECK_INT (take_all (&budget, INT64_MAX / 2), 1000); /* no more is ever saved up */
}

TEST (what_is_free_goes_elsewhere_at_once_unless_losses_come_together)
{
    retry_question_t question = after (WEFT_WORKER_LOST, WEFT_EXECUTED_NO);
    dice_t dice;
    dice_init (&dice, 1);
    question.left = false;
    question.stayed = 1;
    CHECK_INT (retry_delay_us (&question, RETRY_OTHER, &dice), 0);
    CHECK (retry_delay_us (&question, RETRY_SAME, &dice) > 0);
    question.attempts = question.stayed = 2;
    CHECK (retry_delay_us (&question, RETRY_OTHER, &dice) > 0);
}

TEST (backoff_grows_jitters_and_stays_bounded)
{
    retry_question_t question = after (WEFT_WORKER_LOST, WEFT_EXECUTED_NO);
    dice_t dice;
    dice_init (&dice, 1);
    int64_t longest [12] = {0};
    bool differs = false;
    for (int attempts = 1; attempts < 12; attempts++)
        for (int i = 0; i < 200; i++) {
            question.attempts = attempts;
            const int64_t us = retry_delay_us (&question, RETRY_OTHER, &dice);
            CHECK (us >= 0 && us <= 500000);
            differs = differs || (longest [attempts] && us != longest [attempts]);
            if (us > longest [attempts])
                longest [attempts] = us;
        }
    CHECK (differs);
    CHECK (longest [1] <= 10000 && longest [2] > 10000 && longest [2] <= 20000 && longest [11] > 400000);
}
