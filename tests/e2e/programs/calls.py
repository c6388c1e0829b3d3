"""Single calls by which programs read a file, for the matrix of programs: `calls.py CALL SOURCE TARGET`. One function a call."""
import ctypes, mmap, os, shutil, struct, sys, tarfile, zipfile

LIBC = ctypes.CDLL(None, use_errno=True)
STEP = 1 << 16


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def write(target, data):
    with open(target, "wb") as out:
        out.write(data)


def pump(target, step):
    """Writes what `step` gives until it gives nothing."""
    with open(target, "wb") as out:
        while data := step():
            out.write(data)


def opened(source, flags=0):
    return os.open(source, os.O_RDONLY | flags)


def call_read(source, target):
    with open(source, "rb") as file:
        write(target, file.read())


def call_shutil(source, target):
    shutil.copyfile(source, target)


def sent(fd, target):
    out = os.open(target, os.O_WRONLY | os.O_CREAT, 0o600)
    while os.sendfile(out, fd, None, 1 << 20):
        pass


def call_sendfile(source, target):
    sent(opened(source), target)


def call_splice(source, target):
    fd, out, (get, put) = opened(source), os.open(target, os.O_WRONLY | os.O_CREAT, 0o600), os.pipe()
    while n := os.splice(fd, put, STEP):
        while n:
            n -= os.splice(get, out, n)


def call_copy_file_range(source, target):
    fd, out = opened(source), os.open(target, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while os.copy_file_range(fd, out, 1 << 20):
            pass
    except OSError as error:
        # As every program that uses it: from one file system to another it is not to be had.
        if error.errno not in (18, 22, 95):
            raise
        while data := os.read(fd, STEP):
            os.write(out, data)


def call_preadv(source, target):
    fd, at = opened(source), [0]

    def step():
        parts = [bytearray(1000), bytearray(STEP)]
        n = os.preadv(fd, parts, at[0])
        at[0] += n
        return b"".join(parts)[:n]

    pump(target, step)


def call_mmap(source, target):
    with open(source, "rb") as file:
        write(target, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:])


def call_mmap_shared(source, target):
    with open(source, "rb") as file:
        write(target, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, prot=mmap.PROT_READ)[:])


def call_mmap_looked(source, target):
    size = os.path.getsize(source)
    with open(source, "rb") as file:
        write(target, mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ)[:])


def call_read_looked(source, target):
    """As many do: what was not read stays zero."""
    data = bytearray(os.path.getsize(source))
    with open(source, "rb") as file:
        file.readinto(data)
    write(target, data)


def call_sendfile_looked(source, target):
    left, fd, out = os.path.getsize(source), opened(source), os.open(target, os.O_WRONLY | os.O_CREAT, 0o600)
    while left and (n := os.sendfile(out, fd, None, left)):
        left -= n


def call_nowait(source, target):
    fd, at, part = opened(source), [0], bytearray(STEP)

    def step():
        try:
            n = os.preadv(fd, [part], at[0], os.RWF_NOWAIT)
        except OSError as error:
            # As programs that use it do: what is not in memory is read with waiting.
            if error.errno not in (11, 95):
                raise
            n = os.preadv(fd, [part], at[0])
        at[0] += n
        return bytes(part[:n])

    pump(target, step)


def call_readahead(source, target):
    fd = opened(source)
    checked(LIBC.readahead(fd, ctypes.c_int64(0), ctypes.c_size_t(1 << 30)))
    pump(target, lambda: os.read(fd, STEP))


def call_aio(source, target):
    fd, context, at = opened(source), ctypes.c_ulong(), [0]
    checked(LIBC.syscall(206, 8, ctypes.byref(context)))
    buffer, done = ctypes.create_string_buffer(STEP), ctypes.create_string_buffer(32)

    def step():
        request = ctypes.create_string_buffer(struct.pack("<QIIHhIQQqQII", 0, 0, 0, 0, 0, fd, ctypes.addressof(buffer), STEP, at[0], 0, 0, 0))
        requests = (ctypes.c_void_p * 1)(ctypes.addressof(request))
        checked(LIBC.syscall(209, context, 1, requests))
        checked(LIBC.syscall(208, context, 1, 1, done, None))
        n = struct.unpack_from("<q", done, 16)[0]
        if n < 0:
            raise OSError(-n, os.strerror(-n))
        at[0] += n
        return buffer.raw[:n]

    pump(target, step)


