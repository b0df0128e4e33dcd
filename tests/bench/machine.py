# SPDX-License-Identifier: MPL-2.0
"""What a measurement should say about where it was made."""

import os
import platform
import subprocess
import time


def _said(*words, cwd=None):
    try:
        return subprocess.run(words, capture_output=True, text=True, cwd=cwd, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _commit(house):
    commit = _said("git", "rev-parse", "--short=12", "HEAD", cwd=house)
    changed = _said("git", "status", "--porcelain", "--untracked-files=no", cwd=house)
    return (commit or "unknown") + (" with changes" if changed else "")


def _processor():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def _clock_ns():
    """What one reading of the clock takes, roughly: Python's own share is in it."""
    count = 200000
    start = time.perf_counter_ns()
    for _ in range(count):
        time.monotonic_ns()
    return (time.perf_counter_ns() - start) // count


def facts(house):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _commit(house),
        "processor": "%s, %d cores" % (_processor(), os.cpu_count()),
        "memory": "%.0f GiB" % memory,
        "kernel": platform.release(),
        "load before": "%.2f" % os.getloadavg()[0],
        "clock": "%d ns a reading, from Python" % _clock_ns(),
        "gcc": _said("gcc", "-dumpfullversion"),
    }
    for name, module in (("libzmq", "libzmq"), ("czmq", "libczmq"), ("nats.c", "libnats"), ("gRPC", "grpc++"),
                         ("Cap'n Proto", "capnp-rpc")):
        found[name] = _said("pkg-config", "--modversion", module)
    found["nng"] = _said("dpkg-query", "-W", "-f", "${Version}", "libnng-dev")
    found["Go"] = _said("go", "version").replace("go version go", "").split(" ")[0]
    found["nats-server"] = _said("nats-server", "-v").replace("nats-server: v", "")
    return {name: value for name, value in found.items() if value}
