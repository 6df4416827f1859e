"""The page in a real browser: headless Chromium, driven over the DevTools protocol."""

import base64
import io
import itertools
import json
import shutil
import subprocess
import threading
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

from s2e.benchmarks.view.command import ViewArgs, Viewer

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]


class Browser:
    """One page of a headless Chromium that draws WebGL on the CPU."""

    def __init__(self, profile, width, height):
        from websockets.sync.client import connect

        flags = (
            "--headless=new",
            "--no-sandbox",
            "--use-gl=angle",
            "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader",
            "--disable-dev-shm-usage",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
        )
        self.process = subprocess.Popen(
            [str(CHROMIUM), *flags, "about:blank"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stderr is not None
        url = next(
            text.split()[-1] for text in self.process.stderr if "DevTools listening on" in text
        )
        # Read on, so that the browser never waits for somebody to read its complaints.
        threading.Thread(
            target=lambda: [None for _ in self.process.stderr or ()], daemon=True
        ).start()
        with urllib.request.urlopen(f"http://{url.split('/')[2]}/json", timeout=30) as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        self.socket, self.numbers = (
            connect(page["webSocketDebuggerUrl"], max_size=None),
            itertools.count(1),
        )
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def call(self, method, **params):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (message := json.loads(self.socket.recv(timeout=120))).get("id") != number:
            pass
        return message.get("result", {})

    def js(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)[
            "result"
        ].get("value")

    def key(self, kind, code, key):
        self.call("Input.dispatchKeyEvent", type=kind, code=code, key=key)

    def picture(self):
        return np.asarray(
            Image.open(
                io.BytesIO(
                    base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
                )
            ).convert("RGB")
        )

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait(timeout=30)


def until(what, seconds=240):  # a processor draws the page: one picture can take seconds
    end = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return value


@pytest.fixture
def seen(tmp_path):
    pytest.importorskip("viser")
    viewer, stop = Viewer(ViewArgs("gs_urban/plaza", setting="empty", port=0)), threading.Event()

    def serve():
        while not stop.is_set():
            time.sleep(viewer.tick(time.monotonic()))

    viewer.paused = True
    loop = threading.Thread(target=serve)
    loop.start()
    browser = None
    try:
        browser = Browser(tmp_path / "profile", 800, 600)
        browser.call("Page.navigate", url=f"http://127.0.0.1:{viewer.port}")
        until(lambda: viewer.server.get_clients())
        until(
            lambda: browser.js(
                "document.querySelectorAll('button').length >= 6 && !!window.s2eKeys"
            )
        )
        yield viewer, browser
    finally:
        stop.set()
        loop.join()
        if browser:
            browser.close()
        viewer.close()


def test_a_picture_and_the_drive_keys(seen):
    viewer, browser = seen
    # The splats arrive and are sorted before anything of them shows.
    until(lambda: browser.picture()[:, :400].std() > 25)
    text = browser.js("document.body.innerText")
    assert "empty-000" in text and "m to the goal" in text and "forward (W" in text
    drive = viewer.session
    assert drive.moment().clock_s == 0.0
    browser.key("keyDown", "Space", " ")
    browser.key("keyUp", "Space", " ")
    until(lambda: not viewer.paused)
    for code, key in (("KeyW", "w"), ("ArrowUp", "ArrowUp")):
        before = drive.moment().pose
        camera = {i: c.camera.position for i, c in viewer.server.get_clients().items()}
        browser.key("keyDown", code, key)
        until(lambda before=before: np.linalg.norm(drive.moment().pose[:2] - before[:2]) > 0.2)
        browser.key("keyUp", code, key)
        until(lambda: drive.moment().speed < 0.01)
        assert all(
            (c.camera.position == camera[i]).all() for i, c in viewer.server.get_clients().items()
        )  # it did not fly too
    before = drive.moment().pose[2]
    browser.key("keyDown", "KeyA", "a")
    until(lambda: np.mod(drive.moment().pose[2] - before, 2 * np.pi) > 0.2)
    browser.key("keyUp", "KeyA", "a")
    browser.key("keyDown", "Space", " ")
    browser.key("keyUp", "Space", " ")
    until(lambda: viewer.paused)
    # With another driver the keys are the camera's again, and the buttons are grey.
    viewer.page.ask("driver", "straight")
    until(lambda: viewer.session.driver == "straight")
    until(
        lambda: (
            browser.js("[...document.querySelectorAll('button')].filter(b => b.disabled).length")
            == 4
        )
    )
