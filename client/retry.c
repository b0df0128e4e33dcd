/* SPDX-License-Identifier: MPL-2.0 */

#include "retry.h"

#define SAVED_AT_START   (100 * RETRY_ONE)
#define PER_SECOND       (10 * RETRY_ONE)
#define BACKOFF_FIRST_US 10000
#define BACKOFF_MAX_US   500000

static void save (retry_budget_t *self, int64_t tokens)
{
    self->tokens = self->tokens + tokens < RETRY_SAVED_MAX ? self->tokens + tokens : RETRY_SAVED_MAX;
}

void retry_budget_init (retry_budget_t *self, int64_t now_us)
{
    *self = (retry_budget_t){SAVED_AT_START, now_us};
}

bool retry_budget_take (retry_budget_t *self, int64_t now_us)
{
    const int64_t token_us = 1000000 / PER_SECOND, earned = (now_us - self->at_us) / token_us;
    save (self, earned < RETRY_SAVED_MAX ? earned : RETRY_SAVED_MAX);
    self->at_us += earned * token_us;
    if (self->tokens < RETRY_ONE)
        return false;
    self->tokens -= RETRY_ONE;
    return true;
}

/*  Could another try end otherwise? */
static bool is_passing (const retry_question_t *question)
{
    switch (question->status) {
    case WEFT_CONNECT_TIMEOUT:
    case WEFT_OVERLOADED:
    case WEFT_DRAINING:
    case WEFT_WORKER_LOST:
    case WEFT_BROKER_LOST:
    case WEFT_INTERNAL:
        return true;
    case WEFT_UNIMPLEMENTED:
        return question->offered; /* workers of two versions live side by side while they are replaced */
    default:
        return false;
    }
}

retry_verdict_t retry_decide (const retry_question_t *question)
{
    if (question->mode == WEFT_RETRY_FAILFAST || question->attempts - question->stayed >= WEFT_ATTEMPTS_MAX ||
        question->executed == WEFT_EXECUTED_YES || !is_passing (question))
        return RETRY_END;
    const retry_verdict_t next = question->mode == WEFT_RETRY_FAILTRY ? RETRY_SAME : RETRY_OTHER;
    const bool not_run = question->executed == WEFT_EXECUTED_NO;
    if (not_run && question->before == WEFT_EXECUTED_NO)
        return next;
    if (question->keyed && !(not_run && question->idempotent))
        return RETRY_SAME; /* only the worker that may have run it remembers what it answered */
    return question->idempotent ? next : RETRY_END;
}

bool retry_is_free (const retry_question_t *question)
{
    return question->status == WEFT_DRAINING || (!question->left && question->status != WEFT_OVERLOADED);
}

int64_t retry_delay_us (const retry_question_t *question, retry_verdict_t verdict, dice_t *dice)
{
    int64_t bound_us = BACKOFF_FIRST_US;

    if (verdict == RETRY_OTHER && retry_is_free (question) && question->stayed <= 1)
        return 0;
    for (int i = 1; i < question->attempts && bound_us < BACKOFF_MAX_US; i++)
        bound_us *= 2;
    if (bound_us > BACKOFF_MAX_US)
        bound_us = BACKOFF_MAX_US;
    return (int64_t) dice_below (dice, (uint64_t) bound_us + 1);
}
