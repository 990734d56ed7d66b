"""The learning itself: `python -m tunery.trainers` takes a job in and prints progress."""

import os

# A thread of OpenMP that waits must sleep, not spin: beside one other busy process on two cores,
# spinning makes a step some fifteen times slower than one thread alone. OpenMP reads this when it
# is loaded, so it is said before any module of this package can import torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
