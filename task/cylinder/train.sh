#!/usr/bin/env bash
# Trains the cylinder task. Options given to this script win over those here; what neither gives has
# the defaults that `python -m mapush.train --help` shows.
set -euo pipefail

# set -- --num_envs 400 --learning_rate 5e-4 --set reward.push=0.003 "$@"

# exec: the trainer takes this process's place, so that signals reach it.
exec "${PYTHON:-python}" -m mapush.train --exp cylinder "$@"
