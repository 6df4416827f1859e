"""Stands in for `s2e.planner.scorer`: what it does is written in the folder's `behaviour` file."""

import json
import os
import socket
import struct
import sys
import time
from pathlib import Path

folder, descriptor = Path(sys.argv[1]), int(sys.argv[2])
sock = socket.socket(fileno=descriptor)
behaviour = (folder / "behaviour").read_text()
(folder / "started").open("a").write("x")
(folder / "environment").write_text(json.dumps(dict(os.environ)))


def send(record):
    data = json.dumps(record).encode() + b"\n"
    sock.sendall(struct.pack(">I", len(data)) + data)


def receive():
    def exactly(count):
        data = b""
        while len(data) < count:
            more = sock.recv(count - len(data))
            if not more:
                sys.exit()
            data += more
        return data

    head, _, pixels = exactly(struct.unpack(">I", exactly(4))[0]).partition(b"\n")
    return json.loads(head), pixels


def scores(asked, letter, probability=0.9):
    """Log probabilities with so much at a letter."""
    import math

    rest = math.log((1 - probability) / (asked["choices"] - 1))
    found = [rest] * asked["choices"]
    found["ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter)] = math.log(probability)
    return found


if behaviour == "dies at the start":
    print("Traceback\nValueError: no such kernel", file=sys.stderr)
    sys.exit(3)
if behaviour == "starts for ever":
    time.sleep(60)
if behaviour == "cannot load":
    send({"problem": "OSError: damaged"})
    sys.exit()
send({"sees": behaviour != "blind"})
while True:
    asked, pixels = receive()
    (folder / "asked").write_text(json.dumps(asked | {"pixels": len(pixels)}))
    if behaviour.startswith("says"):
        _, letter, probability = behaviour.split()
        send({"id": asked["id"], "scores": scores(asked, letter, float(probability))})
    elif behaviour == "late":
        standing = "drives 0.0 m/s" in asked["text"]
        while standing and not (folder / "go on").exists():
            time.sleep(0.01)
        send({"id": asked["id"], "scores": scores(asked, "A" if standing else "B")})
    elif behaviour == "dies":
        sys.exit(7)
    elif behaviour == "hangs":
        time.sleep(60)
    elif behaviour == "drips":
        for byte in struct.pack(">I", 1 << 20) + b" " * 1000:
            sock.sendall(bytes([byte]))
            time.sleep(0.05)
    elif behaviour == "babbles":
        sock.sendall(b"\xff" * 4096)
    elif behaviour == "no JSON":
        sock.sendall(struct.pack(">I", 4) + b"{{{\n")
    elif behaviour == "nothing in it":
        send({"id": asked["id"]})
    elif behaviour == "too few":
        send({"id": asked["id"], "scores": [0.0]})
    elif behaviour == "NaN":
        send({"id": asked["id"], "scores": [float("nan")] * asked["choices"]})
    elif behaviour == "another question":
        send({"id": "seven", "scores": []})
    else:
        send({"id": asked["id"], "problem": f"RuntimeError: {behaviour}"})
