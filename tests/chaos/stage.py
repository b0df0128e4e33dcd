# SPDX-License-Identifier: MPL-2.0
"""A real mesh, each process in a network namespace of its own, on a bridge; and the ways to hurt it.

All of it lives in the namespaces that `run` made (processes, mounts, network), so nothing outlives it.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time

import history

ROOT = "/run/chaos"
HERE = os.path.dirname(os.path.abspath(__file__))
WIRE, THIEF = os.path.join(HERE, "wire.py"), os.path.join(HERE, "thief.py")
PATIENCE_S = 20.0
STEP_S = 0.002
SIGNS = ("Assertion", "AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:")


class Unavailable(Exception):
    """What this machine lacks, in one line: the row cannot be run here."""


class Broken(Exception):
    """The mesh did not even get going, or the fault could not be made."""


def now_us():
    return time.monotonic_ns() // 1000


def await_(what, condition, patience_s=PATIENCE_S):
    """The first true value of condition ()."""
    end = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Broken("waited in vain until " + what)
        time.sleep(STEP_S)


def command(*words, unavailable=None):
    """Runs a command. Fails as Unavailable if that is what it means."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        raise Unavailable("no program %s" % words[0]) from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        why = "%s: %s" % (" ".join(words[:3]), said[0] if said else "failed")
        raise (Unavailable if unavailable else Broken)(unavailable + " (" + why + ")" if unavailable else why)
    return done.stdout


