"""The usual script, for comparison: diffusers' recipe for DreamBooth LoRA on FLUX.1.

Run as a program: `python -m benchmarks.rival_image_lora PIPELINE PICTURES STEPS BATCH PRIOR`. It
does what `examples/dreambooth/train_dreambooth_lora_flux.py` of diffusers does where it is run with
`--cache_latents`, captions for the pictures, rank 16 and otherwise as it comes: captions are
encoded in every step. PRIOR is 1 for `--with_prior_preservation`, where as many pictures of the
class are learnt beside each batch; they are there already, and the recipe would draw them first.
It prints a line when a step is done.
"""

import io
import sys
import zipfile
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np
import torch
from diffusers import FluxPipeline
from diffusers.training_utils import (
    compute_density_for_timestep_sampling,
    compute_loss_weighting_for_sd3,
)
from peft import LoraConfig
from PIL import Image
from torch import Tensor

RANK = 16
TEXT_TOKENS = 16
CLASS_PROMPT = "a shape"
TARGETS = [
    "attn.to_k",
    "attn.to_q",
    "attn.to_v",
    "attn.to_out.0",
    "attn.add_k_proj",
    "attn.add_q_proj",
    "attn.add_v_proj",
    "attn.to_add_out",
    "ff.net.0.proj",
    "ff.net.2",
    "ff_context.net.0.proj",
    "ff_context.net.2",
]
"""The recipe's default."""

Batch = tuple[Tensor, list[str]]
"""Latents (B, C, H, W) and captions."""


def main(location: str, pictures: str, n_steps: int, batch_size: int, *, prior: bool) -> None:
    """Train for some steps."""
    pipeline = FluxPipeline.from_pretrained(location)
    parts = (pipeline.transformer, pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2)
    for part in parts:
        part.requires_grad_(False)
    config = LoraConfig(
        r=RANK, lora_alpha=RANK, init_lora_weights="gaussian", target_modules=TARGETS
    )
    pipeline.transformer.add_adapter(config)
    weights = [weight for weight in pipeline.transformer.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4, weight_decay=1e-4, eps=1e-8)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    batches = _cached(pipeline, _read(pictures, pipeline.vae.config.sample_size), batch_size, prior)
    pipeline.transformer.train()
    for step, (latents, captions) in zip(range(1, n_steps + 1), _shuffled(batches), strict=False):
        loss = _loss(pipeline, latents, captions, prior=prior)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        print(f"step {step} loss {loss.detach().item():.4f}", flush=True)


def _loss(
    pipeline: FluxPipeline, latents: Tensor, captions: Sequence[str], *, prior: bool
) -> Tensor:
    with torch.no_grad():
        prompts, pooled, text_ids = pipeline.encode_prompt(
            list(captions), None, max_sequence_length=TEXT_TOKENS
        )
    scheduler, (n, channels, height, width) = pipeline.scheduler, latents.shape
    ids = pipeline._prepare_latent_image_ids(
        n, height // 2, width // 2, latents.device, latents.dtype
    )
    noise = torch.randn_like(latents)
    density = compute_density_for_timestep_sampling(
        weighting_scheme="none", batch_size=n, logit_mean=0.0, logit_std=1.0, mode_scale=1.29
    )
    places = (density * scheduler.config.num_train_timesteps).long()
    times = scheduler.timesteps[places]
    sigmas = scheduler.sigmas[places][:, None, None, None]
    states = (1.0 - sigmas) * latents + sigmas * noise
    [found] = pipeline.transformer(
        hidden_states=pipeline._pack_latents(states, n, channels, height, width),
        timestep=times / 1000,
        guidance=None,
        pooled_projections=pooled,
        encoder_hidden_states=prompts,
        txt_ids=text_ids,
        img_ids=ids,
        return_dict=False,
    )
    scale = pipeline.vae_scale_factor
    found = pipeline._unpack_latents(found, height * scale, width * scale, scale)
    weighting = compute_loss_weighting_for_sd3(weighting_scheme="none", sigmas=sigmas)
    each = (weighting * (found - (noise - latents)) ** 2).flatten(1).mean(1)
    # Of a batch with prior preservation the two halves count one each, added.
    loss: Tensor = each.mean() * (2 if prior else 1)
    return loss


@torch.no_grad()
def _cached(
    pipeline: FluxPipeline, pictures: Sequence[tuple[Tensor, str]], batch_size: int, prior: bool
) -> list[Batch]:
    """The batches of an epoch, with the latents of each made once (`--cache_latents`)."""
    vae, found = pipeline.vae, []
    for start in range(0, len(pictures), batch_size):
        some = list(pictures[start : start + batch_size])
        if prior:
            some += [(picture, CLASS_PROMPT) for picture, _ in some]
        latents = vae.encode(torch.stack([picture for picture, _ in some])).latent_dist.sample()
        latents = (latents - vae.config.shift_factor) * vae.config.scaling_factor
        found.append((latents, [caption for _, caption in some]))
    return found


def _shuffled(batches: Sequence[Batch]) -> Iterator[Batch]:
    random = Random(7)
    while True:
        yield from random.sample(batches, len(batches))


def _read(path: str, side: int) -> list[tuple[Tensor, str]]:
    """Pictures (3, side, side) from -1 to 1, and their captions."""
    found = []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".png")):
            picture = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            small = picture.resize((side, side), Image.Resampling.BILINEAR)
            pixels = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1) / 127.5 - 1
            found.append((pixels, archive.read(name.replace(".png", ".txt")).decode()))
    return found


if __name__ == "__main__":
    _, location, pictures, n_steps, batch_size, prior = sys.argv
    main(location, pictures, int(n_steps), int(batch_size), prior=prior == "1")
