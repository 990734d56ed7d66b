"""Make tiny-image: `python -m scripts.tiny_image FOLDER`. One that was stopped goes on."""

import argparse
from pathlib import Path

import torch

from scripts.tiny_image import encode, judge, pretrain
from scripts.tiny_image.measure import measured
from scripts.tiny_image.pictures import NEW, contact_sheet

STEPS = 11_000


def main() -> None:
    """Train every part in turn, and say how well each does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where what is learnt is kept")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the flow model")
    parser.add_argument("--threads", type=int, default=2, help="processor threads")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.folder.mkdir(parents=True, exist_ok=True)
    vae = encode.train(asked.folder)
    print(f"vae {encode.fidelity(vae):.1f} dB, new shapes {encode.fidelity(vae, NEW):.1f} dB")
    seeing = judge.train(asked.folder, vae)
    print(f"judge knows {judge.accuracy(seeing):.1%} of true pictures", flush=True)
    pipeline = pretrain.train(asked.folder, vae, asked.steps)
    for guidance in (1.0, 3.0):
        drawing = measured(pipeline, seeing, guidance=guidance, n=200)
        print(
            f"guidance {guidance}: shape {drawing.shape:.0%}, ink {drawing.ink:.0%}, "
            f"paper {drawing.paper:.0%}",
            flush=True,
        )
    contact_sheet(drawing.pictures, columns=10).save(asked.folder / "drawn.png")


if __name__ == "__main__":
    main()
