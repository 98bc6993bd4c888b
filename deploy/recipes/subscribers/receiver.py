"""A customer's receiver: it verifies each request with the library of Standard Webhooks, and prints the event.

pip install standardwebhooks
python receiver.py whsec_… [PORT]
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            Webhook(sys.argv[1]).verify(body, headers)
        except WebhookVerificationError as error:
            print(f"rejected: {error}", flush=True)
            self.send_error(401)
            return
        print(f"verified {headers['webhook-id'][:8]}: {body.decode()}", flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: what counts is printed above."""


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("give the secret of the endpoint: python receiver.py whsec_… [PORT]")
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 9000
    print(f"waiting for events on http://localhost:{port}", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
