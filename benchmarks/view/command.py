"""`s2e-view`: the viewer's server and its loop; what it can be asked for is in `view_args.py`."""

import contextlib
import io
import math
import socket
import time
from pathlib import Path
from typing import Any

from s2e.benchmarks.agents import CHUNK, Planning
from s2e.benchmarks.view.args import DRIVERS, ViewArgs, check_words, main
from s2e.benchmarks.view.session import (
    Drive,
    Replay,
    Session,
    episodes_of,
    read_replay,
    settings_of,
)
from s2e.core.errors import UserError, optional, require
from s2e.envs.scenes.files import load_scene
from s2e.envs.warm import warm_up
from s2e.planner import parse_planner
from s2e.policy.agent import Agent

IDLE_S = 0.25
"""How often it looks whether somebody has come; until then the world stands still."""


class Viewer:
    """The scene, the session and its page; `tick` is one pass of the loop.

    Raises:
        UserError: bad input, a port that is taken, or viser is missing.
    """

    def __init__(self, args: ViewArgs):
        check_words(args)
        learned = args.policy not in DRIVERS
        viser = optional("viser", "s2e-view", "view")
        self.args = args
        parse_planner(args.planner)
        self.learned = Agent.load(args.policy, chunk=CHUNK) if learned else None
        name = Path(args.policy).resolve().name if learned else None
        self.scene = load_scene(args.scene)
        _check_port(args.host, args.port)
        warm_up()
        self.listed = episodes_of(args.scene, self.scene)
        self.session: Session = self._session(args.setting, args.robot, name or args.policy)
        self.paused, self.due, self.due_s = False, False, 0.0
        # viser announces itself; the command says it in a line of its own
        with contextlib.redirect_stdout(io.StringIO()):
            self.server: Any = viser.ViserServer(host=args.host, port=args.port, verbose=False)
        self.port = int(self.server.get_port())
        # somebody took it in between; viser goes on to the next one
        if args.port not in (0, self.port):
            self.close()
            raise UserError(_taken(args.host, args.port))
        from s2e.benchmarks.view.page import Page, choices

        self.page = Page(
            self.server, self.session, args.scene, choices(name), settings_of(self.listed)
        )

    def _session(self, setting: str, robot: str, driver: str) -> Session:
        if self.args.replay is None:
            return self._drive(setting, robot, driver)
        by_id = {e.id: e for e in self.listed}
        return Replay(
            self.scene, by_id, read_replay(self.args.replay, by_id, self.args.scene), robot
        )

    def _drive(self, setting: str, robot: str, driver: str) -> Drive:
        planning = Planning(self.args.planner, self.args.planner_weight)
        return Drive(self.scene, self.listed, setting, robot, driver, self.learned, planning)

    def tick(self, now: float) -> float:
        """Does what was asked for and, when it is due, goes on by a step; returns for how many
        seconds nothing is to be done.
        """
        changed = False
        while not self.page.asked.empty():
            changed |= self._do(*self.page.asked.get())
        alone = not self.server.get_clients()
        period = self.session.period_s
        running = self.due or not (self.paused or alone)
        if running and now >= self.due_s:
            self.due_s, self.due, changed = max(self.due_s + period, now - period), False, True
            if self.session.step(now):
                self.page.begin(self.session)
        if changed:
            self.page.update()
        if alone:
            return IDLE_S
        return 0.05 if self.paused else max(min(self.due_s - time.monotonic(), period), 0.002)

    def _do(self, what: str, value: Any) -> bool:
        """One wish of somebody at the page; whether there is something new to show.

        What cannot be done is said on the page, and the server goes on: a page can ask for
        anything.
        """
        self.page.refusal = ""
        try:
            offered = self.page.offered.get(what)
            require(
                offered is None or value in offered,
                f"{what} {value!r} is not offered; choose one of the list",
            )
            self._do_one(what, value)
        except (UserError, KeyError, ValueError) as error:
            self.page.refusal = str(error)
        return True

    def _do_one(self, what: str, value: Any) -> None:
        session, page = self.session, self.page
        if what == "show":
            page.show()
        elif what == "pause" and isinstance(session, Replay):
            if session.time_s >= session.length_s:
                session.seek(0.0)
            session.playing = not session.playing
        elif what == "pause":
            self.paused = not self.paused
        elif isinstance(session, Replay):
            self._do_replay(session, what, value)
        elif isinstance(session, Drive):
            self._do_drive(session, what, value)

    def _do_replay(self, session: Replay, what: str, value: Any) -> None:
        if what == "time":
            time_s = float(value)
            require(math.isfinite(time_s), f"time {time_s}: give a time of the episode")
            session.playing = False
            session.seek(time_s)
        elif what == "speed":
            session.pace = float(value.removesuffix("x"))
        elif what == "episode":
            session.select(value)
            session.playing = True
            self.page.begin(session)

    def _do_drive(self, session: Drive, what: str, value: Any) -> None:
        if what == "one step":
            self.paused = self.due = True
            self.due_s = 0.0
        elif what == "next episode":
            session.begin(session.index + 1)
            self.page.begin(session)
        elif what in ("driver", "setting", "robot"):
            now = {
                "setting": session.episode.setting,
                "robot": session.robot,
                "driver": session.driver,
            } | {what: value}
            index = session.index
            drive = self._drive(**now)
            session.close()
            if index and what != "setting":
                drive.begin(index)
            self.session = drive
            self.page.begin(drive)

    def serve(self) -> None:
        """Runs until Ctrl-C."""
        try:
            while True:
                time.sleep(self.tick(time.monotonic()))
        except KeyboardInterrupt:
            print("\nclosed")
        finally:
            self.close()

    def close(self) -> None:
        """Stops the server, and the planner that advises."""
        if isinstance(self.session, Drive):
            self.session.close()
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()


def _taken(host: str, port: int) -> str:
    return (
        f"--port {port}: something else listens at {host}:{port}; give another --port, or 0 "
        "for "
        "a free one"
    )


def _check_port(host: str, port: int) -> None:
    """Refuses an address that cannot be served at; viser would try the next thousand ports without
    a word.
    """
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        if port and "in use" in str(error).lower():
            raise UserError(_taken(host, port)) from None
        raise UserError(
            f"--host {host} --port {port}: cannot be served at ({error}); give another"
        ) from None


def view(args: ViewArgs) -> None:
    """The whole command."""
    viewer = Viewer(args)
    shown = "localhost" if args.host in ("0.0.0.0", "::") else args.host
    print(f"s2e-view: {args.scene} at http://{shown}:{viewer.port} (Ctrl-C ends)", flush=True)
    viewer.serve()


if __name__ == "__main__":
    main()
