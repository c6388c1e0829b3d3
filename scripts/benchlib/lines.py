"""The lines of the table. Each takes its measurements once per round and yields (what, who, value, unit)."""

import os
import shutil
import subprocess
import tempfile

from .host import Delay
from .measure import MIB, curl, dd, drop_page_cache, evict, fio_random, parallel, read_at, timed, touch_memory
from .mounts import Ours, Rclone, Smallest, Tenant
from .scale import scale
from .tree import tree

GIB = 1 << 30
SMALL = 480 * 1024
FILES = 2000


class Setting:
    """Where everything is, and what is to be compared."""

    def __init__(self, binaries, work, host, peers):
        self.binaries, self.work, self.host, self.peers = binaries, work, host, peers

    def tenant(self, size, port=None, interactions=100):
        return Tenant(self.binaries["cxonefs"], self.work, self.host.url(size, port), interactions)

    def ours(self, tenant, **options):
        return Ours(self.binaries["cxonefs"], tenant, **options)

    def rclone(self, url, options=()):
        return Rclone(self.binaries["rclone"], self.work, url, options)

    def scratch(self):
        return tempfile.mkdtemp(prefix="scratch.", dir=self.work)

    def delay(self, rtt_ms):
        return Delay(self.binaries["delay_proxy"], self.host, rtt_ms)


def limit_of(seconds, total):
    return total / MIB / seconds


def cold(setting, size, readers):
    """Cold reads: `readers` files of `size`, one after the other within each peer."""
    total = size * readers
    urls = [f"{setting.host.url(size)}{number}.mp4" for number in range(readers)]
    scratch = setting.scratch()
    touch_memory(2)
    yield "curl -o", limit_of(curl(urls, scratch, readers), total), "MB/s"
    shutil.rmtree(scratch)
    peers = [("cxonefs", None)] + [("rclone", None)] * ("rclone" in setting.peers)
    for name, _ in peers:
        tenant = None
        if name == "cxonefs":
            tenant = setting.tenant(size)
            mount = setting.ours(tenant)
            files = mount.recordings(readers)
            mount.drop_bytes()
        else:
            mount = setting.rclone(setting.host.listing(f"l{size}", size, readers))
            files = mount.recordings(readers)
        try:
            touch_memory(2)
            before = mount.daemon.cpu_s()
            mount.daemon.forget_peak()
            seconds = parallel([lambda path=path: dd(path) for path in files])
            yield name, limit_of(seconds, total), "MB/s"
            yield f"{name} CPU", (mount.daemon.cpu_s() - before) * GIB / total, "s/GiB"
            yield f"{name} memory", mount.daemon.rss_max_mib(), "MiB"
        finally:
            mount.stop()
            if tenant:
                tenant.stop()


def far(setting):
    """One reader of 128 MiB, 40 ms away."""
    size = 128 * MIB
    proxy = setting.delay(40)
    try:
        scratch = setting.scratch()
        yield "curl", limit_of(curl([f"{setting.host.url(size, proxy.port)}0.mp4"], scratch), size), "MB/s"
        shutil.rmtree(scratch)
        tenant = setting.tenant(size, proxy.port)
        mount = setting.ours(tenant)
        try:
            (path,) = mount.recordings(1)
            mount.drop_bytes()
            yield "cxonefs", limit_of(dd(path), size), "MB/s"
            yield "cxonefs memory", mount.daemon.rss_max_mib(), "MiB"
        finally:
            mount.stop()
            tenant.stop()
        if "rclone" in setting.peers:
            url = setting.host.listing(f"l{size}", size, 1).replace(str(setting.host.port), str(proxy.port))
            mount = setting.rclone(url)
            try:
                yield "rclone", limit_of(dd(mount.recordings(1)[0]), size), "MB/s"
            finally:
                mount.stop()
    finally:
        proxy.stop()


