"""The program of a job's node, by whatever Python 3.6 or newer there is.

python3 -I -S -B start.py supervise ...     see `supervisor.main`
python3 -I -S -B start.py step COMMAND...   become the command, in the user's environment
"""

import os
import sys

# -I and -S keep everything of the user's out, this code too.
sys.path.insert(0, os.path.abspath(__file__).rsplit(os.sep, 4)[0])

if __name__ == "__main__":
    if sys.argv[1] == "step":
        from mapush.launch.node.trainer import become

        become(sys.argv[2:])
    from mapush.launch.node.supervisor import main

    sys.exit(main(sys.argv[2:]))
