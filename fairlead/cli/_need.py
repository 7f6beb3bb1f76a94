"""What is asked for, on the command line: the same options for every command that asks for space."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from fairlead.cli._common import number
from reservations.calendar import Need
from reservations.reading import MOST_OF_ANYTHING


def _counted(name: str) -> dict[str, Any]:
    return number(name, 1, MOST_OF_ANYTHING)


# name of the parameter -> the option, and what holds where it isn't given
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "cores": (Annotated[int | None, typer.Option(**_counted("--cores"), help="Cores of one unit.")], None),
    "memory": (
        Annotated[str | None, typer.Option(help='Memory of one unit, such as "256 GiB".')],
        None,
    ),
    "disk": (Annotated[str | None, typer.Option(help='Disk of one unit, such as "100 GB".')], None),
    "gpu": (Annotated[int | None, typer.Option(**_counted("--gpu"), help="GPUs of one unit.")], None),
    "hosts": (
        Annotated[
            int | None,
            typer.Option(
                **_counted("--hosts"), help="So many whole hosts, each with at least what is asked for."
            ),
        ],
        None,
    ),
    "instances": (
        Annotated[int | None, typer.Option(**_counted("--instances"), help="So many equal units (1).")],
        None,
    ),
    "flavour": (
        Annotated[str | None, typer.Option("--flavour", "--flavor", help="A flavour of the cloud.")],
        None,
    ),
    "spread": (
        Annotated[str, typer.Option(help="Units on one host (together), on different ones (apart).")],
        "any",
    ),
    "properties": (
        Annotated[str, typer.Option(help="""What a host must be like: '["==", "$gpu_model", "A100"]'.""")],
        "",
    ),
}
_SIZES = ("cores", "memory", "disk", "gpu", "hosts", "instances", "flavour")


def takes_need(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a need, in the place of its parameter `need`, which it gets read.

    Where the parameter may be None (`need: Need | None`), it is where nothing is asked for.
    """
    own = inspect.signature(command, eval_str=True)
    optional = own.parameters["need"].annotation != Need

    @functools.wraps(command)
    def reading(**given: Any) -> None:
        from reservations.reading import read_need

        options = {name: given.pop(name) for name in _OPTIONS}
        nothing = all(options[name] is None for name in _SIZES)
        command(**given, need=None if optional and nothing else read_need(**options))

    parameters = []
    for name, parameter in own.parameters.items():
        if name != "need":
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        parameters += [
            inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for each, (annotation, default) in _OPTIONS.items()
        ]
    reading.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    reading.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return reading
