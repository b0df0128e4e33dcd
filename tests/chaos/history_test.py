# SPDX-License-Identifier: MPL-2.0
"""The checker itself: a history that is right, and one thing at a time that is not; and what rows excuse."""

import tempfile
import types
import unittest

import history
import rows

ONCE, SAFE, KEYED, FAIL = range(4)
ITEMS, HEDGED, SAFE_ITEMS = range(7, 10)


def number(count, kind):
    return 1 << 40 | count << 4 | kind


def call(which, status="OK", executed="yes", start=1000, end=2000, timeout_ms=1000, ms=0, attempts=1, right=1, cancelled=0,
         origin=None, direct=1):
    origin = origin or ("application" if status in ("OK", "APP_ERROR") else "client")
    return "\t".join(str(word) for word in ("C", which, "d", timeout_ms, ms, start, end, status, executed, origin, attempts, direct,
                                            "uuid", right, cancelled, "text"))


def taken(which, wanted, indices, runs=1, right=1):
    return "I\t%d\t%d\t%s\t%d\t%d" % (which, wanted, indices, runs, right)


def finish(count, hedged=0):
    return "F\t9999\t%d\t%d\t0\t0\t0\t%d" % (count, count, hedged)


def run(which, pid=7, begin=1100, end=1200, status=None, cancelled=0, items=0):
    lines = ["B %d %d %d" % (which, pid, begin)]
    status = status or ("APP_ERROR" if which & 15 == FAIL else "OK")
    return lines + (["E %d %d %d %s %d %d" % (which, pid, end, status, cancelled, items)] if end else [])


