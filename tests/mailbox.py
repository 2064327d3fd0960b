"""A mail server that keeps what it gets: just enough SMTP for Alertmanager to get rid of a mail."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage


@contextlib.contextmanager
def running_mailbox() -> Iterator[tuple[str, list[EmailMessage]]]:
    """Run it on a free port until the block ends; gives its address, and the mails as they come in."""
    mails: list[EmailMessage] = []

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 mailbox\r\n")
            while line := self.rfile.readline():
                word = line[:4].upper().strip()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    mail = b"".join(iter(self.rfile.readline, b".\r\n"))
                    mails.append(message_from_bytes(mail, policy=policy.default))
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}", mails
        finally:
            server.shutdown()
