"""The tenant's login with one secret at a time, before the simulated tenant, which knows one for ever.

login.py PORT TENANT_URL VALID_SECRET_FILE TENANTS_SECRET_FILE LOG: passes logins on whose secret is what stands in the first file now, and everything else as it is.
Logs each login as `accepted` or `refused`.
"""

import http.server
import json
import sys
import urllib.error
import urllib.request

port, tenant, valid, real, log = sys.argv[1:]


class Login(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_valid = body["accessKeySecret"] == open(valid).read().strip()
        with open(log, "a") as lines:
            print("accepted" if is_valid else "refused", file=lines)
        if not is_valid:
            return self.answer(401, b'{"error": "invalid_client"}')
        body["accessKeySecret"] = open(real).read().strip()
        request = urllib.request.Request(tenant + self.path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                self.answer(answer.status, answer.read())
        except urllib.error.URLError:
            self.answer(503, b"{}")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Login).serve_forever()