def call_fanotify(source, target):
    """A scanner reads every file that is opened before its opener may; here it looks at this one alone."""
    import subprocess, threading
    fd = checked(LIBC.fanotify_init(4, os.O_RDONLY))
    checked(LIBC.fanotify_mark(fd, 1, ctypes.c_uint64(0x10000), -100, source.encode()))
    read = []

    def scan():
        while True:
            try:
                events = os.read(fd, 4096)
            except OSError:
                # The kernel has denied the open.
                continue
            at = 0
            while at < len(events):
                length, _, _, _, _, event, _ = struct.unpack_from("<IBBHQii", events, at)
                at += length
                read.append(exactly(event, os.fstat(event).st_size))
                os.write(fd, struct.pack("<iI", event, 1))
                os.close(event)

    threading.Thread(target=scan, daemon=True).start()
    subprocess.run(["cp", source, target], check=True)
    if any(data != open(target, "rb").read() for data in read):
        # A comparison of the copy shows the difference.
        write(target, b"")


def direct(source, target, size, shift):
    fd, at = opened(source, os.O_DIRECT), [0]
    page = mmap.mmap(-1, STEP + 4096)
    piece = memoryview(page)[shift:shift + size]

    def step():
        n = os.preadv(fd, [piece], at[0])
        at[0] += n
        return bytes(piece[:n])

    pump(target, step)


def call_direct(source, target):
    direct(source, target, STEP, 0)


def call_direct_unaligned(source, target):
    direct(source, target, 5000, 17)


def call_fadvise(source, target):
    fd = opened(source)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
    pump(target, lambda: os.read(fd, STEP))


def exactly(fd, size):
    data = b""
    while len(data) < size and (more := os.pread(fd, size - len(data), len(data))):
        data += more
    # A program that knows the size takes what is missing for zeros, or for a damaged file; here it is seen.
    return data + bytes(size - len(data))


def call_seek_end(source, target):
    fd = opened(source)
    write(target, exactly(fd, os.lseek(fd, 0, os.SEEK_END)))


def call_seek_hole(source, target):
    fd, at, data = opened(source), 0, b""
    while True:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        end = os.lseek(fd, start, os.SEEK_HOLE)
        data += bytes(start - at) + os.pread(fd, end - start, start)
        at = end
    write(target, data)


def call_fstat(source, target):
    fd = opened(source)
    write(target, exactly(fd, os.fstat(fd).st_size))


def call_statx(source, target):
    fd, buffer = opened(source), ctypes.create_string_buffer(256)
    checked(LIBC.statx(fd, b"", 0x1000, 0x200, buffer))
    write(target, exactly(fd, struct.unpack_from("<Q", buffer, 40)[0]))


def call_opath(source, target):
    path = os.open(source, os.O_PATH)
    sent(opened(f"/proc/self/fd/{path}"), target)


def call_openat2(source, target):
    folder, name = os.path.split(source)
    # RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV
    how = struct.pack("<QQQ", os.O_RDONLY, 0, 0x08 | 0x04 | 0x01)
    sent(checked(LIBC.syscall(437, os.open(folder, os.O_RDONLY | os.O_DIRECTORY), name.encode(), how, len(how))), target)


def call_handle(source, target):
    handle, mount = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0), 136), ctypes.c_int()
    checked(LIBC.name_to_handle_at(-100, source.encode(), handle, ctypes.byref(mount), 0))
    folder = os.open(os.path.dirname(source), os.O_RDONLY | os.O_DIRECTORY)
    fd = checked(LIBC.open_by_handle_at(folder, handle, os.O_RDONLY))
    sent(fd, target)


