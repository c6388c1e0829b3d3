"""Taking one measurement."""

import json
import mmap
import os
import subprocess
import threading
import time

MIB = 1 << 20


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def drop_page_cache():
    """Everything, as root; otherwise nothing, and false."""
    subprocess.run(["sync"], check=True)
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as control:
            control.write("1")
        return True
    except OSError:
        return False


def evict(path):
    """Drops one file's pages."""
    subprocess.run(["sync", path], check=False)
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def touch_memory(gib):
    """Has the host of a virtual machine back the memory that page caches will take: a page's first use costs several times as much as
    the next, and a host may take back what is free within seconds."""
    meminfo = dict(line.split(":") for line in open("/proc/meminfo", encoding="ascii"))
    free = int(meminfo["MemFree"].split()[0]) << 10
    piece = b"\1" * (1 << 24)
    with mmap.mmap(-1, max(len(piece), min(int(gib * (1 << 30)), free * 8 // 10))) as memory:
        for offset in range(0, len(memory) - len(piece) + 1, len(piece)):
            memory[offset:offset + len(piece)] = piece


def dd(path, block="1M"):
    """Reads a file as a program would; seconds."""
    return timed(lambda: subprocess.run(["dd", f"if={path}", "of=/dev/null", f"bs={block}", "status=none"], check=True))


def parallel(works):
    """Seconds until the last one is done."""
    failures = []

    def run(work):
        try:
            work()
        except Exception as error:  # noqa: BLE001 - handed to the caller
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]

    def all_of_them():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    seconds = timed(all_of_them)
    if failures:
        raise failures[0]
    return seconds


def curl(urls, directory, jobs=1):
    """Downloads to `directory`, `jobs` at a time, one curl each; seconds. The files are removed."""
    os.makedirs(directory, exist_ok=True)
    targets = [os.path.join(directory, str(number)) for number in range(len(urls))]
    chunks = [list(zip(urls, targets))[start::jobs] for start in range(jobs)]

    def fetch(chunk):
        command = ["curl", "-sf", "--no-progress-meter"]
        for url, target in chunk:
            command += ["-o", target, url]
        subprocess.run(command, check=True)

    seconds = parallel([lambda chunk=chunk: fetch(chunk) for chunk in chunks if chunk])
    for target in targets:
        os.unlink(target)
    return seconds


def fio_random(path, jobs, direct, seconds=3):
    """4 KiB random reads; IOPS."""
    command = ["fio", "--name=random", f"--filename={path}", "--rw=randread", "--bs=4k", "--ioengine=psync", "--readonly",
               f"--direct={int(direct)}", f"--numjobs={jobs}", "--time_based", f"--runtime={seconds}", "--group_reporting",
               "--norandommap", "--randrepeat=0", "--output-format=json", "--invalidate=1"]
    output = subprocess.run(command, check=True, capture_output=True).stdout
    return json.loads(output[output.index(b"{"):])["jobs"][0]["read"]["iops"]


def read_at(path, offset, length):
    """One program's first read; (milliseconds of the read alone, of open and read)."""
    start = time.perf_counter()
    descriptor = os.open(path, os.O_RDONLY)
    opened = time.perf_counter()
    # No readahead of the kernel beyond what is asked.
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    data = os.pread(descriptor, length, offset)
    end = time.perf_counter()
    os.close(descriptor)
    if len(data) != length:
        raise RuntimeError(f"{path}: {len(data)} of {length} bytes")
    return (end - opened) * 1000, (end - start) * 1000
