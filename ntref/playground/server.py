"""The server of the page: it answers this machine alone, and sends nothing from elsewhere."""
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from urllib.parse import urlsplit

from .answers import ANSWERS, answer

__all__ = ['HOST', 'Server', 'part']

HOST = '127.0.0.1'
PARTS = {               # of the page: path, file, type
    '/': ('page.html', 'text/html'), '/page.css': ('page.css', 'text/css'),
    '/plot.js': ('plot.js', 'text/javascript'), '/page.js': ('page.js', 'text/javascript')}
POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self'; frame-ancestors 'none'"


class Server(ThreadingHTTPServer):
    """The server; port 0 takes one that is free, and `url` says which.

    Raises
    ------
    OSError : the port is taken.
    """
    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, port: int) -> None:
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as e:
            raise OSError(f'expected a free port, got {port}: {e.strerror}. --port 0 takes one that is free.') from e

    @property
    def url(self):
        return f'http://{HOST}:{self.server_port}/'


def part(name: str) -> str:
    """Return the text of a file of the page."""
    return (files(__package__) / 'page' / name).read_text(encoding='utf-8')


class _Handler(BaseHTTPRequestHandler):
    """Answers GET: parts of the page, and states as numbers."""

    def do_GET(self):
        url = urlsplit(self.path)
        if self.headers.get('Host') not in self._names():
            self._send(403, 'text/plain', f'expected a request to {HOST}')
        elif url.path in ANSWERS:
            status, found = answer(url.path, url.query)
            self._send(status, 'application/json', json.dumps(found, allow_nan=False))
        elif url.path in PARTS:
            name, kind = PARTS[url.path]
            self._send(200, kind, part(name))
        else:
            self._send(404, 'text/plain', f'expected one of {", ".join([*PARTS, *ANSWERS])}')

    def log_message(self, format, *args):
        """Say nothing."""

    def _names(self):
        """Hosts that a page of this server asks; another name leads here only by a trick of its owner."""
        return {f'{name}:{self.server.server_port}' for name in (HOST, 'localhost')}

    def _send(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        self.send_header('Content-Type', f'{kind}; charset=utf-8')
        self.send_header('Content-Length', str(len(body)))
        self.send_header('Content-Security-Policy', POLICY)
        self.send_header('Cache-Control', 'no-store')
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            pass                                # the page has gone on to another state
