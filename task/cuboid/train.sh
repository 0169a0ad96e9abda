#!/usr/bin/env bash
# Trains the cuboid task. Options given to this script win over the values here.
set -euo pipefail

recipe=default            # named set of PPO hyper-parameters; "published" is the original one
num_envs=200              # environments stepped in parallel
train_timesteps=10000000  # environment steps of 0.02 s to reach, summed over environments
save_freq=20000           # environment steps between checkpoints
seed=1                    # of every random generator

# exec: the trainer takes this process's place, so that signals reach it.
exec "${PYTHON:-python}" -m mapush.train --exp cuboid \
    --recipe "$recipe" \
    --num_envs "$num_envs" \
    --train_timesteps "$train_timesteps" \
    --save_freq "$save_freq" \
    --seed "$seed" \
    "$@"