class History(unittest.TestCase):
    def judge(self, calls, runs=(), last=None, excuses=()):
        past = history.History()
        past.read_client("client", [*calls, finish(sum(one[0] == "C" for one in calls)) if last is None else last])
        past.read_worker([line for lines in runs for line in lines])
        past.join()
        for excuse in excuses:
            past.excuse(*excuse)
        past.judge()
        return past

    def is_wrong(self, said, *arguments, **how):
        past = self.judge(*arguments, **how)
        self.assertEqual(len(past.wrong), 1, past.wrong)
        self.assertIn(said, past.wrong[0])
        return past

    def test_what_is_right_is_not_wrong(self):
        calls = [call(number(1, ONCE)), call(number(2, SAFE), attempts=2), call(number(3, FAIL), "APP_ERROR"),
                 call(number(4, ONCE), "CANCELLED", "maybe", cancelled=1),
                 call(number(5, ONCE), "DEADLINE_EXCEEDED", "maybe", timeout_ms=10, ms=300)]
        runs = [run(number(count, kind)) for count, kind in ((1, ONCE), (2, SAFE), (3, FAIL))] + [run(number(2, SAFE), pid=8)]
        self.assertEqual(self.judge(calls, runs).wrong, [])

    def test_what_is_tried_again_may_run_beside_itself(self):
        one = number(1, SAFE)
        begin, end = run(one)
        self.assertEqual(self.judge([call(one, attempts=2)], [[begin, begin, end, end]]).wrong, [])

    def test_a_call_that_never_ends_is_lost(self):
        past = self.judge([], last="L\t%d\td\t1000" % number(1, ONCE))
        self.assertEqual(past.lost, 1)

    def test_an_outcome_that_is_missing_is_a_lost_call(self):
        self.assertEqual(self.judge([call(number(1, ONCE))], [run(number(1, ONCE))], last=finish(2)).lost, 1)

    def test_two_outcomes_of_one_call(self):
        one = number(1, SAFE)
        self.is_wrong("two outcomes", [call(one), call(one)], [run(one)])

    def test_no_that_ran(self):
        one = number(1, ONCE)
        self.is_wrong("executed no, but ran", [call(one, "OVERLOADED", "no")], [run(one)], excuses=[(["OVERLOADED"],)])

    def test_what_ran_more_often_than_it_was_sent(self):
        one = number(1, SAFE)
        self.is_wrong("was sent 1 times, and ran 2 times", [call(one)], [run(one), run(one, pid=8)])

    def test_what_is_certain_is_never_a_maybe(self):
        one = number(1, SAFE)
        self.is_wrong("executed maybe", [call(one, executed="maybe")], [run(one)])

    def test_what_was_never_sent_is_no_maybe(self):
        one = number(1, SAFE)
        self.is_wrong("executed maybe", [call(one, "NO_WORKERS", "maybe", attempts=0)], excuses=[(["NO_WORKERS"],)])

    def test_a_loss_that_is_told_late(self):
        one = number(1, ONCE)
        calls = [call(one, "WORKER_LOST", "maybe", start=1000, end=900000)]
        self.assertEqual(self.judge(calls, excuses=[(["WORKER_LOST"], 0, 850000)]).wrong, [])
        self.is_wrong("WORKER_LOST", calls, excuses=[(["WORKER_LOST"], 0, 700000)])

    def test_a_loss_of_what_had_not_left(self):
        one = number(1, ONCE)
        calls, excuses = [call(one, "WORKER_LOST", "no")], [(["WORKER_LOST"],)]
        self.assertEqual(self.judge(calls, excuses=excuses).wrong, [])
        self.is_wrong("executed no, but ran", calls, [run(one)], excuses=excuses)

    def test_yes_that_never_ran(self):
        self.is_wrong("never ran", [call(number(1, ONCE))])

    def test_a_fate_that_the_status_cannot_have(self):
        self.is_wrong("executed maybe", [call(number(1, ONCE), "OVERLOADED", "maybe")], excuses=[(["OVERLOADED"],)])

    def test_a_status_of_somebody_who_cannot_know(self):
        one = number(1, ONCE)
        self.is_wrong("which no worker can say", [call(one, origin="worker")], [run(one)])
        for status, executed, origin in (("CANCELLED", "maybe", "broker"), ("CONNECT_TIMEOUT", "no", "broker"),
                                         ("BROKER_LOST", "maybe", "broker"), ("WORKER_LOST", "maybe", "worker"),
                                         ("OVERLOADED", "no", "application"), ("HANDLER_TIMEOUT", "yes", "client")):
            runs = [run(one)] if executed == "yes" else []
            self.is_wrong("which no %s can say" % origin, [call(one, status, executed, origin=origin, direct=0)], runs,
                          excuses=[([status],)])

    def test_a_broker_that_speaks_of_a_direct_call(self):
        one, excuses = number(1, ONCE), [(["OVERLOADED"],)]
        self.assertEqual(self.judge([call(one, "OVERLOADED", "no", origin="broker", direct=0)], excuses=excuses).wrong, [])
        self.is_wrong("which no broker can say of a direct call", [call(one, "OVERLOADED", "no", origin="broker")],
                      excuses=excuses)

    def test_what_ran_and_could_not_be_told_of(self):
        one = number(1, ONCE)
        spoilt = [call(one, "INTERNAL", "yes", origin="worker")]
        self.assertEqual(self.judge(spoilt, [run(one)], excuses=[(["INTERNAL"],)]).wrong, [])
        self.is_wrong("never ran", spoilt, excuses=[(["INTERNAL"],)])
        self.is_wrong("executed yes", [call(one, "OVERLOADED", "yes", origin="worker")], [run(one)], excuses=[(["OVERLOADED"],)])

    def test_once_that_ran_twice(self):
        one = number(1, ONCE)
        self.is_wrong("ran 2 times", [call(one, attempts=2)], [run(one), run(one, pid=8)])

    def test_what_nobody_owns_up_to_may_not_run_twice_either(self):
        one = number(1, ONCE)
        self.is_wrong("ran 2 times", [], [run(one), run(one, pid=8)])

    def test_a_key_twice_in_one_process(self):
        one = number(1, KEYED)
        self.assertEqual(self.judge([call(one, attempts=2)], [run(one), run(one, pid=8)]).wrong, [])
        self.is_wrong("ran twice in one process", [call(one, attempts=2)], [run(one), run(one)])

    def test_a_wrong_answer(self):
        self.is_wrong("wrong answer", [call(number(1, SAFE), right=0)], [run(number(1, SAFE))])

    def test_an_answer_that_no_run_gave(self):
        one = number(1, SAFE)
        self.is_wrong("no run did", [call(one)], [run(one, status="CANCELLED")])

    def test_more_than_three_runs(self):
        one = number(1, SAFE)
        self.is_wrong("ran 4 times", [call(one, attempts=4)], [run(one, pid=pid) for pid in range(4)])

    def test_a_stream_that_is_whole(self):
        calls = [taken(number(1, ITEMS), 20, "0-19"), call(number(1, ITEMS)),
                 taken(number(2, SAFE_ITEMS), 0, "-", runs=0), call(number(2, SAFE_ITEMS)),
                 taken(number(3, SAFE_ITEMS), 9, "0-3"), call(number(3, SAFE_ITEMS), "WORKER_LOST", "maybe")]
        runs = [run(number(1, ITEMS), items=20), run(number(2, SAFE_ITEMS)), run(number(3, SAFE_ITEMS), items=5),
                run(number(3, SAFE_ITEMS), pid=8, end=None)]
        past = self.judge(calls, runs[:3], excuses=[(["WORKER_LOST"],)])
        self.assertEqual(past.wrong, [])

    def stream_is_wrong(self, said, wanted, indices, status="OK", executed="yes", items=20, runs=1, right=1):
        one = number(1, ITEMS)
        self.is_wrong(said, [taken(one, wanted, indices, runs, right), call(one, status, executed)],
                      [run(one, items=items)], excuses=[([status],)])

    def test_items_that_are_missing_twice_or_out_of_order(self):
        for indices in ("0-8,10-19", "1-19", "0-9,9-19", "0-4,10-14,5-9,15-19"):
            one = number(1, ITEMS)
            past = self.judge([taken(one, 20, indices), call(one, "CANCELLED", "maybe", cancelled=1)], [run(one, items=21)])
            self.assertEqual(len(past.wrong), 1, past.wrong)
            self.assertIn("out of order", past.wrong[0])

    def test_an_end_before_the_last_item(self):
        self.stream_is_wrong("after 19 of 20", 20, "0-18")

    def test_items_of_two_runs(self):
        self.stream_is_wrong("of 2 runs", 20, "0-19", runs=2)

    def test_a_wrong_item(self):
        self.stream_is_wrong("wrong item", 20, "0-19", right=0)

    def test_items_that_nobody_sent(self):
        self.stream_is_wrong("more than any run sent", 20, "0-19", items=19)

    def test_items_of_what_was_not_executed(self):
        one = number(1, ITEMS)
        past = self.judge([taken(one, 20, "0-4"), call(one, "DRAINING", "no")], [run(one, items=5)], excuses=[(["DRAINING"],)])
        self.assertTrue(any("gave 5 items and ended with DRAINING" in text for text in past.wrong), past.wrong)

    def test_a_stream_that_nobody_took(self):
        one = number(1, ITEMS)
        self.is_wrong("nobody took", [call(one)], [run(one)])

    def test_more_second_attempts_than_the_budget_pays(self):
        one = number(1, HEDGED)
        self.assertEqual(self.judge([call(one)], [run(one)], last=finish(1, hedged=100)).wrong, [])
        self.is_wrong("second attempts", [call(one)], [run(one)], last=finish(1, hedged=110))

    def test_an_attempt_that_is_outrun_and_not_told(self):
        one = number(1, HEDGED)
        late = run(one, pid=8, end=150_000)
        self.is_wrong("without being told", [call(one, attempts=2)], [run(one), late])
        self.assertEqual(self.judge([call(one, attempts=2)], [run(one), run(one, pid=8, end=90_000)]).wrong, [])
        told = run(one, pid=8, end=150_000, status="CANCELLED", cancelled=1)
        self.assertEqual(self.judge([call(one, attempts=2)], [run(one), told]).wrong, [])

    def test_a_failure_without_an_excuse(self):
        lost = [call(number(1, ONCE), "WORKER_LOST", "maybe", start=1000, end=2000)]
        self.is_wrong("WORKER_LOST", lost)
        self.assertEqual(self.judge(lost, excuses=[(["WORKER_LOST"], 1500, 3000)]).wrong, [])
        self.is_wrong("WORKER_LOST", lost, excuses=[(["WORKER_LOST"], 2500, 3000)])
        self.is_wrong("WORKER_LOST", lost, excuses=[(["WORKER_LOST"], 1500, 3000, lambda one: one.kind == "Safe")])

    def test_an_outcome_after_its_deadline(self):
        late = [call(number(1, SAFE), start=0, end=1_500_000)]
        self.is_wrong("after its deadline", late, [run(number(1, SAFE))])

    def test_a_machine_that_stood_still_is_no_excuse_for_more_than_that(self):
        late = [call(number(1, SAFE), start=0, end=1_500_000), "S\t900000\t300000"]
        self.assertEqual(self.judge(late, [run(number(1, SAFE))], last=finish(1)).wrong, [])
        late[1] = "S\t900000\t100000"
        self.is_wrong("after its deadline", late, [run(number(1, SAFE))], last=finish(1))

    def test_a_handler_that_begins_after_the_deadline(self):
        one = number(1, SAFE)
        expired = [call(one, "DEADLINE_EXCEEDED", "maybe", start=0, end=10_000, timeout_ms=10, ms=300)]
        self.is_wrong("began", expired, [run(one, begin=200_000, end=300_000)])

    def test_a_handler_that_never_ends(self):
        one = number(1, SAFE)
        self.is_wrong("handler never ended", [call(one, attempts=2)], [run(one), run(one, pid=8, end=None)])

    def test_a_client_that_did_not_come_to_its_end(self):
        self.is_wrong("did not come to its end", [], last="")

    def made(self, which, status="WORKER_LOST", executed="maybe", items=0, **how):
        """A call as a row sees it."""
        made = history.Call("client-1", call(which, status, executed, **how).split("\t"))
        if items:
            made.taken = history.Taken(taken(which, 20, "0-%d" % (items - 1)).split("\t"))
        return made

    def test_what_may_have_run_is_not_tried_again(self):
        self.assertTrue(rows.not_again(self.made(number(1, ONCE))))
        self.assertTrue(rows.not_again(self.made(number(1, KEYED))))
        self.assertFalse(rows.not_again(self.made(number(1, SAFE))))
        self.assertFalse(rows.not_again(self.made(number(1, SAFE_ITEMS))))
        self.assertTrue(rows.not_again(self.made(number(1, SAFE_ITEMS), items=3)))

    def test_what_never_left_is_tried_again_until_it_is_used_up(self):
        for kind in (ONCE, SAFE, KEYED, ITEMS):
            one = number(1, kind)
            self.assertFalse(rows.not_again(self.made(one, executed="no")))
            self.assertTrue(rows.not_again(self.made(one, executed="no", attempts=3)))
            self.assertTrue(rows.not_again(self.made(one, executed="no", end=800_000)))

    def test_no_budget_is_no_reason_for_what_never_left(self):
        past = history.History()
        past.calls = [self.made(number(count, SAFE)) for count in range(100)] + [self.made(number(100, SAFE), executed="no")]
        is_one_of_many = rows._too_many_at_once(past)
        self.assertTrue(is_one_of_many(past.calls[0]))
        self.assertFalse(is_one_of_many(past.calls[-1]))

    def mesh_of(self, calls):
        """What is left of a mesh with one worker, "uuid", that is process 7."""
        past = history.History()
        past.calls = calls
        return types.SimpleNamespace(history=past, workers=[types.SimpleNamespace(pid=7, uuid="uuid")])

    def test_a_connection_was_silent(self):
        lost = self.made(number(9, ONCE), start=7_000_000, end=9_000_000, timeout_ms=9000)
        talk = [self.made(number(at, SAFE), "OK", "yes", start=at * 100_000, end=at * 100_000 + 500) for at in range(10, 85)]
        for one in talk:
            one.runs = [history.Run(one.number, 7, one.start + 100)]
        self.assertFalse(rows._silent_before(self.mesh_of(talk))(lost))
        self.assertTrue(rows._silent_before(self.mesh_of(talk[:40]))(lost))

    def test_a_connection_that_never_talked_was_not_silent(self):
        lost = self.made(number(9, ONCE), start=7_000_000, end=9_000_000, timeout_ms=9000)
        self.assertFalse(rows._silent_before(self.mesh_of([]))(lost))

    def test_whose_a_call_was(self):
        some, other = "01234567-89ab-cdef-0123-456789abcdef", "11234567-89ab-cdef-0123-456789abcdef"
        one = self.made(number(1, ONCE))
        one.worker, one.text = other, "worker %s was lost while it had the call" % some
        self.assertEqual(rows.whose(one), {some})
        one.text = "out of memory"
        self.assertEqual(rows.whose(one), {other})
        one.worker = ""
        self.assertEqual(rows.whose(one), set())

    def test_half_a_line_is_not_read(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("B 1 2 3\nE 1 2")
            file.flush()
            log = history.Log(file.name)
            self.assertEqual(log.read(), ["B 1 2 3"])
            file.write(" 4 OK 0 0\n")
            file.flush()
            self.assertEqual(log.read(), ["B 1 2 3", "E 1 2 4 OK 0 0"])


if __name__ == "__main__":
    unittest.main()
