"""Medians, ratios with their range, and what falls short."""

from statistics import median

# line, what is measured, against what (None: an absolute bound), at least / at most, bound
GOALS = [
    ("cold", "cxonefs", "curl -o", ">=", 0.9),
    ("cold", "cxonefs", "rclone", ">=", 1.0),
    ("cold", "cxonefs CPU", None, "<=", 1.3),
    ("cold", "cxonefs CPU", "rclone CPU", "<=", 0.7),
    ("readers", "cxonefs", "curl -o", ">=", 0.9),
    ("readers", "cxonefs", "rclone", ">=", 1.2),
    ("far", "cxonefs", None, ">=", 400),
    ("cached", "dropped: cxonefs", "dropped: ext4", ">=", 0.95),
    ("cached", "warm: cxonefs", "warm: ext4", ">=", 0.9),
    ("cached", "CPU cached: cxonefs", None, "<=", 0.0),
    ("cached", "4 KiB random, 1 jobs: cxonefs", "4 KiB random, 1 jobs: ext4", ">=", 0.95),
    ("cached", "4 KiB random, 4 jobs: cxonefs", "4 KiB random, 4 jobs: ext4", ">=", 0.95),
    # 1.3 × mount-s3, which reaches half of ext4.
    ("daemon", "dropped: cxonefs, no passthrough", "dropped: ext4", ">=", 0.65),
    ("daemon", "warm: cxonefs, no passthrough", "warm: smallest FUSE daemon", ">=", 0.8),
    ("daemon", "4 KiB random, 1 jobs: cxonefs, no passthrough", "4 KiB random, 1 jobs: smallest FUSE daemon", ">=", 0.75),
    ("daemon", "4 KiB random, 4 jobs: cxonefs, no passthrough", "4 KiB random, 4 jobs: smallest FUSE daemon", ">=", 0.75),
    ("daemon", "CPU cached: cxonefs, no passthrough", None, "<=", 0.6),
    ("probes", "head: time", None, "<=", 46),
    ("probes", "first act after mounting", None, "<=", 100),
    ("probes", "tail: time", None, "<=", 48),
    ("probes", "tail: fetched", None, "<=", 256),
    ("probes", "middle: fetched", None, "<=", 512),
    ("many", "cxonefs", None, ">=", 1500),
    ("many", "cxonefs", "curl -o", ">=", 0.3),
    ("manyfar", "cxonefs", None, ">=", 22),
    ("backup", "cxonefs --profile backup", None, ">=", 120),
    ("startup", "mounting with 100,000 cached files", None, "<=", 1.0),
    ("tree", "cxonefs: find, first", None, "<=", 2.5),
    ("tree", "cxonefs: find, again", None, "<=", 0.4),
    ("tree", "cxonefs: ls -lR, again", None, "<=", 1.0),
    ("tree", "cxonefs: billed calls and media requests", None, "<=", 0),
    ("tree", "cxonefs: find, first", "rclone: find, first", "<=", 0.25),
    ("scale", "mounting", None, "<=", 1.0),
    ("scale", "resident after mounting", None, "<=", 100),
    ("scale", "resident after find", None, "<=", 256),
    ("scale", "a folder of 2,000 interactions, first", None, "<=", 50),
    ("scale", "indexing a day of 20,000 contacts", None, "<=", 5),
]
MEMORY_MIB = 128
# Where a bound of the table is a figure of another machine, a second goal states it as a ratio to what is measured here beside it.


def goals_of(line, values):
    for name in values:
        if "memory" in name and "cxonefs" in name:
            yield (line, name, None, "<=", MEMORY_MIB)
    yield from (goal for goal in GOALS if goal[0] == line)


def print_line(line, title, values, units):
    """One line's values and its goals; the goals that were missed."""
    print(f"\n## {title}\n\n| what | median | min – max |\n| --- | ---: | ---: |")
    for name, taken in values.items():
        low, middle, high = min(taken), median(taken), max(taken)
        print(f"| {name} | {figure(middle)} {units[name]} | {figure(low)} – {figure(high)} |")
    print("\n| goal | reached | |\n| --- | ---: | --- |")
    missed = []
    for _, what, against, sense, bound in goals_of(line, values):
        if what not in values or (against and against not in values):
            continue
        taken = values[what]
        if against:
            taken = [ours / theirs for ours, theirs in zip(taken, values[against])]
        reached = median(taken)
        fulfilled = reached >= bound if sense == ">=" else reached <= bound
        text = f"{what} {sense} {bound}" + (f" × {against}" if against else f" {units[what]}")
        verdict = "yes" if fulfilled else "**falls short**"
        print(f"| {text} | {figure(reached)} ({figure(min(taken))} – {figure(max(taken))}) | {verdict} |")
        if not fulfilled:
            missed.append(f"{title}: {text}, reached {figure(reached)}")
    return missed


def figure(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
