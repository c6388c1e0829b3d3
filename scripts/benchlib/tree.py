"""Listing: 50,000 files in 16,000 interaction folders, against rclone over the same tree on disk and against that tree itself."""

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from .mounts import Mount, Ours, Tenant

# Four days of 40 agents with 99 contacts each, and what is transferred: about 16,000 folders.
POPULATION = ["--days", "4", "--agents", "40", "--contacts-per-day", "99"]

FREE = ["logins", "discovery", "completed_pages", "admin"]
PAID = ["playback_calls", "media_requests"]


def run(*command):
    """Seconds, and the lines that it printed."""
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - start, done.stdout.count(b"\n")


def find(point):
    return run("find", str(point), "-type", "f")


def list_all(point):
    return run("ls", "-lR", str(point))


def requests(tenant):
    """Requests of any kind that the simulated tenant has seen."""
    port = (tenant.dir / "port").read_text().strip().rsplit(":", 1)[-1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/__sim/counters", timeout=10) as answer:
        return json.load(answer)


class LocalRclone(Mount):
    """rclone over a directory of this machine."""

    def __init__(self, binary, work, directory):
        self.dir = Path(tempfile.mkdtemp(prefix="rclone.", dir=work))
        command = [str(binary), "mount", str(directory), str(self.dir / "mnt"), "--read-only", "--config", "/dev/null"]
        super().__init__(self.dir / "mnt", command, self.dir / "log")

    def stop(self):
        super().stop()
        shutil.rmtree(self.dir, ignore_errors=True)


def same_on_disk(point, directory):
    """A tree of the same names below `directory`, with a few bytes in each file."""
    for path, _, files in os.walk(point):
        target = directory / os.path.relpath(path, point)
        target.mkdir(parents=True, exist_ok=True)
        for name in files:
            (target / name).write_bytes(b"contents")


def looks(name, point):
    """The three figures of a tree that was mounted just now."""
    first, files = find(point)
    yield f"{name}: find, first", first, "s"
    again, same = find(point)
    if same != files:
        raise RuntimeError(f"{name} lists {files} files, then {same}")
    yield f"{name}: find, again", again, "s"
    list_all(point)
    yield f"{name}: ls -lR, again", list_all(point)[0], "s"
    yield f"{name}: files", files, ""


def tree(setting):
    tenant = Tenant(setting.binaries["cxonefs"], setting.work, "http://127.0.0.1:1/", population=POPULATION)
    local = Path(setting.scratch())
    try:
        mount = Ours(setting.binaries["cxonefs"], tenant, since="2026-10-30")
        try:
            # Indexes every day.
            find(mount.point)
            same_on_disk(mount.point, local)
        finally:
            mount.stop()
        mount = Ours(setting.binaries["cxonefs"], tenant, since="2026-10-30")
        try:
            before = requests(tenant)
            yield from looks("cxonefs", mount.point)
            after = requests(tenant)
            for name, kinds in (("billed calls and media requests", PAID), ("free requests", FREE)):
                yield f"cxonefs: {name}", sum(after[kind] - before[kind] for kind in kinds), ""
            yield "cxonefs: memory", mount.daemon.rss_max_mib(), "MiB"
        finally:
            mount.stop()
        if "rclone" in setting.peers:
            mount = LocalRclone(setting.binaries["rclone"], setting.work, local)
            try:
                yield from looks("rclone", mount.point)
            finally:
                mount.stop()
        yield from looks("ext4", local)
    finally:
        tenant.stop()
        shutil.rmtree(local, ignore_errors=True)
