# SPDX-License-Identifier: MPL-2.0
"""What clients and workers wrote down, joined, and held against what must be true whatever happens:

    one outcome       each call that was started ends exactly once, and not past its deadline
    fate              "no": it is in no worker's log; "yes": it is; each status has only the fates that SEMANTICS.md names
    origin            each status is said by somebody who can know; of a direct call by no broker
    once              what is neither idempotent nor has a key never runs twice; what has a key, not twice in one process;
                      nothing more often than its client sent it
    answers           are those of the call that was made, and some run gave them
    streams           what is handed out are the first items that one run sent, in order, each once; all of them before an OK
    hedges            no more than the budget pays; and who answers too late to be heard is told to stop
    reasons           a call fails only with what the fault excuses, while it lasts, or for reasons of its own
    time              nothing begins after its time was up

`lost` are calls without an outcome, `wrong` everything else, one line each.
"""

import bisect
import collections

KINDS = ["Once", "Safe", "Keyed", "Fail", "Fast", "FastOnce", "Hang", "Items", "Hedged", "SafeItems"]
IDEMPOTENT = {"Safe", "Fast", "Hedged", "SafeItems"}
STREAMS = {"Items", "SafeItems"}
ATTEMPTS_MAX = 3
FATES = {  # SEMANTICS.md's table
    "OK": {"yes"}, "CANCELLED": {"no", "maybe"}, "APP_ERROR": {"yes"}, "INVALID": {"no"},
    "DEADLINE_EXCEEDED": {"no", "maybe"}, "HANDLER_TIMEOUT": {"yes"}, "CONNECT_TIMEOUT": {"no"},
    "NO_SERVICE": {"no"}, "NO_WORKERS": {"no"}, "UNIMPLEMENTED": {"no"}, "PERMISSION_DENIED": {"no"},
    "UNAUTHENTICATED": {"no"}, "OVERLOADED": {"no"}, "TOO_LARGE": {"no", "yes"}, "DRAINING": {"no"},
    "WORKER_LOST": {"no", "maybe"}, "BROKER_LOST": {"no", "maybe"}, "SHUTDOWN": {"no", "maybe"},
    "INTERNAL": {"maybe", "yes"},  # "yes": its reply could not be written
}
STATIONS = {"client", "broker", "worker"}
ORIGINS = {  # who may say so: a status that is a client's own, or that only some of those on the way can know of
    "OK": {"application"}, "CANCELLED": {"client"}, "APP_ERROR": {"application"}, "INVALID": STATIONS,
    "DEADLINE_EXCEEDED": STATIONS, "HANDLER_TIMEOUT": {"worker"}, "CONNECT_TIMEOUT": {"client"},
    "NO_SERVICE": STATIONS, "NO_WORKERS": {"client", "broker"}, "UNIMPLEMENTED": {"broker", "worker"},
    "PERMISSION_DENIED": STATIONS, "UNAUTHENTICATED": STATIONS, "OVERLOADED": STATIONS, "TOO_LARGE": STATIONS,
    "DRAINING": STATIONS, "WORKER_LOST": {"client", "broker"}, "BROKER_LOST": {"client"}, "SHUTDOWN": {"client"},
    "INTERNAL": STATIONS,
}
CERTAIN = {"OK", "APP_ERROR", "HANDLER_TIMEOUT"}  # it ran, whatever came before
HEDGES_SAVED = 101  # that the budget begins with
LATE_US = 30_000   # an outcome after its deadline: a turn of the client, and of the machine
BEGIN_US = 50_000  # a handler after its caller's deadline: milliseconds are what travels, and what they travel is not known
TOLD_US = 100_000  # an attempt that is outrun is cancelled within this time, where what is sent arrives at once
FOREVER = 1 << 62


def kind_of(number):
    return KINDS[number & 15]


class Run:
    """One run of a handler."""

    __slots__ = ("number", "pid", "begin", "end", "status", "cancelled", "items")

    def __init__(self, number, pid, begin):
        self.number, self.pid, self.begin = number, pid, begin
        self.end = self.status = self.cancelled = self.items = None


class Taken:
    """What was handed out of a stream: `parts` are the indices of its items in the order in which they came, (first, last)."""

    __slots__ = ("wanted", "parts", "runs", "right")

    def __init__(self, words):
        self.wanted, self.runs, self.right = int(words[2]), int(words[4]), words[5] == "1"
        self.parts = [tuple(int(end) for end in part.split("-")) for part in words[3].split(",") if part != "-"]

    def count(self):
        return sum(last - first + 1 for first, last in self.parts)


