#!/usr/bin/env bash
# What a GPU changes, on a real model in float32: are texts and candidates those of the CPU, how much faster is it than
# the obvious ways, and how much of the GPU's memory does it take? Eight minutes at most.
#
#     benchmarks/gpu.sh FOLDER [DEVICE]
#
# FOLDER holds a model as `from_pretrained` reads it; results/models/<name> of a model of a package or a GGUF file does.
# DEVICE is cuda, or cpu to see that the script works. PYTHON names the interpreter (default: .venv/bin/python).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
model=${1:?"the folder of a model is missing"}
device=${2:-cuda}
python=${PYTHON:-.venv/bin/python}
more=()
if [ "$device" = cpu ]; then
    more=(--quick --threads 1)
else
    "$python" -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "no GPU here: not run")'
    nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
fi
ends=$((SECONDS + 470))
measure() {
    local left=$((ends - SECONDS))
    if [ "$left" -le 0 ]; then
        echo "no time is left for: $*" >&2
        return 1
    fi
    timeout "$left" "$python" benchmarks/real_model.py --model "$model" --device "$device" "${more[@]}" "$@"
}
# Equality first: if time runs out, speed is what is missing.
measure --equality
measure --only texts,candidates
