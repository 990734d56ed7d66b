"""What a job would see, run with and take, before it starts."""

import msgspec

from tunery.cli.client import Json
from tunery.cli.failure import ExitCode, Failure
from tunery.cli.output import aside
from tunery.cli.report import print_report, verdict
from tunery.core.method import Supervised
from tunery.core.preflight import Preflight, refusal

_LABEL = 12


def show_plan(plan: Json) -> None:
    """Print a dry run: the report on the data, then the settings with every `auto` resolved."""
    known = {**plan["hyperparameters"], "learning_rate": plan["x_tunery"]["learning_rate"]}
    epochs = known["n_epochs"]
    console = aside()
    print_report(
        console,
        _report(plan),
        n_epochs=epochs if isinstance(epochs, int) else None,
        shows_row=False,
    )
    for name in ("beta", "precision"):
        if (value := plan["x_tunery"].get(name)) is not None:
            known[name] = value
    settings = "  ".join(f"{name} {_short(value)}" for name, value in known.items())
    console.print(
        f"[bold]{'settings':<{_LABEL}}[/]{settings}  r {plan['x_tunery']['r']}", soft_wrap=True
    )
    if plan["steps"] is not None:
        console.print(f"[bold]{'steps':<{_LABEL}}[/]{plan['steps']:,}")


def refuse_errors(plan: Json) -> None:
    """Stop here where the data cannot be trained on.

    Raises:
        Failure: there are errors, which `show_plan` has named.
    """
    report = _report(plan)
    if (wrong := refusal(report, Supervised())) is not None:
        raise Failure(
            f"{verdict(report)}: nothing was started." if report.n_errors else wrong.message,
            next_step="Mend the data and train again.",
            code=ExitCode.BAD_INPUT,
        )


def _report(plan: Json) -> Preflight:
    return msgspec.convert(plan["report"], Preflight)


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