class Call:
    """One call with its outcome, and its runs. Times are in microseconds of CLOCK_MONOTONIC."""

    __slots__ = ("client", "number", "kind", "way", "timeout", "ms", "start", "end", "status", "executed", "origin",
                 "attempts", "direct", "worker", "right", "cancelled", "text", "runs", "taken")

    def __init__(self, client, words):
        self.client = client
        self.number, self.kind, self.way = int(words[1]), kind_of(int(words[1])), words[2]
        self.timeout, self.ms, self.start, self.end = (int(word) for word in words[3:7])
        self.timeout *= 1000
        self.status, self.executed, self.origin = words[7:10]
        self.attempts, self.direct, self.worker = int(words[10]), words[11] == "1", words[12]
        self.right, self.cancelled, self.text = words[13] == "1", words[14] == "1", words[15]
        self.runs, self.taken = [], None

    def items(self):
        """How many were handed out."""
        return self.taken.count() if self.taken else 0

    def late_to_see(self):
        """Its end is behind items that its reader takes slowly."""
        return self.kind in STREAMS and self.number >> 4 & 1

    def ends_with_its_connection(self):
        """At once, and not later. What has a key is tried again where it was, which takes as long as it takes."""
        return self.status in ("WORKER_LOST", "BROKER_LOST") and self.kind != "Keyed" and not self.late_to_see()

    def well(self):
        return self.status == ("APP_ERROR" if self.kind == "Fail" else "OK")

    def __str__(self):
        return "call %x (%s, %s, %d ms)" % (self.number, self.kind, self.way, self.ms)


class Excuse:
    """Calls that were open at some time from `since` to `until`, and of which where (call) is true, may end with `statuses`. Who is
    told of a loss is told while it lasts."""

    def __init__(self, statuses, since, until, where):
        self.statuses, self.since, self.until, self.where = set(statuses), since, until, where

    def covers(self, call, slack):
        return (call.status in self.statuses and call.start <= self.until + slack and call.end >= self.since
                and (call.end <= self.until + TOLD_US + slack or not call.ends_with_its_connection())
                and (not self.where or self.where(call)))


class Log:
    """Lines that somebody else still writes, read as they come."""

    def __init__(self, path):
        self.path, self.at, self.lines = path, 0, []

    def read(self):
        try:
            with open(self.path, "rb") as file:
                file.seek(self.at)
                new = file.read()
        except FileNotFoundError:
            return self.lines
        whole = new.rfind(b"\n") + 1  # a process that was killed leaves half a line
        self.at += whole
        self.lines += new[:whole].decode(errors="replace").splitlines()
        return self.lines


