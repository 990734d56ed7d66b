"""The API of Dataherald's engine: from a database to a model that writes its SQL."""

from fastapi import APIRouter

from tunery.dialects.dataherald.database_connections.routes import router as database_connections
from tunery.dialects.dataherald.finetunings.routes import router as finetunings
from tunery.dialects.dataherald.golden_sqls.routes import router as golden_sqls
from tunery.dialects.dataherald.heartbeat import router as heartbeat
from tunery.dialects.dataherald.instructions.routes import router as instructions
from tunery.dialects.dataherald.prompts.routes import router as prompts
from tunery.dialects.dataherald.sql_generations.routes import router as sql_generations
from tunery.dialects.dataherald.sql_generations.routes import under_prompts
from tunery.dialects.dataherald.table_descriptions.routes import router as table_descriptions

router = APIRouter(prefix="/api/v1")
router.include_router(heartbeat, prefix="/heartbeat")
router.include_router(database_connections, prefix="/database-connections")
router.include_router(table_descriptions, prefix="/table-descriptions")
router.include_router(golden_sqls, prefix="/golden-sqls")
# As older clients call them; the documentation shows each once.
router.include_router(golden_sqls, prefix="/golden-records", include_in_schema=False)
router.include_router(instructions, prefix="/instructions")
router.include_router(finetunings, prefix="/finetunings")
router.include_router(prompts, prefix="/prompts")
router.include_router(under_prompts, prefix="/prompts")
router.include_router(sql_generations, prefix="/sql-generations")

__all__ = ["router"]
