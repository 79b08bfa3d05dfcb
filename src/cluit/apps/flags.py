"""From a list of words to a function with its arguments, and a sentence where the words are wrong."""

import difflib
import functools
import inspect
import io
import itertools
import operator
import os
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import fields
from typing import Annotated, Any, TypedDict, get_type_hints

import tyro
from tyro.conf import arg

from cluit.apps.settings import TrainSettings, documented
from cluit.core.errors import UserError
from cluit.methods import CONFIGS, RECIPES

Command = Callable[..., None]
Group = Mapping[str, Command]


PLAINLY = {
    "invalid literal for int() with base 10:": "not a whole number:",
    "could not convert string to float:": "not a number:",
    "Failed to parse key-value pairs!": "it takes pairs of words",
}


Settings = Annotated[dict[str, Any], "settings_as_flags"]
"""What commands that take the settings of training say of that parameter: see `settings_as_flags`."""


@functools.cache
def settings_as_flags() -> Any:
    """A dictionary type with an optional key per setting: what is not given is left to lower layers.

    A name that several methods have is one flag, of the types and with the explanations of all. Made when a
    command wants it: it takes a third as long as the start of all others.
    """
    hints = {method: get_type_hints(TrainSettings) | get_type_hints(CONFIGS[method]) for method in CONFIGS}
    texts = {method: documented(TrainSettings) | documented(CONFIGS[method]) for method in CONFIGS}
    defaults = {method: default_values(CONFIGS[method]) for method in CONFIGS}
    small = {method: defaults[method] | RECIPES[method]["small"]() for method in CONFIGS}
    flags = {}
    for name in dict.fromkeys(itertools.chain(*defaults.values())):
        owners = [method for method in CONFIGS if name in defaults[method]]
        text = explained({method: texts[method][name] for method in owners})
        of_all = len(owners) == len(CONFIGS) or text != texts[owners[0]][name]  # or the text says of whom
        whose = "" if of_all else f"{', '.join(owners)}; "
        usual, smaller = ({method: values[method][name] for method in owners} for values in (defaults, small))
        less = f"; small: {side_by_side(smaller)}" if smaller != usual else ""
        hint = f"({whose}default: {side_by_side(usual)}{less})"
        kind = functools.reduce(operator.or_, (hints[method][name] for method in owners))
        flags[name] = Annotated[kind, arg(help=text, help_behavior_hint=hint)]
    return TypedDict("settings", flags, total=False)  # type: ignore[operator]


def default_values(config: type[Any]) -> dict[str, Any]:
    """All settings that are flags, of training and of a method."""
    settings = (*fields(TrainSettings), *fields(config))
    return {field.name: field.default for field in settings if field.name != "data"}


def side_by_side(values: Mapping[str, Any]) -> str:
    """By method: ``128``, or ``128, swapae 2048`` where one differs from the first."""
    words = {
        method: " ".join(value) or "none" if isinstance(value, tuple) else str(value)
        for method, value in values.items()
    }
    first, *others = words
    return ", ".join(
        [words[first], *(f"{other} {words[other]}" for other in others if words[other] != words[first])]
    )


def explained(texts: Mapping[str, str]) -> str:
    """By method: the text that all share, or each with whose it is."""
    owners: dict[str, list[str]] = {}
    for method, text in texts.items():
        owners.setdefault(text, []).append(method)
    if len(owners) == 1:
        return next(iter(owners))
    return " ".join(f"{', '.join(methods)}: {text}" for text, methods in owners.items())


def parse(
    argv: list[str], commands: Mapping[str, Command | Group], summaries: Mapping[str, str]
) -> functools.partial[None]:
    """The command that ``argv`` asks for, ready to be called.

    commands: functions, whose parameters are the flags, and groups of them.
    summaries: what a group is for, by its name; under "" what all are for.

    UserError for whatever is wrong, for an unknown command or flag with the nearest known one; SystemExit
    after help.
    """
    table: Mapping[str, Any] = commands
    program, summary = "cluit", summaries[""]
    while argv and not argv[0].startswith("-"):
        name, *argv = argv
        if name not in table:
            raise UserError(
                f"unknown command {program} {name}; did you mean {program} {nearest(name, table)}?"
            )
        program, entry = f"{program} {name}", table[name]
        if callable(entry):
            refuse_unknown_flags(entry, argv)
            with one_sentence(program, argv):
                return tyro.cli(deferred(entry), prog=program, args=argv, config=(tyro.conf.OmitArgPrefixes,))
        table, summary = entry, summaries[name]
    if not argv:
        raise UserError(f"{program} needs a command: {', '.join(table)}; see {program} --help")
    if {"-h", "--help"}.isdisjoint(argv):
        raise UserError(f"unrecognized options: {' '.join(argv)}; see {program} --help")
    firsts = {
        name: (entry.__doc__ or "").partition("\n")[0] if callable(entry) else summaries[name]
        for name, entry in table.items()
    }
    print(listing(program, summary, firsts))
    raise SystemExit(0)


