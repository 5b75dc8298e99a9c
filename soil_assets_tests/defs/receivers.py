"""Who alerts are sent to in tests: a webhook and a mail server on loopback."""

from __future__ import annotations

import email
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


class Webhook:
    """Takes JSON posts and keeps them; answers 500 while ``down``."""

    def __init__(self) -> None:
        hook = self
        self.taken: list[dict[str, Any]] = []
        self.down = False

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not hook.down:
                    hook.taken.append(json.loads(body))
                self.send_response(500 if hook.down else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"json://127.0.0.1:{self.server.server_port}/"


@contextmanager
def listening() -> Iterator[Webhook]:
    """Run a webhook until the block ends."""
    hook = Webhook()
    thread = threading.Thread(target=hook.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.server.shutdown()
        hook.server.server_close()
        thread.join()


class Mailbox:
    """Keeps letters; ``address`` is what stands in SOIL_ALERT_URLS."""

    def __init__(self, port: int) -> None:
        self.letters: list[Message] = []
        self.address = f"mailto://127.0.0.1:{port}?from=soil@example.org&to=lab@example.org"

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        self.letters.append(email.message_from_bytes(envelope.content))
        return "250 OK"

    def text(self) -> str:
        """Return what the only letter says."""
        [letter] = self.letters
        parts = (p.get_payload(decode=True) for p in letter.walk() if not p.is_multipart())
        return b"".join(p for p in parts if isinstance(p, bytes)).decode()


@contextmanager
def receiving_mail() -> Iterator[Mailbox]:
    """Run a mail server until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    box = Mailbox(port)
    post = Controller(box, hostname="127.0.0.1", port=port)
    post.start()
    try:
        yield box
    finally:
        post.stop()
