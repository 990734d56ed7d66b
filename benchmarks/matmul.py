"""The fastest matrix products of this machine: `python -m benchmarks.matmul THREADS`.

Its last line is a JSON object: GFLOP/s by dtype, the best of all shapes and repetitions. The shapes
are squares, and those of a training step of some thousand rows.
"""

import json
import sys
import time

import torch

_SHAPES = (
    (1024, 512, 2816),
    (2048, 512, 2816),
    (2048, 1408, 512),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (4096, 2048, 4096),
)
_SECONDS = 0.4


def main(threads: str) -> None:
    """Measure and print."""
    torch.set_num_threads(int(threads))
    best = {
        name: max(_speed(*shape, dtype) for shape in _SHAPES)
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    }
    print(json.dumps(best))


@torch.inference_mode()
def _speed(m: int, k: int, n: int, dtype: torch.dtype) -> float:
    """GFLOP/s of the fastest product `(m, k)` by `(k, n)`, the weight as linear layers have it."""
    x, weight = torch.randn(m, k, dtype=dtype), torch.randn(n, k, dtype=dtype)
    fastest, end = float("inf"), time.perf_counter() + _SECONDS
    while (began := time.perf_counter()) < end:
        torch.matmul(x, weight.T)
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * m * k * n / fastest / 1e9


if __name__ == "__main__":
    main(*sys.argv[1:])
