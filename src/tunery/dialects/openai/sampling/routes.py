"""The routes of sampling: parse, call, map, return."""

from collections.abc import Mapping
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from tunery.core.generation import GenerationRequest
from tunery.dialects.answers import answer
from tunery.dialects.openai import gateway
from tunery.dialects.openai.errors import OpenAIRoute
from tunery.dialects.openai.sampling.answers import chat_completion, completion, heading
from tunery.dialects.openai.sampling.chunks import ChatChunks, CompletionChunks
from tunery.dialects.openai.sampling.pieces import in_turn, stream
from tunery.dialects.openai.sampling.requests import chat_to_core, completion_to_core
from tunery.dialects.openai.sampling.schemas import ChatRequest, CompletionRequest, Sampling
from tunery.dialects.pieces import HUNG_UP, Pieces, collect
from tunery.dialects.route import caller, services

router = APIRouter(tags=["Sampling"], route_class=OpenAIRoute)


@router.post("/chat/completions")
async def chat(request: Request, body: ChatRequest) -> Response:
    """Answer a conversation with a base, tuned or checkpoint model."""
    pieces = await _pieces(request, body.model, chat_to_core(body))
    head = heading("chatcmpl-", body.model, datetime.now(UTC))
    headers = await _headers(request, body.model)
    if body.stream:
        return await stream(pieces, ChatChunks(head, with_usage=_with_usage(body)).of, headers)
    collected = await collect(request, pieces)
    if collected is None:
        return Response(status_code=HUNG_UP)
    return answer(
        chat_completion(head, collected, with_logprobs=bool(body.logprobs)), headers=headers
    )


@router.post("/completions")
async def complete(request: Request, body: CompletionRequest) -> Response:
    """Continue texts with a base, tuned or checkpoint model, without its chat template."""
    n, asked = body.n or 1, completion_to_core(body)
    pieces = in_turn([await _pieces(request, body.model, one) for one in asked], n)
    head = heading("cmpl-", body.model, datetime.now(UTC))
    headers = await _headers(request, body.model)
    offsets = [len(one.prompt or "") for one in asked for _ in range(n)]
    if body.stream:
        chunks = CompletionChunks(head, with_usage=_with_usage(body), offsets=offsets)
        return await stream(pieces, chunks.of, headers)
    collected = await collect(request, pieces)
    if collected is None:
        return Response(status_code=HUNG_UP)
    with_logprobs = body.logprobs is not None
    return answer(
        completion(head, collected, with_logprobs=with_logprobs, offsets=offsets), headers=headers
    )


async def _pieces(request: Request, model: str, wanted: GenerationRequest) -> Pieces:
    generation = services(request).generation
    return await run_in_threadpool(generation.generate, caller(request), model, wanted)


async def _headers(request: Request, model: str) -> Mapping[str, str]:
    if not gateway.is_addressed(request.scope):
        return {}
    models = services(request).models
    return gateway.resolved(await run_in_threadpool(models.resolved_name, model))


def _with_usage(body: Sampling) -> bool:
    return body.stream_options is not None and bool(body.stream_options.include_usage)
