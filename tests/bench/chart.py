# SPDX-License-Identifier: MPL-2.0
"""Draws the chart that README.md shows: a dot for each median, a line from the least to the greatest, on a logarithmic
scale; a dashed line where the group's limit is. SVG written by hand; colours follow the reader's light or dark preference."""

import math
from xml.sax.saxutils import escape

from peers import LIMIT
from report import rounds
from results import middle

PANELS = [("calls a second, 64 outstanding", "more is better", "add/64", "calls_s"),
          ("calls a second, 1024 outstanding", "more is better", "add/1024", "calls_s"),
          ("µs for a lone call (p50)", "less is better", "add/1", "p50_us")]

NAMES, PANEL, GAP, ROW, TOP, LABEL = 150, 225, 40, 22, 74, 52
STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #57606a }
  .title { font-size: 15px; font-weight: 600; fill: #1f2328 }
  .panel, .ours { font-weight: 600; fill: #1f2328 }
  .tick { font-size: 10px }
  .ground { fill: #ffffff }
  .grid { stroke: #d8dee4 }
  .limit { stroke: #8c959f; stroke-dasharray: 3 3 }
  .dot { fill: #8c959f } .spread { stroke: #8c959f; stroke-width: 2; stroke-linecap: round }
  .dot.weft { fill: #0969da } .spread.weft { stroke: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 }
    .title, .panel, .ours { fill: #f0f6fc }
    .ground { fill: #0d1117 }
    .grid { stroke: #2a313c }
    .limit { stroke: #656c76 }
    .dot { fill: #656c76 } .spread { stroke: #656c76 }
    .dot.weft { fill: #4493f8 } .spread.weft { stroke: #4493f8 }
  }
"""


def _text(x, y, text, kind="", anchor="start"):
    return '<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>' % (x, y, kind, anchor, escape(text))


def _line(x1, y1, x2, y2, kind):
    return '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>' % (x1, y1, x2, y2, kind)


def _said(value):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return ("%.3g" % (value / size)) + unit
    return "%.3g" % value


class _Scale:
    """Logarithmic, over all values of a panel, with ticks at 1, 2 and 5."""

    def __init__(self, values, left):
        self.left, self.low, self.high = left, math.log10(min(values) / 1.15), math.log10(max(values) * 1.15)

    def x(self, value):
        return self.left + (math.log10(value) - self.low) / (self.high - self.low) * (PANEL - LABEL)

    def ticks(self):
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        every = [10**power * step for power in powers for step in (1, 2, 5)]
        inside = [value for value in every if self.low <= math.log10(value) <= self.high]
        tens = [value for value in inside if str(value).strip("0.") == "1"]
        return inside if len(inside) <= 5 or len(tens) < 2 else tens


def _rows(results):
    """(group, peer) in their order, with None between groups."""
    rows = []
    for group in results.groups():
        peers = [peer for peer in results.peers(group, "add/64")]
        rows += ([None] if rows else []) + [(group, peer) for peer in peers]
    return rows


def _panel(results, rows, panel, left, bottom):
    title, hint, cell, column = panel
    found = {row: middle(results.values(*row, cell, column).values()) for row in rows
             if row and results.values(*row, cell, column)}
    parts = [_text(left, TOP - 26, title, "panel"), _text(left, TOP - 12, hint, "tick")]
    if not found:
        return parts + [_text(left, TOP + ROW, "not measured")]
    scale = _Scale([value for three in found.values() for value in three], left)
    for tick in scale.ticks():
        parts += [_line(scale.x(tick), TOP, scale.x(tick), bottom, "grid"),
                  _text(scale.x(tick), bottom + 14, _said(tick), "tick", "middle")]
    for group in results.groups():  # how far the limit is, through the rows of its group
        ours = [index for index, row in enumerate(rows) if row and row[0] == group]
        if (group, LIMIT) in found:
            x = scale.x(found[group, LIMIT][0])
            parts.append(_line(x, TOP + ours[0] * ROW, x, TOP + (ours[-1] + 1) * ROW, "limit"))
    for index, row in enumerate(rows):
        if row not in found:
            continue
        y, (value, least, greatest) = TOP + (index + 0.5) * ROW, found[row]
        kind = "weft" if row[1].startswith("weft") else ""
        parts += [_line(scale.x(least), y, scale.x(greatest), y, "spread " + kind),
                  '<circle cx="%.1f" cy="%.1f" r="4.5" class="dot %s"/>' % (scale.x(value), y, kind),
                  _text(scale.x(greatest) + 9, y + 4, _said(value), "ours" if kind else "")]
    return parts


def draw(results):
    """The SVG's text."""
    rows = _rows(results)
    bottom = TOP + ROW * len(rows)
    width, height = NAMES + len(PANELS) * (PANEL + GAP), bottom + 46
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img"'
             ' aria-label="Calls a second and latency of weft and its peers">' % (width, height, width, height),
             "<style>%s</style>" % STYLE, '<rect width="100%" height="100%" class="ground"/>',
             _text(16, 26, "Adding two integers, by call: weft, the limit of libzmq, and the peers", "title")]
    for index, row in enumerate(rows):
        y = TOP + (index + 0.5) * ROW + 4
        if row and (index == 0 or not rows[index - 1]):
            parts.append(_text(16, y - ROW + 1 if index else y - ROW, row[0], "panel"))
        if row:
            parts.append(_text(NAMES - 6, y, row[1], "ours" if row[1].startswith("weft") else "", "end"))
    for index, panel in enumerate(PANELS):
        parts += _panel(results, rows, panel, NAMES + 14 + index * (PANEL + GAP), bottom)
    where = results.facts
    note = "one machine: %s; medians of %s, least to greatest; dashed: the limit; logarithmic scales" % (
        where.get("processor", "?"), rounds(results))
    return "\n".join(parts + [_text(16, height - 10, note, "tick"), "</svg>"]) + "\n"
