# SPDX-License-Identifier: MPL-2.0
"""Measurements: kept as TSV, read back, and put into relation. A ratio is taken within one round, then its median."""

from statistics import median

NUMBERS = ["calls", "calls_s", "p50_us", "p99_us", "p999_us", "cpu_us", "client_us", "server_us", "machine_us"]
COLUMNS = ["round", "cell", "group", "peer", "outcome"] + NUMBERS
OK = "ok"


class Results:
    """`facts` about the machine, and rows: each a dict of COLUMNS; `outcome` is "ok" or what failed."""

    def __init__(self, facts=None):
        self.facts, self.titles, self.rows = facts or {}, {}, []

    def add(self, round_, cell, group, peer, numbers=None, outcome=OK):
        row = {"round": round_, "cell": cell, "group": group, "peer": peer, "outcome": outcome}
        self.rows.append({**row, **{name: (numbers or {}).get(name) for name in NUMBERS}})

    def failures(self):
        return [row for row in self.rows if row["outcome"] != OK]

    def rounds(self):
        return len({row["round"] for row in self.rows})

    def _names(self, column, **where):
        found = (row[column] for row in self.rows if all(row[key] == value for key, value in where.items()))
        return list(dict.fromkeys(found))

    def groups(self):
        return self._names("group")

    def cells(self, group):
        cells = self._names("cell", group=group)
        order = list(self.titles)
        return sorted(cells, key=lambda cell: order.index(cell) if cell in order else len(order))

    def peers(self, group, cell):
        return self._names("peer", group=group, cell=cell)

    def values(self, group, peer, cell, column):
        """Round to value."""
        return {row["round"]: row[column] for row in self.rows
                if row["outcome"] == OK and (row["group"], row["peer"], row["cell"]) == (group, peer, cell)}

    def ratios(self, over, under, column):
        """Of two (group, peer, cell), in the rounds that have both; sorted."""
        above, below = self.values(*over, column), self.values(*under, column)
        return sorted(above[key] / below[key] for key in above if below.get(key))

    def write(self, path):
        with open(path, "w") as file:
            for name, value in self.facts.items():
                file.write("# %s\t%s\n" % (name, value))
            for cell, title in self.titles.items():
                file.write("#cell %s\t%s\n" % (cell, title))
            file.write("\t".join(COLUMNS) + "\n")
            for row in self.rows:
                file.write("\t".join(_text(row[column]) for column in COLUMNS) + "\n")


def _text(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return "%.3f" % value
    return str(value).replace("\t", " ").replace("\n", " ")


def read(path):
    results = Results()
    with open(path) as file:
        for number, line in enumerate(file, 1):
            words = line.rstrip("\n").split("\t")
            if line.startswith("#cell "):
                results.titles[words[0][6:]] = words[1]
            elif line.startswith("# "):
                results.facts[words[0][2:]] = words[1]
            elif words != COLUMNS:
                if len(words) != len(COLUMNS):
                    raise ValueError("%s:%d: %d columns, not %d" % (path, number, len(words), len(COLUMNS)))
                row = dict(zip(COLUMNS, words))
                for name in NUMBERS:
                    row[name] = float(row[name]) if row[name] else None
                row["round"] = int(row["round"])
                results.rows.append(row)
    return results


def middle(values):
    """Median, least, greatest; of a non-empty collection."""
    values = list(values)
    return median(values), min(values), max(values)
