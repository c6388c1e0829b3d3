"""What is compared: this program over a simulated tenant, rclone, and the smallest FUSE daemon."""

import errno
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

LIMITS = ["limits.playback_requests=100000", "limits.daily_budget=1000000", "cache.size=40GiB", "cache.min_free=1GiB"]


class Process:
    """A daemon whose CPU seconds and peak memory are read from /proc."""

    def __init__(self, command, log, env=None):
        self.log = open(log, "ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=env)

    def cpu_s(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_max_mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024

    def forget_peak(self):
        try:
            Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        except OSError:
            pass

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Tenant:
    """A simulated tenant whose recordings are linked below `media_url`."""

    def __init__(self, binary, work, media_url, interactions=400, population=None):
        self.dir = Path(tempfile.mkdtemp(prefix="tenant.", dir=work))
        port_file = self.dir / "port"
        per_day = max(40, interactions // 4)
        command = [str(binary), "simulate", "--media-base-url", media_url, "--dir", str(self.dir / "d"),
                   "--port-file", str(port_file), *(population or ["--days", "2", "--agents", "8", "--contacts-per-day", str(per_day)]),
                   "--playback-limit", "1000000", "--timezone", "UTC", "--last-day", "2026-11-02", "--print-config"]
        self.config = self.dir / "config.toml"
        with open(self.config, "wb") as config, open(self.dir / "log", "wb") as log:
            self.process = subprocess.Popen(command, stdout=config, stderr=log)
        for _ in range(200):
            if port_file.exists() and port_file.stat().st_size and self.config.stat().st_size:
                return
            time.sleep(0.05)
        raise RuntimeError("the simulated tenant does not start: " + (self.dir / "log").read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)


def wait_for_mount(point, process):
    for _ in range(400):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
        if os.path.ismount(point):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{point} is not mounted")


class Mount:
    """A mounted daemon; the mount goes with it."""

    def __init__(self, point, command, log, env=None):
        self.point = Path(point)
        self.point.mkdir(parents=True, exist_ok=True)
        self.daemon = Process(command, log, env)
        wait_for_mount(self.point, self.daemon.process)

    def stop(self):
        subprocess.run(["umount", "-l", str(self.point)], check=False, stderr=subprocess.DEVNULL)
        self.daemon.stop()


def opens(path):
    """Whether a recording can be opened. The first open of one that is larger than its estimate is refused; the next is not."""
    for _ in range(2):
        try:
            os.close(os.open(path, os.O_RDONLY))
            return True
        except OSError as error:
            if error.errno != errno.EIO:
                return False
    return False


class Ours(Mount):
    """This program, over a tenant."""

    name = "cxonefs"

    def __init__(self, binary, tenant, passthrough=True, settings=(), profile=None, since="2026-11-01"):
        command = [str(binary), "mount", "-c", str(tenant.config)]
        for setting in [*LIMITS, f"mount.passthrough={str(passthrough).lower()}", *settings]:
            command += ["--set", setting]
        if profile:
            command += ["--profile", profile]
        self.tenant = tenant
        self.cache = tenant.dir / "d" / "cache"
        super().__init__(tenant.dir / "mnt", [*command, "--timezone", "UTC", "--since", since, tenant.dir / "mnt"],
                         tenant.dir / "mount.log")

    def recordings(self, count):
        """`count` recordings that exist, each resolved by opening it."""
        found = []
        for path in self.calls():
            if not opens(path):
                continue
            found.append(path)
            if len(found) == count:
                break
        return found

    def calls(self):
        for day in sorted(self.point.iterdir(), reverse=True):
            for agent in sorted(day.iterdir()):
                for interaction in sorted(agent.iterdir()):
                    if "_call_" in interaction.name:
                        yield interaction / "recording.mp4"

    def drop_bytes(self):
        """Takes the bytes out of the cache under the daemon's feet: resolved and linked, but unseen. Moved, not unlinked: ext4
        is slow to create files for a while after many were deleted."""
        aside = Path(tempfile.mkdtemp(prefix="aside.", dir=self.tenant.dir))
        for path in list(self.cache.rglob("*")):
            if path.suffix in (".data", ".idx"):
                path.rename(aside / path.name)


class Rclone(Mount):
    """rclone over the same host."""

    name = "rclone"

    def __init__(self, binary, work, url, options=()):
        self.dir = Path(tempfile.mkdtemp(prefix="rclone.", dir=work))
        command = [str(binary), "mount", f":http,url='{url}':", str(self.dir / "mnt"), "--vfs-cache-mode", "full",
                   "--cache-dir", str(self.dir / "cache"), "--read-only", "--config", "/dev/null", *options]
        self.cache = self.dir / "cache"
        super().__init__(self.dir / "mnt", command, self.dir / "log")

    def recordings(self, count):
        return sorted(self.point.iterdir())[:count]

    def stop(self):
        super().stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class Smallest(Mount):
    """The smallest FUSE daemon: one file below, handed through with pread and one copy."""

    name = "smallest FUSE daemon"

    def __init__(self, binary, work, file):
        self.dir = Path(tempfile.mkdtemp(prefix="smallest.", dir=work))
        super().__init__(self.dir / "mnt", [str(binary), str(file), str(self.dir / "mnt")], self.dir / "log")

    def recordings(self, _count):
        return [self.point / "file"]

    def stop(self):
        super().stop()
        shutil.rmtree(self.dir, ignore_errors=True)
