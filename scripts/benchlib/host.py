"""The media host: nginx serving files of pseudo-random bytes, and the proxy that delays (not throttles) what passes through."""

import os
import socket
import subprocess
import time
from pathlib import Path

NGINX = """
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log warn;
events {{ worker_connections 1024; }}
http {{
  log_format requests '$status $body_bytes_sent $uri';
  access_log {dir}/access.log requests;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  sendfile on; tcp_nopush on; keepalive_requests 1000000;
  server {{
    listen 127.0.0.1:{port};
    root {dir}/data;
    autoindex on;
    # Below /size/N/ every name is the file of N bytes: what the simulated tenant links to.
    rewrite ^/size/([0-9]+)/.*$ /files/$1.bin last;
  }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process):
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{process.args[0]} does not listen")


class Host:
    """nginx, in a directory of its own."""

    def __init__(self, work):
        self.dir = Path(work) / "host"
        (self.dir / "data" / "files").mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        conf = self.dir / "nginx.conf"
        conf.write_text(NGINX.format(dir=self.dir, port=self.port))
        os.chmod(work, 0o755)
        user = ["-g", "daemon off; user root;"] if os.geteuid() == 0 else ["-g", "daemon off;"]
        self.process = subprocess.Popen(["nginx", "-c", str(conf), *user], stderr=subprocess.PIPE)
        wait_for_port(self.port, self.process)

    def file(self, size):
        """The file of `size` bytes, created and read once so that the host's disk is no part of what is measured."""
        path = self.dir / "data" / "files" / f"{size}.bin"
        if not path.exists():
            with open(path, "wb") as out, open("/dev/urandom", "rb") as random:
                left = size
                while left:
                    left -= out.write(random.read(min(left, 1 << 22)))
        with open(path, "rb") as file:
            while file.read(1 << 22):
                pass
        return path

    def listing(self, name, size, count):
        """A directory of `count` files of `size` bytes, for clients that need a listing."""
        directory = self.dir / "data" / name
        directory.mkdir(exist_ok=True)
        for number in range(count):
            path = directory / f"{number:05}.mp4"
            if not path.exists():
                os.link(self.file(size) if number == 0 else directory / "00000.mp4", path)
        return f"http://127.0.0.1:{self.port}/{name}/"

    def url(self, size, port=None):
        """Below it every name is the file of `size` bytes."""
        self.file(size)
        return f"http://127.0.0.1:{port or self.port}/size/{size}/"

    def sent(self):
        """(requests, bytes) so far."""
        requests = total = 0
        with open(self.dir / "access.log", encoding="ascii") as log:
            for line in log:
                requests += 1
                total += int(line.split()[1])
        return requests, total

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Delay:
    """The delay proxy in front of a host."""

    def __init__(self, binary, host, rtt_ms):
        self.port = free_port()
        command = [str(binary), str(self.port), str(host.port), str(rtt_ms / 2)]
        self.process = subprocess.Popen(command)
        wait_for_port(self.port, self.process)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
