#!/usr/bin/env bash
# One machine, a process for each of its GPUs. Usage: GPUS=4 ./torchrun.sh generate --prompts prompts.txt -n 10 -o out/
set -euo pipefail
exec torchrun --standalone --nproc-per-node "${GPUS:-gpu}" -m directrix "$@"
