"""What a job would see and take, before it starts."""

import msgspec

from tunery.cli.client import Json
from tunery.cli.failure import ExitCode, Failure
from tunery.cli.output import aside, duration, size
from tunery.core.preflight import Preflight, refusal


def show_plan(plan: Json) -> None:
    """The report on the data, and what the job would run with."""
    console = aside()
    report = _report(plan)
    console.print(f"rows {report.n_rows}")
    known = {**plan["hyperparameters"], "learning_rate": plan["x_tunery"]["learning_rate"]}
    settings = "  ".join(f"{name} {value}" for name, value in known.items())
    console.print(f"[bold]{'settings':<10}[/]  {settings}  r {plan['x_tunery']['r']}")
    if plan["steps"] is not None:
        console.print(f"[bold]{'work':<10}[/]  {_work(plan)}")


def refuse_errors(plan: Json) -> None:
    """Stop here where the data cannot be trained on."""
    if (wrong := refusal(_report(plan))) is not None:
        raise Failure(
            wrong.message,
            next_step="Mend the data and train again; nothing was started.",
            code=ExitCode.BAD_INPUT,
        )


def _report(plan: Json) -> Preflight:
    return msgspec.convert(plan["report"], Preflight)


def _work(plan: Json) -> str:
    parts = [f"{plan['steps']} steps"]
    if plan["estimated_seconds"] is not None:
        parts.append(f"about {duration(plan['estimated_seconds'])}")
    if plan["memory_bytes"] is not None:
        parts.append(f"{size(plan['memory_bytes'])} of memory")
    return ", ".join(parts)
