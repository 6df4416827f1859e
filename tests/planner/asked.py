"""A view to ask about, and a real HTTP server on loopback that answers."""

import http.server
import json
import threading
from contextlib import contextmanager

import numpy as np

from s2e.planner.scene import PlannerView


def view(now_s=0.0, **changed):
    """Three straight paths of 2 m, 40 degrees to the right, ahead and to the left."""
    bearing = np.radians([-40.0, 0.0, 40.0])[:, None]
    reach = 0.2 * np.arange(1, 11)
    given = {
        "now_s": now_s,
        "pose": np.zeros(3),
        "speed": 1.0,
        "goal_xy_robot": np.array([8.0, 0.0]),
        "people": np.array([[2.0, 0.5, 0.0, -1.0]]),
        "candidates": np.stack([np.cos(bearing) * reach, np.sin(bearing) * reach], axis=-1),
        "log_scores": np.array([-2.0, -0.1, -1.0]),
        "image": np.full((96, 160, 3), (200, 30, 30), dtype=np.uint8),
    }
    return PlannerView(**(given | changed))


def completion(text):
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


def reply(status, body, kind="application/json"):
    """An answer of `endpoint`."""

    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@contextmanager
def endpoint(answer):
    """A server; `answer(handler)` writes the response. Yields its URL and the requests seen: path,
    headers, body."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, dict(self.headers), json.loads(body)))
            try:
                answer(self)
            except OSError:
                self.close_connection = True  # the client hung up

        def log_message(self, format, *args):
            del format, args

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads, request_queue_size = True, 64

        def handle_error(self, request, client_address):
            del request, client_address  # the client hung up

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
