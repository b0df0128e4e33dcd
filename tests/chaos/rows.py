# SPDX-License-Identifier: MPL-2.0
"""The faults, each with its correct outcome: a function that takes a mesh, hurts it, and says what that excuses.

What holds for every call whatever happens is in history.py; calls that fail without an excuse are wrong there. A row
says besides what must be noticed and how soon (`noticed`), and what else must be true (`check`).
"""

import collections
import os
import re
import signal

from history import ATTEMPTS_MAX, FOREVER, IDEMPOTENT, STREAMS, kind_of
from stage import await_, now_us

ROWS = []
MS, S = 1000, 1_000_000
BACKOFF_US = 500 * MS   # a client waits so long at most before it tries again
UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
SILENCE_US = 2500 * MS  # less than the 3 s that a heartbeat waits: what was on the way then may come after it gave up


class Row:
    def __init__(self, function, key, fault, how, bound_ms, calls_min):
        self.function, self.key, self.fault, self.how = function, key, fault, how
        self.bound_ms, self.calls_min = bound_ms, calls_min


def row(key, fault, how, bound_ms=None, calls_min=500):
    """`bound_ms`: how soon it must be noticed. `calls_min`: with fewer calls a run shows nothing."""
    def add(function):
        ROWS.append(Row(function, key, fault, how, bound_ms, calls_min))
        return function
    return add


class Case:
    """One run of a row: the mesh, what was noticed, what was wrong."""

    def __init__(self, row_, mesh, turn):
        self.row, self.mesh, self.history, self.turn = row_, mesh, mesh.history, turn
        self.noticed_ms, self.void = [], []

    def check(self, condition, text):
        if not condition:
            self.history.say_wrong(text)

    def noticed(self, at_us, fault_us, client=None, what="it was noticed", dying_us=0):
        """It took so long; what the machine itself stood still meanwhile, or took to let a process die, does not count against the
        bound."""
        took_ms = (at_us - fault_us) / 1000
        self.noticed_ms.append(took_ms)
        slack_ms = (dying_us + (self.history.slack(client, fault_us, at_us) if client else 0)) / 1000
        if self.row.bound_ms is not None and took_ms > self.row.bound_ms + slack_ms:
            self.history.say_wrong("%s after %.0f ms, not within %d ms" % (what, took_ms, self.row.bound_ms))

    def need(self, condition, text):
        """What must have happened for the run to show anything."""
        if not condition:
            self.void.append(text)

    def excuse_lost(self, since, until, where=None, statuses=("WORKER_LOST",)):
        """Calls that were at a worker, or on a connection, that was lost, and may not be tried again. A call with a key is
        tried again there alone: where that is out of reach, this is what ends it."""
        def may(call):
            return not_again(call) and (not where or where(call))
        self.history.excuse(statuses, since, until, may)
        self.history.excuse(["NO_WORKERS", "CONNECT_TIMEOUT"], since, until,
                            lambda call: call.kind == "Keyed" and call.executed == "maybe" and (not where or where(call)))

    def lost(self, *statuses):
        """The calls that ended with their connection. Not those with a key: they are tried again where they were, which takes
        as long as it takes; nor streams that are taken slowly."""
        return [call for call in self.history.calls
                if call.status in (statuses or ("WORKER_LOST",)) and call.kind != "Keyed" and not call.late_to_see()]

    def lost_with(self, victim):
        """The calls that a worker took with it, of which the caller was told; each is a measurement."""
        victims = self.history.victims(victim.pid)
        self.need(victims, "no call was in flight")
        for call in victims:
            if call.status == "WORKER_LOST" and call.kind != "Keyed" and not call.late_to_see():
                self.noticed(call.end, victim.killed_us, call.client, "%s ended" % call, victim.dying_us)

    def delisted(self, uuid, fault_us, bound_ms):
        """Every client hears that it is gone."""
        heard = self.history.heard(uuid, "gone", fault_us)
        for client in self.mesh.clients:
            if client.killed:
                continue
            took = heard.get(client.name)
            slack = self.history.slack(client.name, fault_us, fault_us + bound_ms * MS)
            if took is None:
                self.history.say_wrong("%s never heard that the worker is gone" % client.name)
            elif took > bound_ms * MS + slack:
                self.history.say_wrong("%s heard after %d ms that the worker is gone" % (client.name, took / 1000))


def named(*workers):
    """Calls that one of these had."""
    return lambda call: any(worker.uuid in call.worker + call.text for worker in workers)


def whose(call):
    """The workers that its end is told of; if of none, the one that it was sent to, if that is known."""
    return set(re.findall(UUID, call.text)) or {call.worker} - {""}


def used_up(call):
    """It was tried often enough, or has no time for another try."""
    return call.attempts >= ATTEMPTS_MAX or call.end > call.start + call.timeout - BACKOFF_US


def not_again(call):
    """One that may not be tried again: it is used up; or it may have run and is not idempotent, or gave items. What never left goes to
    another, whatever it is."""
    return used_up(call) or (call.executed != "no" and (call.kind not in IDEMPOTENT or call.items() > 0))


# Processes that end -----------------------------------------------------------------------------------------------

