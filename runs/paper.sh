#!/bin/sh
# The paper's size, for a machine with a GPU: 320x640 images, EfficientNet-B0, 768-d, 4 + 4 layers, 256 worlds. Usage: runs/paper.sh WALKS... (GNM folders)
set -eu
out=${OUT:-out/paper}
s2e-pretrain --preset paper --device cuda --data "$@" --out "$out/seen" --steps 200000 --batch 64 --lr 1e-4 \
    ${ENCODER_WEIGHTS:+--encoder-weights "$ENCODER_WEIGHTS"}
s2e-ppo --device cuda --envs 256 --init "$out/seen" --out "$out/experienced" --steps 10000000 --lr 1e-4
s2e-bench --device cuda --scene gs_urban --policy zero straight "$out/seen" "$out/experienced" expert --out "$out/bench"
