"""One job from the host's side: starts the trainer as a process and decides what its end means."""
