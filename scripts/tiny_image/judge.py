"""What measures pictures: a small classifier for the shape, a rule of pixels for the colours."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.nn import functional

from scripts.tiny_image.pictures import (
    INKS,
    KNOWN,
    NAMELESS,
    NEW,
    PAPERS,
    SIDE,
    Colour,
    a_scene,
    as_tensor,
    drawn,
)
from scripts.tiny_image.training import descend, rate

SHAPES = (*KNOWN, *NEW, NAMELESS)
STEPS = 800
_SEED = 7


class Judge:
    """Says what is on a picture."""

    def __init__(self, classifier: nn.Module) -> None:
        """`classifier` gives a score for each of `SHAPES`."""
        self._classifier = classifier.eval()

    @torch.no_grad()
    def shapes(self, pictures: Tensor) -> list[str]:
        """The shape on each of `pictures` (N, 3, SIDE, SIDE), from 0 to 1."""
        scores = torch.cat([self._classifier(some * 2 - 1) for some in torch.split(pictures, 256)])
        return [SHAPES[place] for place in scores.argmax(1).tolist()]


def colours(picture: Tensor) -> tuple[str, str]:
    """Ink and paper of `picture` (3, SIDE, SIDE), from 0 to 1.

    The paper is the median of the border, the ink that of what differs most from it.
    """
    pixels = picture.permute(1, 2, 0) * 255
    border = torch.cat([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    paper = border.median(0).values
    distance = (pixels - paper).norm(dim=-1)
    ink = pixels[distance > 0.6 * distance.max()].median(0).values
    return _nearest(ink, INKS), _nearest(paper, PAPERS)


def train(folder: Path, vae: AutoencoderKL) -> Judge:
    """The judge, taught on true pictures and on the same as the autoencoder draws them."""
    path, classifier = folder / "judge.safetensors", _classifier()
    if path.exists():
        load_model(classifier, path)
        return Judge(classifier)
    torch.manual_seed(_SEED)
    random = Random(_SEED)
    classifier = _classifier()
    pictures, labels = _examples(random, 9_800)
    with torch.no_grad():
        seen = [
            vae.decode(vae.encode(some).latent_dist.mode()).sample
            for some in torch.split(pictures[:4_200], 100)
        ]
    pictures, labels = torch.cat([pictures, *seen]), torch.cat([labels, labels[:4_200]])
    optimizer = torch.optim.AdamW(classifier.parameters())
    for step in range(STEPS):
        some = torch.randint(len(pictures), (64,))
        noisy = pictures[some] + 0.08 * torch.randn(64, 3, SIDE, SIDE)
        loss = functional.cross_entropy(classifier(noisy), labels[some])
        descend(optimizer, loss, 2e-3 * rate(step, STEPS, warm_up=10))
    save_model(classifier, str(path))
    return Judge(classifier)


def accuracy(judge: Judge) -> float:
    """The share of new true pictures whose shape the judge knows."""
    pictures, labels = _examples(Random(8), 1_400)
    found = judge.shapes(pictures / 2 + 0.5)
    right = [shape == SHAPES[label] for shape, label in zip(found, labels.tolist(), strict=True)]
    return sum(right) / len(right)


def _examples(random: Random, n: int) -> tuple[Tensor, Tensor]:
    labels = [place % len(SHAPES) for place in range(n)]
    pictures = [drawn(a_scene(random, SHAPES[label]), random) for label in labels]
    return as_tensor(pictures), torch.tensor(labels)


def _classifier() -> nn.Module:
    def convolved(before: int, after: int, stride: int) -> nn.Module:
        filters = nn.Conv2d(before, after, 3, stride, 1)
        return nn.Sequential(filters, nn.BatchNorm2d(after), nn.ReLU())

    return nn.Sequential(
        convolved(3, 24, 2),
        convolved(24, 48, 1),
        convolved(48, 48, 2),
        convolved(48, 64, 1),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * (SIDE // 8) ** 2, len(SHAPES)),
    )


def _nearest(colour: Tensor, named: Mapping[str, Colour]) -> str:
    def distance(name: str) -> float:
        return _squared(colour.tolist(), named[name])

    return min(named, key=distance)


def _squared(one: Sequence[float], other: Sequence[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
