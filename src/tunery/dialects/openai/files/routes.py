"""The routes of files and uploads: parse, call, map, return."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from tunery.core.files import File
from tunery.core.pages import Page
from tunery.dialects.answers import answer
from tunery.dialects.multipart import receive_form
from tunery.dialects.openai import gateway
from tunery.dialects.openai.answers import Deleted, ListPageWithEnds
from tunery.dialects.openai.errors import OpenAIRoute
from tunery.dialects.openai.files import mapping
from tunery.dialects.openai.files.schemas import CompleteUploadBody, CreateUploadBody
from tunery.dialects.route import caller, point_read, services
from tunery.service.intake import Intake
from tunery.service.uploads import PartIntake

router = APIRouter(tags=["Files"], route_class=OpenAIRoute)


@router.post("/files")
async def create(request: Request) -> Response:
    """Upload a file; a training file is checked row by row while it comes."""
    files, asking, choice = services(request).files, caller(request), gateway.choice(request)

    def begin(fields: Mapping[str, str]) -> Intake:
        return files.begin(asking, purpose=fields.get("purpose"))

    async with receive_form(request, "file", begin) as form:
        wanted = mapping.file_request(form.fields, form.filename, choice)
        file = await run_in_threadpool(form.sink.finish, wanted)
    return answer(mapping.to_wire(file))


@router.get("/files")
def list_files(
    request: Request,
    purpose: str | None = None,
    after: str | None = None,
    limit: int = mapping.MOST_PER_PAGE,
    order: str = "desc",
) -> Response:
    """List the project's files by age."""
    wanted = mapping.page_request(after, limit, order)
    page: Page[File] = services(request).files.list(caller(request), wanted, purpose=purpose)
    found = [mapping.to_wire(file) for file in page.items]
    return answer(
        ListPageWithEnds(
            data=found,
            has_more=page.has_more,
            first_id=found[0].id if found else None,
            last_id=found[-1].id if found else None,
        )
    )


@router.get("/files/{file_id}")
async def retrieve(request: Request, file_id: str) -> Response:
    """Retrieve what is known of a file."""
    files, asking = services(request).files, caller(request)
    return answer(mapping.to_wire(await point_read(request, lambda: files.get(asking, file_id))))


@router.get("/files/{file_id}/content")
def content(request: Request, file_id: str) -> Response:
    """Retrieve a file's bytes."""
    found = services(request).files.content(caller(request), file_id)
    headers = {"content-length": str(found.file.size_bytes)}
    return StreamingResponse(found.pieces, headers=headers, media_type="application/octet-stream")


@router.delete("/files/{file_id}")
def delete(request: Request, file_id: str) -> Response:
    """Delete a file; a job that is using it keeps its bytes until it is over."""
    services(request).files.delete(caller(request), file_id)
    return answer(Deleted(id=file_id, object="file"))


@router.post("/uploads")
def create_upload(request: Request, body: CreateUploadBody) -> Response:
    """Begin to upload a file in parts."""
    upload = services(request).files.uploads.create(
        caller(request),
        mapping.upload_request(body, gateway.choice(request)),
        mime_type=body.mime_type,
        size_bytes=body.bytes,
    )
    return answer(mapping.upload_to_wire(upload))


@router.post("/uploads/{upload_id}/parts")
async def add_part(request: Request, upload_id: str) -> Response:
    """Add a part; parts may come in any order and at the same time."""
    uploads, asking = services(request).files.uploads, caller(request)

    def begin(_: Mapping[str, str]) -> PartIntake:
        return uploads.begin_part(asking, upload_id)

    async with receive_form(request, "data", begin) as form:
        part = await run_in_threadpool(form.sink.finish)
    return answer(mapping.part_to_wire(part))


@router.post("/uploads/{upload_id}/complete")
def complete_upload(request: Request, upload_id: str, body: CompleteUploadBody) -> Response:
    """Make a file of the parts, in the order given."""
    upload, file = services(request).files.uploads.complete(
        caller(request),
        upload_id,
        body.part_ids,
        md5=body.md5,
        echo=gateway.choice(request).echo,
    )
    return answer(mapping.upload_to_wire(upload, file))


@router.post("/uploads/{upload_id}/cancel")
def cancel_upload(request: Request, upload_id: str) -> Response:
    """End an upload; its parts are removed."""
    return answer(
        mapping.upload_to_wire(services(request).files.uploads.cancel(caller(request), upload_id))
    )
