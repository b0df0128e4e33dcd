# SPDX-License-Identifier: MPL-2.0
"""Tables of medians, for a terminal and as Markdown, and the marked blocks of documents that hold them."""

import re

from peers import LIMIT
from results import middle
from targets import TARGETS

HEADINGS = ["peer", "calls/s", "least..greatest", "× limit", "p50 µs", "p99 µs", "p99.9 µs", "CPU µs", "client+servers",
            "× limit", "machine µs"]


def short(number):
    """Three digits, or what is left of them."""
    if number is None:
        return "-"
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size * 0.9995:
            return short(number / size) + " " + unit
    return "%.0f" % number if number >= 99.95 else "%.1f" % number if number >= 9.995 else "%.2f" % number


def _median(results, group, peer, cell, column):
    values = results.values(group, peer, cell, column).values()
    return middle(values)[0] if values else None


def _ratio(results, group, peer, cell, column):
    ratios = results.ratios((group, peer, cell), (group, LIMIT, cell), column)
    return "%.2f" % middle(ratios)[0] if ratios else "-"


def _row(results, group, peer, cell):
    calls = results.values(group, peer, cell, "calls_s").values()
    if not calls:
        return [peer, "failed"] + ["-"] * (len(HEADINGS) - 2)
    of = lambda column: short(_median(results, group, peer, cell, column))
    calls_s, least, greatest = middle(calls)
    return [peer, short(calls_s), "%s..%s" % (short(least), short(greatest)), _ratio(results, group, peer, cell, "calls_s"),
            of("p50_us"), of("p99_us"), of("p999_us"), of("cpu_us"), "%s + %s" % (of("client_us"), of("server_us")),
            _ratio(results, group, peer, cell, "cpu_us"), of("machine_us")]


def _plain(headings, rows):
    widths = [max(len(row[i]) for row in [headings] + rows) for i in range(len(headings))]
    lines = []
    for row in [headings] + rows:
        cells = [row[0].ljust(widths[0])] + [text.rjust(width) for text, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def _markdown(headings, rows):
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|---:" * (len(headings) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def cells(results, markdown=False):
    """Every cell's table: medians over the rounds, the least and greatest of calls/s, ratios to the group's limit."""
    parts = []
    for group in results.groups():
        for cell in results.cells(group):
            rows = [_row(results, group, peer, cell) for peer in results.peers(group, cell)]
            title = "%s: %s" % (group, results.titles.get(cell, cell))
            parts.append("**%s**\n\n%s" % (title, _markdown(HEADINGS, rows)) if markdown
                         else "%s\n%s" % (title, _plain(HEADINGS, rows)))
    return "\n".join(parts)


def targets(results, markdown=False):
    headings, rows = ["target", "wanted", "measured", "least..greatest", ""], []
    for target in TARGETS:
        verdict = target.judge(results)
        if verdict is None:
            rows.append([target.text, target.wanted(), "-", "-", "not measured"])
        else:
            ratio, least, greatest, met = verdict
            rows.append([target.text, target.wanted(), "%.2f" % ratio, "%.2f..%.2f" % (least, greatest),
                         "met" if met else "missed"])
    return (_markdown if markdown else _plain)(headings, rows)


def rounds(results):
    count = results.rounds()
    return "1 round" if count == 1 else "%d interleaved rounds" % count


def facts(results, names=None):
    """What measured this, where (all that is known, or the facts of these names), and in how many rounds."""
    known = {name: value for name, value in results.facts.items() if name != "command"}
    where = [known[name] for name in names if name in known] if names else ["%s %s" % fact for fact in known.items()]
    return "Measured by `%s`: %s" % (results.facts.get("command", "tests/bench/run"), ", ".join(where + [rounds(results)]))


SUMMARY = [("p50 µs, 1 outstanding", "add/1", "p50_us"), ("calls/s, 64", "add/64", "calls_s"),
           ("CPU µs, 64", "add/64", "cpu_us"), ("calls/s, 1024", "add/1024", "calls_s"),
           ("CPU µs, 1024", "add/1024", "cpu_us"), ("64 KiB echoes/s, 64", "echo64k/64", "calls_s")]


def summary(results):
    """The table that README.md has: `add`, every peer, the columns that tell most."""
    parts = []
    for group in results.groups():
        rows = []
        for peer in results.peers(group, "add/64"):
            row = [short(_median(results, group, peer, cell, column)) for _, cell, column in SUMMARY]
            rows.append(["**%s**" % peer if peer.startswith("weft") else peer] + row)
        parts.append(_markdown([group] + [heading for heading, _, _ in SUMMARY], rows))
    return "\n".join(parts)


def replace_block(path, name, text):
    """Puts `text` between the lines <!-- NAME:begin ... --> and <!-- NAME:end --> of a file."""
    with open(path) as file:
        document = file.read()
    pattern = re.compile(r"(<!-- %s:begin[^\n]*-->\n).*?(<!-- %s:end -->)" % (name, name), re.DOTALL)
    if len(pattern.findall(document)) != 1:
        raise ValueError("%s: not one block from <!-- %s:begin --> to <!-- %s:end -->" % (path, name, name))
    document = pattern.sub(lambda match: match[1] + text + match[2], document)
    with open(path, "w") as file:
        file.write(document)