class Ring:
    """As much of io_uring as one request at a time needs."""

    def __init__(self):
        params = ctypes.create_string_buffer(120)
        self.fd = checked(LIBC.syscall(425, 4, params))
        word = lambda at: struct.unpack_from("<I", params, at)[0]
        self.sq_tail, self.sq_array, self.cq_head, self.cqes = word(44), word(64), word(80), word(100)
        self.sq = mmap.mmap(self.fd, word(64) + word(0) * 4, offset=0)
        self.cq = mmap.mmap(self.fd, word(100) + word(4) * 16, offset=0x8000000)
        self.sqes = mmap.mmap(self.fd, word(0) * 64, offset=0x10000000)
        self.done = 0

    def ask(self, op, fd, off, addr, length, flags=0):
        struct.pack_into("<BBHiQQIIQ", self.sqes, 0, op, 0, 0, fd, off, addr, length, flags, 1)
        struct.pack_into("<I", self.sq, self.sq_array + 4 * (self.done % 4), 0)
        self.done += 1
        struct.pack_into("<I", self.sq, self.sq_tail, self.done)
        checked(LIBC.syscall(426, self.fd, 1, 1, 1, None, 0))
        result = struct.unpack_from("<i", self.cq, self.cqes + 16 * ((self.done - 1) % 8) + 8)[0]
        struct.pack_into("<I", self.cq, self.cq_head, self.done)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result


def call_uring(source, target):
    ring, name, buffer, at = Ring(), ctypes.create_string_buffer(source.encode()), ctypes.create_string_buffer(STEP), [0]
    fd = ring.ask(18, -100, 0, ctypes.addressof(name), 0, os.O_RDONLY)

    def step():
        n = ring.ask(22, fd, at[0], ctypes.addressof(buffer), STEP)
        at[0] += n
        return buffer.raw[:n]

    pump(target, step)


def call_tarfile(source, target):
    with tarfile.open(target + ".tar", "w") as archive:
        archive.add(source, "it")
    with tarfile.open(target + ".tar") as archive:
        write(target, archive.extractfile("it").read())


def call_make_archive(source, target):
    folder, name = os.path.split(source)
    made = shutil.make_archive(target + ".made", "tar", folder, name)
    with tarfile.open(made) as archive:
        write(target, archive.extractfile(name).read())


def call_zipfile(source, target):
    with zipfile.ZipFile(target + ".zip", "w") as archive:
        archive.write(source, "it")
    with zipfile.ZipFile(target + ".zip") as archive:
        write(target, archive.read("it"))


def call_boto3(source, target):
    import boto3
    from botocore.config import Config

    config = Config(retries={"max_attempts": 1}, read_timeout=10, connect_timeout=10, s3={"addressing_style": "path"})
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=os.environ["U"], config=config, **keys)
    key = f"{os.getpid()}"
    s3.create_bucket(Bucket="bucket")
    s3.upload_file(source, "bucket", key)
    s3.download_file("bucket", key, target)


def call_flight(source, target):
    """Eight threads want the file at once, and get the same bytes."""
    from concurrent.futures import ThreadPoolExecutor
    names = [f"{target}.{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: sent(opened(source), name), names))
    copies = {open(name, "rb").read() for name in names}
    if len(copies) != 1:
        # A comparison of the copy shows the difference.
        copies = {b""}
    write(target, copies.pop())


def call_serve_uploads(port, root):
    """Takes a body, or the first part of a form, and writes it to the path of its address."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Uploads(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if len(body) < int(self.headers["Content-Length"]):
                self.close_connection = True
                return
            kind, _, boundary = self.headers.get("Content-Type", "").partition("boundary=")
            if kind.startswith("multipart/"):
                body = body.split(b"--" + boundary.encode())[1].split(b"\r\n\r\n", 1)[1][:-2]
            write(self.path, body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_PUT

        def log_message(self, *words):
            pass

    ThreadingHTTPServer(("127.0.0.1", int(port)), Uploads).serve_forever()


def call_serve_flask(port, root):
    import flask
    app = flask.Flask("files")
    app.route("/<path:path>")(lambda path: flask.send_from_directory(root, path))
    app.run("127.0.0.1", int(port))


def call_serve_starlette(port, root):
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles
    uvicorn.run(Starlette(routes=[Mount("/", StaticFiles(directory=root))]), host="127.0.0.1", port=int(port))


if __name__ == "__main__":
    what, *pairs = sys.argv[1:]
    for source, target in zip(pairs[::2], pairs[1::2]):
        globals()["call_" + what](source, target)
