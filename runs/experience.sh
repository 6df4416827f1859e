#!/bin/sh
# From nothing to the shipped policies: rays, laptop and laptop-experienced. Some ninety minutes on two cores. Usage: runs/experience.sh [OUT]
# Finished stages are kept: run it again after an interruption and it goes on where it stopped.
set -eu
. "$(dirname "$0")/stage.sh"
out=${1:-out/experience}
mkdir -p "$out"

# The coach: distances inside each robot's field of view, 5 million undrawn steps, on one core while the other records.
EXEC=exec OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 stage s2e-ppo "$out/rays" --sense rays &
rays=$!
trap 'kill "$rays" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM

# Seeing: five hours of an expert's drives, and stills of what is near.
s2e-data record --out "$out/walks" --frames 96000 --robot any --cameras 0.3 --camera-noise 0.5 --scenes 192 --seed 1 --resume
s2e-data stills --out "$out/stills" --frames 116736 --robot any --cameras 0.3 --seed 1 --resume
wait "$rays"
trap - EXIT INT TERM
stage s2e-pretrain "$out/seen" --data "$out/walks" --stills "$out/stills" --batch 128 --steps 5000 --validation 0.08

# Experiencing: the coach's labels on the policy's own drives, as each of four robots, then PPO.
stage s2e-ppo "$out/experienced" --init "$out/seen" --coach "$out/rays"

s2e-bench --scene gs_urban --episodes 10 --policy "$out/seen" "$out/experienced" "$out/rays" --out "$out/bench"
