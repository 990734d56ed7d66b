"""The autoencoder: pictures to latents, in which the flow is learnt."""

from pathlib import Path
from random import Random

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from scripts.tiny_image import parts
from scripts.tiny_image.pictures import KNOWN, NAMELESS, a_scene, as_tensor, drawn
from scripts.tiny_image.training import Saved, descend, rate

STEPS = 6_000
BATCH = 16
LEARNING_RATE = 2e-3
KL_WEIGHT = 3e-5
N_PICTURES = 12_000
N_NAMELESS = 6_000
"""Of random outlines, so that what is drawn later need not be one of the known shapes."""
_SEED = 0


def train(folder: Path) -> AutoencoderKL:
    """The trained autoencoder, kept in `folder`."""
    kept = folder / "vae"
    if (kept / "config.json").exists():
        return AutoencoderKL.from_pretrained(kept).eval()
    torch.manual_seed(_SEED)
    random, generator = Random(_SEED), torch.Generator().manual_seed(_SEED)
    scenes = [a_scene(random) for _ in range(N_PICTURES)]
    scenes += [a_scene(random, NAMELESS) for _ in range(N_NAMELESS)]
    pictures = as_tensor([drawn(scene, random) for scene in scenes])
    model = parts.autoencoder()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0
    )
    for step in Saved(folder / "vae.pt", (model, optimizer), generator).steps(STEPS, every=500):
        chosen = pictures[torch.randint(len(pictures), (BATCH,), generator=generator)]
        loss = _loss(model, chosen, generator)
        peak = LEARNING_RATE * rate(step, STEPS, warm_up=30, floor=0.05)
        value = descend(optimizer, loss, peak)
        if (step + 1) % 500 == 0:
            print(f"vae {step + 1}/{STEPS} loss {value:.4f}", flush=True)
    model.eval()
    _centre(model, pictures[:2048])
    model.save_pretrained(kept)
    return model


@torch.no_grad()
def latents(model: AutoencoderKL, pictures: Tensor) -> Tensor:
    """(N, tokens, channels): `pictures` as the flow model takes them, packed two by two."""
    centred: Tensor = (
        _encoded(model, pictures) - model.config.shift_factor
    ) * model.config.scaling_factor
    n, channels, height, width = centred.shape
    pairs = centred.view(n, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return pairs.reshape(n, (height // 2) * (width // 2), channels * 4)


@torch.no_grad()
def fidelity(model: AutoencoderKL, shapes: tuple[str, ...] = KNOWN) -> float:
    """The mean peak signal-to-noise ratio of new pictures of `shapes`, in dB."""
    random = Random(5)
    pictures = as_tensor([drawn(a_scene(random, s), random) for s in shapes for _ in range(8)])
    decoded = model.decode(model.encode(pictures).latent_dist.mode()).sample
    error = ((decoded - pictures) / 2).square().mean((1, 2, 3))
    return float((-10 * error.log10()).mean())


def _loss(model: AutoencoderKL, pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Half the absolute and the squared error, and the divergence (Rombach et al. 2022, 3.1)."""
    posterior = model.encode(pictures).latent_dist
    decoded = model.decode(posterior.sample(generator)).sample
    error = 0.5 * (decoded - pictures).abs().mean() + functional.mse_loss(decoded, pictures)
    loss: Tensor = error + KL_WEIGHT * posterior.kl().mean() / posterior.mean[0].numel()
    return loss


@torch.no_grad()
def _centre(model: AutoencoderKL, pictures: Tensor) -> None:
    """Write down the mean and spread of the latents, by which every pipeline centres them."""
    found = _encoded(model, pictures)
    model.register_to_config(
        shift_factor=found.mean().item(), scaling_factor=1 / found.std().item()
    )


def _encoded(model: AutoencoderKL, pictures: Tensor) -> Tensor:
    """(N, channels, height, width): the likeliest latents."""
    return torch.cat([model.encode(some).latent_dist.mode() for some in torch.split(pictures, 128)])