def cached_bytes(setting, passthrough):
    """A cached file of 1 GiB: page cache dropped, warm, random; CPU."""
    size = GIB
    plain = setting.host.file(size)
    suffix = "" if passthrough else ", no passthrough"
    tenant = setting.tenant(size)
    mount = setting.ours(tenant, passthrough=passthrough)
    try:
        (path,) = mount.recordings(1)
        dd(path)
        (data,) = mount.cache.rglob("*.data")
        smallest = Smallest(setting.binaries["smallest_fuse"], setting.work, data)
        served = smallest.recordings(1)[0]
        subjects = [("ext4", data, None), (f"cxonefs{suffix}", path, mount), ("smallest FUSE daemon", served, smallest)]
        rclone = None
        if "rclone" in setting.peers and not passthrough:
            rclone = setting.rclone(setting.host.listing(f"l{size}", size, 1))
            theirs = rclone.recordings(1)[0]
            dd(theirs)
            subjects.append(("rclone", theirs, rclone))
        try:
            for name, subject, daemon in subjects:
                if drop_page_cache():
                    before = daemon.daemon.cpu_s() if daemon else 0
                    yield f"dropped: {name}", limit_of(dd(subject), size), "MB/s"
                    if daemon:
                        yield f"CPU cached: {name}", daemon.daemon.cpu_s() - before, "s/GiB"
                yield f"warm: {name}", limit_of(dd(subject), size), "MB/s"
            for jobs in (1, 4):
                for name, subject, _ in subjects:
                    # What reads from the disk here would warm the page cache for the next in line.
                    dd(data)
                    yield f"4 KiB random, {jobs} jobs: {name}", fio_random(subject, jobs, True), "IOPS"
            yield f"memory: cxonefs{suffix}", mount.daemon.rss_max_mib(), "MiB"
        finally:
            smallest.stop()
            if rclone:
                rclone.stop()
    finally:
        mount.stop()
        tenant.stop()
    evict(plain)


