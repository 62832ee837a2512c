"""The `headrace` command: its commands, and how it ends when something is wrong."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Literal, NoReturn

import typer

from headrace import bench_command, infer_command, models_command, options, status_command, top_command, train_command
from headrace.errors import CommandError

LoadBalancer = Literal["gateway", "envoy"]

app = typer.Typer(
    help="Serve models: start a platform on this machine, ship model versions, ask them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address on which the gateway listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Worker processes; they share the cores.")] = 2,
    gateways: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=255,
            show_default=False,
            help="Gateway processes, which share the port, so that one may die; unless given, 2 on several cores,"
            " the second in reserve on fewer than 4.",
        ),
    ] = None,
    data: options.Data = options.DATA,
    demo: Annotated[bool, typer.Option("--demo", help="Make and register the models digits and minilm.")] = False,
    load_balancer: Annotated[
        LoadBalancer, typer.Option(help="What chooses a worker for each request: the gateway, or Envoy behind it.")
    ] = "gateway",
    as_json: Annotated[
        bool, typer.Option("--json", help="Once it answers, print where as JSON; all else goes to standard error.")
    ] = False,
) -> None:
    """Start the whole platform on this machine, until Ctrl-C."""
    # What a command needs is imported by it alone, so that `--help` doesn't wait for all of it.
    import asyncio

    from rich.console import Console

    from headrace.local import up as run
    from headrace.output import ignore_failures
    from headrace.plan import Options

    console = Console(highlight=False, file=ignore_failures(sys.stderr if as_json else sys.stdout))
    asyncio.run(run(Options(host, port, workers, gateways, data, demo, load_balancer, as_json), console))


app.add_typer(models_command.app, name="models")
app.add_typer(train_command.app, name="train")
app.command("status")(status_command.status)
app.command("top")(top_command.top)
app.command("infer")(infer_command.infer)
app.command("bench")(bench_command.bench)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and end the process: 0, 1 where it could not do what was asked, 2 for wrong usage, and
    3 where `train` did it and a gate did not hold."""
    arguments = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in arguments
    try:
        code = app(list(arguments), standalone_mode=not as_json)
    except CommandError as error:
        sys.exit(report(error.message, error.hint, as_json))
    except ModuleNotFoundError as error:
        hint = "install what it belongs to: pip install 'headrace[local,demo]'"
        sys.exit(report(f"the package {error.name} is not installed", hint, as_json))
    except typer.TyperException as error:  # only with --json: without, typer shows the usage itself
        report(error.format_message(), "add --help to see the usage", as_json)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `headrace models list | head`: no complaint
        sys.exit(1)
    sys.exit(code or 0)


def report(message: str, hint: str, as_json: bool) -> int:
    """Say on standard error what is wrong and what to do next. The exit code."""
    if as_json:
        print(json.dumps({"error": message, "hint": hint} if hint else {"error": message}), file=sys.stderr)
    else:
        print(f"error: {message}" + (f"; {hint}" if hint else ""), file=sys.stderr)
    return 1
