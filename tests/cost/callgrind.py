# SPDX-License-Identifier: MPL-2.0
"""Programs under callgrind, and what their profiles say."""

import os
import re
import subprocess
import sys

# String functions are chosen by what the processor can: as old a one as Debian supports, then it is the same everywhere.
PLAIN = "glibc.cpu.hwcaps=" + ",".join("-" + name for name in (
    "AVX", "AVX2", "AVX512F", "AVX512VL", "AVX512BW", "BMI1", "BMI2", "ERMS", "FSRM", "LZCNT", "MOVBE", "POPCNT",
    "RTM", "SSE4_1", "SSE4_2", "SSSE3", "AVX_Fast_Unaligned_Load", "Fast_Unaligned_Copy"))


def fail(text):
    sys.exit("cost: " + text)


def environment(**more):
    """Nothing of the caller's, so that everybody's runs are alike."""
    return {"PATH": os.environ.get("PATH", ""), "TMPDIR": os.environ.get("TMPDIR", "/tmp"), "GLIBC_TUNABLES": PLAIN, **more}


def output_of(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        fail("%s failed (%d):\n%s%s" % (command[0], done.returncode, done.stdout, done.stderr))
    return done.stdout


def under(profile_path, *options):
    """What goes in front of a command that is to be counted."""
    return ["valgrind", "-q", "--tool=callgrind", "--collect-systime=yes", "--callgrind-out-file=" + profile_path,
            *options]


class Profile:
    """By function: instructions of its own, with all that it calls, how often it is called, and its system calls."""

    def __init__(self):
        self.own, self.inclusive, self.times, self.system_calls, self.objects = {}, {}, {}, {}, {}

    @property
    def total(self):
        return sum(self.own.values())

    @property
    def system_call_total(self):
        """Without the clock, which asks the kernel only under valgrind."""
        return sum(amount for function, amount in self.system_calls.items() if not function.startswith("clock_"))

    @property
    def ours(self):
        """Of code that is compiled here: the programs' own."""
        return sum(amount for function, amount in self.own.items()
                   if os.path.basename(self.objects.get(function) or "").startswith("weft"))

    def per_call(self, calls, less=None):
        """Divided by the calls; `less` what another run with fewer calls took."""
        result = Profile()
        result.objects = self.objects
        for what in ("own", "inclusive", "times", "system_calls"):
            base = getattr(less, what) if less else {}
            for function, amount in getattr(self, what).items():
                getattr(result, what)[function] = (amount - base.get(function, 0)) / calls
        return result


def read(path):
    """A profile as callgrind wrote it."""
    profile, names = Profile(), {}

    def named(space, text):
        number, name = re.match(r"\((\d+)\)(?: (.*))?$", text).groups()
        if name is not None:
            names[space, number] = name
        return names[space, number]

    function = callee = here = None
    called = False
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            line = line.rstrip("\n")
            key, equals, value = line.partition("=")
            if equals and key in ("ob", "cob"):
                where = named("object", value)
                here = where if key == "ob" else here
            elif equals and key == "fn":
                function = named("function", value)
                profile.objects[function] = here
            elif equals and key == "cfn":
                callee = named("function", value)
            elif equals and key == "calls":
                called = True
                profile.times[callee] = profile.times.get(callee, 0) + int(value.split()[0])
            elif re.match(r"[+\-*\d]", line):
                amounts = [int(word) for word in line.split()[1:3]] # instructions, system calls
                amount = amounts[0]
                if not called:
                    profile.own[function] = profile.own.get(function, 0) + amount
                    if len(amounts) > 1:
                        profile.system_calls[function] = profile.system_calls.get(function, 0) + amounts[1]
                elif callee.split("'")[0] == function.split("'")[0]:
                    amount = 0  # it calls itself: counted already
                profile.inclusive[function] = profile.inclusive.get(function, 0) + amount
                called = False
    return profile
