"""What the commands do: arguments in, one call, exit code out."""
