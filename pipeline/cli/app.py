"""The program that the commands belong to: how it starts, and how it ends."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from zskel.data.common.errors import BadInput, interrupt_behind
from zskel.pipeline.base.signals import Terminated

#: Of click, or of the copy of it in newer versions of typer.
_UsageError: Any = typer.BadParameter.__base__


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BaseException as error:
            if getattr(error, "option_name", None) == "--json-log":
                raise BadInput("--json-log stands before the command: pipeline --json-log FILE "
                               f"{ctx.invoked_subcommand} ...") from None
            if isinstance(error, _UsageError):
                raise BadInput(_in_one_line(error)) from None
            # Further up typer takes an interrupt for itself and says nothing.
            interrupt = interrupt_behind(error)
            if interrupt is None:
                raise
        # 128 and the signal's number, as shells and schedulers know it.
        word, code = (interrupt.word, interrupt.exit_code) if isinstance(interrupt, Terminated) \
            else ("interrupted", 130)
        _log_error(word, code)
        with contextlib.suppress(OSError):  # the terminal may be gone
            typer.echo(f"{word}; the same command goes on from here", err=True)
        raise SystemExit(code)


def _in_one_line(error: Any) -> str:
    """What is wrong with how a command was called, and where to read how it is."""
    message = " ".join(error.format_message().split()).rstrip(".")
    command = ""
    if error.ctx is not None:
        command = error.ctx.command_path.removeprefix(error.ctx.find_root().command_path)
    return (f"{message[:1].lower()}{message[1:]}{'' if message.endswith('?') else ';'} "
            f"`pipeline{command} --help` lists what there is")


app = typer.Typer(
    cls=_Commands,
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Zero-shot skeleton action recognition, from raw recordings to a report.",
)


@app.callback()
def every_command(
    context: typer.Context,
    json_log: Annotated[Path | None, typer.Option(metavar="FILE", help=(
        "Gets every message and progress too, one JSON object a line. Stands before the command."
    ))] = None,
) -> None:
    """Zero-shot skeleton action recognition, from raw recordings to a report."""
    if json_log is not None:
        from zskel.pipeline.base.progress import event, log_to

        log_to(json_log)
        event("started", command=context.invoked_subcommand)
        context.call_on_close(lambda: event("ended", command=context.invoked_subcommand))


def main() -> None:
    """Runs the command line; known errors are one line and an exit code."""
    import os
    import sys
    import warnings

    from zskel.data.common.errors import PipelineError
    from zskel.data.common.os_errors import described, refusal
    from zskel.data.common.outside import error_in_outside_code
    from zskel.pipeline.base.signals import terminate_like_an_interrupt

    warnings.showwarning = _show_warning
    terminate_like_an_interrupt()
    try:
        app()
    except PipelineError as error:
        _fail(" ".join(str(error).split()), error.exit_code)
    except BrokenPipeError:
        # Whoever read the output (`head`, say) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        # Disk full, read-only, permission denied: nothing half-written is left.
        refused = error if isinstance(error, OSError) else refusal(error)
        line = error_in_outside_code(error) if refused is None else described(refused)
        if line is None:
            raise
        _fail(line, 1)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    from zskel.pipeline.base.progress import tell_warning

    tell_warning(message)


def _fail(text: str, exit_code: int) -> None:
    import sys

    _log_error(text, exit_code)
    with contextlib.suppress(OSError):  # standard error may be a file on the disk that is full
        print(f"error: {text}", file=sys.stderr)
    sys.exit(exit_code)


def _log_error(text: str, exit_code: int) -> None:
    from zskel.pipeline.base.progress import event

    with contextlib.suppress(OSError):  # the log may be on the disk that is full
        event("error", "error", text=text, exit_code=exit_code)
