"""The page of `s2e-view`: what a session shows, as things in viser's scene and controls in its
panel.

Everything a person does arrives as a message in `Page.asked`; nothing of a session is touched from
viser's threads but `Keyboard.hold`.
"""

import math
import queue
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import viser

from s2e.benchmarks.view.args import DRIVERS
from s2e.benchmarks.view.session import (
    TRAIL,
    Drive,
    Moment,
    Replay,
    Session,
    ways_of_people,
)
from s2e.benchmarks.view.shapes import (
    CUBE,
    CUBE_FACES,
    FAN,
    MOST_GAUSSIANS,
    bodies,
    fan_colours,
    forbidden_ground,
    matrix_to_wxyz,
    mesh_glb,
    on_ground,
    part_of_mesh,
    segments,
    splat_arrays,
)
from s2e.core.templates import fill
from s2e.envs.expert.drive import route
from s2e.envs.geometry.scene import Scene
from s2e.envs.robots.kinds import ROBOTS

KEYS = {
    "forward": ("▲ forward (W, ↑)", ("KeyW", "ArrowUp")),
    "left": ("◀ left (A, ←)", ("KeyA", "ArrowLeft")),
    "right": ("▶ right (D, →)", ("KeyD", "ArrowRight")),
    "stop": ("■ stop (S, ↓)", ("KeyS", "ArrowDown")),
}
"""What the drive buttons say, and the keys that hold them down."""

PAUSE = "pause / go on (space)"

ROBOT, GOAL, DRIVEN, WAYS, ANCHORS, NO_GO = (
    (225, 130, 0),
    (60, 200, 90),
    (255, 255, 255),
    (120, 120, 130),
    (40, 120, 220),
    (230, 40, 40),
)
TOUCH_THING, TOUCH_PERSON = (230, 40, 40), (230, 40, 200)


def key_script() -> str:
    """The page's own script, as HTML."""
    codes = {code: label for label, keys in KEYS.values() for code in keys} | {"Space": PAUSE}
    labels = "{" + ", ".join(f"{code}: '{label}'" for code, label in codes.items()) + "}"
    return fill(Path(__file__).with_name("keys.html"), labels=labels)


def legend(policy: bool, live: bool) -> str:
    """What the colours of the scene mean, as HTML.

    Args:
        policy: whether one may drive. live: whether people walk, or a recorded episode is played
            back.
    """
    rows: list[tuple[Sequence[Sequence[int]], str]] = [
        ((ROBOT,), "the robot, and what its camera looks at"),
        ((GOAL,), "goal, and the way there that a planner with a map would take"),
        ((DRIVEN,), "way driven so far"),
    ]
    if policy and live:
        rows.append(
            (FAN, "ways that the policy weighs, unlikely to likely; it takes the thick one")
        )
    rows += [((TOUCH_THING,), "contact with a thing"), ((TOUCH_PERSON,), "contact with a person")]
    off = ", once shown"
    rows.append(((WAYS,), f"people's ways{off if live else ''}"))
    rows += [
        ((ANCHORS,), f"anchors, where episodes start and end{off}"),
        ((NO_GO,), f"ground where the robot cannot be{off}"),
    ]

    def swatch(colours: Sequence[Sequence[int]]) -> str:
        stops = ",".join(f"rgb({','.join(map(str, c))})" for c in (*colours, colours[-1]))
        box = (
            "display:inline-block;flex:none;width:1.1em;height:.8em;margin:.25em .6em 0 "
            "0;border:1px solid #8888"
        )
        return f'<span style="{box};background:linear-gradient(90deg,{stops})"></span>'

    lines = "".join(
        f'<div style="display:flex">{swatch(colours)}<span>{words}</span></div>'
        for colours, words in rows
    )
    return f'<div style="font-size:.8em;line-height:1.5;padding:.2em .8em">{lines}</div>'


def plain(text: object) -> str:
    """Text of a file, so that markdown shows it as it is and reads nothing into it."""
    return "".join(c if c.isalnum() or c in " -_./,:" else f"&#{ord(c)};" for c in str(text)[:200])


