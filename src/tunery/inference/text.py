"""Text from a base model and an adapter, a token of each answer at a time."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunery.core.errors import InvalidValue, Unsupported
from tunery.core.generation import FinishReason, GenerationRequest, Piece, TokenLogprob
from tunery.inference.detokenize import Detokenizer, token_bytes
from tunery.inference.shelf import Shelf, Speaker
from tunery.inference.stops import StopStrings
from tunery.modeling.chat import Chat
from tunery.modeling.choosing import Ask, Broken, Token
from tunery.modeling.template import Message, Tool

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SEED_STRIDE = 0x9E3779B97F4A7C15
"""Puts the seeds of several answers far apart (2**64 over the golden ratio)."""

_COLDEST = 1e-4
"""Below this, logits over the temperature may overflow, and the likeliest token is certain."""


class Reply:
    """The answers to one request while they come; they are sampled beside those to others.

    Attributes:
        sampler: where tokens come from; the sequences are in it already.
    """

    def __init__(self, shelf: Shelf, request: GenerationRequest) -> None:
        """Begin to answer `request`.

        Raises:
            InvalidValue: the prompt leaves no room in the context, or the model is not there.
            Unsupported: the model cannot be used here, or has no chat template.
        """
        speaker = shelf.speaker(request.location, request.quantization)
        asks = _asks(speaker, request)
        self._n_prompt, self._n_written = len(asks[0].prompt), 0
        self._answers = [_Answer(speaker, request) for _ in asks]
        self.sampler = speaker.sampler
        self._open = {at: index for index, at in enumerate(self.sampler.join(asks))}

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return not self._open

    def take(self, said: Mapping[int, Token | Broken]) -> list[Piece]:
        """What the sampler's last step, by its own indices, lets be shown of the answers.

        Raises:
            Exception: the sampler could not go on; whatever it failed with.
        """
        pieces = []
        for at, index in tuple(self._open.items()):
            token = said.get(at)
            if isinstance(token, Broken):
                raise token.error
            if token is not None and (piece := self._piece(at, index, token)) is not None:
                pieces.append(piece)
        return pieces

    def close(self) -> None:
        """Nobody waits for the rest."""
        for at in self._open:
            self.sampler.leave(at)
        self._open.clear()

    def _piece(self, at: int, index: int, token: Token) -> Piece | None:
        answer = self._answers[index]
        text, logprobs = answer.take(token)
        self._n_written += 1
        if answer.over:
            self.sampler.leave(at)  # a stop string was met, of which the sampler knows nothing
            del self._open[at]
        if not (text or logprobs or answer.over):
            return None
        return Piece(
            index=index,
            text=text,
            logprobs=logprobs,
            finish_reason=answer.finish_reason,
            usage=(self._n_prompt, self._n_written) if self.over else None,
        )


def _asks(speaker: Speaker, request: GenerationRequest) -> list[Ask]:
    """One ask for each of the answers."""
    prompt = _prompt(speaker, request)
    adapter = speaker.adapter(request.adapter)
    return [
        Ask(
            prompt=prompt,
            adapter=adapter,
            max_tokens=request.max_tokens,
            temperature=request.temperature if request.temperature >= _COLDEST else 0.0,
            top_p=request.top_p,
            seed=_seed(request.seed, index),
            stop_ids=speaker.stop_ids,
            top_logprobs=request.logprobs,
        )
        for index in range(request.n)
    ]


def _prompt(speaker: Speaker, request: GenerationRequest) -> list[int]:
    if request.messages is not None:
        param, prompt = "messages", _chat_prompt(speaker.chat, request.messages, request.tools)
    else:
        param, prompt = "prompt", speaker.chat.text_prompt(request.prompt or "")
    context = speaker.base.context
    if context is not None and len(prompt) >= context:
        raise InvalidValue(
            f"This model's maximum context length is {context} tokens. However, your {param} "
            f"resulted in {len(prompt)} tokens, and the answer needs room too. Please reduce the "
            f"length of the {param}.",
            param=param,
            code="context_length_exceeded",
        )
    return prompt


def _chat_prompt(
    chat: Chat, messages: Sequence[Message], tools: Sequence[Tool] | None
) -> list[int]:
    prompt = chat.prompt(messages, tools)
    if tools and prompt == chat.prompt(messages):
        raise Unsupported(
            "this model's chat template has no place for tools; leave them out", param="tools"
        )
    return prompt


def _seed(seed: int | None, index: int) -> int | None:
    """The seed of one of several answers, which are to differ."""
    return None if seed is None else (seed + index * _SEED_STRIDE) % 2**63


@dataclass(frozen=True)
class _Pending:
    """A token's log-probability, until its text is shown."""

    logprob: TokenLogprob
    first: int
    """Where in the answer its text begins."""


class _Answer:
    """One answer as it comes."""

    def __init__(self, speaker: Speaker, request: GenerationRequest) -> None:
        self._tokenizer = speaker.chat.tokenizer
        self._text = Detokenizer(self._tokenizer)
        self._stops = StopStrings(request.stop)
        self._with_logprobs = request.logprobs is not None
        self._pending: deque[_Pending] = deque()
        self._n_heard = 0
        self._n_shown = 0
        self.finish_reason: FinishReason | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.finish_reason is not None

    def take(self, token: Token) -> tuple[str, list[TokenLogprob]]:
        """What `token` lets be shown, and the log-probabilities that belong to it."""
        ended = token.finish == "stop"
        shown = "" if ended else self._hear(token)
        if token.finish is not None and not self._stops.hit:
            shown += self._stops.feed(self._text.flush())
            shown += self._stops.flush()
        self.finish_reason = "stop" if self._stops.hit else token.finish
        self._n_shown += len(shown)
        return shown, self._due()

    def _hear(self, token: Token) -> str:
        if self._with_logprobs:
            self._pending.append(_Pending(_logprob(self._tokenizer, token), self._n_heard))
        text = self._text.feed(token.id)
        self._n_heard += len(text)
        return self._stops.feed(text)

    def _due(self) -> list[TokenLogprob]:
        """Log-probabilities of tokens whose text has begun to be shown; at the end, of all left.

        What a stop string swallowed is never shown, and neither are its tokens.
        """
        due = []
        while self._pending and (
            self._pending[0].first < self._n_shown or (self.over and not self._stops.hit)
        ):
            due.append(self._pending.popleft().logprob)
        return due


def _logprob(tokenizer: "PreTrainedTokenizerBase", token: Token) -> TokenLogprob:
    text, raw = _named(tokenizer, token.id)
    top = []
    for other, logprob in token.top:
        other_text, other_raw = _named(tokenizer, other)
        top.append((other_text, logprob, other_raw))
    return TokenLogprob(token=text, logprob=token.logprob or 0.0, bytes=raw, top=top)


def _named(tokenizer: "PreTrainedTokenizerBase", token: int) -> tuple[str, list[int]]:
    r"""A token as text and bytes; half a character is written `\xe2`, as OpenAI does."""
    raw = token_bytes(tokenizer, token)
    return raw.decode(errors="backslashreplace"), list(raw)
