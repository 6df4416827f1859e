"""Writes walks into the shards of a folder for tests."""

from s2e.video.shard_writer import ShardWriter


def write_shards(out, walks, shard_mb: float = 256):
    """Writes walks, or continues what was cut off; counts of what the folder then holds: shards,
    samples, frames."""
    writer = ShardWriter(out, shard_mb)
    try:
        for walk in walks:
            writer.add(walk)
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    samples = [s for shard in writer.index["shards"] for s in shard["samples"]]
    return {
        "shards": len(writer.index["shards"]),
        "samples": len(samples),
        "frames": sum(s[2] for s in samples),
    }
