#!/bin/sh
# The whole idea on two cores, in minutes: record, pretrain, fine-tune, benchmark. Usage: runs/laptop.sh [OUT] [tiny]
# Finished stages are kept: run it again after an interruption and it goes on where it stopped.
set -eu
out=${1:-out/demo}
if [ "${2:-}" = tiny ]; then # the same path in a minute or two, to see that it runs; its numbers mean nothing
    frames=250 scenes=4 pretrain_steps=20 ppo_steps=512 envs=8 episodes=1 horizon=16
else
    frames=20000 scenes=64 pretrain_steps=650 ppo_steps=32768 envs=128 episodes=10 horizon=16
fi
mkdir -p "$out"

if [ ! -e "$out/walks/dataset.json" ]; then
    rm -rf "$out/walks"
    s2e-data record --out "$out/walks" --frames $frames --scenes $scenes --envs $((envs < 64 ? envs : 64))
fi

run() { # run COMMAND OUT ARGS...: start it, or go on with it
    command=$1 folder=$2
    shift 2
    if [ -e "$folder/checkpoints/last" ]; then "$command" --out "$folder" "$@" --resume; else
        rm -rf "$folder"
        "$command" --out "$folder" "$@"
    fi
}
run s2e-pretrain "$out/pretrained" --data "$out/walks" --steps $pretrain_steps
run s2e-ppo "$out/finetuned" --init "$out/pretrained" --envs $envs --steps $ppo_steps --scenes $scenes \
    --horizon $horizon --batch 512

s2e-bench --scene gs_urban/plaza --setting all --episodes $episodes --out "$out/bench" \
    --policy zero straight "$out/pretrained" "$out/finetuned" expert