def probes(setting):
    """64 KiB at the head, tail and middle of an unseen file of 128 MiB, 40 ms away; bytes fetched."""
    size = 128 * MIB
    proxy = setting.delay(40)
    tenant = setting.tenant(size, proxy.port)
    try:
        mount = setting.ours(tenant)
        try:
            paths = mount.recordings(4)
            mount.drop_bytes()
            for what, path, offset in [("(connecting)", paths[3], 0), ("head", paths[0], 0),
                                       ("tail", paths[1], size - 65536), ("middle", paths[2], size // 2 + 4096)]:
                _, before = setting.host.sent()
                _, ms = read_at(path, offset, 65536)
                # What is under way for nobody any more has arrived after this.
                subprocess.run(["sleep", "0.3"], check=True)
                _, after = setting.host.sent()
                if what != "(connecting)":
                    yield f"{what}: time", ms, "ms"
                    yield f"{what}: fetched", (after - before) / 1024, "KiB"
        finally:
            mount.stop()
        mount = setting.ours(tenant)
        try:
            for path in (mount.cache).rglob("*.data"):
                path.unlink()
            path = next(iter(mount.calls()))
            yield "first act after mounting", read_at(paths[0] if paths[0].exists() else path, 0, 65536)[1], "ms"
        finally:
            mount.stop()
    finally:
        tenant.stop()
        proxy.stop()


def many(setting, rtt_ms, profile=None):
    """cp -r of 2,000 small recordings, resolved."""
    count = FILES if rtt_ms == 0 or profile else 200
    proxy = setting.delay(rtt_ms) if rtt_ms else None
    tenant = setting.tenant(SMALL, proxy and proxy.port, interactions=count * 3)
    try:
        mount = setting.ours(tenant, profile=profile)
        try:
            # Resolved through many hands, or 40 ms would go by for each. The heads that this fetched stay: they are part of
            # what resolving costs.
            paths = resolved(mount, count)
            target = setting.scratch()
            touch_memory(3)
            before = mount.daemon.cpu_s()
            # Listing thousands of contacts is not what is measured.
            mount.daemon.forget_peak()
            seconds = timed(lambda: copy(paths, target))
            who = f"cxonefs{' --profile ' + profile if profile else ''}"
            yield who, len(paths) / seconds, "files/s"
            yield f"{who} CPU", (mount.daemon.cpu_s() - before) * GIB / (len(paths) * SMALL), "s/GiB"
            yield f"{who} memory", mount.daemon.rss_max_mib(), "MiB"
            shutil.rmtree(target)
        finally:
            mount.stop()
        if rtt_ms == 0:
            base = setting.host.url(SMALL)
            scratch = setting.scratch()
            touch_memory(3)
            yield "curl -o", count / curl([f"{base}{number}" for number in range(count)], scratch), "files/s"
            shutil.rmtree(scratch)
        if "rclone" in setting.peers and not profile:
            url = setting.host.listing("many", SMALL, count)
            if proxy:
                url = url.replace(str(setting.host.port), str(proxy.port))
            mount = setting.rclone(url)
            try:
                theirs = mount.recordings(count)
                target = setting.scratch()
                touch_memory(3)
                yield "rclone", count / timed(lambda: copy(theirs, target)), "files/s"
                shutil.rmtree(target)
            finally:
                mount.stop()
    finally:
        tenant.stop()
        if proxy:
            proxy.stop()


def resolved(mount, count):
    """`count` recordings, opened by many threads."""
    from concurrent.futures import ThreadPoolExecutor

    def exists(path):
        try:
            os.close(os.open(path, os.O_RDONLY))
            return path
        except OSError:
            return None

    candidates = []
    for path in mount.calls():
        candidates.append(path)
        if len(candidates) >= count * 5 // 4:
            break
    with ThreadPoolExecutor(16) as pool:
        return [path for path in pool.map(exists, candidates) if path][:count]


def copy(paths, target):
    """One `cp`, which opens one file after the other, as `cp -r` would."""
    listing = b"\0".join(bytes(path) for path in paths)
    command = ["xargs", "-0", "cp", "--parents", "-t", target]
    subprocess.run(command, input=listing, check=True)


def startup(setting):
    """Mounting over a cache of 100,000 files."""
    tenant = setting.tenant(SMALL)
    try:
        mount = setting.ours(tenant)
        mount.recordings(1)
        mount.stop()
        fill = [str(setting.binaries["fill_cache"]), str(mount.cache), "100000"]
        subprocess.run(fill, check=True)
        start = {}
        start["s"] = timed(lambda: start.update(mount=setting.ours(tenant)))
        start["mount"].stop()
        yield "mounting with 100,000 cached files", start["s"], "s"
    finally:
        tenant.stop()


LINES = {
    "cold": ("cold sequential, 1 GiB", lambda s: cold(s, GIB, 1)),
    "readers": ("8 readers, 8 × 128 MiB cold", lambda s: cold(s, 128 * MIB, 8)),
    "far": ("one reader, 128 MiB, 40 ms RTT", far),
    "cached": ("cached, 1 GiB, passthrough", lambda s: cached_bytes(s, True)),
    "daemon": ("cached, 1 GiB, passthrough off", lambda s: cached_bytes(s, False)),
    "probes": ("64 KiB of an unseen file of 128 MiB, 40 ms RTT", probes),
    "many": ("cp of 2,000 × 480 KiB, 0 ms RTT", lambda s: many(s, 0)),
    "manyfar": ("cp of 200 × 480 KiB, 40 ms RTT", lambda s: many(s, 40)),
    "backup": ("cp of 2,000 × 480 KiB, 40 ms RTT, --profile backup", lambda s: many(s, 40, "backup")),
    "startup": ("a cache of 100,000 files", startup),
    "scale": ("1,000,000 interactions over 1,000 days; a day of 20,000 contacts, 100 ms away", scale),
    "tree": ("listing, 50,000 files in 16,000 interaction folders", tree),
}

NEEDS_ROOT = {"cached": "passthrough needs root; the next line reads without it"}
