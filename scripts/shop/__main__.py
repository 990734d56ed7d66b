"""Write the shop into a folder: `python -m scripts.shop FOLDER`.

The folder gets `golden_records.json` and `questions.json`, lists of questions with their SQL, and
`shop.db`, unless `--database` names another database, which has to be empty.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import create_engine

from scripts.shop.questions import Question
from scripts.shop.records import records
from scripts.shop.tables import fill


def main() -> None:
    """Fill the database, and write down what to teach and what to ask."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--database", help="an SQLAlchemy URI; otherwise FOLDER/shop.db")
    chosen = options.parse_args()

    folder: Path = chosen.folder
    folder.mkdir(parents=True, exist_ok=True)
    engine = create_engine(chosen.database or f"sqlite:///{folder / 'shop.db'}")
    with engine.begin() as connection:
        fill(connection)
        found = records(connection)
    engine.dispose()
    for name, listed in (("golden_records", found.golden), ("questions", found.questions)):
        (folder / f"{name}.json").write_text(as_json(listed), encoding="utf-8")


def as_json(questions: Sequence[Question]) -> str:
    """Questions and their SQL, in the words of Dataherald's API."""
    listed = [{"prompt_text": question.text, "sql": question.sql} for question in questions]
    return json.dumps(listed, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
