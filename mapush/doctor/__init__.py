"""Diagnosis: what on this machine or cluster would make a job fail or lose work, and the fix."""