class Page:
    """One viser server with one scene.

    Args:
        server: fresh.
        session: live or replay. name: of the scene. drivers: to choose from. settings: to choose
            from.
    """

    def __init__(
        self,
        server: viser.ViserServer,
        session: Session,
        name: str,
        drivers: Sequence[str],
        settings: Sequence[str],
    ):
        self.server, self.session, self.name = server, session, name
        self.asked: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        # what may be chosen; a page can send anything
        self.offered: dict[str, tuple[str, ...]] = {}
        self.refusal = ""
        self.start: tuple[float, ...] = ()  # of the episode shown
        self.drawn: list[Any] = []  # what belongs to the episode and goes with it
        self.shown: tuple[float, int] = (time.monotonic(), 0)
        self.rate = 0.0
        self._theme()
        self.notice = self._place(session.scene)
        self._panel(drivers, settings)
        self.begin(session)

    def ask(self, what: str, value: Any = None) -> None:
        """Leaves a wish for the loop."""
        self.asked.put((what, value))

    # --- the panel

    def _theme(self) -> None:
        self.server.gui.configure_theme(
            control_layout="floating",
            control_width="medium",
            show_logo=False,
            show_share_button=False,
        )
        self.server.gui.set_panel_label(f"s2e-view: {self.name}")
        self.server.scene.set_up_direction("+z")
        self.server.scene.world_axes.visible = False

    def _panel(self, drivers: Sequence[str], settings: Sequence[str]) -> None:
        gui = self.server.gui
        self.picture = gui.add_image(np.zeros((96, 160, 3), np.uint8), label="the robot's camera")
        self.state = gui.add_markdown("")
        gui.add_html(key_script())
        self.pause = gui.add_button(PAUSE)
        self.pause.on_click(lambda _: self.ask("pause"))
        if isinstance(self.session, Replay):
            self._replay_folder(self.session)
        else:
            self._drive_folder(drivers, settings)
        self._show_folder()
        with gui.add_folder("legend"):
            gui.add_html(
                legend(
                    policy=any(d not in DRIVERS for d in drivers),
                    live=isinstance(self.session, Drive),
                )
            )
        gui.add_markdown(self.notice)

    def _chooser(self, what: str, options: Sequence[str], value: str) -> Any:
        self.offered[what] = tuple(options)
        box = self.server.gui.add_dropdown(what, self.offered[what], initial_value=value)

        @box.on_update
        def _(event: viser.GuiEvent) -> None:
            if event.client is not None:
                self.ask(what, box.value)

        return box

    def _drive_folder(self, drivers: Sequence[str], settings: Sequence[str]) -> None:
        session = self.session
        assert isinstance(session, Drive)
        gui = self.server.gui
        with gui.add_folder("drive"):
            self._chooser("driver", drivers, session.driver)
            if settings:
                self._chooser("setting", settings, session.episode.setting)
            self._chooser("robot", tuple(ROBOTS), session.robot)
            self.pad = {}
            for key, (label, _) in KEYS.items():
                self.pad[key] = gui.add_button(label)
                self.pad[key].on_hold(self._holder(key), callback_hz=10.0)
            gui.add_button("one step").on_click(lambda _: self.ask("one step"))
            gui.add_button("next episode").on_click(lambda _: self.ask("next episode"))

    def _holder(self, key: str) -> Any:
        async def hold(_: viser.GuiEvent) -> None:
            if isinstance(self.session, Drive):
                self.session.keyboard.hold(key, time.monotonic())

        return hold

    def _replay_folder(self, session: Replay) -> None:
        gui = self.server.gui
        with gui.add_folder("replay"):
            self._chooser("episode", tuple(sorted(session.records)), session.episode.id)
            self.slider = gui.add_slider("time, s", 0.0, max(session.length_s, 0.1), 0.1, 0.0)

            @self.slider.on_update
            def _(event: viser.GuiEvent) -> None:
                if event.client is not None:
                    self.ask("time", self.slider.value)

            self._chooser("speed", ("0.25x", "0.5x", "1x", "2x", "4x"), "1x")

    def _show_folder(self) -> None:
        gui = self.server.gui
        with gui.add_folder("show", expand_by_default=False):
            self.follow = gui.add_checkbox("follow the robot", False)
            # whose people are known by where they walk from and to
            replay = isinstance(self.session, Replay)
            wanted = {
                "robot": True,
                "people": True,
                "people's ways": replay,
                "route": True,
                "anchors": False,
                "no-go ground": False,
            }
            self.toggles = {k: gui.add_checkbox(k, v) for k, v in wanted.items()}
            for box in self.toggles.values():
                box.on_update(lambda _: self.ask("show"))

    def visible(self, what: str) -> bool:
        """Whether a toggle is on."""
        return bool(self.toggles[what].value)

    # --- what stands in the scene

    def _place(self, scene: Scene) -> str:
        """The scene itself; returns what is to be said about it."""
        said = []
        if scene.splats is not None:
            count = len(scene.splats.means)
            self.server.scene.add_gaussian_splats("/splats", *splat_arrays(scene.splats))
            said.append(f"{count:,} Gaussians")
            if count > MOST_GAUSSIANS:
                said.append(
                    f"a browser shows {MOST_GAUSSIANS:,} of them, widened; the robot's camera "
                    "sees all"
                )
        if len(scene.mesh.triangles):
            self.server.scene.add_glb(
                "/mesh", mesh_glb(scene.mesh), cast_shadow=False, receive_shadow=False
            )
            said.append(f"{len(scene.mesh.triangles):,} triangles")
        sky = np.linspace(scene.sky.zenith, scene.sky.horizon, 64)[:, None].repeat(8, 1)
        self.server.scene.set_background_image(sky.clip(0, 255).astype(np.uint8), format="png")
        return "; ".join(said)

    def begin(self, session: Session) -> None:
        """Puts what belongs to the session's episode in place of the former's."""
        self.session = session
        for handle in self.drawn:
            handle.remove()
        self.drawn = []
        live = isinstance(session, Drive)
        if live:
            for button in self.pad.values():
                button.disabled = session.driver != "keyboard"
        else:
            assert isinstance(session, Replay)
            self.slider.max, self.slider.value = max(session.length_s, 0.1), 0.0
        self._episode(session)
        self._robot(session)
        self._moving(session)
        self._first_camera(session)
        self.show()
        self.update()

    def _keep(self, handle: Any) -> Any:
        self.drawn.append(handle)
        return handle

    def _episode(self, session: Session) -> None:
        """Obstacles, start, goal, route, anchors and forbidden ground."""
        add, scene, placed, episode = (
            self.server.scene,
            session.scene,
            session.placed,
            session.episode,
        )
        if len(placed.mesh.triangles) > len(scene.mesh.triangles):
            added = part_of_mesh(placed.mesh, len(scene.mesh.triangles))
            self._keep(
                add.add_glb("/obstacles", mesh_glb(added), cast_shadow=False, receive_shadow=False)
            )
        ((x, y, z),) = on_ground(scene, np.array([episode.goal]), 0.0).tolist()
        robot = ROBOTS[session.worlds.config.robots[0]]
        self.goal = [
            self._keep(
                add.add_cylinder(
                    "/goal/area", 1.0, 0.03, color=GOAL, opacity=0.45, position=(x, y, z + 0.03)
                )
            ),
            self._keep(
                add.add_cylinder(
                    "/goal/pole", 0.03, 1.6, color=(40, 160, 70), position=(x, y, z + 0.8)
                )
            ),
        ]
        way = on_ground(scene, route(session.worlds, 0))
        self.route = self._keep(self._lines("/route", segments(way), GOAL, 4.0))
        ways = ways_of_people(episode)
        self.ways = (
            self._keep(self._lines("/ways", on_ground(scene, ways), WAYS, 2.0))
            if len(ways)
            else None
        )
        anchors = on_ground(scene, scene.free_anchors)
        self.anchors = self._keep(
            add.add_point_cloud(
                "/anchors",
                anchors.astype(np.float32),
                ANCHORS,
                point_size=0.2,
                point_shape="circle",
            )
        )
        # Opaque: splats are drawn later than what is transparent, and would cover it.
        vertices, faces = forbidden_ground(placed, robot)
        self.forbidden = self._keep(
            add.add_mesh_simple(
                "/forbidden",
                vertices,
                faces,
                color=NO_GO,
                side="double",
                cast_shadow=False,
                receive_shadow=False,
            )
        )

    def _lines(
        self, name: str, lines: np.ndarray, colour: tuple[int, int, int], width: float
    ) -> Any:
        return self.server.scene.add_line_segments(
            name,
            np.asarray(lines, dtype=np.float32),
            colour,
            thickness=width,
            thickness_units="screen",
        )

    def _robot(self, session: Session) -> None:
        """The robot's body, its wheels and its camera's view."""
        add, robot = self.server.scene, ROBOTS[session.worlds.config.robots[0]]
        self.body = self._keep(add.add_frame("/robot", show_axes=False))
        low = robot.wheel_radius if robot.wheel_radius else 0.4 * robot.height
        # a jackal's mast is no body
        deck = min(0.25, robot.height) if robot.name == "jackal" else robot.height
        centre = float(np.mean(robot.disc_offsets))
        size, colour = (robot.length, robot.width, deck - low * 0.7), ROBOT
        add.add_box("/robot/body", colour, size, position=(centre, 0, (deck + low * 0.7) / 2))
        add.add_box(
            "/robot/front",
            (50, 50, 55),
            (0.06, robot.width * 0.9, size[2] * 0.5),
            position=(centre + robot.length / 2, 0, deck * 0.6),
        )
        mast = robot.camera.z - deck
        if mast > 0.05:
            add.add_cylinder(
                "/robot/mast",
                0.025,
                mast,
                color=(60, 60, 65),
                position=(robot.camera.x, 0, deck + mast / 2),
            )
        add.add_box(
            "/robot/eye",
            (30, 30, 34),
            (0.07, 0.12, 0.06),
            position=(robot.camera.x, 0, robot.camera.z),
        )
        aside = (robot.track or robot.width * 0.8) / 2
        ahead = (robot.wheelbase or robot.length * 0.7) / 2
        for k, (x, y) in enumerate(
            ((ahead, aside), (ahead, -aside), (-ahead, aside), (-ahead, -aside))
        ):
            if robot.wheel_radius:
                turn, at = (
                    (math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0),
                    (centre + x, y, robot.wheel_radius),
                )
                add.add_cylinder(
                    f"/robot/wheel{k}",
                    robot.wheel_radius,
                    0.09,
                    color=(35, 35, 38),
                    wxyz=turn,
                    position=at,
                )
            elif robot.name != "g1" or x > 0:
                foot = 0.0 if robot.name == "g1" else x
                add.add_cylinder(
                    f"/robot/leg{k}",
                    0.035,
                    low,
                    color=(60, 60, 65),
                    position=(centre + foot, y, low / 2),
                )
        config = session.worlds.config
        fx = session.moment().camera[2][0]
        fov, aspect = 2 * math.atan(config.height_px / 2 / fx), config.width_px / config.height_px
        self.frustum = self._keep(
            add.add_camera_frustum("/camera", fov, aspect, scale=0.3, color=ROBOT, thickness=0.012)
        )

    def _moving(self, session: Session) -> None:
        """What every update moves: people, the way driven, contacts, the fan."""
        people = session.moment().people
        place, turn, size, colour = bodies(people)
        self.people = self._keep(
            self.server.scene.add_batched_meshes_simple(
                "/people",
                CUBE,
                CUBE_FACES,
                turn,
                place,
                batched_scales=size,
                batched_colors=colour,
                flat_shading=True,
                lod="off",
            )
        )
        nowhere = np.zeros((1, 2, 3), np.float32) - 1000.0
        self.driven = self._keep(self._lines("/driven", nowhere, DRIVEN, 3.0))
        self.fan: Any = None
        self.touches: Any = None
        self.touched = 0

    def _first_camera(self, session: Session) -> None:
        """New visitors begin behind the robot, as far back as there is room; who is here goes along
        to another start.
        """
        x, y, yaw = session.episode.start
        ahead = np.array([math.cos(yaw), math.sin(yaw)])
        occupancy, back = session.scene.occupancy, 0.5
        while back < 3.5:
            row, column = occupancy.cell_of(np.array([x, y]) - (back + 0.4) * ahead)
            inside = 0 <= row < occupancy.grid.shape[0] and 0 <= column < occupancy.grid.shape[1]
            if not inside or occupancy.grid[row, column]:
                break
            back += 0.1
        (eye,) = on_ground(session.scene, (np.array([x, y]) - back * ahead)[None], 1.9)
        (target,) = on_ground(session.scene, (np.array([x, y]) + 4.0 * ahead)[None], 0.4)
        self.server.initial_camera.position, self.server.initial_camera.look_at = (
            tuple(eye),
            tuple(target),
        )
        if session.episode.start != self.start:
            self._look_from(eye, target)
        self.start = session.episode.start

    # --- every update

    def show(self) -> None:
        """Shows and hides what the toggles say."""
        self.people.visible = self.visible("people")
        self.body.visible = self.frustum.visible = self.visible("robot")
        for handle in (self.route, *self.goal):
            handle.visible = self.visible("route")
        if self.ways is not None:
            self.ways.visible = self.visible("people's ways")
        self.anchors.visible, self.forbidden.visible = (
            self.visible("anchors"),
            self.visible("no-go ground"),
        )

    def update(self) -> None:
        """Shows the session's moment to everybody."""
        moment, scene = self.session.moment(), self.session.scene
        (ground,) = on_ground(scene, moment.pose[None, :2], 0.0)
        yaw = float(moment.pose[2])
        position, rotation, _ = moment.camera
        with self.server.atomic():
            self.body.position, self.body.wxyz = (
                ground,
                (math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)),
            )
            self.frustum.position, self.frustum.wxyz = position, matrix_to_wxyz(rotation.T)
            place, turn, size, colour = (np.asarray(a, np.float32) for a in bodies(moment.people))
            self.people.batched_positions, self.people.batched_wxyzs = place, turn
            self.people.batched_scales, self.people.batched_colors = size, colour.astype(np.uint8)
            self.driven.points = segments(on_ground(scene, moment.path[-TRAIL:])).astype(np.float32)
            self._contacts(moment)
            self._fan(moment, ground[2])
            self.picture.image = moment.rgb
            self.state.content = self._text(moment)
            if isinstance(self.session, Replay):
                self.slider.value = round(self.session.time_s, 1)
        if self.follow.value:
            self._follow(ground, yaw)
        since, count = self.shown
        if time.monotonic() - since > 2.0:
            self.rate, self.shown = (count + 1) / (time.monotonic() - since), (time.monotonic(), 0)
        else:
            self.shown = since, count + 1

    def _contacts(self, moment: Moment) -> None:
        if len(moment.contacts) == self.touched:
            return
        self.touched = len(moment.contacts)
        where = on_ground(self.session.scene, moment.contacts[:, :2], 0.5).astype(np.float32)
        colours = np.where(moment.contacts[:, 2:] > 0, TOUCH_PERSON, TOUCH_THING).astype(np.uint8)
        if not self.touched:
            where, colours = np.full((1, 3), -1000.0, np.float32), np.zeros((1, 3), np.uint8)
        if self.touches is None:
            cloud = self.server.scene.add_point_cloud(
                "/contacts", where, colours, point_size=0.3, point_shape="sparkle"
            )
            self.touches = self._keep(cloud)
        self.touches.points, self.touches.colors = where, colours

    def _fan(self, moment: Moment, ground: float) -> None:
        if moment.fan is None:
            return
        modes, steps = moment.fan.ways.shape[:2]
        order = np.argsort(moment.fan.scores)  # the likeliest last: it lies on top
        ways = np.concatenate(
            [np.broadcast_to(moment.pose[:2], (modes, 1, 2)), moment.fan.ways[order]], 1
        )
        above = 0.16 + 0.04 * np.arange(modes) / max(modes - 1, 1)
        points = np.concatenate(
            [ways, np.broadcast_to((ground + above)[:, None, None], (modes, steps + 1, 1))], -1
        )
        lines = segments(points).reshape(-1, 2, 3).astype(np.float32)
        colours = np.repeat(fan_colours(moment.fan.scores[order]), steps, 0)[:, None].repeat(2, 1)
        best = lines[-steps:]
        if self.fan is None:
            self.fan = (
                self._keep(self._lines("/fan/all", lines, (0, 0, 0), 6.0)),
                self._keep(self._lines("/fan/best", best, FAN[-1], 11.0)),
            )
        self.fan[0].points, self.fan[0].colors, self.fan[1].points = lines, colours, best

    def _follow(self, ground: np.ndarray, yaw: float) -> None:
        behind = ground + np.array([-3.2 * math.cos(yaw), -3.2 * math.sin(yaw), 1.9])
        self._look_from(behind, ground + np.array([2.5 * math.cos(yaw), 2.5 * math.sin(yaw), 0.4]))

    def _look_from(self, eye: np.ndarray, target: np.ndarray) -> None:
        """Moves everybody's camera."""
        for client in self.server.get_clients().values():
            with client.atomic():
                client.camera.position, client.camera.look_at = eye, target

    def _text(self, moment: Moment) -> str:
        session, episode = self.session, self.session.episode
        left = float(np.linalg.norm(np.array(episode.goal) - moment.pose[:2]))
        person = int(moment.contacts[:, 2].sum())
        who = session.driver if isinstance(session, Drive) else "recorded"
        rows = (
            f"**{plain(episode.id)}** · "
            f"{plain(who)}{' · **' + moment.end + '**' if moment.end else ''}",
            f"{moment.clock_s:.1f} s · {moment.speed:.2f} m/s · {left:.1f} m to the goal",
            f"contacts: {len(moment.contacts) - person} static, {person} with people · "
            f"{self.rate:.1f} updates/s",
            f"*{session.note}*",
        )
        return "  \n".join(rows + ((f"**{plain(self.refusal)}**",) if self.refusal else ()))


def choices(policy_name: str | None) -> tuple[str, ...]:
    """The drivers to choose from."""
    return (*DRIVERS, policy_name) if policy_name else DRIVERS
