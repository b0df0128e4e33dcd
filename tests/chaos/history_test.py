# SPDX-License-Identifier: MPL-2.0
"""The checker itself: a history that is right, and one thing at a time that is not."""

import tempfile
import unittest

import history

ONCE, SAFE, KEYED, FAIL = range(4)


def number(count, kind):
    return 1 << 40 | count << 4 | kind


def call(which, status="OK", executed="yes", start=1000, end=2000, timeout_ms=1000, ms=0, attempts=1, right=1, cancelled=0):
    return "\t".join(str(word) for word in ("C", which, "d", timeout_ms, ms, start, end, status, executed, "worker", attempts, 1,
                                            "uuid", right, cancelled, "text"))


def finish(count):
    return "F\t9999\t%d\t%d\t0\t0\t0" % (count, count)


def run(which, pid=7, begin=1100, end=1200):
    lines = ["B %d %d %d" % (which, pid, begin)]
    return lines + (["E %d %d %d OK 0" % (which, pid, end)] if end else [])


class History(unittest.TestCase):
    def judge(self, calls, runs=(), last=None, excuses=()):
        past = history.History()
        past.read_client("client", [*calls, finish(len(calls)) if last is None else last])
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
        calls = [call(number(1, ONCE)), call(number(2, SAFE)), call(number(3, FAIL), "APP_ERROR"),
                 call(number(4, ONCE), "CANCELLED", "maybe", cancelled=1),
                 call(number(5, ONCE), "DEADLINE_EXCEEDED", "maybe", timeout_ms=10, ms=300)]
        runs = [run(number(count, kind)) for count, kind in ((1, ONCE), (2, SAFE), (3, FAIL))] + [run(number(2, SAFE), pid=8)]
        self.assertEqual(self.judge(calls, runs).wrong, [])

    def test_what_is_tried_again_may_run_beside_itself(self):
        one = number(1, SAFE)
        begin, end = run(one)
        self.assertEqual(self.judge([call(one)], [[begin, begin, end, end]]).wrong, [])

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

    def test_yes_that_never_ran(self):
        self.is_wrong("never ran", [call(number(1, ONCE))])

    def test_a_fate_that_the_status_cannot_have(self):
        self.is_wrong("executed maybe", [call(number(1, ONCE), "OVERLOADED", "maybe")], excuses=[(["OVERLOADED"],)])

    def test_once_that_ran_twice(self):
        one = number(1, ONCE)
        self.is_wrong("ran 2 times", [call(one)], [run(one), run(one, pid=8)])

    def test_what_nobody_owns_up_to_may_not_run_twice_either(self):
        one = number(1, ONCE)
        self.is_wrong("ran 2 times", [], [run(one), run(one, pid=8)])

    def test_a_key_twice_in_one_process(self):
        one = number(1, KEYED)
        self.assertEqual(self.judge([call(one)], [run(one), run(one, pid=8)]).wrong, [])
        self.is_wrong("ran twice in one process", [call(one)], [run(one), run(one)])

    def test_a_wrong_answer(self):
        self.is_wrong("wrong answer", [call(number(1, SAFE), right=0)], [run(number(1, SAFE))])

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
        self.is_wrong("handler never ended", [call(one)], [run(one, end=None)])

    def test_a_client_that_did_not_come_to_its_end(self):
        self.is_wrong("did not come to its end", [], last="")

    def test_half_a_line_is_not_read(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("B 1 2 3\nE 1 2")
            file.flush()
            log = history.Log(file.name)
            self.assertEqual(log.read(), ["B 1 2 3"])
            file.write(" 4 OK 0\n")
            file.flush()
            self.assertEqual(log.read(), ["B 1 2 3", "E 1 2 4 OK 0"])


if __name__ == "__main__":
    unittest.main()
