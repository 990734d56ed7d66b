"""SQL generations: what was written for a prompt, and the rows that it gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tunery.core import sql
from tunery.core.access import Caller
from tunery.core.errors import InvalidValue, NotFound
from tunery.core.ids import new_id
from tunery.core.job import JobStatus
from tunery.core.models import BaseModel
from tunery.core.ports import Clock, Shelves
from tunery.core.text_to_sql import Metadata, Prompt, Rows, SqlGeneration, SqlSource, SqlStatus
from tunery.service.jobs import Jobs
from tunery.service.models import Models
from tunery.service.text_to_sql.attempts import LONGEST_QUERY_S, Answer, Attempts
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.ids import object_id
from tunery.service.text_to_sql.prompts import NewPrompt, Prompts

MOST_ROWS = 10_000
"""More rows than this are given back by no call."""


@dataclass(frozen=True, kw_only=True)
class NewSqlGeneration:
    """What somebody asks for: SQL of a finetuning's model, of another, or SQL of their own."""

    finetuning_id: str | None = None
    """A job's id; its tuned model writes."""
    model: str | None = None
    """Without a finetuning, the model that writes; None: the server's text model."""
    sql: str | None = None
    """Nothing is written where this is given."""
    metadata: Metadata | None = None
    echo: Mapping[str, object] = field(default_factory=dict)
    """What the door must give back."""


class SqlGenerations:
    """The use cases of SQL generations."""

    def __init__(
        self,
        *,
        store: Shelves,
        prompts: Prompts,
        jobs: Jobs,
        models: Models,
        attempts: Attempts,
        databases: ConnectedDatabases,
        clock: Clock,
        text_model: str,
    ) -> None:
        """`text_model` writes where nobody says who should."""
        self._store = store
        self._prompts = prompts
        self._jobs = jobs
        self._models = models
        self._attempts = attempts
        self._databases = databases
        self._clock = clock
        self._text_model = text_model

    def create(self, caller: Caller, prompt_id: str, new: NewSqlGeneration) -> SqlGeneration:
        """SQL for a prompt, kept together with what came of trying it out.

        Raises:
            NotFound: the project has no such prompt or finetuning.
            InvalidValue: the finetuning has not succeeded, there is no such model, the question
                cannot be asked, or the SQL that came along may not be run.
            Unavailable: nothing can be generated now, or it took too long. Nothing is kept.
        """
        generated = self._generated(caller, self._prompts.get(caller, prompt_id), new)
        self._store.sql_generations.add([generated])
        return generated

    def ask(self, caller: Caller, asked: NewPrompt, new: NewSqlGeneration) -> SqlGeneration:
        """SQL for a new prompt, which is kept once there is some; raises as `create`."""
        prompt = self._prompts.made(caller, asked)
        generated = self._generated(caller, prompt, new)
        self._prompts.keep(prompt)
        self._store.sql_generations.add([generated])
        return generated

    def get(self, caller: Caller, generation_id: str) -> SqlGeneration:
        """One generation.

        Raises:
            InvalidValue: the id is malformed.
            NotFound: the project has none such.
        """
        wanted = object_id(generation_id, param="sql_generation_id")
        return self._store.sql_generations.get(caller.project_id, wanted)

    def list(self, caller: Caller, *, prompt_id: str | None = None) -> Sequence[SqlGeneration]:
        """The project's generations, oldest first; those of a prompt."""
        return self._store.sql_generations.list(caller.project_id, parent=prompt_id)

    def set_metadata(
        self, caller: Caller, generation_id: str, metadata: Metadata | None
    ) -> SqlGeneration:
        """Replace the metadata whole; raises as `get`."""
        return self._store.sql_generations.change(
            caller.project_id,
            object_id(generation_id, param="sql_generation_id"),
            lambda now: replace(now, metadata=metadata),
        )

    def execute(self, caller: Caller, generation_id: str, *, max_rows: int = MOST_ROWS) -> Rows:
        """The rows that the SQL gives now.

        Raises:
            InvalidValue: as `get`; or it is none that may be run.
            NotFound: as `get`.
            QueryFailed: the database refuses it, or is not to be reached.
        """
        generated = self.get(caller, generation_id)
        prompt = self._prompts.get(caller, generated.prompt_id)
        connection = self._store.connections.get(caller.project_id, prompt.db_connection_id)
        query = generated.sql or ""
        sql.check_query(query, connection.dialect)
        return self._databases.run(connection, query, max_rows=max_rows, timeout_s=LONGEST_QUERY_S)

    def _generated(self, caller: Caller, prompt: Prompt, new: NewSqlGeneration) -> SqlGeneration:
        began = self._clock.now()
        model, answer = self._answer(caller, prompt, new)
        return SqlGeneration(
            id=new_id(""),
            project_id=caller.project_id,
            prompt_id=prompt.id,
            created_at=began,
            completed_at=self._clock.now(),
            model=model,
            finetuning_id=new.finetuning_id,
            status=SqlStatus.VALID if answer.error is None else SqlStatus.INVALID,
            sql=answer.sql,
            error=answer.error,
            repaired=answer.repaired,
            tokens_used=answer.tokens_used,
            metadata=new.metadata,
            echo=new.echo,
        )

    def _answer(
        self, caller: Caller, prompt: Prompt, new: NewSqlGeneration
    ) -> tuple[str | None, Answer]:
        """The SQL, and the model that wrote it."""
        connection = self._store.connections.get(caller.project_id, prompt.db_connection_id)
        if new.sql is not None:
            return None, self._attempts.tried(connection, new.sql)
        model, schemas = new.model or self._text_model, prompt.schemas
        if new.finetuning_id is not None:
            model, learnt = self._tuned(caller, new.finetuning_id)
            if learnt is not None and learnt.db_connection_id == connection.id:
                schemas = schemas or learnt.schemas
        base, adapter = self._model(caller, model)
        answer = self._attempts.answer(
            connection, prompt.text, schemas=schemas, base=base, adapter=adapter
        )
        return model, answer

    def _model(self, caller: Caller, name: str) -> tuple[BaseModel, str | None]:
        """The base model behind `name`, and the blob key of the adapter on it, if any."""
        try:
            return self._models.resolve(caller, name)
        except NotFound as unknown:
            raise InvalidValue(
                f"Model {name} not supported. {unknown.message}",
                param="llm_name",
                code="llm_model_not_supported",
            ) from unknown

    def _tuned(self, caller: Caller, job_id: str) -> tuple[str, SqlSource | None]:
        """The model of a finetuning, and what it learned from."""
        job = self._jobs.get(caller, job_id)
        if job.status is not JobStatus.SUCCEEDED or job.fine_tuned_model is None:
            raise InvalidValue(
                f"Finetuning({job_id.removeprefix('ftjob-')}) has the status {job.status}. "
                "Its model can write SQL once that is succeeded.",
                param="finetuning_id",
            )
        return job.fine_tuned_model, job.sql_source
