"""The commands, their order and their groups. A command imports what it needs itself, so that help is quick."""

from collections.abc import Callable
from typing import Annotated

import typer

from rewards.cli import corrections, deployment, epochs, history, onchain

_GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "Epochs": {
        "demo": epochs.demo,
        "run": epochs.run,
        "status": epochs.status,
        "verify": epochs.verify,
        "export": epochs.export,
    },
    "Chain": {
        "deploy": deployment.deploy,
        "publish": onchain.publish,
        "attest": onchain.attest,
        "revoke": onchain.revoke,
        "resume": onchain.resume,
        "reconcile": onchain.reconcile,
        "history": history.history,
    },
    "Claims": {"proof": onchain.proof, "claim": onchain.claim},
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"rewards {version('cxpt-rewards')}")
        raise typer.Exit


@app.callback()
def rewards(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where an error comes from; may stand anywhere.")
    ] = False,
) -> None:
    """A day of a compute network's usage to money that people can claim on chain.

    Exit status: 0 fine, 1 storage or unexpected, 2 usage, 3 a gate refused, 4 chain, 5 input, 6 disagreement.
    """


for _panel, _commands in _GROUPS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_panel)(_command)

app.add_typer(corrections.app, name="correct", rich_help_panel="Epochs")
