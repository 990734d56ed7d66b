"""The routes of training datasets: parse, call, map, return."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from tunery.core.access import Caller
from tunery.core.errors import NotFound
from tunery.core.files import File
from tunery.core.pages import NumberedItems
from tunery.dialects.answers import answer
from tunery.dialects.egp.accounts import check_account
from tunery.dialects.egp.answers import Deleted
from tunery.dialects.egp.arrays import json_array
from tunery.dialects.egp.errors import EgpRoute, placed
from tunery.dialects.egp.pages import PageWanted, item_page
from tunery.dialects.egp.training_datasets import mapping
from tunery.dialects.egp.training_datasets.intake import DatasetIntake
from tunery.dialects.multipart import receive_form
from tunery.dialects.route import caller, point_read, services
from tunery.service.files import Files
from tunery.service.intake import TRAINING

router = APIRouter(prefix="/training-datasets", tags=["Scale: datasets"], route_class=EgpRoute)


@router.post("")
async def create(request: Request) -> Response:
    """Upload a dataset; its rows are checked while they come."""
    files, asking = services(request).files, caller(request)

    def begin(_: Mapping[str, str]) -> DatasetIntake:
        intake = files.begin(asking, purpose=TRAINING)
        return DatasetIntake(intake, max_bytes=files.max_file_bytes)

    with placed({}, otherwise=("body", "file")):
        async with receive_form(request, "file", begin) as form:
            check_account(request, form.fields.get("account_id"))
            wanted = mapping.file_request(form.fields)
            file = await run_in_threadpool(form.sink.finish, wanted)
    return answer(mapping.to_wire(file))


@router.get("")
def list_datasets(request: Request, page: PageWanted) -> Response:
    """List the project's datasets, newest first."""
    found: NumberedItems[File] = services(request).files.numbered(
        caller(request), page, purpose=TRAINING
    )
    datasets = [mapping.to_wire(file) for file in found.items]
    return answer(item_page(datasets, found.total, page))


@router.get("/{training_dataset_id}")
async def retrieve(request: Request, training_dataset_id: str) -> Response:
    """Retrieve what is known of a dataset."""
    files, asking = services(request).files, caller(request)
    return answer(
        mapping.to_wire(
            await point_read(request, lambda: _dataset(files, asking, training_dataset_id))
        )
    )


@router.delete("/{training_dataset_id}")
def delete(request: Request, training_dataset_id: str) -> Response:
    """Delete a dataset; a job that is using it keeps its rows until it is over."""
    files, asking = services(request).files, caller(request)
    files.delete(asking, _dataset(files, asking, training_dataset_id).id)
    return answer(Deleted())


@router.get("/{training_dataset_id}/contents")
def contents(request: Request, training_dataset_id: str) -> Response:
    """List all rows of a dataset."""
    files, asking = services(request).files, caller(request)
    file = _dataset(files, asking, training_dataset_id)
    with placed({}, otherwise=("path", "training_dataset_id")):
        mapping.check_pairs(file)
    rows = mapping.items(files.content(asking, file.id).pieces)
    return StreamingResponse(json_array(rows), media_type="application/json")


def _dataset(files: Files, asking: Caller, dataset_id: str) -> File:
    """The file that the dataset is; a file with another purpose is none."""
    file = files.get(asking, dataset_id)
    if file.purpose != TRAINING:
        raise NotFound("file", dataset_id)
    return file
