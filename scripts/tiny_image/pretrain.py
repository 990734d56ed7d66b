"""The flow model and both text encoders, learnt together from pictures and their captions."""

import copy
from pathlib import Path
from random import Random

import torch
from diffusers import AutoencoderKL, FluxPipeline
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from scripts.tiny_image import parts
from scripts.tiny_image.encode import latents
from scripts.tiny_image.pictures import SIDE, a_scene, as_tensor, described, drawn
from scripts.tiny_image.training import Saved, descend, follow, rate

BATCH = 64
LEARNING_RATE = 2e-3
N_PICTURES = 48_000
WITHOUT_CAPTION = 0.1
"""The share of empty captions, by which sampling can be guided (Ho and Salimans 2022)."""
_SEED = 2


class Parts(nn.Module):
    """Flow model and text encoders."""

    def __init__(self) -> None:
        """Nothing is learnt yet."""
        super().__init__()
        self.flow = parts.transformer()
        self.clip = parts.clip_encoder()
        self.t5 = parts.t5_encoder()


def train(folder: Path, vae: AutoencoderKL, n_steps: int) -> FluxPipeline:
    """The whole pipeline, kept in `folder/pipe`; one that was stopped goes on."""
    torch.manual_seed(_SEED)
    random, generator = Random(_SEED), torch.Generator().manual_seed(_SEED)
    clip_tokenizer, t5_tokenizer = parts.tokenizers(_captions(Random(1), 3_000))
    packed, captions = _examples(vae, random)
    clip_ids, t5_ids = _ids(clip_tokenizer, captions), _ids(t5_tokenizer, captions)
    model = Parts()
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    state = Saved(folder / "pretrain.pt", (model, average, optimizer), generator)

    def kept() -> FluxPipeline:
        whole = parts.pipeline(
            vae, average.flow, average.clip, average.t5, clip_tokenizer, t5_tokenizer
        )
        whole.save_pretrained(folder / "pipe")
        return whole

    mean = 0.0
    for step in state.steps(n_steps, every=500):
        some = torch.randint(len(packed), (BATCH,), generator=generator)
        tokens = model.t5(t5_ids[some]).last_hidden_state
        pooled = model.clip(clip_ids[some]).pooler_output
        loss = flow_loss(model.flow, packed[some], tokens, pooled, generator)
        peak = LEARNING_RATE * rate(step, n_steps, warm_up=100, flat=0.5)
        value = descend(optimizer, loss, peak)
        follow(average, model, step)
        mean += (value - mean) * max(0.01, 1 / (step + 1))
        if (step + 1) % 100 == 0:
            print(f"flow {step + 1}/{n_steps} loss {mean:.4f}", flush=True)
        if (step + 1) % 1_000 == 0:
            kept()
    return kept()


def flow_loss(
    flow: nn.Module, packed: Tensor, tokens: Tensor, pooled: Tensor, generator: torch.Generator
) -> Tensor:
    """Rectified flow with logit-normal times (Esser et al. 2024, equations 13, 14 and 19).

    On the way from a picture (t = 0) to noise (t = 1) the model says which way noise lies.
    """
    t = torch.sigmoid(torch.randn(len(packed), generator=generator))
    noise = torch.randn(packed.shape, generator=generator)
    on_the_way = (1 - t)[:, None, None] * packed + t[:, None, None] * noise
    velocity = flow(
        hidden_states=on_the_way,
        timestep=t,
        guidance=None,
        pooled_projections=pooled,
        encoder_hidden_states=tokens,
        txt_ids=torch.zeros(tokens.shape[1], 3),
        img_ids=_picture_ids(),
        return_dict=False,
    )[0]
    return functional.mse_loss(velocity, noise - packed)


def _picture_ids() -> Tensor:
    """(tokens, 3): nothing, row and column of each packed token."""
    side = SIDE // 8
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], -1).reshape(-1, 3).float()


def _examples(vae: AutoencoderKL, random: Random) -> tuple[Tensor, list[str]]:
    scenes = [a_scene(random) for _ in range(N_PICTURES)]
    captions = [
        "" if random.random() < WITHOUT_CAPTION else described(scene, random) for scene in scenes
    ]
    return latents(vae, as_tensor([drawn(scene, random) for scene in scenes])), captions


def _captions(random: Random, n: int) -> list[str]:
    return [described(a_scene(random), random) for _ in range(n)]


def _ids(tokenizer: PreTrainedTokenizerFast, captions: list[str]) -> Tensor:
    ids: Tensor = tokenizer(
        captions,
        padding="max_length",
        max_length=parts.TEXT_TOKENS,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return ids
