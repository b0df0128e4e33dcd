# SPDX-License-Identifier: MPL-2.0
"""Real processes for the tests: a broker, workers, the CLI; and peers that speak the wire by hand."""

import glob
import os
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

from weft import wire
from weft import Link

GUARD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "guard")
PATIENCE = 20.0  # seconds that anything may take before a test gives up


def program(name):
    build = os.environ.get("WEFT_BUILD_DIR", "")
    for path in glob.glob(build + "/**/" + name, recursive=True) if build else ():
        if os.path.isfile(path) and (name.endswith(".so") or os.access(path, os.X_OK)):
            return path
    raise AssertionError("no %s under WEFT_BUILD_DIR (%s)" % (name, build or "not set"))


def await_(what, condition, patience=PATIENCE):
    """The first true value of condition()."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited in vain until " + what)
        time.sleep(0.01)


class Process:
    """A program; `words` is its ready line."""

    def __init__(self, folder, name, *args, env=None):
        self.errors = open(os.path.join(folder, "%s-%d.err" % (name, len(os.listdir(folder)))), "w+")
        self.popen = subprocess.Popen([program(name), *args], stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                      env={**os.environ, "TMPDIR": folder, "XDG_RUNTIME_DIR": folder, **(env or {})})
        timer = threading.Timer(PATIENCE, self.popen.kill)
        timer.start()
        self.words = self.popen.stdout.readline().split()
        timer.cancel()
        if self.words[:2] != [name, "ready"]:
            self.kill()
            raise AssertionError("%s did not get ready: %s\n%s" % (name, " ".join(self.words), self.said()))
        self.uuid, self.endpoints = self.words[2], self.words[3:]

    def said(self):
        self.errors.seek(0)
        return self.errors.read()[-3000:]

    def running(self):
        return self.popen.poll() is None

    def rss_kb(self):
        with open("/proc/%d/status" % self.popen.pid) as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def kill(self):
        if self.running():
            self.popen.kill()
        self.popen.wait()
        self.popen.stdout.close()

    def stop(self):
        """SIGTERM; its exit code."""
        self.popen.terminate()
        return self.popen.wait(PATIENCE)


class Peer(Link):
    """A connection whose every record is said by hand."""

    def __init__(self, endpoint, hello=True, **how):
        super().__init__(endpoint, hello=hello, **how)
        self.waiting = []

    def say(self, kind, *fields):
        self.add(kind, *fields)
        self.flush()
        return self

    def throw(self, *frames):
        """Sends these bytes, whatever they are."""
        self.flush()
        self.socket.send_multipart(frames)
        return self

    def hear(self, *kinds, patience=PATIENCE):
        """The fields of the next record of one of these kinds; the others before it are dropped."""
        end = time.monotonic() + patience
        while True:
            while self.waiting:
                kind, *fields = self.waiting.pop(0)
                if kind in kinds:
                    return fields
            self.waiting = self.receive(end - time.monotonic())
            if not self.waiting and (self.lost or time.monotonic() > end):
                raise AssertionError("%s: no %s" % ("connection lost" if self.lost else "waited in vain", kinds))

    def replies(self, count):
        """The next replies by id: (status, body, info)."""
        found = {}
        while len(found) < count:
            id, status, body, *more = self.hear(wire.REPLY)
            assert id not in found, "two replies to %d" % id
            found[id] = (status, body, more[0] if more else {})
        return found


class Mesh(unittest.TestCase):
    """Each test has a broker of its own and ends all it started."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="weft-interop-")
        self.post_guard()
        self.addCleanup(shutil.rmtree, self.folder)
        self.processes = []
        self.broker = self.start("weft-broker", "--bind", "tcp://127.0.0.1:*")
        self.endpoint = self.broker.endpoints[0]

    def post_guard(self):
        """Has somebody clean up after us if we are killed."""
        theirs, ours = os.pipe()
        self.addCleanup(os.close, ours)
        subprocess.run(["setsid", "-f", GUARD, self.folder], stdin=theirs, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True)
        os.close(theirs)

    def start(self, name, *args, **how):
        process = Process(self.folder, name, *args, **how)
        self.processes.append(process)
        self.addCleanup(process.errors.close)
        self.addCleanup(process.kill)
        return process

    def worker(self, *args, **how):
        """A C worker with the testing services."""
        return self.start("weft-worker", "--broker", self.endpoint, "--load", program("testing.so"), *args, **how)

    def keep(self, one):
        """Closes (or stops) it when the test ends."""
        self.addCleanup(getattr(one, "stop", None) or one.close)
        return one

    def peer(self, endpoint=None, **how):
        return self.keep(Peer(endpoint or self.endpoint, **how))
