# SPDX-License-Identifier: MPL-2.0
"""A long time of mixed traffic, restarts and slow clients; `soak` starts it, as `run` does.

One worker and one client live all the time, and one broker after the restarts of brokers, which come in the first part of the
time: what these hold must not grow. Everything that happened to every call is held against what must be true, as in `run`.
"""

import argparse
import collections
import random
import signal
import sys
import time

import rows
import stage
from stage import now_us

SAMPLE_S = 5
RESTLESS = 0.25      # of the time: brokers are restarted, too
WARM = 0.3           # of the time that a process is watched: caches fill, pools grow to what the traffic needs
REMEMBERED = ("--replies-max", "500", "--replies-bytes-max", "2097152", "--replies-age-ms", "20000")  # by then it is full
HEAP_SLOPE_MAX_KB_H = 512
PROGRAM_KB = 8192    # of an RSS: the programs themselves, and the libraries
KEPT_TIMES_MAX = 4   # what libc keeps, of the most that was ever held
FDS_MORE = 8
CONNECT_US = 1_500_000  # calls wait for a connection for a little longer
MS, S = 1000, 1_000_000


Sample = collections.namedtuple("Sample", "at rss_kb heap_kb fds")


class Witness:
    """A process that lives all the time. What it holds is what it allocated and did not free: see shims/heap.c."""

    def __init__(self, process, heap):
        self.process, self.heap, self.samples = process, heap, []

    def look(self):
        with open("/proc/%d/status" % self.process.pid) as file:
            rss_kb = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
        self.samples.append(Sample(time.monotonic(), rss_kb, self.heap.get(0) // 1024, self.process.descriptors()))

    def settled(self):
        return self.samples[int(len(self.samples) * WARM):] or self.samples

    def slope_per_h(self, what):
        """Of the straight line through the samples."""
        points = [(sample.at, getattr(sample, what)) for sample in self.settled()]
        mean_x, mean_y = (sum(column) / len(points) for column in zip(*points))
        below = sum((x - mean_x) ** 2 for x, _ in points)
        return 3600 * sum((x - mean_x) * (y - mean_y) for x, y in points) / below if below else 0.0

    def most_kb(self):
        return self.heap.get(1) // 1024

    def rss_is_too_large(self):
        return self.samples[-1].rss_kb > PROGRAM_KB + KEPT_TIMES_MAX * self.most_kb()

    def _memory(self, what):
        quarters = [getattr(self.samples[(len(self.samples) - 1) * i // 4], what) for i in range(5)]
        return "%s kB, %+6.0f kB/h" % (" ".join("%6d" % kb for kb in quarters), self.slope_per_h(what))

    def line(self):
        fds = [sample.fds for sample in self.settled()]
        return "%-10s each %.0f s: holds %s, once %d kB; RSS %s; fds %d to %d, at last %d" % (
            self.process.name, (self.samples[-1].at - self.samples[0].at) / 4, self._memory("heap_kb"), self.most_kb(),
            self._memory("rss_kb"), min(fds), max(fds), fds[-1])


class Soak:
    def __init__(self, options):
        self.mesh = stage.Mesh(stage.Net(), options.build)
        self.dice = random.Random(options.seed)
        self.events = {}
        self.case = rows.Case(None, self.mesh, 0)
        self.usual = [self.kill_worker, self.restart_worker, self.restart_worker, self.reset_all, self.stop_client,
                      self.replace_client]
        mesh = self.mesh
        mesh.timeout_ms = 8000
        self.heaps = 0
        self.broker = self._watched(mesh.broker)
        self.worker = self._watched(mesh.worker, *REMEMBERED)
        for worker in [mesh.worker(*REMEMBERED, wait=False) for _ in range(3)]:
            mesh.worker_ready(worker)
        self.client = self._watched(mesh.client, rate=options.rate)
        self.slow = mesh.client(rate=150, kinds="0011234455887799", slow_ms=100)
        self.hanging = mesh.client(rate=2, kinds="6")
        self.short_lived = mesh.client(rate=100)
        for client in list(mesh.clients):
            client.await_ready()
        mesh.await_lists(clients=[self.client.process])

    def _watched(self, start, *flags, **how):
        """Starts a process, and somebody to look at it."""
        self.heaps += 1
        heap = self.mesh.control("heap-%d" % self.heaps)
        process = start(*flags, wrapper=self.mesh.preload("heap"), environment={"WEFT_CHAOS_HEAP": heap.path}, **how)
        return Witness(process, heap)

    def witnesses(self):
        return [self.broker, self.worker, self.client]

    def kill_worker(self):
        victim = self.dice.choice(self.mesh.workers[1:])
        at = victim.kill()
        self.mesh.history.killed_pids.add(victim.pid)
        self.case.excuse_lost(victim.killed_us, at + 1 * S, lambda call: victim.uuid in call.worker + call.text)
        self._replace(victim)

    def restart_worker(self):
        victim = self.dice.choice(self.mesh.workers[1:])
        victim.signal(signal.SIGTERM)
        if victim.wait() != 0:
            self.mesh.history.say_wrong("%s did not end with 0 when it was told to" % victim.name)
        self._replace(victim)

    def _check_last_words(self, process):
        if process.fault():
            self.mesh.history.say_wrong("%s says: %s" % (process.name, process.fault()))

    def _replace(self, victim):
        self._check_last_words(victim)
        self.mesh.workers.remove(victim)
        self.mesh.processes.remove(victim)
        self.mesh.worker(*REMEMBERED, number=victim.number)

    def kill_broker(self):
        old = self.mesh.brokers[-1]
        old.kill()
        self.mesh.go_on(self.dice.uniform(0, 0.5))
        self._replace_broker(old)
        back = now_us()
        self.mesh.history.excuse(rows.ABSENT, old.killed_us, back + 1 * S, rows.routed)

    def restart_broker(self):
        """What waits for the new one is not lost, unless calls that hang keep the old one for longer than calls wait for a
        connection; and those are lost with it, at the end of its patience."""
        old = self.mesh.brokers[-1]
        at = old.signal(signal.SIGTERM)
        if old.wait() != 0:
            self.mesh.history.say_wrong("%s did not end with 0 when it was told to" % old.name)
        self._replace_broker(old)
        back = now_us()
        self.mesh.history.excuse(["BROKER_LOST"], at, back, lambda call: rows.routed(call) and call.kind == "Hang")
        if back - at > CONNECT_US:
            self.mesh.history.excuse(["CONNECT_TIMEOUT"], at, back, rows.routed)

    def _replace_broker(self, old):
        self._check_last_words(old)
        self.mesh.processes.remove(old)
        self.mesh.brokers.remove(old)
        self.broker = self._watched(self.mesh.broker)
        self.mesh.await_listed(len(self.mesh.workers))

    def reset_all(self):
        """For clients and workers this is a broker that went and came back; to the broker it is as if all workers had died, and clients
        whose connections are reset last hear so."""
        at = now_us()
        self.mesh.net.reset("b0")
        until = now_us() + 300 * MS
        self.case.excuse_lost(at, until, rows.routed, ("WORKER_LOST", "BROKER_LOST"))
        self.mesh.history.excuse(["NO_SERVICE", "NO_WORKERS"], at, until)

    def stop_client(self):
        at = self.slow.stop()
        self.mesh.go_on(self.dice.uniform(0.5, 5))
        until = self.slow.go_on()
        name = self.slow.name
        self.mesh.history.excuse(["WORKER_LOST", "BROKER_LOST", "CONNECT_TIMEOUT", "DEADLINE_EXCEEDED"], at, until + 1 * S,
                                 lambda call: call.client == name)

    def replace_client(self):
        self.short_lived.kill()
        self.short_lived = self.mesh.client(rate=100)
        self.short_lived.await_ready()

    def go(self, minutes):
        start = time.monotonic()
        end, calm = start + minutes * 60, start + minutes * 60 * RESTLESS
        sample = 0
        while time.monotonic() < end:
            what = self.usual + [self.kill_broker, self.restart_broker] * 2 if time.monotonic() < calm else self.usual
            if time.monotonic() >= sample:
                sample = time.monotonic() + SAMPLE_S
                self.look()
            event = self.dice.choice(what)
            event()
            self.events[event.__name__] = self.events.get(event.__name__, 0) + 1
            self.mesh.go_on(self.dice.uniform(0.2, 2))
        self.look()

    def look(self):
        for witness in self.witnesses():
            witness.look()


def main():
    parser = argparse.ArgumentParser(prog="tests/chaos/soak")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=int, default=250, help="calls a second of the client that lives all the time")
    parser.add_argument("--seed", type=int, default=1, help="of what happens, and when")
    parser.add_argument("--keep", metavar="FOLDER", help="copies the logs there if something is wrong")
    parser.add_argument("--build", metavar="FOLDER", required=True)
    options = parser.parse_args()
    start = time.monotonic()
    soak = Soak(options)
    past = None
    try:
        soak.go(options.minutes)
        past = soak.mesh.end()
        past.judge()
    except stage.Broken as error:
        past = soak.mesh.history
        past.say_wrong(str(error))
    for witness in soak.witnesses():
        slope = witness.slope_per_h("heap_kb")
        if options.minutes >= 20 and slope > HEAP_SLOPE_MAX_KB_H:
            past.say_wrong("%s holds more and more, by %.0f kB/h" % (witness.process.name, slope))
        if witness.rss_is_too_large():
            past.say_wrong("%s has an RSS of %d kB, and never held more than %d kB" % (
                witness.process.name, witness.samples[-1].rss_kb, witness.most_kb()))
        fds = [sample.fds for sample in witness.settled()]
        if fds and fds[-1] > fds[0] + FDS_MORE:
            past.say_wrong("%s holds %d descriptors, %d before" % (witness.process.name, fds[-1], fds[0]))
    idle = {event.__name__ for event in soak.usual} - set(soak.events)
    if options.minutes >= 5 and idle:
        past.say_wrong("void: no " + " ".join(sorted(idle)))
    if len(past.calls) < 200 * 60 * options.minutes:
        past.say_wrong("void: only %d calls" % len(past.calls))
    for text in past.wrong[:20]:
        stage.complain(text)
    ways = collections.Counter({"d": "direct", "b": "routed", "a": "either way"}[call.way] for call in past.calls)
    kinds = collections.Counter(call.kind for call in past.calls)
    print("%.0f s, %d calls (%s): %s" % (
        time.monotonic() - start, len(past.calls), " ".join("%s:%d" % pair for pair in ways.most_common()),
        " ".join("%s:%d" % pair for pair in past.outcomes().most_common())))
    print("kinds: %s; %d items of streams, %d second attempts, %d retries, %d late replies" % (
        " ".join("%s:%d" % pair for pair in kinds.most_common()), sum(call.items() for call in past.calls), past.hedged,
        past.retried, past.late))
    print("events: " + " ".join("%s:%d" % pair for pair in sorted(soak.events.items())))
    for witness in soak.witnesses():
        print(witness.line())
    print("lost %d, wrong %d" % (past.lost, len(past.wrong)))
    soak.mesh.clean(options.keep if past.wrong else None)
    return 1 if past.wrong or past.lost else 0


if __name__ == "__main__":
    sys.exit(main())
