"""Errors a user can act on: one line that says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterator


class PipelineError(Exception):
    """Base of every error that is the input's fault rather than ours.

    The command line prints the message as one line and exits with
    ``exit_code``; library callers catch the class.
    """

    exit_code = 1


class BadInput(PipelineError, ValueError):
    """A file, field or argument is not what it has to be."""

    exit_code = 2


class BadConfig(BadInput):
    """An experiment config has an unknown key or an impossible value."""


class BadCache(BadInput):
    """A feature cache or sequence store breaks its contract."""


class MissingModel(PipelineError):
    """A pretrained model can neither be found locally nor be downloaded."""

    exit_code = 3


class ClipError(BadInput):
    """One clip cannot be read; the parse report lists it and the run goes on."""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it comes from, what that comes from, each once."""
    passed: set[int] = set()
    while error is not None and id(error) not in passed:
        yield error
        passed.add(id(error))
        error = error.__cause__ or error.__context__


def interrupt_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interrupt that an error comes from, if it does.

    An interrupt in the middle of a write can reach us as the complaint of a file
    that was closed too early; it is an interrupt all the same.

    >>> try:
    ...     try:
    ...         raise KeyboardInterrupt
    ...     finally:
    ...         raise ValueError("an open writing handle")
    ... except ValueError as error:
    ...     interrupt_behind(error)
    KeyboardInterrupt()
    >>> interrupt_behind(ValueError("something else")) is None
    True
    """
    return next((each for each in chain(error) if isinstance(each, KeyboardInterrupt)), None)
