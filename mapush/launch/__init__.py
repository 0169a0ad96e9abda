"""From a request to a job on a cluster or this machine, and from there to its end."""
