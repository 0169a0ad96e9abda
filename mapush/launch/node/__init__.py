"""What runs on a job's node: Python 3.6 and its standard library, nothing of the user's.

The supervisor is started by the batch script before any line of the user's, by whatever Python the
node has, so no module here may use a later syntax, another package, or a module outside this one.
"""
