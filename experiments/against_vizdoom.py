"""Images a second of the rasteriser and of VizDoom on the same cores, measured side by side.

    python -m experiments.against_vizdoom

VizDoom runs as one process a core: 160x120, RGB24, no sound, one tic a frame, random actions, the
window not shown. The rasteriser runs on as many threads: 160x120 views of generated streets with
people, the same as `s2e-speed --only raster_images`. Both take turns, so that whatever else the
machine does meets both.
"""

import json
import multiprocessing
import os
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numba
import numpy as np
import tyro

from s2e.benchmarks.speed.command import hardware
from s2e.core.errors import UserError, optional, run_command
from s2e.envs.vector import EpisodesConfig, make_worlds
from s2e.envs.worlds import WorldsConfig


@dataclass(frozen=True)
class VizdoomArgs:
    """Compare with VizDoom."""

    families: tuple[str, ...] = ()
    """Layouts of our scenes; none is all that training draws. alleys and corridor have the fewest
    triangles."""
    processes: int = 2
    """Processes of VizDoom and threads of the rasteriser."""
    scenario: str = "deathmatch"
    """A scenario that comes with VizDoom: basic, deathmatch, deadly_corridor, ..."""
    seconds: float = 4.0
    """Length of a stretch."""
    rounds: int = 5
    """Stretches of each."""
    envs: int = 256
    """Views of a batch of the rasteriser."""
    scenes: int = 32
    """Different streets."""
    json: bool = False
    """Print a JSON object instead of a table."""


def play(scenario: str, seed: int, orders: Connection) -> None:
    """One process of VizDoom: waits for a number of seconds, plays that long, answers with its
    frames and the time they took.
    """
    import vizdoom

    game = vizdoom.DoomGame()
    game.load_config(os.path.join(vizdoom.scenarios_path, f"{scenario}.cfg"))
    # VizDoom writes its settings to the working folder unless told otherwise.
    folder = tempfile.TemporaryDirectory()
    os.chdir(folder.name)
    game.set_doom_config_path(os.path.join(folder.name, "vizdoom.ini"))
    game.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)
    game.set_screen_format(vizdoom.ScreenFormat.RGB24)
    game.set_window_visible(False)
    game.set_sound_enabled(False)
    game.set_depth_buffer_enabled(False)
    game.set_labels_buffer_enabled(False)
    game.set_automap_buffer_enabled(False)
    game.set_render_hud(False)
    game.set_mode(vizdoom.Mode.PLAYER)
    game.set_seed(seed)
    game.init()
    rng = np.random.default_rng(seed)
    buttons = game.get_available_buttons_size()
    orders.send(("ready", 0.0))
    while (seconds := orders.recv()) > 0:
        frames, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            for action in rng.integers(0, 2, (64, buttons)).tolist():
                if game.is_episode_finished():
                    game.new_episode()
                game.make_action(action, 1)
                state = game.get_state()
                if state is not None and state.screen_buffer.shape == (120, 160, 3):
                    frames += 1
        orders.send((frames, time.perf_counter() - began))
    game.close()
    folder.cleanup()


def compare(args: VizdoomArgs) -> dict[str, float]:
    """Medians of images a second of both, and the median of the ratios of neighbouring
    stretches.
    """
    if args.processes < 1 or args.rounds < 1:
        raise UserError("--processes and --rounds must be at least 1")
    if os.path.basename(args.scenario) != args.scenario:
        raise UserError(
            f"--scenario {args.scenario}: the name of a scenario of VizDoom is needed, not a path"
        )
    import vizdoom

    if not os.path.exists(os.path.join(vizdoom.scenarios_path, f"{args.scenario}.cfg")):
        raise UserError(
            f"--scenario {args.scenario}: VizDoom has no such scenario; try deathmatch or basic"
        )
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(args.processes)]
    players = [
        context.Process(target=play, args=(args.scenario, i, pipe[1]), daemon=True)
        for i, pipe in enumerate(pipes)
    ]
    for player in players:
        player.start()
    numba.set_num_threads(min(args.processes, numba.get_num_threads()))
    config = WorldsConfig(height_px=120, width_px=160, people=3)
    episodes = EpisodesConfig(args.scenes, crowded=True, families=args.families)
    worlds = make_worlds(args.envs, config, episodes)
    worlds.reset()
    assert worlds.stage.renderer is not None
    renderer, views = worlds.stage.renderer, worlds.views(np.arange(args.envs))
    renderer.draw(**views)
    for pipe, player in zip(pipes, players):
        while not pipe[0].poll(1.0):
            if not player.is_alive():
                raise UserError(
                    f"VizDoom did not start (exit code {player.exitcode}); its message is above"
                )
        pipe[0].recv()
    ours, theirs = [], []
    for _ in range(args.rounds):
        for pipe in pipes:
            pipe[0].send(args.seconds)
        theirs.append(sum(frames / passed for frames, passed in (pipe[0].recv() for pipe in pipes)))
        images, began = 0, time.perf_counter()
        while (passed := time.perf_counter() - began) < args.seconds:
            renderer.draw(**views)
            images += args.envs
        ours.append(images / passed)
    for pipe, player in zip(pipes, players):
        pipe[0].send(0)
        player.join(10)
    ratio = float(np.median(np.array(ours) / np.array(theirs)))
    triangles = float(np.mean([len(s.mesh.triangles) for s in worlds.scenes]))
    return {
        "triangles": triangles,
        "raster": float(np.median(ours)),
        "vizdoom": float(np.median(theirs)),
        "ratio": ratio,
    }


def main() -> None:
    """Entry point."""

    def run() -> None:
        args = tyro.cli(VizdoomArgs)
        vizdoom = optional("vizdoom", "the comparison", "dev")
        result = compare(args)
        conditions = hardware() | {
            "vizdoom_version": vizdoom.__version__,
            "scenario": args.scenario,
            "processes": args.processes,
        }
        if args.json:
            print(json.dumps(result | conditions))
            return
        scenes = f"{args.envs} views of 160x120, {result['triangles']:.0f} triangles, 3 people"
        print(f"rasteriser {result['raster']:9,.0f} images/s   {args.processes} threads, {scenes}")
        print(
            f"VizDoom    {result['vizdoom']:9,.0f} images/s   {args.processes} processes, 160x120 "
            f"RGB24, {args.scenario}"
        )
        print(f"ratio      {result['ratio']:9.2f}")
        print(", ".join(f"{k} {v}" for k, v in conditions.items()))

    run_command(run)


if __name__ == "__main__":
    main()
