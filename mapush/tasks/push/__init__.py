"""The pushing task: object to target, by a team."""
