"""A child for tests: repeats its first line, writes to its log, and does what later lines say."""

import os
import signal
import sys

first = sys.stdin.readline().strip()
sys.stderr.write("about to talk\n")
sys.stderr.flush()
sys.stdout.write(f"heard {first}\n")
sys.stdout.flush()
for line in sys.stdin:
    if line.strip() == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(3)
