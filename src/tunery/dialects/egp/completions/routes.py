"""The routes of asking models: parse, call, map, return."""

from collections.abc import Callable

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from tunery.core.errors import TuneryError
from tunery.core.generation import GenerationRequest
from tunery.dialects.answers import answer
from tunery.dialects.egp.accounts import check_account
from tunery.dialects.egp.completions import answers, requests
from tunery.dialects.egp.completions.schemas import (
    ChatRequest,
    CompletionRequest,
    ExecuteRequest,
    ModelChatRequest,
    ModelCompletionRequest,
)
from tunery.dialects.egp.errors import EgpRoute, Place, placed, render
from tunery.dialects.pieces import HUNG_UP, Collected, Ends, Pieces, collect, event, stream
from tunery.dialects.route import caller, services

router = APIRouter(tags=["Scale: asking models"], route_class=EgpRoute)

_PATH: Place = ("path", "model_deployment_id")
_OF_DEPLOYMENT = {
    "prompt": ("body", "prompt"),
    "messages": ("body", "chat_history"),
    "model": _PATH,
}
_OF_MODEL = {
    "prompt": ("body", "prompt"),
    "messages": ("body", "messages"),
    "model": ("body", "model"),
}


def _failed(error: TuneryError) -> bytes:
    # Clients raise what an event of this name says; the stream then closes, with no last word.
    return b"event: error\n" + event(bytes(render(error).body))


_ENDS = Ends(failed=_failed)


@router.post("/models/{model_deployment_id}/completions")
async def complete(request: Request, model_deployment_id: str, body: CompletionRequest) -> Response:
    """Continue a text with the model of a deployment, without its chat template."""
    wanted = requests.completion_to_core(body)
    return await _by_deployment(request, model_deployment_id, wanted, bool(body.stream))


@router.post("/models/{model_deployment_id}/chat-completions")
async def chat(request: Request, model_deployment_id: str, body: ChatRequest) -> Response:
    """Answer a prompt after a conversation with the model of a deployment."""
    wanted = requests.chat_to_core(body, body.chat_history)
    return await _by_deployment(request, model_deployment_id, wanted, bool(body.stream))


@router.post("/models/{model_instance_id:path}/deployments/{model_deployment_id}/execute")
async def execute(
    request: Request, model_instance_id: str, model_deployment_id: str, body: ExecuteRequest
) -> Response:
    """Answer or continue, as the body has a chat history or none."""
    if body.chat_history is None:
        wanted = requests.completion_to_core(body)
    else:
        wanted = requests.chat_to_core(body, body.chat_history)
    return await _by_deployment(
        request, model_deployment_id, wanted, bool(body.stream), model=model_instance_id
    )


@router.post("/completions")
async def complete_by_name(request: Request, body: ModelCompletionRequest) -> Response:
    """Continue a text with a base, tuned or checkpoint model."""
    check_account(request, body.account_id)
    wanted = requests.model_completion_to_core(body)
    with placed(_OF_MODEL):
        pieces = await _pieces(request, body.model, wanted)
        if body.stream:
            return await stream(pieces, answers.completion_chunks, _ENDS)
        return await _whole(request, pieces, answers.completion_answer)


@router.post("/chat-completions")
async def chat_by_name(request: Request, body: ModelChatRequest) -> Response:
    """Answer a conversation with a base, tuned or checkpoint model."""
    check_account(request, body.account_id)
    wanted = requests.model_chat_to_core(body)
    with placed(_OF_MODEL):
        pieces = await _pieces(request, body.model, wanted)
        if body.stream:
            return await stream(pieces, answers.chat_chunks, _ENDS)
        return await _whole(request, pieces, answers.chat_answer)


async def _by_deployment(
    request: Request,
    deployment_id: str,
    wanted: GenerationRequest,
    streams: bool,
    *,
    model: str | None = None,
) -> Response:
    deployments, asking = services(request).deployments, caller(request)
    found = await run_in_threadpool(deployments.get, asking, deployment_id, model=model)
    with placed(_OF_DEPLOYMENT, otherwise=("body",)):
        pieces = await _pieces(request, found.model, wanted)
        if streams:
            return await stream(pieces, answers.deployment_chunks, _ENDS)
        return await _whole(request, pieces, answers.deployment_answer)


async def _pieces(request: Request, model: str, wanted: GenerationRequest) -> Pieces:
    generation = services(request).generation
    return await run_in_threadpool(generation.generate, caller(request), model, wanted)


async def _whole(
    request: Request, pieces: Pieces, to_wire: Callable[[Collected], msgspec.Struct]
) -> Response:
    collected = await collect(request, pieces)
    return Response(status_code=HUNG_UP) if collected is None else answer(to_wire(collected))