def listing(program: str, summary: str, commands: Mapping[str, str]) -> str:
    """The help of a program that has commands: what all are for, and each by its name.

    tyro could do it, but takes longer to start than all the rest.
    """
    columns = max(40, shutil.get_terminal_size().columns)
    margin = 4 + max(map(len, commands))
    lines = [f"usage: {program} COMMAND ...", "", *textwrap.wrap(summary, columns), ""]
    for name, text in commands.items():
        first, *rest = textwrap.wrap(text, columns - margin)
        lines += [f"  {name:{margin - 2}}{first}", *(" " * margin + more for more in rest)]
    return "\n".join([*lines, "", *textwrap.wrap(f"{program} COMMAND --help says more of each.", columns)])


@contextmanager
def one_sentence(program: str, argv: list[str]) -> Iterator[None]:
    """Turn tyro's boxes on standard error into a UserError; help comes as it is, at least 40 columns wide.

    In fewer than 6 columns tyro would wrap its help for ever. A box that is wide enough wraps nothing.
    """
    shows_help = bool({"-h", "--help"} & set(argv))
    columns = max(40, shutil.get_terminal_size().columns) if shows_help else 1000
    before, box = os.environ.get("COLUMNS"), io.StringIO()
    os.environ["COLUMNS"] = str(columns)
    try:
        with redirect_stderr(box):
            yield
    except SystemExit as ending:
        if not ending.code:
            raise
        raise UserError(f"{said(box.getvalue())}; see {program} --help") from None
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def said(box: str) -> str:
    """What a box of tyro's says, without its title, frame, colours and advice; of Unicode or of ASCII."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", box).replace("─", "-").replace("│", " ").splitlines()
    contents = itertools.dropwhile(is_rule, (line[2:].rstrip() for line in lines[1:]))
    rows = list(itertools.takewhile(lambda row: not is_rule(row), contents)) or [box]
    if rows[0].startswith("Missing from"):  # names are indented by four, their explanations by more
        rows = ["missing: " + ", ".join(row.strip() for row in rows if re.match(r" {4}\S", row))]
    text = " ".join(" ".join(rows).split()).rstrip(".").replace(". Expected", ", expected")
    for technical, plain in PLAINLY.items():
        text = text.replace(technical, plain)
    return text[:1].lower() + text[1:]


def is_rule(row: str) -> bool:
    return row.startswith("---") and not row.strip("-")


def refuse_unknown_flags(command: Command, argv: list[str]) -> None:
    """UserError that names the flag which is nearest to one that ``command`` does not have."""
    parameters = list(inspect.signature(command).parameters.values())
    names = {"help", *(one.name for one in parameters if one.kind is one.KEYWORD_ONLY)}
    placed = {one.name for one in parameters if one.kind is not one.KEYWORD_ONLY}
    if "settings" in names:
        names = names - {"settings"} | settings_as_flags().__annotations__.keys()
    for flag in itertools.takewhile(lambda word: word != "--", argv):
        name = flag[2:].split("=")[0].replace("-", "_")
        if flag.startswith("--") and name in placed:
            raise UserError(f"{name.upper()} is given without a flag: leave out --{name}")
        if flag.startswith("--") and not {name, name.removeprefix("no_")} & names:
            near = nearest(name, names).replace("_", "-")
            raise UserError(f"unknown flag {flag.split('=')[0]}; did you mean --{near}?")


def nearest(name: str, names: Iterable[str]) -> str:
    return difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]


def deferred(command: Command) -> Callable[..., functools.partial[None]]:
    """The same parameters, with the flags of `Settings`, but calling it only says what is to be called."""

    def later(*args: Any, **flags: Any) -> functools.partial[None]:
        return functools.partial(command, *args, **flags)

    signature = inspect.signature(command)
    parameters = [
        one.replace(annotation=settings_as_flags()) if one.annotation is Settings else one
        for one in signature.parameters.values()
    ]
    later.__doc__ = command.__doc__
    later.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=functools.partial[None]
    )
    later.__annotations__ = {one.name: one.annotation for one in parameters}
    return later
