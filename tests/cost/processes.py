# SPDX-License-Identifier: MPL-2.0
"""A broker, a worker and a client as real processes under callgrind, with calls between them.

What a call takes is what a run with many takes more than one with few: starting, registering and stopping are in both.

A call alone takes the client and the broker nearly the same each time: a few percent more or less, as somebody is asleep
or not when something comes for him. Who shares a frame or a wake-up with whom, when there are more at once or when threads
of a pool are involved, depends on who happens to be ahead; those are shown when they are named, and not compared with
budgets.
"""

import os
import signal
import subprocess
import tempfile
import time

import callgrind

FEW, MANY = 256, 1280
PATIENCE = 60.0

# Name of a cost: who, by which way, how many calls at once.
COMPARED = {"process.%s.%s" % (who, way): (who, way, 1)
            for who, way in (("client", "direct"), ("client", "routed"), ("broker", "routed"))}
SHOWN = {"process.%s.%s" % (who, way): (who, way, 1) for who, way in (("worker", "direct"), ("worker", "routed"))}
SHOWN.update({name + ".64": (who, way, 64) for name, (who, way, _) in {**COMPARED, **SHOWN}.items()})
ALL = {**COMPARED, **SHOWN}


def await_line(path, text, process):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if text in line:
                    return line
        time.sleep(0.01)
    with open(path, encoding="utf-8") as lines:
        callgrind.fail("no \"%s\" from %s:\n%s" % (text, process.args[-1], lines.read()))


def run(programs, counted, way, window, calls):
    """Profiles of those that are to be counted: {who: Profile}."""
    with tempfile.TemporaryDirectory(prefix="weft-cost-") as folder:
        environment = callgrind.environment(XDG_RUNTIME_DIR=folder)
        running = []

        def start(who, *command):
            with open(os.path.join(folder, who), "w", encoding="utf-8") as log:
                wrapper = callgrind.under(os.path.join(folder, who + ".profile")) if who in counted else ()
                process = subprocess.Popen([*wrapper, *command],
                                           env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            running.append(process)
            return os.path.join(folder, who), process

        try:
            log, broker = start("broker", programs + "/weft-cost-broker", "--bind", "tcp://127.0.0.1:*")
            endpoint = await_line(log, "ready", broker).split()[3]
            start("worker", programs + "/weft-cost-traffic", "worker", endpoint)
            await_line(log, "worker joined", broker)
            log, client = start("client", programs + "/weft-cost-traffic", "client", endpoint, way, str(window), str(calls))
            if client.wait(PATIENCE) != 0:
                with open(log, encoding="utf-8") as said:
                    callgrind.fail("the client failed:\n" + said.read())
            for process in reversed(running[:2]):
                process.send_signal(signal.SIGTERM)
                if process.wait(PATIENCE) != 0:
                    callgrind.fail("%s ended with %d" % (process.args[-1], process.returncode))
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        return {who: callgrind.read(os.path.join(folder, who + ".profile")) for who in counted}


def count(programs, names):
    """{name: Profile of one call}."""
    profiles = {}
    for way, window in sorted({ALL[name][1:] for name in names}):
        counted = {ALL[name][0]: name for name in names if ALL[name][1:] == (way, window)}
        few, many = (run(programs, counted, way, window, calls) for calls in (FEW, MANY))
        for who, name in counted.items():
            profiles[name] = many[who].per_call(MANY - FEW, few[who])
    return {name: profiles[name] for name in names}
