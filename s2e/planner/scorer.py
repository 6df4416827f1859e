"""The process beside a run that holds a transformers model and scores choices, for `local.py`.

It reads questions from a socket and writes scores to it, both as frames: four bytes of length, a
line of JSON, and for a question the pixels. It ends when the socket does.
"""

import json
import os
import socket
import struct
import sys
import time
from typing import Any

import numpy as np
from PIL import Image

MAX_FRAME_BYTES = 1 << 24
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What choices are called: single tokens for every tokenizer that knows English."""


class Wire:
    """Frames over a socket. What runs out of time in the middle of a frame goes on with the next
    call.
    """

    def __init__(self, sock: socket.socket):
        self._socket, self._come, self._going = sock, bytearray(), bytearray()
        self.until = np.inf
        """When reading and writing end, in the time of `time.monotonic`."""

    def send(self, record: dict[str, Any], payload: bytes = b"") -> None:
        """Writes a frame.

        Raises:
            OSError: the other side is gone, or does not read in time.
        """
        head = json.dumps(record).encode() + b"\n"
        self._going += struct.pack(">I", len(head) + len(payload)) + head + payload
        self.flush()

    def flush(self) -> None:
        """Writes what is left of the last frame; raises as `send`."""
        while self._going:
            self._in_time()
            del self._going[: self._socket.send(self._going)]

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Waits for a frame.

        Raises:
            EOFError: the other side is gone. OSError: it does not write in time. ValueError: it
                writes something else, and there is no going on.
        """
        size = struct.unpack(">I", self._peek(4))[0]
        if size > MAX_FRAME_BYTES:
            raise ValueError("a frame too long")
        head, _, payload = bytes(self._peek(4 + size)[4:]).partition(b"\n")
        del self._come[: 4 + size]
        record = json.loads(head)
        if not isinstance(record, dict):
            raise ValueError("not a frame")
        return record, payload

    def _in_time(self) -> None:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(None if left == np.inf else left)

    def _peek(self, count: int) -> bytearray:
        while len(self._come) < count:
            self._in_time()
            come = self._socket.recv(1 << 16)
            if not come:
                raise EOFError
            self._come += come
        return self._come[:count]


class Scorer:
    """A model from a folder: safetensors only, none of its code, nothing from the network."""

    def __init__(self, folder: str):
        """Loads it.

        Raises:
            Exception: whatever transformers says.
        """
        import torch
        import transformers
        from transformers import (
            AutoConfig,
            AutoModelForCausalLM,
            AutoModelForImageTextToText,
            AutoProcessor,
            AutoTokenizer,
        )

        transformers.logging.set_verbosity_error()
        self._torch = torch
        safe = {"local_files_only": True, "trust_remote_code": False}
        config = AutoConfig.from_pretrained(folder, **safe)
        self.sees = type(config) in AutoModelForImageTextToText._model_mapping.keys()
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.float32 if self._device == "cpu" else "auto"
        kind = AutoModelForImageTextToText if self.sees else AutoModelForCausalLM
        model: Any = kind.from_pretrained(folder, use_safetensors=True, dtype=dtype, **safe)
        self._model = model.to(torch.device(self._device)).eval()
        self._processor = (AutoProcessor if self.sees else AutoTokenizer).from_pretrained(
            folder, **safe
        )
        self._tokenizer = self._processor.tokenizer if self.sees else self._processor
        self._liking: np.ndarray | None = None
        self._letters = [self._tokens(letter) for letter in LETTERS]
        if len({ids[0] for ids in self._letters}) < len(LETTERS):
            raise ValueError("its tokenizer has no tokens of their own for the letters A to Z")

    def _tokens(self, letter: str) -> list[int]:
        """The last token of a letter, and of one after a blank."""
        encoded = [
            self._tokenizer.encode(t, add_special_tokens=False) for t in (letter, f" {letter}")
        ]
        return sorted({ids[-1] for ids in encoded if ids}) or [-1]

    def letters(self, system: str, text: str, count: int, image: np.ndarray | None) -> np.ndarray:
        """(count,) log probabilities of the first letters as the answer's first token, of these
        letters alone; one prefill.
        """
        torch = self._torch
        inputs = self._inputs(system, text, image).to(self._device)
        with torch.inference_mode():
            logits = self._model(**inputs, use_cache=False, logits_to_keep=1).logits[0, -1].float()
        scores = torch.stack([torch.logsumexp(logits[ids], 0) for ids in self._letters[:count]])
        return torch.log_softmax(scores, 0).cpu().numpy().astype(np.float64)

    def score(self, system: str, text: str, count: int, image: np.ndarray | None) -> list[float]:
        """Log probabilities of the first `count` choices: those of their letters without the
        model's liking for letters, which is what it answers where all choices are the same.

        The idea is that of "Calibrate Before Use" (Zhao et al. 2021); a small model says A to
        everything.
        """
        if self._liking is None:
            same = "\n".join(f"{letter}: ?" for letter in LETTERS)
            asked = f"Answer with one letter:\n{same}"
            self._liking = self.letters(system, asked, len(LETTERS), None)
        scores = self.letters(system, text, count, image) - self._liking[:count]
        return (scores - np.logaddexp.reduce(scores)).tolist()

    def _inputs(self, system: str, text: str, image: np.ndarray | None):
        how = {"add_generation_prompt": True, "tokenize": True, "return_dict": True}
        how |= {"return_tensors": "pt", "enable_thinking": False}
        if self.sees:
            content: list[dict[str, Any]] = [{"type": "text", "text": f"{system}\n\n{text}"}]
            if image is not None:
                content.insert(0, {"type": "image", "image": Image.fromarray(image)})
            return self._processor.apply_chat_template(
                [{"role": "user", "content": content}], **how
            )
        if self._tokenizer.chat_template is None:
            return self._tokenizer(f"{system}\n\n{text}\nAnswer:", return_tensors="pt")
        # not every template knows a system's message
        asked = [{"role": "user", "content": f"{system}\n\n{text}"}]
        return self._tokenizer.apply_chat_template(asked, **how)


def _problem(error: BaseException) -> str:
    words = "".join(c if c.isprintable() else " " for c in " ".join(str(error).split()))
    return f"{type(error).__name__}: {words}"[:300]


def main() -> None:
    """Body of the process: `python -m s2e.planner.scorer FOLDER DESCRIPTOR`."""
    folder, descriptor = sys.argv[1:]
    wire = Wire(socket.socket(fileno=int(descriptor)))
    try:
        try:
            scorer = Scorer(folder)
        except Exception as error:
            wire.send({"problem": _problem(error)})
            return
        wire.send({"sees": scorer.sees})
        sys.stderr.flush()
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        while True:
            asked, pixels = wire.receive()
            shape = asked["shape"]
            image = np.frombuffer(pixels, np.uint8).reshape(shape) if shape else None
            try:
                scores = scorer.score(asked["system"], asked["text"], asked["choices"], image)
                wire.send({"id": asked["id"], "scores": scores})
            except Exception as error:
                wire.send({"id": asked["id"], "problem": _problem(error)})
    except (EOFError, OSError):
        return  # the run is over


if __name__ == "__main__":
    main()
