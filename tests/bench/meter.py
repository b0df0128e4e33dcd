# SPDX-License-Identifier: MPL-2.0
"""Starts servers and loaders, opens the window, and adds up what was used inside it.

Loaders write each call's latency into memory that is mapped here too (load.h says how it is laid out) and read there
whether the window is open. It opens a little after each of them has said, by an eventfd, that it has had an answer. The processor's time is that of all
processes of the chain, client and servers, by their own clocks; kernel work that is on no process's account is seen
only in the time during which the machine was not idle, which is right when nothing else runs.
"""

import array
import mmap
import os
import select
import socket
import subprocess
import sys
import threading
import time

HEAD_SIZE, LANE_SIZE, LANES_MAX, BUCKETS = 4096, 16384, 1024, 3968
NOTHING = bytes(BUCKETS * 4)
MEASURED, OVER = 1, 2
PATIENCE_S = 20  # for a server or a loader to get ready, and to end

DIE_WITH_US = ["setpriv", "--pdeathsig", "KILL"]


class Failed(Exception):
    """What went wrong, in one line."""


def _process_cpu_us(pid):
    try:
        return time.clock_gettime_ns(~pid << 3 | 2) / 1000  # the clock of another process, as in clock_getcpuclockid
    except OSError:
        raise Failed("process %d is gone" % pid) from None


def _machine_idle_us():
    with open("/proc/stat") as file:
        words = file.readline().split()
    return (int(words[4]) + int(words[5])) * 1e6 / os.sysconf("SC_CLK_TCK")


