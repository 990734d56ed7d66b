"""A frozen model whose linear layers carry adapters, and its passes over a stream."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)
from transformers import PreTrainedModel

from tunery.core.lora import LoraConfig
from tunery.modeling import attention
from tunery.modeling.adapter import Adapter
from tunery.modeling.checkpointing import (
    fits,
    free_bytes,
    kept_bytes,
    let_recompute,
    rows_that_fit,
)
from tunery.modeling.head import next_token_nats
from tunery.modeling.linears import Flight, adopt
from tunery.modeling.load import context_of
from tunery.modeling.narrowing import agrees, let_narrow, narrowed
from tunery.modeling.packs import Packs, packs_for
from tunery.modeling.passes import replace_passes
from tunery.modeling.reading import Reading
from tunery.modeling.segments import Fork, Segment
from tunery.modeling.stacks import Stack
from tunery.modeling.stream import Span, Stream

_log = logging.getLogger(__name__)

# Layers whose rows see the rows before them by attention alone. Others carry state from segment to
# segment, or (chunked attention) agree on a short probe and err on a long row.
_PACKABLE_LAYERS = {"full_attention", "sliding_attention"}

# oneDNN compiles a kernel for every new shape of a bf16 product on a CPU; so shapes recur.
_BF16_CPU_GRAIN = 64

# Rows by which it is measured what a pass keeps of each.
_MEASURED_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How streams of a base are laid out and read: what its probes found.

    Attributes:
        packed: segments lie end to end; otherwise each has a padded row of its own.
        grain: rows are filled up to a multiple of this.
        plain_head: the logits are the output projection of the last hidden state, no more.
    """

    packed: bool
    grain: int
    plain_head: bool


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What a pass over a stream gave, `(R,)` taught rows.

    Attributes:
        nats: cross-entropy of each; differentiable.
        correct: whether the likeliest token was the right one.
    """

    nats: Tensor
    correct: Tensor


class Base:
    """A frozen causal language model, its linears ready to carry adapters.

    Attributes:
        model: the model; outside of a pass it works as transformers made it.
        places: where adapters can be.
        replaced: which of its passes are ours.
        recompute: whether layers keep nothing for backward and are computed again there; None is
            only where what they keep would not fit on the GPU.
    """

    def __init__(self, model: PreTrainedModel, *, own_passes: bool = True) -> None:
        """Freeze `model` and take over its linears, and with `own_passes` its small passes."""
        attention.register()
        self.model = model.eval().requires_grad_(False)
        weight = next(model.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self.decoder: nn.Module = model.get_decoder()
        self.head: nn.Module | None = model.get_output_embeddings()
        self._attention = self._own_attention = model.config._attn_implementation
        self._flight = Flight(self.device)
        self._attending = Lock()
        self.replaced = replace_passes(model, self.decoder, self._dry_run) if own_passes else []
        self.places = adopt(model, self.head, self._flight, self._dry_run)
        for module in model.modules():
            module.flight = self._flight
        self._can_narrow = let_narrow(self.decoder, self._flight)
        self.recompute: bool | None = None
        self._can_recompute = bool(let_recompute(self.decoder, self._flight, self.carrying))

    @torch.no_grad()
    def _dry_run(self) -> Tensor:
        """`(1, 8, V)` logits of a few tokens."""
        ids = torch.arange(8, device=self.device)[None]
        logits: Tensor = self.model(input_ids=ids, use_cache=False).logits
        return logits

    @property
    def context(self) -> int | None:
        """The longest row that the model takes, in tokens; None where it does not say."""
        return context_of(self.model.config)

    @cached_property
    def layout(self) -> Layout:
        """How streams are laid out, by probes at the first use."""
        on_cpu = self.device.type == "cpu"
        grain = _BF16_CPU_GRAIN if self.dtype == torch.bfloat16 and on_cpu else 1
        packed = self._packs(grain)
        layout = Layout(packed=packed, grain=grain if packed else 1, plain_head=False)
        layout = Layout(packed=packed, grain=layout.grain, plain_head=self._is_plain(layout))
        _log.info("%s: %s", type(self.model).__name__, layout)
        return layout

    @cached_property
    def remembers(self) -> bool:
        """Whether a pass changes what later ones find: rotary embedding that grows with a row."""
        kinds = (getattr(module, "rope_type", "") for module in self.model.modules())
        return any("dynamic" in str(kind) or kind == "longrope" for kind in kinds)

    def stream(
        self, segments: Sequence[Segment | Fork], sides: Mapping[Adapter, Adapter] | None = None
    ) -> Stream:
        """`segments` laid out as this base needs them; where they cannot be packed, without forks.

        A fork then becomes its two sequences, one after the other. Of adapters in `sides`, that
        side takes the gradient.
        """
        return self._stream(segments, self.layout, sides, narrow=self.narrows)

    def prepare(self) -> None:
        """Find out, unless that is known, how streams are laid out: while no pass is under way."""
        _ = self.layout, self.narrows

    @cached_property
    def narrows(self) -> bool:
        """Whether the last layer goes on with taught rows alone, by a trial at the first use."""
        layout = replace(self.layout, grain=1)  # a few rows are enough to try it

        def losses(segment: Segment, *, narrow: bool) -> Tensor:
            return self._losses(self._stream([segment], layout, narrow=narrow), layout).nats

        possible = self._can_narrow and layout.packed
        return possible and agrees(self.decoder, self.places, self.dtype, losses)

    def _stream(
        self,
        segments: Sequence[Segment | Fork],
        layout: Layout,
        sides: Mapping[Adapter, Adapter] | None = None,
        *,
        narrow: bool = False,
    ) -> Stream:
        if not layout.packed:
            segments = [line.segment for segment in segments for line in segment.lines]
        stream = Stream(
            segments, self.device, grid=not layout.packed, grain=layout.grain, sides=sides
        )
        if narrow:
            stream.narrowed = narrowed(stream)
        return stream

    def losses(self, stream: Stream) -> Losses:
        """One pass over `stream`; differentiable unless gradients are switched off."""
        layout = self.layout  # its probes are passes themselves
        self._flight.recompute = torch.is_grad_enabled() and self._recomputes(stream)
        return self._losses(stream, layout)

    def _recomputes(self, stream: Stream) -> bool:
        """Whether the layers of a pass over `stream` are to be computed again in backward."""
        if self.recompute is not None or not self._can_recompute:
            return bool(self.recompute)
        free = free_bytes(self.device)
        if free is None or fits(self.kept_bytes(stream), free):
            return False
        _log.info("%d rows: layers are computed again in backward", stream.size)
        return True

    def kept_bytes(self, stream: Stream) -> int:
        """About how much a pass over `stream` keeps for its backward, unless it recomputes.

        Where attention is neither plain nor short, its weights come on top.
        """
        adapters = [span.adapter for span in stream.spans if span.adapter is not None]
        masked = sum(family.n_inputs for family in self.places.families) * self.dtype.itemsize
        drops = any(adapter.config.lora_dropout for adapter in adapters)
        return int(stream.size * (self._kept_per_row + drops * masked))

    @cached_property
    def rows_that_fit(self) -> int | None:
        """How many rows a pass may have before layers are computed again, as it was at first.

        None where memory is not watched.
        """
        free = free_bytes(self.device)
        return None if free is None else rows_that_fit(free, self._kept_per_row)

    @cached_property
    @torch.enable_grad()
    def _kept_per_row(self) -> float:
        """Bytes, without dropout, by a trial at the first use."""
        rows = torch.arange(_MEASURED_ROWS + 1) % self.model.config.get_text_config().vocab_size
        segment = replace(whole_segment(rows), adapter=Adapter(self.places, LoraConfig()))
        stream = self.stream([segment])
        return kept_bytes(lambda: self._losses(stream, self.layout), self.model) / stream.size

    def log_likelihoods(self, stream: Stream) -> Tensor:
        """`(S,)` sums over the taught tokens of each sequence, differentiable; a fork has two."""
        nats = self.losses(stream).nats
        # One sequence's rows stand together. Unlike a scattered sum, this one repeats to the bit.
        return -torch.segment_reduce(nats, "sum", lengths=stream.counts)

    def _losses(self, stream: Stream, layout: Layout) -> Losses:
        rows = stream.taught if stream.narrowed is None else stream.narrowed.place
        if layout.plain_head and self.head is not None:
            hidden = self._hidden(stream).index_select(0, rows)
            nats, correct = next_token_nats(
                hidden,
                self.head.get_parameter("weight"),
                getattr(self.head, "bias", None),
                stream.target,
                grain=layout.grain,
            )
            return Losses(nats=nats, correct=correct)
        logits = self._logits(stream, rows).float()
        nats = F.cross_entropy(logits, stream.target, reduction="none")
        correct = logits.argmax(-1) == stream.target
        return Losses(nats=nats, correct=correct)

    def _hidden(self, stream: Stream) -> Tensor:
        """`(T, d)` last hidden state of every row, or `(N, d)` where the stream is narrowed."""
        hidden: Tensor = self._run(self.decoder, stream).last_hidden_state
        return hidden.flatten(0, 1)

    def _logits(self, stream: Stream, rows: Tensor) -> Tensor:
        """`(R, V)` logits of `rows`, by the model's own head."""
        if stream.grid:
            every: Tensor = self._run(self.model, stream).logits
            return every.flatten(0, 1).index_select(0, rows)
        kept: Tensor = self._run(self.model, stream, logits_to_keep=rows).logits
        return kept[0]

    def _run(self, call: Callable[..., object], stream: Stream, **more: Tensor):  # type: ignore[no-untyped-def]  # noqa: ANN202
        """The output of `call`, which is the model or its decoder, over `stream`."""
        if stream.grid:  # causal, and padded on the right: needs no mask
            with self.carrying(stream.spans):
                return call(input_ids=stream.ids, use_cache=False, **more)
        with self.carrying(stream.spans, stream):
            return call(
                input_ids=stream.ids, position_ids=stream.positions, use_cache=False, **more
            )

    @contextmanager
    def carrying(self, spans: Sequence[Span], stream: Stream | None = None) -> Iterator[None]:
        """While it lasts, rows of `spans` go through their adapters.

        With a packed `stream`, attention works on its segments; otherwise it is the model's own.
        """
        self._attend(self._own_attention if stream is None else attention.SEGMENTS)
        self._flight.spans, self._flight.stream = spans, stream
        try:
            yield
        finally:
            self._flight.land()

    @torch.no_grad()
    def next_logits(self, reading: Reading, stack: Stack | None = None) -> Tensor:
        """`(S, V)` logits, fp32, after each portion of `reading`, which is remembered then."""
        plain = self.layout.plain_head  # its probes are passes themselves
        self._attend(attention.SEGMENTS)
        flight, packs = self._flight, self._packed_weights
        flight.spans, flight.reading = reading.spans, reading
        flight.stack, flight.packs = stack, packs
        given = {"input_ids": reading.ids, "position_ids": reading.positions, "use_cache": False}
        try:
            if plain and self.head is not None:
                hidden = self.decoder(**given).last_hidden_state[0].index_select(0, reading.ends)
                multiply = F.linear if packs is None else packs.product
                weight, bias = self.head.get_parameter("weight"), getattr(self.head, "bias", None)
                logits: Tensor = multiply(hidden, weight, bias)
            else:
                logits = self.model(**given, logits_to_keep=reading.ends).logits[0]
        finally:
            flight.land()
        reading.note()
        return logits.float()

    @cached_property
    def n_parameters(self) -> int:
        """Numbers of the model, shared ones once."""
        return sum(one.numel() for one in self.model.parameters())

    @cached_property
    def _packed_weights(self) -> Packs | None:
        return packs_for(next(self.model.parameters()), self.n_parameters)

    def _attend(self, name: str) -> None:
        with self._attending:  # of passes at the same time, the first one sees to it
            if name != self._attention:
                self.model.set_attn_implementation(name)
                self._attention = name

    @torch.no_grad()
    def _packs(self, grain: int) -> bool:
        """Whether a segment gets in a stream what the model alone gives it, whoever its neighbour.

        False where state runs across segments (Mamba, short convolutions, linear attention) or
        where attention cannot be replaced (Bloom).
        """
        config = self.model.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ())
        if odd := kinds - _PACKABLE_LAYERS:
            _log.info("not packed: layers of type %s", ", ".join(sorted(odd)))
            return False
        vocabulary = config.vocab_size
        a, b, other = (
            torch.arange(first, end) % vocabulary for first, end in ((3, 15), (20, 37), (40, 52))
        )
        packed = Layout(packed=True, grain=grain, plain_head=False)
        try:
            joint, changed = (self._probe(first, b, packed) for first in (a, other))
        except (RuntimeError, TypeError, ValueError) as refused:
            _log.info("not packed: %s", refused)
            self._attend(self._own_attention)
            return False
        self._attend(self._own_attention)
        alone = torch.cat([self._alone(ids) for ids in (a, b)])
        # Of the whole, as rounding is: of what a trained model thinks all but impossible, bf16 may
        # miss a quarter of a nat.
        close = 1e-5 if self.dtype == torch.float32 else 3e-2
        right = _difference(joint, alone) <= close
        apart = _difference(changed[len(a) - 1 :], joint[len(a) - 1 :]) <= close / 50
        if not (right and apart):
            _log.info("not packed: a segment in a stream does not get what it gets alone")
        return right and apart

    def _probe(self, first: Tensor, second: Tensor, layout: Layout) -> Tensor:
        segments = [whole_segment(ids) for ids in (first, second)]
        return self._losses(self._stream(segments, layout), layout).nats

    def _alone(self, ids: Tensor) -> Tensor:
        ids = ids.to(self.device)
        logits = self.model(input_ids=ids[None, :-1], use_cache=False).logits[0]
        return F.cross_entropy(logits.float(), ids[1:], reduction="none")

    @torch.no_grad()
    def _is_plain(self, layout: Layout) -> bool:
        """Whether the logits are just the head's product (Gemma caps them, Cohere scales them)."""
        stream = self._stream([whole_segment(torch.arange(1, 6))], layout)
        if self.head is None or not hasattr(self._run(self.decoder, stream), "last_hidden_state"):
            _log.info("the head is not plain: no last hidden state")
            return False
        rows, hidden = torch.arange(4, device=self.device), self._hidden(stream)[None, :4]
        if hidden.dtype != self.dtype:
            _log.info("the head is not plain: it reads %s (Mamba's residuals)", hidden.dtype)
            return False
        # The same shape on both sides: then equal means equal, in bf16 too.
        product = self.head(hidden)[0]
        return torch.equal(product, self._logits(stream, rows))


def _difference(found: Tensor, right: Tensor) -> float:
    """How far `found` lies from `right`, for its length."""
    return float((found - right).norm() / right.norm())


def whole_segment(ids: Tensor) -> Segment:
    """A segment of `ids` without an adapter, every token taught that can be."""
    return Segment(ids=ids, learn=torch.ones(len(ids), dtype=torch.bool))
