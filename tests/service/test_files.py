import errno
import hashlib
import logging
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from tests.blobs.faults import failing
from tests.service.bad_files import GOOD, line
from tests.store.values import MovableClock, a_job
from tunery.blobs.folder import FolderBlobs
from tunery.core.access import Caller, IdentityType
from tunery.core.errors import (
    InvalidFile,
    InvalidTransition,
    InvalidValue,
    NotFound,
    OutOfSpace,
    TooLarge,
)
from tunery.core.events import NewEvent
from tunery.core.files import File, Format, Upload, UploadStatus
from tunery.core.pages import NumberedItems, NumberedPage, PageRequest
from tunery.core.text_to_sql import SqlSource
from tunery.service.files import Files
from tunery.service.intake import FileRequest
from tunery.store.memory import MemoryStore

CALLER = Caller(organization_id="o", project_id="p", user_id="u", key_id="k")
STRANGER = Caller(organization_id="o", project_id="q", user_id="v", key_id="l")
DATA = line(GOOD) * 20
ALL = PageRequest(limit=100)
TRAINING = FileRequest(filename="train.jsonl", purpose="fine-tune")


def left_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


class Place:
    """The use cases over a folder and a store in memory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = MovableClock()
        self.store = MemoryStore(self.clock)
        self.files = Files(
            self.store,
            FolderBlobs(root),
            self.clock,
            max_file_bytes=10_000,
            upload_ttl_s=3600,
            max_part_bytes=1_000,
        )

    def keep(self, data: bytes = DATA, request: FileRequest = TRAINING) -> File:
        intake = self.files.begin(CALLER, purpose=request.purpose)
        try:
            intake.write(data)
            return intake.finish(request)
        finally:
            intake.discard()

    def announce(self, size_bytes: int, purpose: str = "fine-tune") -> Upload:
        request = FileRequest(filename="train.jsonl", purpose=purpose, expires_after_s=7200)
        return self.files.uploads.create(
            CALLER, request, mime_type="text/jsonl", size_bytes=size_bytes
        )

    def add(self, upload: Upload, data: bytes) -> str:
        part = self.files.uploads.begin_part(CALLER, upload.id)
        try:
            part.write(data)
            return part.finish().id
        finally:
            part.discard()

    def listed(self) -> list[File]:
        return list(self.files.list(CALLER, ALL).items)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_training_file_is_kept_with_what_it_is(place: Place) -> None:
    file = place.keep()
    assert (file.format, file.n_rows, file.size_bytes) == (Format.CHAT, 20, len(DATA))
    assert file.sha256 == hashlib.sha256(DATA).hexdigest()
    assert file.expires_at is None
    assert place.files.get(CALLER, file.id) == file
    assert b"".join(place.files.content(CALLER, file.id).pieces) == DATA
    assert left_in(place.root) == [file.blob]


def test_the_rows_of_another_file_are_not_looked_at(place: Place) -> None:
    file = place.keep(b"\xff\xd8 an image", FileRequest(filename="cat.jpg", purpose="vision"))
    assert (file.format, file.n_rows) == (None, None)


def test_the_purpose_may_be_said_at_the_end(place: Place) -> None:
    for purpose, is_good in (("fine-tune", False), ("user_data", True)):
        intake = place.files.begin(CALLER)
        intake.write(b"not json")
        request = FileRequest(filename="upload", purpose=purpose)
        if is_good:
            assert intake.finish(request).purpose == purpose
        else:
            with pytest.raises(InvalidFile):
                intake.finish(request)
        intake.discard()


def test_another_project_knows_nothing_of_it(place: Place) -> None:
    file = place.keep()
    for use in (place.files.get, place.files.content, place.files.delete):
        with pytest.raises(NotFound):
            use(STRANGER, file.id)
    assert place.files.list(STRANGER, ALL).items == ()
    assert place.listed() == [file]


def test_a_deleted_file_is_gone_with_its_bytes(place: Place) -> None:
    file = place.keep()
    place.files.delete(CALLER, file.id)
    with pytest.raises(NotFound):
        place.files.delete(CALLER, file.id)
    assert place.listed() == []
    assert left_in(place.root) == []


def test_a_file_whose_bytes_went_meanwhile_is_not_found(place: Place) -> None:
    file = place.keep()
    (place.root / file.blob).unlink()
    with pytest.raises(NotFound):
        place.files.content(CALLER, file.id)


def test_an_expired_file_is_collected(place: Place) -> None:
    request = FileRequest(filename="a.txt", purpose="user_data", expires_after_s=3600)
    file = place.keep(b"x", request)
    place.clock.advance(3599)
    place.files.collect_garbage()
    assert place.listed() == [file]
    place.clock.advance(2)
    assert place.listed() == []
    place.files.collect_garbage()
    assert left_in(place.root) == []


def test_a_delete_succeeds_though_the_bytes_cannot_be_removed(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = place.keep()
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(Path, "unlink", _fail)
        place.files.delete(CALLER, file.id)
    assert "cannot remove the bytes" in caplog.text
    assert left_in(place.root) == [file.blob]
    place.files.collect_garbage()
    assert left_in(place.root) == []


def test_a_file_above_the_limit_is_refused(place: Place) -> None:
    intake = place.files.begin(CALLER, purpose="user_data")
    for _ in range(10):
        intake.write(b"x" * 1000)
    with pytest.raises(TooLarge, match="larger than 10000 bytes"):
        intake.write(b"x")
    intake.discard()
    assert left_in(place.root) == []


@pytest.mark.parametrize("seconds", [0, -1, 3599, 2_592_001, 10**12])
def test_a_time_to_live_out_of_range_is_refused(seconds: int) -> None:
    with pytest.raises(InvalidValue, match="it must be from 3600 to 2592000"):
        FileRequest(filename="a", purpose="user_data", expires_after_s=seconds)


@pytest.mark.parametrize("purpose", ["", "finetune", "fine-tune-results", "x" * 1000])
def test_an_unknown_purpose_is_refused_before_any_byte(place: Place, purpose: str) -> None:
    with pytest.raises(InvalidValue, match="it must be one of assistants, batch, fine-tune"):
        place.files.begin(CALLER, purpose=purpose)


def test_what_cannot_be_recorded_leaves_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryStore, "add_file", _fail)
    with pytest.raises(OSError, match="injected"):
        place.keep()
    assert left_in(place.root) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_call_of_an_upload_leaves_nothing(
    tmp_path: Path, number: int
) -> None:
    refusal = OSError if number == errno.EIO else OutOfSpace
    for k in range(1, 100):
        place = Place(tmp_path / str(k))
        with failing(k, number) as fault, suppress(refusal):
            place.keep()
        if fault.name is None:
            break
        assert left_in(place.root) == []
        assert place.listed() == []
        assert place.keep() in place.listed()
    assert k > 5


# Chunked uploads


def test_parts_are_joined_in_the_order_asked_for(place: Place) -> None:
    upload = place.announce(len(DATA))
    cut = len(DATA) // 3
    pieces = [DATA[2 * cut :], DATA[:cut], DATA[cut : 2 * cut]]
    ids = [place.add(upload, piece) for piece in pieces]
    md5 = hashlib.md5(DATA).hexdigest()
    ended, file = place.files.uploads.complete(
        CALLER, upload.id, [ids[1], ids[2], ids[0]], md5=md5.upper()
    )
    assert (ended.status, ended.file_id) == (UploadStatus.COMPLETED, file.id)
    assert (file.sha256, file.n_rows) == (hashlib.sha256(DATA).hexdigest(), 20)
    assert file.expires_at is not None
    assert left_in(place.root) == [file.blob]


def test_parts_may_come_at_the_same_time(place: Place) -> None:
    pieces = [os.urandom(500) for _ in range(12)]
    upload = place.announce(6000, "user_data")
    ids: dict[int, str] = {}

    def add(index: int) -> None:
        ids[index] = place.add(upload, pieces[index])

    threads = [Thread(target=add, args=(index,)) for index in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _, file = place.files.uploads.complete(CALLER, upload.id, [ids[i] for i in range(12)])
    assert b"".join(place.files.content(CALLER, file.id).pieces) == b"".join(pieces)


def test_a_part_that_is_left_out_may_have_come(place: Place) -> None:
    upload = place.announce(3, "user_data")
    place.add(upload, b"no!")
    kept = place.add(upload, b"yes")
    _, file = place.files.uploads.complete(CALLER, upload.id, [kept])
    assert b"".join(place.files.content(CALLER, file.id).pieces) == b"yes"
    assert left_in(place.root) == [file.blob]


@pytest.mark.parametrize("wrong", ["unknown", "twice", "short", "none", "md5"])
def test_a_wrong_completion_is_refused_and_can_be_mended(place: Place, wrong: str) -> None:
    upload = place.announce(6, "user_data")
    ids = [place.add(upload, b"abc"), place.add(upload, b"def")]
    asked = {"unknown": [ids[0], "part_x"], "twice": [ids[0]] * 2, "short": ids[:1], "none": []}
    uploads = place.files.uploads
    with pytest.raises(InvalidValue) as caught:
        uploads.complete(CALLER, upload.id, asked.get(wrong, ids), md5="0" * 32)
    assert caught.value.param == ("md5" if wrong == "md5" else "part_ids")
    assert len(left_in(place.root)) == 2
    _, file = uploads.complete(CALLER, upload.id, ids, md5=hashlib.md5(b"abcdef").hexdigest())
    assert left_in(place.root) == [file.blob]


def test_a_bad_training_file_is_refused_at_completion(place: Place) -> None:
    upload = place.announce(8)
    part = place.add(upload, b"not json")
    with pytest.raises(InvalidFile, match="Line 1 is not a dictionary"):
        place.files.uploads.complete(CALLER, upload.id, [part])
    place.files.uploads.cancel(CALLER, upload.id)
    assert left_in(place.root) == []
    assert place.listed() == []


def test_an_ended_upload_takes_nothing_more(place: Place) -> None:
    uploads = place.files.uploads
    completed, cancelled, expired = (place.announce(3, "user_data") for _ in range(3))
    part = place.add(completed, b"abc")
    uploads.complete(CALLER, completed.id, [part])
    uploads.cancel(CALLER, cancelled.id)
    place.add(expired, b"abc")
    late = uploads.begin_part(CALLER, expired.id)
    late.write(b"abc")
    place.clock.advance(3601)
    for upload in (completed, cancelled, expired):
        with pytest.raises(InvalidTransition, match="no longer pending"):
            uploads.begin_part(CALLER, upload.id)
        with pytest.raises(InvalidTransition):
            uploads.complete(CALLER, upload.id, [part])
        with pytest.raises(InvalidTransition):
            uploads.cancel(CALLER, upload.id)
    place.files.collect_garbage()
    with pytest.raises(InvalidTransition):
        late.finish()
    assert [name for name in left_in(place.root) if name.startswith("uploads")] == []


def test_parts_that_are_collected_while_they_are_joined_end_in_a_refusal(place: Place) -> None:
    upload = place.announce(3, "user_data")
    part = place.add(upload, b"abc")
    for path in place.root.glob(f"uploads/{upload.id}/*"):
        path.unlink()
    with pytest.raises(InvalidTransition, match="no longer pending"):
        place.files.uploads.complete(CALLER, upload.id, [part])
    assert left_in(place.root) == []


def test_an_upload_of_another_project_is_unknown(place: Place) -> None:
    upload = place.announce(3, "user_data")
    uploads = place.files.uploads
    for use in (uploads.begin_part, uploads.cancel):
        with pytest.raises(NotFound):
            use(STRANGER, upload.id)
    with pytest.raises(NotFound):
        uploads.complete(STRANGER, upload.id, [])


def test_sizes_have_limits(place: Place) -> None:
    with pytest.raises(InvalidValue, match="must be at least 1"):
        place.announce(0)
    with pytest.raises(TooLarge):
        place.announce(10_001)
    upload = place.announce(5_000)
    with pytest.raises(TooLarge, match="larger than 1000 bytes"):
        place.add(upload, b"x" * 1001)
    assert left_in(place.root) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_call_of_a_completion_leaves_the_parts(
    tmp_path: Path, number: int
) -> None:
    refusal = OSError if number == errno.EIO else OutOfSpace
    for k in range(1, 100):
        place = Place(tmp_path / str(k))
        upload = place.announce(len(DATA))
        ids = [place.add(upload, DATA[:900]), place.add(upload, DATA[900:1800])]
        ids += [place.add(upload, DATA[1800:])] if len(DATA) > 1800 else []
        with failing(k, number) as fault, suppress(refusal):
            place.files.uploads.complete(CALLER, upload.id, ids)
        if fault.name is None:
            break
        assert place.listed() == []
        assert len(left_in(place.root)) == len(ids)
        _, file = place.files.uploads.complete(CALLER, upload.id, ids)
        assert left_in(place.root) == [file.blob]
    assert k > 5


def _fail(*_: object, **__: object) -> None:
    raise OSError("injected")


def test_a_file_remembers_who_sent_it_and_what_its_door_said(place: Place) -> None:
    echo = {"egp": {"description": "Colours"}}
    file = place.keep(request=replace(TRAINING, echo=echo))
    assert (file.created_by, file.created_by_type) == (CALLER.user_id, IdentityType.USER)
    assert place.files.get(CALLER, file.id).echo == echo


def test_a_file_that_came_in_parts_is_of_who_put_them_together(place: Place) -> None:
    account = replace(CALLER, user_id="service-1", identity_type=IdentityType.SERVICE_ACCOUNT)
    upload = place.announce(len(DATA))
    parts = [place.add(upload, DATA[at : at + 1000]) for at in range(0, len(DATA), 1000)]
    _, file = place.files.uploads.complete(account, upload.id, parts)
    assert (file.created_by, file.created_by_type) == ("service-1", IdentityType.SERVICE_ACCOUNT)


def test_files_are_listed_by_the_number_of_the_page(place: Place) -> None:
    files = [place.keep() for _ in range(3)]
    place.keep(b"notes", FileRequest(filename="notes.txt", purpose="user_data"))
    page = NumberedPage(number=2, limit=2)
    assert place.files.numbered(CALLER, page, purpose="fine-tune") == NumberedItems(
        (files[0],), total=3
    )
    assert place.files.numbered(CALLER, page).total == 4
    assert place.files.numbered(STRANGER, page) == NumberedItems((), total=0)


def test_what_was_built_for_a_job_and_never_published_is_removed(place: Place) -> None:
    source = SqlSource(db_connection_id="c1", golden_records=("g1",))
    job = replace(a_job(CALLER.project_id, training_file="file-1"), sql_source=source)
    place.store.add_job(job, [NewEvent(message="Created")], None)
    blobs = FolderBlobs(place.root)
    writer = blobs.writer("files/file-1")
    writer.write(DATA)
    writer.commit()
    place.files.collect_garbage()
    assert left_in(place.root) == ["files/file-1"]
    place.store.delete_job(CALLER.project_id, job.id, NewEvent(message="cancelled"))
    place.files.collect_garbage()
    assert left_in(place.root) == []
