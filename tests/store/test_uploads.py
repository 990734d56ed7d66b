"""Chunked uploads, in every store."""

import pytest

from tests.store.conftest import Stage
from tests.store.values import a_file, a_part, an_upload
from tunery.core.errors import InvalidTransition, NotFound
from tunery.core.files import Upload, UploadStatus
from tunery.core.ports import Store


@pytest.fixture
def upload(store: Store) -> Upload:
    upload = an_upload()
    store.add_upload(upload)
    return upload


def test_an_upload_comes_back_as_it_was_kept(store: Store, upload: Upload) -> None:
    assert store.upload("ours", upload.id) == upload


def test_parts_come_back_in_the_order_they_came(store: Store, upload: Upload) -> None:
    parts = [a_part(upload) for _ in range(3)]
    for part in reversed(parts):
        store.add_part("ours", part)
    assert list(store.parts("ours", upload.id)) == parts[::-1]


def test_completing_keeps_the_file_too(store: Store, upload: Upload) -> None:
    file = a_file()
    ended = store.end_upload("ours", upload.id, UploadStatus.COMPLETED, file)
    assert (ended.status, ended.file_id) == (UploadStatus.COMPLETED, file.id)
    assert store.upload("ours", upload.id) == ended
    assert store.file("ours", file.id) == file


@pytest.mark.parametrize("end", [UploadStatus.COMPLETED, UploadStatus.CANCELLED])
def test_an_ended_upload_can_go_on_in_no_way(
    store: Store, upload: Upload, end: UploadStatus
) -> None:
    store.end_upload("ours", upload.id, end)
    with pytest.raises(InvalidTransition, match=f"{upload.id} is {end}"):
        store.add_part("ours", a_part(upload))
    with pytest.raises(InvalidTransition, match=f"{upload.id} is {end}"):
        store.end_upload("ours", upload.id, UploadStatus.CANCELLED)
    assert store.upload("ours", upload.id).status is end


def test_a_refused_completion_keeps_no_file(store: Store, upload: Upload) -> None:
    store.end_upload("ours", upload.id, UploadStatus.CANCELLED)
    file = a_file()
    with pytest.raises(InvalidTransition):
        store.end_upload("ours", upload.id, UploadStatus.COMPLETED, file)
    with pytest.raises(NotFound):
        store.file("ours", file.id)


def test_an_upload_expires(stage: Stage) -> None:
    upload = an_upload()
    stage.store.add_upload(upload)
    stage.store.add_part("ours", a_part(upload))
    stage.advance(3600)
    assert stage.store.upload("ours", upload.id).status is UploadStatus.EXPIRED
    with pytest.raises(InvalidTransition, match="expired"):
        stage.store.add_part("ours", a_part(upload))
    assert [each.id for each in stage.store.expired_uploads()] == [upload.id]


def test_the_parts_of_an_expired_upload_are_thrown_away_once(stage: Stage) -> None:
    upload = an_upload()
    stage.store.add_upload(upload)
    stage.store.add_part("ours", a_part(upload))
    stage.advance(3600)
    stage.store.forget_parts(upload.id)
    assert list(stage.store.expired_uploads()) == []
    assert list(stage.store.parts("ours", upload.id)) == []
    assert stage.store.upload("ours", upload.id).status is UploadStatus.EXPIRED


def test_the_parts_of_a_completed_upload_are_thrown_away(store: Store, upload: Upload) -> None:
    store.add_part("ours", a_part(upload))
    assert list(store.expired_uploads()) == []
    store.end_upload("ours", upload.id, UploadStatus.COMPLETED, a_file())
    assert [each.status for each in store.expired_uploads()] == [UploadStatus.COMPLETED]
    store.forget_parts(upload.id)
    assert list(store.expired_uploads()) == []


def test_the_parts_of_a_pending_upload_are_kept(store: Store, upload: Upload) -> None:
    part = a_part(upload)
    store.add_part("ours", part)
    store.forget_parts(upload.id)
    assert list(store.parts("ours", upload.id)) == [part]


def test_another_projects_upload_is_unknown(store: Store, upload: Upload) -> None:
    for unknown in (upload.id, "upload_none"):
        with pytest.raises(NotFound, match=unknown):
            store.upload("theirs", unknown)
        with pytest.raises(NotFound, match=unknown):
            store.end_upload("theirs", unknown, UploadStatus.CANCELLED)
        assert list(store.parts("theirs", unknown)) == []
    with pytest.raises(NotFound, match=upload.id):
        store.add_part("theirs", a_part(upload))
    assert store.upload("ours", upload.id) == upload
