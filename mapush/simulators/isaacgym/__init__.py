"""Isaac Gym Preview 4: legged robots under a learned walking policy, on a GPU.

Nothing here is imported but by `--sim isaacgym`, save `imports`, which must come before torch.
"""