def _last_line(path):
    with open(path, errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


class _Output(threading.Thread):
    """Reads what a server says as long as it runs: when it is ready, and what it said last."""

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self.pipe, self.is_ready, self.last, self.told = pipe, False, "it said nothing", threading.Event()
        self.start()

    def run(self):
        for line in self.pipe:
            self.last = line.strip()[:200] or self.last
            if "ready" in line.split():
                self.is_ready = True
                self.told.set()
        self.told.set()  # it has ended


class Chain:
    """The processes that stand between a client and its answer. `{at}` in a command is their address, host:port."""

    def __init__(self, *commands):
        self.commands, self.processes, self.outputs, self.at = commands, [], [], ""
        self.folder = self.environment = None

    def start(self, folder, environment):
        self.folder, self.environment = folder, environment
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.at = "127.0.0.1:%d" % free.getsockname()[1]
        for command in self.commands:
            self._start(command.format(at=self.at, port=self.at.split(":")[1]).split())

    def _start(self, words):
        """Until it says that it is ready, as all of them do: ours, weft-broker, and nats-server in its log."""
        process = subprocess.Popen(DIE_WITH_US + words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace", cwd=self.folder,
                                   env=self.environment)
        output = _Output(process.stdout)
        self.processes.append(process)
        self.outputs.append(output)
        output.told.wait(PATIENCE_S)
        if not output.is_ready:
            raise Failed("%s did not get ready: %s" % (os.path.basename(words[0]), output.last))

    def restart(self):
        self.stop()
        self.start(self.folder, self.environment)

    def stop(self):
        for process in self.processes:
            process.kill()
        for process, output in zip(self.processes, self.outputs):
            process.wait()
            output.join()
            process.stdout.close()
        self.processes, self.outputs = [], []

    def cpu_us(self):
        return sum(_process_cpu_us(process.pid) for process in self.processes)


class Window:
    """The memory shared with the loaders of one measurement, and where each says that it has had an answer."""

    def __init__(self):
        self.answers = os.eventfd(0, os.EFD_CLOEXEC)
        self.descriptor = os.memfd_create("bench")
        os.ftruncate(self.descriptor, HEAD_SIZE + LANE_SIZE * LANES_MAX)
        self.memory = mmap.mmap(self.descriptor, 0)

    def close(self):
        self.memory.close()
        os.close(self.descriptor)
        os.close(self.answers)

    def set_phase(self, phase):
        self.memory[0:1] = bytes([phase])  # the other bytes stay 0

    def _lanes(self):
        for lane in range(int.from_bytes(self.memory[4:8], sys.byteorder)):
            at = HEAD_SIZE + lane * LANE_SIZE
            yield self.memory[at:at + BUCKETS * 4]

    def is_empty(self):
        return all(lane == NOTHING for lane in self._lanes())

    def histogram(self):
        total = [0] * BUCKETS
        for lane in self._lanes():
            for bucket, count in enumerate(array.array("I", lane)):
                if count:
                    total[bucket] += count
        return total


def bucket_us(bucket):
    """The middle of a bucket, in microseconds."""
    if bucket < 256:
        return bucket / 1000
    power = bucket // 128 + 6
    width = 1 << (power - 7)
    return ((128 + bucket % 128) * width + width / 2) / 1000


def quantile_us(histogram, quantile):
    rank, seen = quantile * (sum(histogram) - 1), 0
    for bucket, count in enumerate(histogram):
        seen += count
        if seen > rank:
            return bucket_us(bucket)
    return 0.0


class _Loaders:
    def __init__(self, command, count, window, folder, environment):
        self.errors = os.path.join(folder, "loader.err")
        self.processes, self.ends = [], []  # an end can be read when its process has ended
        environment = {**environment, "BENCH_METER": str(window.descriptor), "BENCH_ANSWERS": str(window.answers)}
        with open(self.errors, "w") as errors:
            for _ in range(count):
                self.processes.append(subprocess.Popen(
                    DIE_WITH_US + command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, cwd=folder,
                    env=environment, pass_fds=[window.descriptor, window.answers]))
                self.ends.append(os.pidfd_open(self.processes[-1].pid))

    def await_answers(self, window):
        end, missing = time.monotonic() + PATIENCE_S, len(self.processes)
        while missing > 0:
            told, _, _ = select.select([window.answers, *self.ends], [], [], max(0, end - time.monotonic()))
            if window.answers in told:
                missing -= os.eventfd_read(window.answers)
            else:
                self.check()
                raise Failed(("a loader ended: " if told else "no answer: ") + _last_line(self.errors))

    def check(self):
        for process in self.processes:
            if process.poll() not in (None, 0):
                raise Failed(_last_line(self.errors))

    def await_end(self):
        end = time.monotonic() + PATIENCE_S
        for process_end in self.ends:
            told, _, _ = select.select([process_end], [], [], max(0, end - time.monotonic()))
            self.check()
            if not told:
                raise Failed("calls were lost: they had no answer within %d s" % PATIENCE_S)

    def cpu_us(self):
        return sum(_process_cpu_us(process.pid) for process in self.processes)

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for process_end in self.ends:
            os.close(process_end)


def measure(chain, command, clients, warm_s, window_s):
    """Runs so many loaders against a chain; what they did in the window, as a dict of columns."""
    window = Window()
    loaders = None
    try:
        loaders = _Loaders(command.format(at=chain.at).split(), clients, window, chain.folder, chain.environment)
        loaders.await_answers(window)
        time.sleep(warm_s)
        before = loaders.cpu_us(), chain.cpu_us(), _machine_idle_us()
        window.set_phase(MEASURED)
        start_s = time.monotonic()
        time.sleep(window_s)
        while window.is_empty() and time.monotonic() < start_s + PATIENCE_S:  # it was too short
            loaders.check()
            time.sleep(window_s)
        after = loaders.cpu_us(), chain.cpu_us(), _machine_idle_us()
        window.set_phase(OVER)
        took_us = (time.monotonic() - start_s) * 1e6
        client_us, server_us, idle_us = (now - then for now, then in zip(after, before))
        loaders.await_end()
        histogram = window.histogram()
    finally:
        if loaders:
            loaders.stop()
        window.close()
    calls = sum(histogram)
    if calls == 0:
        raise Failed("no call ended in the window")
    return {
        "calls": calls, "calls_s": calls * 1e6 / took_us,
        "p50_us": quantile_us(histogram, 0.5), "p99_us": quantile_us(histogram, 0.99),
        "p999_us": quantile_us(histogram, 0.999),
        "cpu_us": (client_us + server_us) / calls, "client_us": client_us / calls, "server_us": server_us / calls,
        "machine_us": max(0.0, took_us * os.cpu_count() - idle_us) / calls,
    }