def _kill_worker(case, local):
    mesh = case.mesh.begin(local=local, slow_ms=600)
    victim = mesh.workers[0]
    at = victim.kill()
    mesh.go_on(0.5)
    mesh.await_lists()
    mesh.end()
    case.excuse_lost(victim.killed_us, at + case.row.bound_ms * MS, named(victim))
    case.lost_with(victim)
    case.delisted(victim.uuid, victim.killed_us, case.row.bound_ms + victim.dying_us // MS)


@row("kill", "worker killed", "kill -9, tcp", bound_ms=50)
def kill_worker(case):
    _kill_worker(case, local=False)


@row("kill-ipc", "worker killed, same host", "kill -9, ipc", bound_ms=50)
def kill_worker_ipc(case):
    _kill_worker(case, local=True)


@row("term", "worker terminated", "kill -TERM: no failed call")
def terminate_worker(case):
    mesh = case.mesh.begin(slow_ms=600)
    victim = mesh.workers[0]
    at = victim.signal(signal.SIGTERM)
    case.check(victim.wait() == 0, "the worker did not end with 0")
    mesh.go_on(0.3)
    mesh.await_lists()
    history = mesh.end()
    case.need([run for run in history.runs if run.pid == victim.pid and run.begin < at < run.end], "no call was in flight")


# Processes that stand still, or nearly ----------------------------------------------------------------------------

@row("stop", "worker stopped", "kill -STOP, then -CONT", bound_ms=4200, calls_min=3000)
def stop_worker(case):
    case.history.all_hear = False
    case.mesh.timeout_ms = 10000
    mesh = case.mesh.begin()
    victim = mesh.workers[0]
    at = victim.stop()
    mesh.go_on(4.5)
    resumed = victim.go_on()
    mesh.await_lists()
    mesh.go_on(0.5)
    history = mesh.end()
    case.excuse_lost(at, at + case.row.bound_ms * MS, named(victim))
    lost = case.lost()
    case.need(lost, "no call was in flight")
    case.check(history.late > 0, "no late reply was counted")
    for call in lost:
        case.noticed(call.end, at, call.client, "%s ended" % call)
    case.delisted(victim.uuid, at, case.row.bound_ms)
    back = history.heard(victim.uuid, "alive", resumed)
    case.check(len(back) == len(mesh.clients), "the worker did not come back")
    case.check("incarnation=2" in victim.said(), "it came back without a new incarnation")
    case.check([run for run in history.runs if run.pid == victim.pid and run.begin > resumed],
               "nobody called the worker after it was back")


@row("hang", "handler hangs, I/O alive", "handlers that take 6 s, deadline 3 s", bound_ms=30, calls_min=3000)
def hang_handler(case):
    mesh = case.mesh.begin()
    mesh.client(kinds="6", rate=8, ways="db").await_ready()
    mesh.go_on(4)
    history = mesh.end()
    hanging = [call for call in history.calls if call.kind == "Hang"]
    case.need(len(hanging) >= 10, "too few handlers hung")
    for call in hanging:
        case.check(call.status == "DEADLINE_EXCEEDED", "%s ended with %s" % (call, call.status))
        case.noticed(call.end, call.start + call.timeout, call.client, "%s ended" % call)
    quick = sorted(call.end - call.start for call in history.calls if call.ms == 0 and call.well())
    p99 = quick[len(quick) * 99 // 100]
    case.check(p99 < 200 * MS, "while handlers hang, one in a hundred other calls takes over %d ms" % (p99 / 1000))


@row("stuck", "all handlers of a worker hang", "2 handlers at once, calls of 6 s: the broker says that the worker is stuck, then that "
     "it goes on", bound_ms=12000, calls_min=50)
def stick_worker(case):
    case.mesh.timeout_ms = 3000
    mesh = case.mesh
    mesh.broker("--ttl-ms", "4000")
    mesh.worker("--concurrency", "2")
    mesh.client(kinds="6", rate=16, ways="db").await_ready()
    at = now_us()
    broker = mesh.brokers[0]
    await_("the broker says that the worker is stuck", lambda: "worker is stuck" in broker.said())
    case.noticed(now_us(), at, what="the broker said so")
    mesh.clients[0].rest()
    await_("the broker says that the worker goes on", lambda: "worker goes on" in broker.said())
    history = mesh.end()
    history.excuse(["OVERLOADED"], where=routed)  # they wait in a queue that does not get shorter
    case.check(not any(state == "gone" for _, _, _, state in history.watched), "the worker was delisted")


@row("slow", "slow worker", "one of three takes 50 ms more per call: its share falls below half of a third", calls_min=2000)
def slow_worker(case):
    mesh = case.mesh.begin(ways="d")
    victim = mesh.workers[0]
    slow = "%s.slow-%d" % (mesh.runs_log.path, victim.pid)
    open(slow, "w").close()
    at = now_us()
    mesh.go_on(2.5)
    until = now_us()
    history = mesh.end()
    later = [run for run in history.runs if at + 1 * S < run.begin < until]
    share = sum(run.pid == victim.pid for run in later) / max(1, len(later))
    case.check(0 < share < 1 / 6, "the slow worker gets %.0f %% of the calls" % (100 * share))


@row("full", "workers at their limit", "1 handler at once, 3 waiting: OVERLOADED, not executed", calls_min=1000)
def full_workers(case):
    mesh = case.mesh.begin(workers=2, worker_flags=("--concurrency", "1", "--queue-max", "3"),
                           broker_flags=("--service-queue-max", "5"), rate=200, slow_ms=100)
    mesh.go_on(3)
    history = mesh.end()
    history.excuse(["OVERLOADED"])
    case.need(history.outcomes()["OVERLOADED"] >= 20, "nobody was overloaded")


@row("twice", "double and late replies", "a library in front of libzmq: each reply again at once, and 0.5 s later", calls_min=2000)
def reply_twice(case):
    mesh = case.mesh
    mesh.broker()
    mesh.worker()
    for _ in range(2):
        mesh.worker(wrapper=mesh.preload("twice"))
    for client in (mesh.client(), mesh.client()):
        client.await_ready()
    mesh.await_lists()
    mesh.go_on(2.5)
    history = mesh.end()
    case.check(history.late > 100, "clients counted %d late replies" % history.late)
    history.excuse(["INTERNAL"], where=lambda call: call.kind in STREAMS and call.executed == "maybe"
                   and "came instead of" in call.text)  # items travel with replies: the same one again is no item


@row("crash-loop", "crash loop", "2 processes that end 150 ms after their first call, supervised: pauses grow", calls_min=2000)
def crash_loop(case):
    case.history.all_hear = False
    mesh = case.mesh.begin()
    victim = mesh.worker("--processes", "2", environment={"WEFT_CHAOS_CRASH_MS": "150"})
    mesh.go_on(4)
    stable = {worker.uuid for worker in mesh.workers[:3]}
    mesh.workers.remove(victim)
    victim.signal(signal.SIGTERM)
    code = victim.wait()
    case.check(code in (0, 134), "the supervisor ended with %s" % code)
    mesh.go_on(0.3)
    mesh.await_lists()
    history = mesh.end()
    healthy = {worker.pid for worker in mesh.workers}
    history.killed_pids |= {run.pid for run in history.runs} - healthy
    case.excuse_lost(0, FOREVER, lambda call: whose(call) and whose(call).isdisjoint(stable))
    ends = victim.said().count("another will follow")
    case.need(ends >= 4, "it crashed only %d times" % ends)
    case.check(ends <= 2 * 6, "two were started again %d times in 4 s" % ends)


@row("same-uuid", "two workers with one UUID", "a library in front of getrandom; then the one that serves is killed", bound_ms=50,
     calls_min=1000)
def same_uuid(case):
    mesh = case.mesh
    mesh.broker()
    mesh.worker()
    for client in (mesh.client(), mesh.client()):
        client.await_ready()
    twins = [mesh.worker(wrapper=mesh.preload("same"), wait=False) for _ in range(2)]
    mesh.go_on(3)
    for twin in twins:
        mesh.workers.remove(twin)
    case.check(sum(twin.running() for twin in twins) == 1, "both serve, or none")
    case.check(any("is registered already" in twin.said() for twin in twins), "nobody is told why")
    serving = mesh.worker_ready(next((twin for twin in twins if twin.running()), twins[0]))
    at = serving.kill()
    for twin in twins:
        if twin is not serving:
            twin.kill()
    mesh.go_on(0.3)
    mesh.await_lists()
    mesh.workers += twins
    mesh.end()
    case.excuse_lost(serving.killed_us, at + case.row.bound_ms * MS, named(serving))
    case.lost_with(serving)
    case.delisted(serving.uuid, serving.killed_us, case.row.bound_ms + serving.dying_us // MS)


# The broker -------------------------------------------------------------------------------------------------------

def routed(call):
    return not call.direct


ABSENT = ("BROKER_LOST", "CONNECT_TIMEOUT")


@row("kill-broker", "broker killed", "kill -9, a new one after 0.5 s: workers back", bound_ms=1000, calls_min=1500)
def kill_broker(case):
    case.history.all_hear = False
    mesh = case.mesh.begin(slow_ms=600)
    at = mesh.brokers[0].kill()
    mesh.go_on(0.5)
    mesh.broker()
    back = now_us()
    mesh.await_listed(3)
    listed = now_us()
    mesh.go_on(1)
    history = mesh.end()
    is_one_of_many = _too_many_at_once(history)
    history.excuse(["CONNECT_TIMEOUT"], mesh.brokers[0].killed_us, back + 1 * S, routed)
    history.excuse(["BROKER_LOST"], mesh.brokers[0].killed_us, at + 50 * MS,
                   lambda call: routed(call) and (not_again(call) or is_one_of_many(call)))
    case.noticed(listed, back)
    case.check("no worker expires for one TTL" in mesh.brokers[1].said(), "the new broker does not say that it is warming up")
    case.need([call for call in history.calls if call.status == "BROKER_LOST"], "no routed call was in flight")


@row("stop-broker", "broker stopped for 10 s", "kill -STOP, -CONT", calls_min=8000)
def stop_broker(case):
    case.history.all_hear = False
    case.mesh.timeout_ms = 12000
    mesh = case.mesh.begin()
    broker = mesh.brokers[0]
    at = broker.stop()
    mesh.go_on(10)
    resumed = broker.go_on()
    mesh.await_listed(3)
    listed = now_us()
    mesh.go_on(1.5)
    mesh.await_lists()
    history = mesh.end()
    case.check(listed - resumed < 2 * S, "all workers are listed after %d ms" % ((listed - resumed) / 1000))
    history.excuse(ABSENT, at, resumed + 1 * S, routed)
    gone = [uuid for _, when, uuid, state in history.watched if state == "gone" and at < when < at + 13 * S]
    case.check(not gone, "%d workers were delisted" % len(gone))


# Cuts -------------------------------------------------------------------------------------------------------------

CONNECT_US = 2 * S     # that a call waits for a connection
RECONNECT_US = 2 * S   # in which who lost a peer is back, once it can be reached


@row("cut-client", "client-broker cut", "nft, 5 s: noticed, direct calls go on", bound_ms=5200, calls_min=4000)
def cut_client(case):
    """Usually within 4200 ms. But libzmq waits for 3 s from its next PING on; and while the connection takes no more of what is to be
    sent, that PING waits behind it, for its next turn at least, which is a second later."""
    case.history.on_time = False
    case.mesh.timeout_ms = 10000  # by then it was noticed
    mesh = case.mesh.begin()
    at = now_us()
    mesh.net.cut("c1", "b0")
    mesh.go_on(5)
    mesh.net.heal()
    healed = now_us()
    mesh.go_on(3)
    mesh.await_lists()
    history = mesh.end()
    case.excuse_lost(at, at + case.row.bound_ms * MS, is_cut_off, ("BROKER_LOST",))
    lost = [call for call in case.lost("BROKER_LOST") if is_cut_off(call)]
    case.need(lost, "no routed call was in flight")
    for call in lost:
        case.noticed(call.end, at, call.client, "%s ended" % call)
    noticed = min((call.end for call in lost), default=healed)
    history.excuse(["CONNECT_TIMEOUT"], noticed, healed, lambda call: is_cut_off(call) and call.end < healed + RECONNECT_US
                   and call.end - max(call.start, noticed) > CONNECT_US - 50 * MS)
    case.need(any(call.client == "client-1" and call.direct and call.well() and at < call.start < healed
                  for call in history.calls), "no direct call meanwhile")


def is_cut_off(call):
    return call.client == "client-1" and routed(call)


def _worker_cut_off(case, victim, at):
    """The broker notices that the way to a worker is broken: it is delisted, and what it had from the broker ends."""
    had = named(victim)
    case.excuse_lost(at, at + case.row.bound_ms * MS, lambda call: routed(call) and had(call))
    lost = [call for call in case.lost() if routed(call)]
    case.need(lost, "no routed call was in flight")
    for call in lost:
        case.noticed(call.end, at, call.client, "%s ended" % call)
    for client, took in case.history.heard(victim.uuid, "gone", at).items():
        case.noticed(at + took, at, client, "the worker was delisted")
    case.delisted(victim.uuid, at, case.row.bound_ms)


@row("cut-worker", "broker-worker cut", "nft, 6 s: noticed long before the TTL, direct calls finish", bound_ms=4200, calls_min=5000)
def cut_worker(case):
    case.history.on_time = False
    case.mesh.timeout_ms = 8000
    mesh = case.mesh.begin()
    victim = mesh.workers[0]
    at = now_us()
    mesh.net.cut("w0", "b0")
    mesh.go_on(6)
    mesh.net.heal()
    mesh.await_lists()
    mesh.go_on(0.5)
    mesh.end()
    _worker_cut_off(case, victim, at)


def _cut_one_way(case, place, rule):
    case.history.on_time = False
    case.mesh.timeout_ms = 8000
    mesh = case.mesh.begin()
    victim = mesh.workers[0]
    at = now_us()
    mesh.net.filter(place, rule)
    mesh.go_on(6)
    case.check("lost the broker" in victim.said(), "the worker does not notice")
    case.check("worker lost" in mesh.brokers[0].said(), "the broker does not notice")
    mesh.net.heal()
    mesh.await_lists()
    mesh.go_on(0.5)
    mesh.end()
    _worker_cut_off(case, victim, at)


@row("deaf-worker", "one-way cut, broker to worker", "nft, one chain, 6 s: both ends notice", bound_ms=4200, calls_min=5000)
def cut_to_worker(case):
    _cut_one_way(case, "w0", "input ip saddr %s drop" % case.mesh.net.place("b0"))


@row("mute-worker", "one-way cut, worker to broker", "nft, one chain, 6 s: both ends notice", bound_ms=4200, calls_min=5000)
def cut_from_worker(case):
    _cut_one_way(case, "b0", "input ip saddr %s drop" % case.mesh.net.place("w0"))


@row("half-open", "half-open connection", "nft drops client-worker, 5 s: noticed, works after heal", bound_ms=4200, calls_min=4000)
def half_open(case):
    case.history.on_time = False
    case.mesh.timeout_ms = 10000
    mesh = case.mesh.begin()
    victim = mesh.workers[0]
    at = now_us()
    mesh.net.cut("c1", "w0")
    mesh.go_on(5)
    mesh.net.heal()
    healed = now_us()
    await_("client-1 is connected to the worker again", lambda: mesh.net.connections("c1", "w0"))
    mesh.go_on(3)
    history = mesh.end()
    case.excuse_lost(at, at + case.row.bound_ms * MS, lambda call: call.client == "client-1" and call.direct)
    lost = case.lost()
    case.need(lost, "no call was in flight")
    for call in lost:
        case.noticed(call.end, at, call.client, "%s ended" % call)
    case.check(any(call.client == "client-1" and call.direct and call.worker == victim.uuid and call.start > healed
                   for call in history.calls), "client-1 does not call the worker again")


@row("reset", "RST", "ss -K of all connections of a worker, then of the broker: in flight maybe", bound_ms=250, calls_min=1500)
def reset(case):
    case.history.all_hear = False
    mesh = case.mesh.begin(slow_ms=600)
    victim = mesh.workers[0]
    at = now_us()
    mesh.net.reset("w0")
    mesh.go_on(0.6)
    again = now_us()
    mesh.net.reset("b0")
    mesh.go_on(1)
    mesh.await_lists()
    history = mesh.end()
    case.excuse_lost(at, at + 300 * MS, named(victim))
    case.excuse_lost(again, again + 300 * MS, routed, ("WORKER_LOST", "BROKER_LOST"))
    history.excuse(["NO_SERVICE", "NO_WORKERS"], again, again + 300 * MS)  # to the broker it is as if all workers had died
    lost = case.lost("WORKER_LOST", "BROKER_LOST")
    case.need(lost, "no call was in flight")
    for call in lost:
        case.noticed(call.end, at if call.end < again else again, call.client, "%s ended" % call)
    case.check(any(run.pid == victim.pid and run.begin > again + 500 * MS for run in history.runs),
               "nobody calls the worker again")


def _silent_before(mesh):
    """Whether a call may have been lost for want of a sign of life: on the connection that it needed (a client's to a worker or to
    the broker, the broker's to a worker) nothing came through for long, to or fro, shortly before its end. Where packets are lost
    at random that happens now and then; then the transport's heartbeat at that end, or a worker that waits for an answer to its
    beat, gives the connection up, of which the other end hears later."""
    names = {worker.pid: worker.uuid for worker in mesh.workers}
    forth, back = collections.defaultdict(list), collections.defaultdict(list)
    for call in mesh.history.calls:
        for run in call.runs:
            for connection in _passed(call, names[run.pid]):
                forth[connection].append(run.begin)
        if call.well():  # of two attempts it is not known which one the broker passed on
            for connection in _passed(call, call.worker or (names[call.runs[0].pid] if len(call.runs) == 1 else None)):
                back[connection].append(call.end)

    def lost_connection(call):
        worker = next((uuid for uuid in names.values() if uuid == call.worker or uuid in call.text), None)
        return ((call.client, worker) if call.direct else ("broker", worker) if call.status == "WORKER_LOST"
                else (call.client, "broker"))

    def is_silent(call):
        connection = lost_connection(call)
        for way in (forth, back):
            # nobody was silent who had not begun to talk
            since = max(call.end - 3 * SILENCE_US, min(way[connection], default=call.end))
            signs = sorted(at for at in way[connection] if since < at < call.end)
            if max(after - before for before, after in zip([since, *signs], [*signs, call.end])) > SILENCE_US:
                return True
        return False
    return is_silent


def _passed(call, worker):
    """The connections that a call needs."""
    return [(call.client, worker)] if call.direct else [(call.client, "broker"), ("broker", worker)]


def _too_many_at_once(history):
    """Whether more calls of a client ended with one than its budget of retries may pay for: those that may be tried again fail,
    too, but for what never left, which costs nothing."""
    ends = collections.defaultdict(list)
    for call in history.calls:
        if call.status in ("WORKER_LOST", "BROKER_LOST"):
            ends[call.client].append(call.end)

    def is_one_of_many(call):
        return call.executed != "no" and sum(abs(end - call.end) < 50 * MS for end in ends[call.client]) > 50
    return is_one_of_many


def _lose_packets(case, per_cent):
    case.history.on_time = False
    case.mesh.timeout_ms = 15000
    mesh = case.mesh.begin(rate=250)
    at = now_us()
    for place in ("c1", "w0"):
        mesh.net.filter(place, "input numgen random mod 100 < %d drop" % per_cent)
    mesh.go_on(8)
    mesh.net.heal()
    mesh.go_on(1)
    mesh.end()
    is_silent, is_one_of_many = _silent_before(mesh), _too_many_at_once(case.history)
    case.excuse_lost(at, FOREVER, is_silent, statuses=("WORKER_LOST", "BROKER_LOST"))
    case.history.excuse(["WORKER_LOST", "BROKER_LOST"], at, FOREVER, lambda call: is_silent(call) and is_one_of_many(call))
    return at


@row("loss", "loss 5-20 %", "nft drops packets at random at a client and a worker: latency only, while a connection is not silent for 3 s",
     calls_min=3000)
def lose_packets(case):
    _lose_packets(case, 5 + 5 * (case.turn % 4))


@row("loss-30", "loss 30 %", "the same; now and then nothing comes through for 3 s, and a connection counts as lost", calls_min=3000)
def lose_many_packets(case):
    at = _lose_packets(case, 30)
    ends = {call.end for call in case.history.calls if is_cut_off(call) and call.status == "BROKER_LOST"}
    case.history.excuse(["CONNECT_TIMEOUT"], at, FOREVER, lambda call: is_cut_off(call) and any(
        CONNECT_US - 50 * MS < call.end - end < CONNECT_US + RECONNECT_US for end in ends))  # a handshake is lost as well


@row("reorder", "reorder", "wire.py holds each frame of a client, or of a worker, back for 0 to 10 ms: latency only", calls_min=1500)
def reorder_packets(case):
    case.history.on_time = False
    case.mesh.timeout_ms = 15000
    mesh = case.mesh.begin(rate=250)
    wire = mesh.bad_wire(("c1", "w0")[case.turn % 2], 10, 0, case.turn)
    at = now_us()
    mesh.go_on(4)
    wire.kill()
    mesh.net.heal()
    mesh.go_on(0.5)
    history = mesh.end()
    slow = [call for call in history.calls if call.ms == 0 and call.start > at and call.end - call.start > 5 * MS]
    case.need(len(slow) > 100, "the wire held nothing back")


@row("vanish", "over 15 % of heartbeats vanish", "a proxy steals the beats of 2 of 5 workers, 1.85 s, TTL 1.8 s: nobody expires", calls_min=2000)
def vanish_beats(case):
    mesh = case.mesh
    mesh.broker("--ttl-ms", "1800")  # so long that workers, which look for another broker after 3 s, beat again before
    for number in (0, 1):
        endpoint, path = mesh.thief("w%d" % number)
        mesh.worker(brokers=endpoint)
    for worker in [mesh.worker(wait=False) for _ in range(3)]:
        mesh.worker_ready(worker)
    for client in (mesh.client(ways="d"), mesh.client(ways="d")):
        client.await_ready()
    mesh.await_lists()
    mesh.go_on(1.8)  # a broker that has just started expires nobody for one TTL
    open(path, "w").close()
    at = now_us()
    mesh.go_on(1.85)
    os.unlink(path)
    mesh.await_lists()
    mesh.go_on(2)
    broker, history = mesh.brokers[0], mesh.end()
    robbed = {worker.uuid for worker in mesh.workers[:2]}
    silent = {uuid for _, when, uuid, state in history.watched if state == "suspect" and when > at}
    case.need(silent == robbed, "%d of the 2 fell silent" % len(silent))
    case.check("many workers fell silent at once" in broker.said(), "the broker does not say so")
    case.check("no beat for the TTL" not in broker.said(), "workers expired")
    gone = {uuid for _, when, uuid, state in history.watched if state == "gone" and when > at}
    case.check(not gone, "%d workers were delisted" % len(gone))


@row("silent", "a worker's heartbeats vanish", "a proxy steals the beats of 1 of 4 workers, TTL 1.8 s: no connection breaks, and it is delisted",
     bound_ms=2200, calls_min=2000)
def steal_beats(case):
    case.history.all_hear = False
    mesh = case.mesh
    mesh.broker("--ttl-ms", "1800")
    endpoint, path = mesh.thief("w0")
    victim = mesh.worker(brokers=endpoint)
    for worker in [mesh.worker(wait=False) for _ in range(3)]:
        mesh.worker_ready(worker)
    for client in (mesh.client(), mesh.client()):
        client.await_ready()
    mesh.await_lists()
    mesh.go_on(1.9)  # a broker that has just started expires nobody for one TTL
    open(path, "w").close()
    at = now_us()
    mesh.go_on(2.3)
    os.unlink(path)
    mesh.await_lists()
    mesh.go_on(0.5)
    broker, history = mesh.brokers[0], mesh.end()
    case.check("no beat for the TTL" in broker.said(), "the broker does not say why")
    case.check({uuid for _, _, uuid, state in history.watched if state == "gone"} <= {victim.uuid}, "another worker was delisted")
    for client, took in history.heard(victim.uuid, "gone", at).items():
        case.noticed(at + took, at, client, "the worker was delisted")
    case.delisted(victim.uuid, at, case.row.bound_ms)
    case.excuse_lost(at, at + case.row.bound_ms * MS, lambda call: routed(call) and named(victim)(call))


# Clients ----------------------------------------------------------------------------------------------------------

@row("stop-client", "client stops reading", "kill -STOP under load: others unaffected; broker and workers drop it",
     bound_ms=4500, calls_min=3000)
def stop_client(case):
    case.history.all_hear = False
    mesh = case.mesh.begin(slow_ms=100, rate=700)
    slow = mesh.clients[0]
    peers = ["b0"] + ["w%d" % worker.number for worker in mesh.workers]
    case.need(all(mesh.net.connections(place, "c1") for place in peers), "it was not connected everywhere")
    at = slow.stop()
    await_("all dropped the client that does not read",
           lambda: not any(mesh.net.connections(place, "c1") for place in peers))
    case.noticed(now_us(), at, what="all dropped it")
    mesh.go_on(1)
    resumed = slow.go_on()
    mesh.go_on(1.5)
    mesh.await_lists()
    history = mesh.end()
    history.excuse(["WORKER_LOST", "BROKER_LOST", "CONNECT_TIMEOUT", "DEADLINE_EXCEEDED"], at, resumed + 1 * S,
                   lambda call: call.client == slow.name)
    case.check(any(call.client == slow.name and routed(call) and call.well() and call.start > resumed for call in history.calls),
               "it does not call through the broker again")


@row("deaf-client", "client asks on and does not read", "a library in front of recv, 1,500 routed calls a second: others unaffected; "
     "the broker evicts it, and says so", bound_ms=3000, calls_min=3000)
def deafen_client(case):
    case.history.all_hear = False
    mesh = case.mesh
    mesh.timeout_ms = 10000
    mesh.broker("--outbox-max", "256KiB", "--body-max", "64KiB")
    for worker in [mesh.worker(wait=False) for _ in range(3)]:
        mesh.worker_ready(worker)
    control = mesh.control("deaf")
    deaf = mesh.client(ways="b", rate=1500, wrapper=mesh.preload("deaf"), environment={"WEFT_CHAOS_DEAF": control.path})
    for client in (deaf, mesh.client()):
        client.await_ready()
    mesh.await_lists()
    mesh.go_on(0.3)
    broker = mesh.brokers[0]
    control.set(1)
    at = now_us()
    await_("the broker evicts the client that does not read", lambda: "peer evicted" in broker.said())
    evicted = now_us()
    case.noticed(evicted, at, what="it was evicted")
    control.set(0)
    mesh.go_on(1.5)
    mesh.await_lists()
    history = mesh.end()
    evictions = [line for line in broker.said().splitlines() if "peer evicted" in line]
    case.check(len(evictions) == 1 and mesh.net.addresses["c1"] in evictions[0]
               and "does not read what is sent to it" in evictions[0], "evicted were: %s" % evictions)
    is_one_of_many = _too_many_at_once(history)
    history.excuse(["BROKER_LOST"], at, evicted + 300 * MS,
                   lambda call: call.client == deaf.name and (not_again(call) or is_one_of_many(call)))


@row("kill-client", "client dies", "kill -9: its calls are cancelled at the workers", bound_ms=100)
def kill_client(case):
    mesh = case.mesh.begin(slow_ms=1000)
    victim = mesh.clients[0]
    at = victim.kill()
    mesh.go_on(1.2)
    history = mesh.end()
    hers = [run for run in history.runs if run.number >> 40 == 1 and run.begin < victim.killed_us - 10 * MS
            and run.end and run.end > victim.killed_us]
    hers = [run for run in hers if kind_of(run.number) != "Keyed"]  # that goes on: somebody may ask for it again
    polite = [run for run in hers if run.number >> 4 & 1]
    case.need(polite, "no call was in flight")
    for run in polite:
        if run.cancelled:
            case.noticed(run.end, victim.killed_us, what="a call of the client that died was cancelled", dying_us=victim.dying_us)
        else:
            case.check(run.end < at + case.row.bound_ms * MS, "call %x was not cancelled" % run.number)
    for run in hers:
        case.check(run.cancelled or run.end < at + case.row.bound_ms * MS, "call %x was not told" % run.number)


# Clocks -----------------------------------------------------------------------------------------------------------

@row("wall-clock", "wall clock 1 h off", "a library in front of libc's clocks, of all processes: forth, back, back", calls_min=2000)
def wall_clock(case):
    mesh = case.mesh
    clock = mesh.control("clock")
    how = {"wrapper": mesh.preload("clocks"), "environment": {"WEFT_CHAOS_CLOCK": clock.path}}
    mesh.broker(**how)
    for _ in range(3):
        mesh.worker(**how)
    for client in (mesh.client(**how), mesh.client(**how)):
        client.await_ready()
    mesh.await_lists()
    for offset_s in (3600, 0, -3600, 0):
        clock.set(offset_s)
        mesh.go_on(0.7)
    history = mesh.end()
    case.check(not any(state == "gone" for _, _, _, state in history.watched), "a worker was delisted")


@row("time-offset", "monotonic clocks differ between hosts", "unshare -T: broker and workers days apart", calls_min=1500)
def time_offset(case):
    mesh = case.mesh
    case.history.on_time = False
    mesh.broker(wrapper=mesh.offset(1000000))
    for days in (1, 20, 300):
        mesh.worker(wrapper=mesh.offset(days * 86400))
    for client in (mesh.client(), mesh.client()):
        client.await_ready()
    mesh.await_lists()
    mesh.go_on(2.5)
    history = mesh.end()
    case.check(not any(state == "gone" for _, _, _, state in history.watched), "a worker was delisted")


# What a process needs ---------------------------------------------------------------------------------------------

@row("descriptors", "fd limit", "prlimit at the broker: old peers fine, new ones refused, recovers", calls_min=2000)
def descriptors(case):
    mesh = case.mesh.begin()
    broker = mesh.brokers[0]
    broker.limit_descriptors(broker.descriptors() + 1)
    newcomers = [mesh.client(rate=50) for _ in range(3)]
    mesh.go_on(1.5)
    refused = [client for client in newcomers if "ready" not in client.said(client.out_path)]
    case.need(refused, "nobody was refused")
    broker.limit_descriptors(4096)
    for client in newcomers:
        client.await_ready()
    mesh.go_on(0.5)
    mesh.await_lists()
    mesh.end()


@row("memory", "malloc fails", "a library in front of malloc, for the broker's and workers' own code: 1 of 20", calls_min=2000)
def memory(case):
    case.history.all_hear = False
    mesh = case.mesh
    control = mesh.control("memory")
    how = {"wrapper": mesh.preload("memory"), "environment": {"WEFT_CHAOS_MEMORY": control.path}}
    mesh.broker(**how)
    for _ in range(3):
        mesh.worker(**how)
    for client in (mesh.client(), mesh.client()):
        client.await_ready()
    mesh.await_lists()
    control.set(50000)
    at = now_us()
    mesh.go_on(1)
    newcomer = mesh.client(rate=100)
    mesh.go_on(1.5)
    control.set(0)
    until = now_us()
    newcomer.await_ready()
    mesh.go_on(1)
    mesh.await_lists()
    history = mesh.end()
    failed = control.get(1)
    case.need(failed >= 10, "%d allocations failed" % failed)
    history.excuse(["TOO_LARGE"], at, until + 1 * S, lambda call: call.kind == "Keyed" and call.executed == "yes"
                   and "no room to remember the reply" in call.text)  # for one who asks again: it was done
    # no memory for a reply, or an item: OVERLOADED would say that nothing ran
    history.excuse(["INTERNAL"], at, until + 1 * S, lambda call: call.executed == "yes")
    history.excuse(["OVERLOADED"], at, until + 1 * S, used_up)
    case.excuse_lost(at, until + 1 * S, statuses=("WORKER_LOST", "BROKER_LOST"))


@row("log-full", "log disk full", "stderr of broker and workers, at level debug, on a full 64 KiB tmpfs", calls_min=1500)
def log_full(case):
    mesh = case.mesh
    disk = mesh.small_disk("64k")
    flags = ("--log-level", "debug")
    mesh.broker(*flags, err_folder=disk)
    for _ in range(3):
        mesh.worker(*flags, err_folder=disk)
    with open(disk + "/rest", "wb", buffering=0) as rest:
        try:
            while True:
                rest.write(b"x" * 1024)
        except OSError:
            pass
    for client in (mesh.client(), mesh.client()):
        client.await_ready()
    mesh.await_lists()
    mesh.go_on(2)
    mesh.end()


# Restarts ---------------------------------------------------------------------------------------------------------

@row("rolling", "rolling restart of all workers", "each is replaced, 3 times around: no failed call", calls_min=2000)
def rolling_workers(case):
    mesh = case.mesh.begin()
    for _ in range(3):
        for old in list(mesh.workers):
            mesh.worker(number=old.number)
            old.signal(signal.SIGTERM)
            case.check(old.wait() == 0, "%s did not end with 0" % old.name)
            mesh.workers.remove(old)
            mesh.go_on(0.05)
    mesh.await_lists()
    mesh.end()


@row("rolling-broker", "rolling restart of two brokers", "each is told to stop and started again: no failed call", calls_min=2000)
def rolling_brokers(case):
    case.history.all_hear = False
    mesh = case.mesh
    endpoints = ["tcp://%s:%d" % (mesh.net.place("b%d" % number), 5555 + number) for number in (0, 1)]
    for number in (0, 1):
        mesh.broker("--peer-brokers", endpoints[1 - number], number=number)
    for worker in [mesh.worker(wait=False) for _ in range(3)]:
        mesh.worker_ready(worker)
    for client in (mesh.client(), mesh.client()):
        client.await_ready()
    mesh.go_on(0.5)
    for number in (0, 1):
        old = mesh.brokers[number]
        old.signal(signal.SIGTERM)
        case.check(old.wait() == 0, "%s did not end with 0" % old.name)
        mesh.go_on(1)
        mesh.broker("--peer-brokers", endpoints[1 - number], number=number)
        mesh.go_on(1)
    mesh.end()


@row("mass", "mass reconnect", "the broker of 1,000 workers is killed and started again: all are back", bound_ms=10000, calls_min=1500)
def mass_reconnect(case):
    case.history.all_hear = False
    mesh = case.mesh
    mesh.broker()
    for crowd in [mesh.crowd(250, "w%d" % number) for number in range(4)]:
        crowd.await_ready()
    for client in (mesh.client(ways="b"), mesh.client(ways="b")):
        client.await_ready()
    mesh.await_listed(1000)
    mesh.go_on(0.5)
    mesh.brokers[0].kill()
    mesh.go_on(0.3)
    mesh.broker()
    back = now_us()
    mesh.await_listed(1000)
    listed = now_us()
    case.noticed(listed, back, what="all were back")
    mesh.go_on(2)
    history = mesh.end()
    history.behind = (mesh.brokers[0].killed_us, listed + 1 * S)  # the threads of 1,000 workers wait for the processor, all at once
    history.excuse([*ABSENT, "NO_SERVICE", "NO_WORKERS"], mesh.brokers[0].killed_us, back + 2 * S)