class History:
    def __init__(self):
        self.calls, self.runs, self.watched, self.stalls = [], [], [], collections.defaultdict(list)
        self.wrong, self.lost, self.excuses = [], 0, []
        self.on_time = True        # what is sent arrives at once, and all clocks are one
        self.late = self.retried = self.hedged = 0
        self.behind = (0, 0)       # from when until when what is sent to workers may lie unread: its age is not known
        self.all_hear = True       # nobody stands still, and no connection is cut
        self.killed_pids = set()   # workers whose handlers need not have ended
        self._by_number, self._runs_of, self._longest = {}, collections.defaultdict(list), {}

    def say_wrong(self, text):
        self.wrong.append(text)

    def excuse(self, statuses, since=0, until=FOREVER, where=None):
        self.excuses.append(Excuse(statuses, since, until, where))

    # What was written down

    def read_client(self, name, lines, killed=False):
        """`killed`: it had no time to write everything."""
        end = None
        seen = 0
        taken = {}
        for line in lines:
            words = line.split("\t")
            if words[0] == "C":
                seen += 1
                self._take_call(Call(name, words), taken)
            elif words[0] == "I":
                taken[int(words[1])] = Taken(words)
            elif words[0] == "W":
                self.watched.append((name, int(words[1]), words[3], words[4]))
            elif words[0] == "S":
                self.stalls[name].append((int(words[1]), int(words[2])))
            elif words[0] == "L":
                self.lost += 1
                self.say_wrong("call %x (%s, %s) of %s never ended" % (int(words[1]), kind_of(int(words[1])), words[2], name))
            elif words[0] == "F":
                end = words
        if killed:
            return
        if not end:
            self.say_wrong("%s did not come to its end" % name)
        elif int(end[2]) != seen:
            self.lost += max(0, int(end[2]) - seen)
            self.say_wrong("%s started %s calls and has %d outcomes" % (name, end[2], seen))
        if end:
            self.late += int(end[4])
            self.retried += int(end[6])
            self._judge_hedges(name, end, lines)
            if int(end[5]):
                self.say_wrong("%s heard %s malformed messages" % (name, end[5]))

    def _judge_hedges(self, name, end, lines):
        """One second attempt for five calls and ten a second, at most."""
        hedged, started = int(end[7]), int(end[2])
        first = min((int(line.split("\t")[5]) for line in lines if line.startswith("C")), default=int(end[1]))
        most = HEDGES_SAVED + started / 5 + 10 * (int(end[1]) - first) / 1_000_000
        self.hedged += hedged
        if hedged > most:
            self.say_wrong("%s made %d second attempts, not %d at most" % (name, hedged, most))

    def _take_call(self, call, taken):
        if call.number in self._by_number:
            self.say_wrong("%s has two outcomes: %s and %s" % (call, self._by_number[call.number].status, call.status))
            return
        self._by_number[call.number] = call
        call.taken = taken.get(call.number)
        self.calls.append(call)

    def read_worker(self, lines):
        open_runs = collections.defaultdict(list)  # one that is tried again may run beside itself
        for line in lines:
            words = line.split()
            number, pid, at = int(words[1]), int(words[2]), int(words[3])
            if words[0] == "B":
                run = Run(number, pid, at)
                open_runs[number, pid].append(run)
                self.runs.append(run)
            else:
                run = open_runs[number, pid].pop(0)
                run.end, run.status, run.cancelled, run.items = at, words[4], words[5] == "1", int(words[6])

    def join(self):
        """Once all is read."""
        for run in self.runs:
            self._runs_of[run.number].append(run)
        for call in self.calls:
            call.runs = self._runs_of.get(call.number, [])
        for client, stalls in self.stalls.items():
            stalls.sort()
            self._longest[client] = max(gap for _, gap in stalls)

    # What must be true

    def slack(self, client, since, until):
        """How much later than it should something may come, in microseconds, because the machine had no time for it: three
        processes are on the way, and each may have been kept from running as long as this client was at that time."""
        stalls, longest, worst = self.stalls[client], self._longest.get(client, 0), 0
        for i in range(bisect.bisect_left(stalls, (until,)) - 1, -1, -1):
            at, gap = stalls[i]
            if at + longest <= since:
                break
            if at + gap > since:
                worst = max(worst, gap)
        return 3 * worst

    def judge(self):
        for number, runs in self._runs_of.items():
            self._judge_runs(number, runs)
        for call in self.calls:
            self._judge_fate(call)
            self._judge_origin(call)
            self._judge_answer(call)
            self._judge_reason(call)
            self._judge_time(call)
            if call.kind in STREAMS:
                self._judge_stream(call)
            if call.kind == "Hedged" and call.well() and self.on_time and self.all_hear:
                self._judge_outrun(call)

    def _judge_runs(self, number, runs):
        kind = kind_of(number)
        if len(runs) > ATTEMPTS_MAX:
            self.say_wrong("call %x (%s) ran %d times" % (number, kind, len(runs)))
        elif kind in IDEMPOTENT or len(runs) == 1:
            pass
        elif kind != "Keyed":
            self.say_wrong("call %x (%s) is not idempotent and ran %d times" % (number, kind, len(runs)))
        elif len({run.pid for run in runs}) < len(runs):
            self.say_wrong("call %x has a key and ran twice in one process" % number)
        for run in runs:
            if run.end is None and run.pid not in self.killed_pids:
                self.say_wrong("call %x (%s) began at process %d and its handler never ended" % (number, kind, run.pid))

    def _judge_fate(self, call):
        fates = FATES[call.status]
        if (call.kind in IDEMPOTENT or call.kind == "Keyed") and call.status not in CERTAIN and call.attempts > 0:
            fates = fates | {"maybe"}  # the status is the last try's, the fate that of all
        if call.executed not in fates:
            self.say_wrong("%s ended with %s, executed %s: %s" % (call, call.status, call.executed, call.text))
        if call.executed == "no" and call.runs:
            self.say_wrong("%s ended with %s, executed no, but ran" % (call, call.status))
        if len(call.runs) > call.attempts:
            self.say_wrong("%s was sent %d times, and ran %d times" % (call, call.attempts, len(call.runs)))
        if call.executed == "yes" and not call.runs:
            self.say_wrong("%s ended with %s, executed yes, but never ran" % (call, call.status))

    def _judge_origin(self, call):
        if call.origin not in ORIGINS[call.status] or (call.direct and call.origin == "broker"):
            self.say_wrong("%s ended with %s, which no %s can say of %s: %s" % (
                call, call.status, call.origin, "a direct call" if call.direct else "it", call.text))

    def _judge_answer(self, call):
        if not call.right:
            self.say_wrong("%s ended with %s and a wrong answer" % (call, call.status))
        if call.status in ("OK", "APP_ERROR") and call.runs and not any(run.status == call.status for run in call.runs):
            self.say_wrong("%s ended with %s, and no run did" % (call, call.status))

    def _judge_stream(self, call):
        """Which run sent what was handed out is not known: one of them did."""
        taken, count = call.taken, call.items()
        if not taken:
            self.say_wrong("%s ended with %s, and nobody took its items" % (call, call.status))
            return
        if taken.parts not in ([], [(0, count - 1)]):
            self.say_wrong("%s gave items out of order, or not each once: %s" % (call, taken.parts))
        if taken.runs > 1:
            self.say_wrong("%s gave items of %d runs" % (call, taken.runs))
        if not taken.right:
            self.say_wrong("%s gave a wrong item" % call)
        if call.status == "OK" and count != taken.wanted:
            self.say_wrong("%s ended with OK after %d of %d items" % (call, count, taken.wanted))
        if count and call.executed == "no":
            self.say_wrong("%s gave %d items and ended with %s, executed no" % (call, count, call.status))
        if count and not any(run.end is None or run.items >= count for run in call.runs):
            self.say_wrong("%s gave %d items, more than any run sent" % (call, count))

    def _judge_outrun(self, call):
        """Of two attempts one was too late: it is told, if it takes its time."""
        for run in call.runs:
            since = max(call.end, run.begin)
            late = run.end - since - TOLD_US if run.end and not run.cancelled else 0
            if late > 0 and late > self.slack(call.client, since, run.end):
                self.say_wrong("%s was over, and a run of it went on for %d ms without being told" % (
                    call, (run.end - since) / 1000))

    def _judge_reason(self, call):
        if call.well():
            return
        slack = self.slack(call.client, call.start, call.end)
        if any(excuse.covers(call, slack) for excuse in self.excuses):
            return
        if call.status == "CANCELLED" and call.cancelled:
            return
        if call.status == "DEADLINE_EXCEEDED" and call.timeout <= call.ms * 1000 + 200_000:
            return  # one that was given too little time
        self.say_wrong("%s ended after %d ms with %s: %s" % (call, (call.end - call.start) / 1000, call.status, call.text))

    def _judge_time(self, call):
        deadline = call.start + call.timeout
        late = call.end - deadline - LATE_US
        if late > 0 and late > self.slack(call.client, deadline, call.end):
            self.say_wrong("%s ended %d ms after its deadline with %s" % (call, (call.end - deadline) / 1000, call.status))
        for run in call.runs if self.on_time else ():
            if self.behind[0] <= run.begin <= self.behind[1]:
                continue
            if run.begin > deadline + BEGIN_US + self.slack(call.client, deadline, run.begin):
                self.say_wrong("%s began %d ms after its deadline" % (call, (run.begin - deadline) / 1000))

    # What rows ask

    def victims(self, pid):
        """Calls that a process had begun and never ended."""
        return [call for call in self.calls for run in call.runs if run.pid == pid and run.end is None]

    def heard(self, uuid, state, since):
        """For each client, how long after `since` it heard that this worker is in that state, in microseconds."""
        first = {}
        for client, at, worker, what in self.watched:
            if worker == uuid and what == state and at >= since:
                first.setdefault(client, at - since)
        return first

    def outcomes(self):
        return collections.Counter(call.status for call in self.calls)


def last_view(lines):
    """What a client's list of workers is by now: uuid -> state."""
    view = {}
    for line in lines:
        if line.startswith("W"):
            words = line.split("\t")
            view[words[3]] = words[4]
            if words[4] == "gone":
                del view[words[3]]
    return view
