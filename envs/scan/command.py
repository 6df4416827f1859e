"""`s2e-scene`: bring a scan of your street, and drive in it.

    s2e-scene import street.ply --name street --metres-per-unit 1    finds the floor and the free
                                                                     ground, writes a scene
    s2e-scene reconstruct photos --name street --capture-height 1.5  the same from photographs whose
                                                                     cameras are known
    s2e-scene preview street --out preview                           pictures: from above with
                                                                     routes, at eye level, what was
                                                                     removed
    s2e-scene list                                                   every scene there is
    s2e-scene check street                                           hashes, reachability, episodes
                                                                     that the expert solves

Scenes are kept in $S2E_SCENES (s2e/scenes in your data folder); corrections by hand in
NAME.correct.json beside the scene's folder. `check` ends with exit code 1 where a scene is not fit
to drive in, every command with 2 where what it was given is wrong.
"""

import sys
from typing import Annotated

import tyro

from s2e.core.commandline import parse
from s2e.core.errors import run_command
from s2e.envs.scan.args import (
    Check,
    Import,
    List,
    Preview,
    Reconstruct,
    check_photo_words,
    check_words,
)


def join_up(words: list[str]) -> list[str]:
    """The command line with what follows --up made one word of it: "-z" would be taken for an
    option.
    """
    joined, k = [], 0
    while k < len(words):
        if words[k] != "--up" or k + 1 == len(words):
            joined.append(words[k])
            k += 1
            continue
        count = 3 if len(words) > k + 3 and all(_is_number(w) for w in words[k + 1 : k + 4]) else 1
        joined.append("--up=" + ",".join(words[k + 1 : k + 1 + count]))
        k += 1 + count
    return joined


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def main() -> None:
    """Entry point of `s2e-scene`."""
    run_command(_main)


def _main() -> None:
    commands = (
        Annotated[Import, tyro.conf.subcommand("import")]
        | Annotated[Reconstruct, tyro.conf.subcommand("reconstruct")]
        | Annotated[Preview, tyro.conf.subcommand("preview")]
        | Annotated[List, tyro.conf.subcommand("list")]
        | Annotated[Check, tyro.conf.subcommand("check")]
    )
    args = parse(commands, __doc__ or "", join_up(sys.argv[1:]))
    # what these import is heavy, and comes once the options are right
    if isinstance(args, Import):
        check_words(args)
        from s2e.envs.scan.importer import import_scene

        import_scene(args)
    elif isinstance(args, Reconstruct):
        check_photo_words(args)
        from s2e.envs.scan.reconstruct import reconstruct

        reconstruct(args)
    elif isinstance(args, Preview):
        from s2e.envs.scan.preview import write_preview

        write_preview(args.name, args.out)
    elif isinstance(args, List):
        from s2e.envs.scan.listing import scene_table

        print(scene_table())
    else:
        from s2e.envs.scan.check import check_scene

        if not check_scene(args.name, args.all):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
