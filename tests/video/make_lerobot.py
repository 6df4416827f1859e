"""Small LeRobot datasets, version 3, for tests: every episode drives an arc of its own."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from make_video import picture, write_mp4
from PIL import Image

FRONT = "observation.images.front"
DATA, VIDEO = (
    "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
)


def arc(length: int, turn: float, hz: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    """(T, 2) and (T,): 1 m/s, `turn` rad/s."""
    yaw = turn * np.arange(length) / hz + 0.3
    step = (
        np.stack([np.cos(yaw[:-1] + turn / hz / 2), np.sin(yaw[:-1] + turn / hz / 2)], 1)
        * np.sinc(turn / hz / 2 / np.pi)
        / hz
    )
    return np.concatenate([np.zeros((1, 2)), np.cumsum(step, 0)]), yaw


def png(t: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(t)).save(buffer, "PNG")
    return buffer.getvalue()


def write_dataset(
    root: Path, lengths=(20, 25, 30), kind="video", state=("x", "y", "yaw"), extra=None, **info: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Episodes 0 and 1 share files, later ones follow in file 1. Picture n of episode e has number
    100 e + n. Returns the truth."""
    truth = [arc(n, 0.1 * (e + 1)) for e, n in enumerate(lengths)]
    rows: dict[int, dict[str, list]] = {}
    episodes: list[dict[str, Any]] = []
    numbers: dict[int, list[int]] = {}
    index = 0
    for e, length in enumerate(lengths):
        file = 0 if e < 2 else 1
        table = rows.setdefault(
            file,
            {
                k: []
                for k in (
                    "observation.state",
                    "action",
                    "timestamp",
                    "frame_index",
                    "episode_index",
                    "index",
                    FRONT,
                )
            },
        )
        start = len(numbers.setdefault(file, [])) / 10
        numbers[file] += [100 * e + t for t in range(length)]
        position, yaw = truth[e]
        values = np.column_stack([position, yaw]) if extra is None else extra(position, yaw)
        table["observation.state"] += values.astype(
            np.float32 if extra is None else np.float64
        ).tolist()
        table["action"] += [[1.0, 0.1 * (e + 1)]] * length
        table["timestamp"] += (np.arange(length) / 10).tolist()
        table["frame_index"] += range(length)
        table["episode_index"] += [e] * length
        table["index"] += range(index, index + length)
        if kind == "image":
            table[FRONT] += [{"bytes": png(100 * e + t), "path": None} for t in range(length)]
        row = {
            "episode_index": e,
            "tasks": ["drive"],
            "length": length,
            "data/chunk_index": 0,
            "data/file_index": file,
        }
        row |= {
            "dataset_from_index": index,
            "dataset_to_index": index + length,
            "stats/action/mean": [0.0, 0.0],
        }
        if kind == "video":
            row |= {f"videos/{FRONT}/chunk_index": 0, f"videos/{FRONT}/file_index": file}
            row |= {
                f"videos/{FRONT}/from_timestamp": start,
                f"videos/{FRONT}/to_timestamp": start + length / 10,
            }
        episodes.append(row)
        index += length
    for file, table in rows.items():
        path = root / DATA.format(chunk_index=0, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "video":
            del table[FRONT]
            write_mp4(
                root / VIDEO.format(video_key=FRONT, chunk_index=0, file_index=file),
                numbers[file],
                gop=2,
            )
        arrow = pa.table(table)
        if extra is None:
            arrow = arrow.set_column(
                0,
                "observation.state",
                pa.array(table["observation.state"], pa.list_(pa.float32(), len(state))),
            )
        pq.write_table(arrow, path, row_group_size=12)
    (root / "meta" / "episodes" / "chunk-000").mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.Table.from_pylist(episodes),
        root / "meta" / "episodes" / "chunk-000" / "file-000.parquet",
    )
    whole = {
        "codebase_version": "v3.0",
        "robot_type": "cart",
        "fps": 10,
        "total_episodes": len(lengths),
        "total_frames": index,
        "chunks_size": 1000,
        "data_path": DATA,
        "video_path": VIDEO if kind == "video" else None,
        "features": {
            "observation.state": {"dtype": "float32", "shape": [len(state)], "names": list(state)},
            "action": {"dtype": "float32", "shape": [2], "names": ["linear", "angular"]},
            FRONT: {"dtype": kind, "shape": [48, 64, 3], "names": ["height", "width", "channels"]},
            **{
                k: {"dtype": "int64", "shape": [1], "names": None}
                for k in ("timestamp", "frame_index", "episode_index", "index")
            },
        },
    }
    (root / "meta" / "info.json").write_text(json.dumps(whole | info))
    return truth


def change_info(root: Path, change) -> None:
    file = root / "meta" / "info.json"
    info = json.loads(file.read_text())
    change(info)
    file.write_text(json.dumps(info))


def change_table(file: Path, change) -> None:
    rows = pq.read_table(file).to_pylist()
    pq.write_table(pa.Table.from_pylist(change(rows) or rows), file, row_group_size=12)


def change_episodes(root: Path, change) -> None:
    """Changes rows of the table of episodes."""
    change_table(root / "meta" / "episodes" / "chunk-000" / "file-000.parquet", change)
