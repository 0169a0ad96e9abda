#!/usr/bin/env bash
# make.sh DIR: in a checkout of an earlier commit, trains what test_old_runs.py reads, under DIR.
#   tar -C DIR -cJf COMMIT.tar.xz .
set -euo pipefail
root=$1
options="--num_envs 4 --decisions 4 --hidden_size 16 --save_freq 400 --keep last=2 --eval_freq 0"
options+=" --eval_envs 4 --final_envs 4 --use_tensorboard false --seed 5"
mkdir -p "$root"
# shellcheck disable=SC2086
{
    python -m mapush.train --exp cuboid $options --train_timesteps 800 --root "$root"
    python -m mapush.train --exp cuboid --exp_name stopped $options --train_timesteps 4000000 \
        --root "$root" >"$root/output" &
    trainer=$!
    until grep -q ' / 4,000,000 steps' "$root/output"; do sleep 0.1; done
    kill -TERM $trainer
    wait $trainer || [ $? = 75 ]
    python -m mapush.submit --cluster local --wait --exp cuboid --exp_name job $options \
        --train_timesteps 800 --root "$root"
}
# The copy of the code is the commit's own, pickles are nobody's to read, and links lead elsewhere.
rm -r "$root/output" "$root/log/submit/code" "$root"/log/submit/*/*.pkl "$root"/log/submit/*/run
