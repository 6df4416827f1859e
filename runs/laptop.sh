#!/bin/sh
# The whole idea on two cores, in minutes: record, pretrain, fine-tune, benchmark. Usage: runs/laptop.sh [OUT] [tiny]
# Finished stages are kept: run it again after an interruption and it goes on where it stopped.
set -eu
. "$(dirname "$0")/stage.sh"
out=${1:-out/demo}
if [ "${2:-}" = tiny ]; then # the same path in a minute or two, to see that it runs; its numbers mean nothing
    frames=250 scenes=4 stills=64 pretrain_steps=20 ppo_steps=512 envs=8 episodes=1
else
    frames=6000 scenes=32 stills=8192 pretrain_steps=400 ppo_steps=24576 envs=128 episodes=20
fi
mkdir -p "$out"

s2e-data record --out "$out/walks" --frames $frames --scenes $scenes --envs $((envs < 64 ? envs : 64)) --resume
s2e-data stills --out "$out/stills" --frames $stills --scenes $scenes --robot jackal --resume

stage s2e-pretrain "$out/pretrained" --data "$out/walks" --stills "$out/stills" --batch 128 --steps $pretrain_steps
stage s2e-ppo "$out/finetuned" --init "$out/pretrained" --robot jackal --envs $envs --steps $ppo_steps

s2e-bench --scene gs_urban/plaza --setting all --episodes $episodes --out "$out/bench" \
    --policy "$out/pretrained" "$out/finetuned" laptop laptop-experienced zero straight rays expert