class Net:
    """Namespaces on a bridge, made when first asked for and kept for all runs."""

    def __init__(self):
        self.addresses, self.hurt, self.wires = {}, set(), []
        command("ip", "link", "set", "lo", "up")
        command("ip", "link", "add", "name", "hub", "type", "bridge", unavailable="no bridges in this kernel")
        command("ip", "link", "set", "hub", "up")

    def place(self, name):
        """The address of a namespace."""
        if name not in self.addresses:
            address = "10.77.%d.%d" % divmod(len(self.addresses) + 1, 256)
            command("ip", "netns", "add", name, unavailable="no network namespaces")
            command("ip", "link", "add", "name", "v" + name, "type", "veth", "peer", "name", "eth0", "netns", name,
                    unavailable="no veth in this kernel")
            command("ip", "link", "set", "v" + name, "master", "hub", "up")
            command("ip", "-n", name, "link", "set", "lo", "up")
            command("ip", "-n", name, "link", "set", "eth0", "up")
            command("ip", "-n", name, "address", "add", address + "/16", "dev", "eth0")
            self.addresses[name] = address
        return self.addresses[name]

    def filter(self, name, *rules):
        """Adds rules, "CHAIN RULE" with chain input or output, to a namespace's filter."""
        lines = ["add table inet chaos"]
        for chain in ("input", "output"):
            lines.append("add chain inet chaos %s { type filter hook %s priority 0; }" % (chain, chain))
        lines += ["add rule inet chaos " + rule for rule in rules]
        self.hurt.add(name)
        command("ip", "netns", "exec", name, "nft", "; ".join(lines), unavailable="nft cannot filter here")

    def cut(self, name, other):
        """No packet passes between two namespaces, either way."""
        self.filter(name, "input ip saddr %s drop" % self.addresses[other], "output ip daddr %s drop" % self.addresses[other])

    def open_wire(self, name):
        """Puts a place's cable into our hands: the interfaces of its two new ends."""
        near, far, hub = "v" + name, "x" + name, "y" + name
        command("ip", "link", "add", "name", far, "type", "veth", "peer", "name", hub)
        command("ip", "link", "set", near, "nomaster")
        command("ip", "link", "set", hub, "master", "hub")
        for interface in (far, hub):
            command("ip", "link", "set", interface, "up")
            command(sys.executable, WIRE, "--plain", interface)
        command(sys.executable, WIRE, "--plain", near)
        command("ip", "netns", "exec", name, sys.executable, WIRE, "--plain", "eth0")
        self.wires.append((name, near, far))
        return near, far

    def connections(self, name, other):
        """How many established connections a place has to another."""
        return len(command("ip", "netns", "exec", name, "ss", "-Htn", "state", "established", "dst",
                           self.addresses[other]).splitlines())

    def reset(self, name):
        """Every connection of a namespace is reset, at both ends."""
        command("ip", "netns", "exec", name, "ss", "-K", "-t", "state", "established", unavailable="ss cannot kill sockets")

    def heal(self):
        for name in self.hurt:
            command("ip", "netns", "exec", name, "nft", "delete table inet chaos")
        self.hurt.clear()
        for _, near, far in self.wires:
            command("ip", "link", "del", far)
            command("ip", "link", "set", near, "master", "hub")
        self.wires.clear()


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """`expected`: exit codes with which it may end; None: it may not end by itself."""

    def __init__(self, mesh, name, words, place, environment=None, wrapper=(), err_folder=None):
        self.mesh, self.name, self.place = mesh, name, place
        self.out_path, self.err_path = (os.path.join(mesh.folder, name + end) for end in (".out", ".err"))
        if err_folder:
            self.err_path = os.path.join(err_folder, name + ".err")
        self.killed = False
        enter = ["ip", "netns", "exec", place] if place else []
        with open(self.out_path, "w") as out, open(self.err_path, "a") as err:
            self.popen = subprocess.Popen([*enter, *wrapper, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                          cwd=mesh.folder, env={**mesh.environment, **(environment or {})},
                                          preexec_fn=_die_with_parent)
        self.pid = self.popen.pid

    def said(self, path=None):
        with open(path or self.err_path, errors="replace") as file:
            return file.read()

    def await_ready(self):
        """The words of its ready line."""
        def look():
            for line in self.said(self.out_path).splitlines():
                if "ready" in line.split():
                    return line.split()
            if self.popen.poll() is not None:
                raise Broken("%s did not get ready: %s" % (self.name, (self.said().strip().splitlines() or ["?"])[-1]))
            return None
        return await_("%s is ready" % self.name, look)

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        """Sends it; the time at which that was, in microseconds."""
        at = now_us()
        if self.running():
            self.popen.send_signal(number)
        return at

    def kill(self):
        """The time of it is that of its death: a busy machine may take long to let it die. Its connections end before."""
        self.killed = True
        self.killed_us = self.signal(signal.SIGKILL)
        self.popen.wait()
        died = now_us()
        self.dying_us = died - self.killed_us
        return died

    def stop(self):
        return self.signal(signal.SIGSTOP)

    def go_on(self):
        return self.signal(signal.SIGCONT)

    def rest(self):
        """A client starts no more calls until it is told again."""
        return self.signal(signal.SIGUSR1)

    def wait(self, patience_s=PATIENCE_S):
        """Its exit code; None if it does not end."""
        try:
            return self.popen.wait(patience_s)
        except subprocess.TimeoutExpired:
            return None

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def limit_descriptors(self, count):
        command("prlimit", "--pid", str(self.pid), "--nofile=%d:" % count)

    def fault(self):
        """What it said of a fault of its own; None."""
        for line in self.said().splitlines():
            if any(sign in line for sign in SIGNS):
                return line
        return None


class Control:
    """Two numbers that a library in front of a process reads, and writes, all the time."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.write(bytes(16))

    def set(self, number):
        with open(self.path, "r+b") as file:
            file.write(number.to_bytes(8, sys.byteorder, signed=True))

    def get(self, index):
        with open(self.path, "rb") as file:
            return int.from_bytes(file.read()[index * 8:index * 8 + 8], sys.byteorder, signed=True)


class Mesh:
    """A broker, workers that serve Job and clients that call it. `clients_of` says what each asks for."""

    count = 0

    def __init__(self, net, build):
        Mesh.count += 1
        self.net, self.build = net, build
        self.folder = os.path.join(ROOT, "mesh%d" % Mesh.count)
        os.makedirs(self.folder)
        self.runs_log = history.Log(os.path.join(self.folder, "runs"))
        self.environment = {**os.environ, "TMPDIR": self.folder, "XDG_RUNTIME_DIR": self.folder,
                            "WEFT_CHAOS_LOG": self.runs_log.path}
        self.processes, self.brokers, self.workers, self.clients = [], [], [], []
        self.endpoints, self.disks, self.crowds, self.thieves = "", [], [], []
        self.history = history.History()
        self.started = 0
        self.timeout_ms = 3000

    def _next(self):
        """A number for a process that no other one had."""
        self.started += 1
        return self.started - 1

    def _program(self, name):
        return os.path.join(self.build, name)

    def _start(self, name, words, place, **how):
        process = Process(self, name, words, place, **how)
        self.processes.append(process)
        return process

    # Processes

    def broker(self, *flags, number=0, local=False, wait=True, **how):
        place = None if local else "b%d" % number
        endpoint = "tcp://%s:%d" % ("127.0.0.1" if local else self.net.place(place), 5555 + number)
        process = self._start("broker-%d" % self._next(),
                              [self._program("weft-broker"), "--bind", endpoint, "--allow-hosts", "10.77.0.0/16", *flags],
                              place, **how)
        process.endpoint = endpoint
        self.brokers.append(process)
        if endpoint not in self.endpoints.split(","):
            self.endpoints = ",".join(filter(None, [self.endpoints, endpoint]))
        if wait:
            process.await_ready()
        return process

    def worker(self, *flags, number=None, local=False, wait=True, environment=None, brokers=None, **how):
        number = len(self.workers) if number is None else number
        place = None if local else "w%d" % number
        if place:
            self.net.place(place)
        words = [self._program("weft-worker"), "--broker", brokers or self.endpoints, "--load", self._program("tests/chaos_jobs.so"),
                 "--concurrency", "32", *flags]
        if not local:
            words += ["--bind", "tcp://*:0"]
        process = self._start("worker-%d" % self._next(), words, place, environment=environment, **how)
        process.number = number
        self.workers.append(process)
        if wait:
            self.worker_ready(process)
        return process

    def worker_ready(self, process):
        process.uuid = process.await_ready()[2]
        return process

    def client(self, ways="dba", kinds="0012344558879", rate=500, slow_ms=300, local=False, endpoints=None, **how):
        number = len(self.clients) + 1
        place = None if local else "c%d" % number
        if place:
            self.net.place(place)
        log = os.path.join(self.folder, "calls-%d" % number)
        process = self._start("client-%d" % number,
                              [self._program("tests/weft-chaos-load"), str(number), endpoints or self.endpoints, log, str(rate),
                               str(slow_ms), str(self.timeout_ms), ways, kinds], place, **how)
        process.log = history.Log(log)
        process.ways = ways
        self.clients.append(process)
        return process

    def begin(self, clients=2, workers=3, local=False, broker_flags=(), worker_flags=(), **client):
        """The usual mesh, going."""
        self.broker(*broker_flags, local=local)
        for worker in [self.worker(*worker_flags, local=local, wait=False) for _ in range(workers)]:
            self.worker_ready(worker)
        for process in [self.client(local=local, **client) for _ in range(clients)]:
            process.await_ready()
        self.await_lists()
        self.go_on(0.3)
        return self

    def preload(self, shim):
        """What a process is started with to have one of shims/ in front of libc."""
        return "env", "LD_PRELOAD=" + self._program("tests/chaos_%s.so" % shim)

    def control(self, name):
        return Control(os.path.join(self.folder, "control-" + name))

    def offset(self, seconds):
        """What a process is started with to have a monotonic clock of its own."""
        command("unshare", "-T", "--monotonic", "1", "true", unavailable="no time namespaces")
        return "unshare", "-T", "--monotonic", str(seconds)

    def small_disk(self, size):
        path = os.path.join(self.folder, "disk")
        os.mkdir(path)
        command("mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs", path, unavailable="no tmpfs")
        self.disks.append(path)
        return path

    def await_listed(self, count):
        """Until the broker itself lists so many workers."""
        def listed():
            done = subprocess.run([*(["ip", "netns", "exec", "c1"] if "c1" in self.net.addresses else []),
                                   self._program("weft"), "-b", self.endpoints, "workers", "-q"],
                                  capture_output=True, text=True, env=self.environment)
            return len(done.stdout.splitlines()) == count
        await_("%d workers are listed" % count, listed)

    def bad_wire(self, place, delay_max_ms, loss_per_cent, seed):
        """Frames from and to a place overtake each other from now on, until it is killed."""
        near, far = self.net.open_wire(place)
        process = self._start("wire-%d" % self._next(),
                              [sys.executable, WIRE, near, far, str(delay_max_ms), str(loss_per_cent), str(seed)], None)
        process.await_ready()
        return process

    def thief(self, place):
        """A door to the broker, for those of that place, that steals beats while the file is there; its endpoint and the file."""
        self.net.place(place)
        path = os.path.join(self.folder, "steal")
        host, port = self.brokers[0].endpoint[len("tcp://"):].split(":")
        process = self._start("thief-%d" % self._next(), [sys.executable, THIEF, "6000", host, port, path], place)
        process.await_ready()
        self.thieves.append(process)
        return "tcp://127.0.0.1:6000", path

    def crowd(self, count, place):
        """So many workers in one process, for routed calls alone."""
        self.net.place(place)
        process = self._start("crowd-%d" % self._next(),
                              [self._program("tests/weft-chaos-crowd"), str(count), self.endpoints,
                               self._program("tests/chaos_jobs.so")], place)
        self.crowds.append(process)
        return process

    # Time

    def go_on(self, seconds):
        """Lets it run: how long calls go on is what a fault is made of, not a wait for something."""
        time.sleep(seconds)

    def alive(self):
        return {worker.uuid for worker in self.workers if worker.running()}

    def await_lists(self, patience_s=PATIENCE_S, clients=None):
        """Until every client's list has exactly the workers that live; how long that took, in ms."""
        start = time.monotonic()

        def right(client):
            view = history.last_view(client.log.read())
            return {uuid for uuid, state in view.items() if state not in ("suspect", "draining")} == self.alive()
        for client in self.clients if clients is None else clients:
            if client.running():
                await_("%s lists the workers that live" % client.name, lambda: right(client), patience_s)
        return (time.monotonic() - start) * 1000

    # The end

    def end(self):
        """Stops everything in order; the history, read but not judged."""
        self.net.heal()
        for process in self.processes:
            process.go_on()
        self._stop(self.clients)
        for crowd in self.crowds:  # to drain them one by one takes long, and shows nothing
            crowd.kill()
        self._stop(self.workers)
        self._stop(self.brokers)
        for thief in self.thieves:
            thief.kill()
        for client in self.clients:
            self.history.read_client(client.name, client.log.read(), client.killed)
        self.history.read_worker(self.runs_log.read())
        self.history.killed_pids |= {worker.pid for worker in self.workers + self.crowds if worker.killed}
        self.history.join()
        return self.history

    def _stop(self, processes):
        for process in processes:
            process.signal(signal.SIGTERM)
        for process in processes:
            self._bury(process)

    def _bury(self, process):
        code = process.wait(30)
        if code is None:
            self.history.say_wrong("%s does not end" % process.name)
            process.kill()
        elif not process.killed and code != 0:
            said = process.said().strip().splitlines()
            self.history.say_wrong("%s ended with %d: %s" % (process.name, code, said[-1] if said else "it said nothing"))
        if process.fault():
            self.history.say_wrong("%s says: %s" % (process.name, process.fault()))

    def clean(self, keep=None):
        self.net.heal()
        for process in self.processes:
            if process.running():
                process.go_on()
                process.kill()
        for disk in self.disks:
            command("umount", disk)
        if keep:
            os.makedirs(os.path.join(keep, os.path.basename(self.folder)), exist_ok=True)
            for entry in os.scandir(self.folder):
                if entry.is_file(follow_symlinks=False):
                    shutil.copy(entry.path, os.path.join(keep, os.path.basename(self.folder)))
        shutil.rmtree(self.folder, ignore_errors=True)


def complain(text):
    print(text, file=sys.stderr, flush=True)
