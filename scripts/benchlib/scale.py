"""Years of history: a million interactions in the index, a folder of 2,000, and a day of 20,000 contacts that was never listed."""

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path

from .mounts import Ours, Tenant

DAYS, AGENTS, PER_AGENT = 1000, 20, 50
LAST_DAY = "2026-11-02"
BUSY_DAY = "2026-11-03"


def fill(setting, state, last_day, days, agents, per_agent):
    command = [setting.binaries["fill_catalog"], state, "UTC", last_day, days, agents, per_agent]
    subprocess.run([str(part) for part in command], check=True)


def resident_mib(process):
    for line in Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def count(point):
    """Directories below a mount, by find; seconds."""
    start = time.perf_counter()
    done = subprocess.run(["find", str(point), "-type", "d"], stdout=subprocess.PIPE, check=True)
    return done.stdout.count(b"\n"), time.perf_counter() - start


def history(setting):
    """A million interactions: mounting, memory, a whole walk, a large folder."""
    tenant = Tenant(setting.binaries["cxonefs"], setting.work, "http://127.0.0.1:1/", interactions=1)
    state = tenant.dir / "d" / "state"
    try:
        fill(setting, state, LAST_DAY, DAYS, AGENTS, PER_AGENT)
        # One agent's day of 2,000, beside the rest.
        fill(setting, state, BUSY_DAY, 1, 1, 2000)
        yield "database", (state / "cxonefs.db").stat().st_size / (1 << 20), "MiB"
        start = time.perf_counter()
        mount = Ours(setting.binaries["cxonefs"], tenant, since="2024-02-08")
        try:
            yield "mounting", time.perf_counter() - start, "s"
            yield "resident after mounting", resident_mib(mount.daemon.process), "MiB"
            (agent,) = (mount.point / BUSY_DAY).iterdir()
            for which in ("first", "again"):
                start = time.perf_counter()
                names = os.listdir(agent)
                yield f"a folder of 2,000 interactions, {which}", (time.perf_counter() - start) * 1000, "ms"
                if len(names) != 2000:
                    raise RuntimeError(f"{len(names)} names")
            directories, seconds = count(mount.point)
            if directories < DAYS * AGENTS * PER_AGENT:
                raise RuntimeError(f"{directories} directories")
            yield "find", seconds, "s"
            yield "directories found", directories, ""
            yield "resident after find", resident_mib(mount.daemon.process), "MiB"
            yield "peak", mount.daemon.rss_max_mib(), "MiB"
            Path("/proc/sys/vm/drop_caches").write_text("2", encoding="ascii")
            time.sleep(3)
            yield "resident after the kernel forgot", resident_mib(mount.daemon.process), "MiB"
        finally:
            mount.stop()
    finally:
        tenant.stop()


def first_listing(setting):
    """A day of 20,000 contacts, 100 ms away."""
    population = ["--days", "1", "--agents", "50", "--contacts-per-day", "400"]
    tenant = Tenant(setting.binaries["cxonefs"], setting.work, "http://127.0.0.1:1/", population=population)
    try:
        port = (tenant.dir / "port").read_text(encoding="ascii").strip().rsplit(":", 1)[-1]
        body = json.dumps({"latency_ms": {"completed": 100}}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/__sim/switches", data=body, method="PUT")
        urllib.request.urlopen(request, timeout=10).close()
        # The tenant makes up a day when it is first asked for it; that is not what is measured.
        urllib.request.urlopen(f"http://127.0.0.1:{port}/__sim/truth?day={LAST_DAY}", timeout=60).close()
        mount = Ours(setting.binaries["cxonefs"], tenant, since=LAST_DAY)
        try:
            start = time.perf_counter()
            agents = os.listdir(mount.point / LAST_DAY)
            yield "indexing a day of 20,000 contacts", time.perf_counter() - start, "s"
            if len(agents) < 50:
                raise RuntimeError(f"{len(agents)} agents")
            yield "peak while indexing", mount.daemon.rss_max_mib(), "MiB"
        finally:
            mount.stop()
    finally:
        tenant.stop()


def scale(setting):
    yield from first_listing(setting)
    yield from history(setting)
