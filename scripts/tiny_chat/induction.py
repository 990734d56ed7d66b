"""Random weights, but for two pairs of heads that already copy.

A small model learns to continue what it has seen before (an induction head; Elhage et al. 2021, "A
Mathematical Framework for Transformer Circuits") only after a long plateau. Written into the random
weights, the same heads are there from the first step, and training shapes them to its needs:

- a head of the first layer looks one token back, whatever the tokens are, and notes that token;
- a head of the second layer looks for the place whose note is the present token, and reads which
  token stands there: the one that came next the last time.

Axes: `W` the width, `H` the size of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

_PAIRS = 2
_LOOK_BACK = 40.0  # makes the attention one token back about ten times that two back, and more
_FREQUENCIES = 6  # of the rotary embedding: the ones that tell neighbours apart
_NOTE = 0.3  # how loud a head writes


@torch.no_grad()
def write_copying_heads(model: LlamaForCausalLM, *, seed: int) -> None:
    """Change the first two layers of a `model` with random weights so that it copies."""
    random = torch.Generator().manual_seed(seed)
    width, head = model.config.hidden_size, model.config.head_dim
    common = torch.randn(width, generator=random)
    common /= common.norm()
    strength = _add_common_direction(model.model.embed_tokens.weight, common)
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    back = _query_one_back(head, float(model.config.rope_parameters["rope_theta"]))
    here = (torch.arange(head) < _FREQUENCIES).float()
    scale = _LOOK_BACK**0.5 / strength
    for pair in range(_PAIRS):
        rows = slice(head * pair, head * (pair + 1))
        token, note, following = (_frame(width, head, common, random) for _ in range(3))
        first.q_proj.weight[rows] = torch.outer(back, common) * scale
        first.k_proj.weight[rows] = torch.outer(here, common) * scale
        first.v_proj.weight[rows] = token
        first.o_proj.weight[:, rows] = note.T * _NOTE
        second.q_proj.weight[rows] = token
        second.k_proj.weight[rows] = note
        second.v_proj.weight[rows] = following
        second.o_proj.weight[:, rows] = following.T * _NOTE


def _add_common_direction(embeddings: Tensor, common: Tensor) -> float:
    """Give all tokens one part in common, as long as the rest; its length after the norm.

    In the tied language-model head it adds the same to every logit, which changes nothing.
    """
    embeddings -= torch.outer(embeddings @ common, common)
    embeddings += common * embeddings.norm(dim=1).mean()
    return float((len(common) / 2) ** 0.5)


def _query_one_back(head: int, theta: float) -> Tensor:
    """The query `(H,)` that rotary embedding turns onto the key of the token before.

    transformers pairs dimension `i` with `i + H / 2`; a key that points along the first of each
    pair is met by a query turned back by one position.
    """
    angles = theta ** (-torch.arange(head // 2) / (head // 2))
    used = torch.arange(head // 2) < _FREQUENCIES
    return torch.cat([angles.cos() * used, -angles.sin() * used])


def _frame(width: int, head: int, common: Tensor, random: torch.Generator) -> Tensor:
    """`H` random directions at right angles, `(H, W)`, none of them along `common`."""
    frame: Tensor = torch.linalg.qr(torch.randn(width, head, generator=random))[0].T
    return frame - torch.outer(frame @ common, common)
