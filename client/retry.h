/* SPDX-License-Identifier: MPL-2.0
 *
 *  retry.h - may this call be tried again, where, and after how long?
 *
 *  A retry must be safe (what happened to the last attempt), sensible (another try may end otherwise) and
 *  affordable (one budget for all retries of a client). Second attempts (hedge.h) draw on the same budget. */

#ifndef RETRY_H_INCLUDED
#define RETRY_H_INCLUDED

#include <weft/client.h>
#include "dice.h"

#define RETRY_ONE       1000 /* tokens of one retry */
#define RETRY_SAVED_MAX (1000 * RETRY_ONE)

/*  A fifth of the calls and ten a second, saved up to a bound. */
typedef struct {
    int64_t tokens; /* in thousandths of a retry */
    int64_t at_us;
} retry_budget_t;

void retry_budget_init (retry_budget_t *self, int64_t now_us);
static inline void retry_budget_call (retry_budget_t *self) /* a call was started */
{
    const int64_t tokens = self->tokens + RETRY_ONE / 5;
    self->tokens = tokens < RETRY_SAVED_MAX ? tokens : RETRY_SAVED_MAX;
}
bool retry_budget_take (retry_budget_t *self, int64_t now_us);

/*  A failed attempt. */
typedef struct {
    weft_retry_t mode;
    weft_status_t status;
    weft_executed_t executed;
    weft_executed_t before; /* by the attempts before it: NO or MAYBE */
    bool left;          /* it was sent: connecting that fails is not an attempt */
    bool idempotent;    /* the service declared it so */
    bool offered;       /* some worker has this method, says the list: another may, if this one has not */
    bool keyed;         /* it carries a request key */
    int attempts;       /* sent so far */
    int stayed;         /* of those, that never left: they do not count against the most that there may be */
} retry_question_t;

typedef enum { RETRY_END, RETRY_SAME, RETRY_OTHER } retry_verdict_t;

retry_verdict_t retry_decide (const retry_question_t *question);

/*  True if this retry costs the budget nothing: it was handed back or never left, so it adds no load. What did not fit behind all that
 *  waits for a peer does. */
bool retry_is_free (const retry_question_t *question);

/*  How long to wait before such a retry. What is free goes elsewhere at once; but connections are often lost together, and after the
 *  second time one may as well wait until that is known of all. Else anything up to a bound that doubles. */
int64_t retry_delay_us (const retry_question_t *question, retry_verdict_t verdict, dice_t *dice);

#endif
