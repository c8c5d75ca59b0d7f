"""Config files: mmengine's, whose bases have the same names inside and outside the checkout."""

from __future__ import annotations

import ast
import difflib
import pprint
import re
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from itertools import accumulate, combinations
from pathlib import Path, PurePosixPath
from typing import Any

from zskel.data.common.errors import BadConfig
from zskel.data.common.os_errors import refusal
from zskel.pipeline.base.shipped import config_names, config_text, shipped_configs

_BASE, _DELETE = "_base_", "_delete_"


def read_config(path: Path) -> dict[str, Any]:
    """What a config file says, with its bases.

    A base is looked for beside the file that names it, then in the shipped ``configs/``.

    Raises:
        BadConfig: The file or one of its bases cannot be read; one line that names
            the file, the key and what to do.
    """
    return _read(path, ())


def _read(path: Path, below: tuple[Path, ...]) -> dict[str, Any]:
    from mmengine.config import Config

    try:
        with tempfile.TemporaryDirectory(prefix="config-") as folder:
            file = _with_whole_paths(path, Path(folder), below)
            # Beside _base_ mmengine takes an import for its other way to name bases.
            lazy = None if _base_expression(path) is None else False
            content = Config.fromfile(str(file), lazy_import=lazy).to_dict()
    except BadConfig:
        raise
    except Exception as error:  # a config is Python: anything can go wrong in it
        raise _explained(error, path, below) from None
    return {key: _without_delete(value) for key, value in content.items()
            if not isinstance(value, type)}  # what "from pathlib import Path" leaves


def _with_whole_paths(path: Path, folder: Path, below: tuple[Path, ...]) -> Path:
    """The file itself where all its bases lie beside it, else a copy that names them whole.

    mmengine looks for bases beside a file and nowhere else.
    """
    text = _text(path)
    named = _base_expression(path)
    bases = [] if named is None else _bases(named, path)
    if any("::" in str(base) for base in bases):  # mmengine's way to name another package's
        return path
    files = [_with_whole_paths(_find_base(base, path, below), folder, (*below, path))
             for base in bases]
    whole = path.is_file() and text.encode() == path.read_bytes()
    if whole and files == [path.parent / base for base in bases]:
        return path
    if named is not None:
        text = _replaced(text, named, [str(file.resolve()) for file in files])
    here = path.resolve().parent.as_posix()
    text = re.sub(r"\{\{\s*fileDirname\s*\}\}", lambda _: here, text)
    copy = Path(tempfile.mkdtemp(dir=folder)) / path.name
    copy.write_text(text, encoding="utf-8")
    return copy


def _replaced(text: str, expression: ast.expr, value: list[str]) -> str:
    """Has as many lines as before, so that messages count them right."""
    raw = text.encode()  # the offsets of ``ast`` are of bytes
    starts = [0, *accumulate(map(len, raw.splitlines(keepends=True)))]
    first, last = expression.lineno, expression.end_lineno or expression.lineno
    begin = starts[first - 1] + expression.col_offset
    end = starts[last - 1] + (expression.end_col_offset or 0)
    whole = "[" + "\n" * (last - first) + repr(value)[1:]
    return (raw[:begin] + whole.encode() + raw[end:]).decode()


def _text(path: Path) -> str:
    text = config_text(path)
    if text is None:
        raise FileNotFoundError(2, "No such file or directory", str(path))
    return text


def _base_expression(path: Path) -> ast.expr | None:
    text = _text(path)
    try:
        statements = ast.parse(text).body
    except SyntaxError as error:
        if "{{" in text:  # mmengine's placeholders, which need not be Python
            return None
        raise BadConfig(f"{path}, line {error.lineno}: SyntaxError: {error.msg}") from None
    for statement in statements:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == _BASE for target in statement.targets
        ):
            return statement.value
    return None


def _bases(named: ast.expr, path: Path) -> list[Any]:
    try:
        bases = eval(compile(ast.Expression(named), str(path), "eval"))  # as mmengine does
    except Exception as error:
        raise BadConfig(f"{path}, line {named.lineno}: {_BASE}: {error}; write the names of its "
                        "files there and nothing else") from None
    return bases if isinstance(bases, list) else [bases]


def _find_base(base: Any, path: Path, below: tuple[Path, ...]) -> Path:
    if not isinstance(base, str):
        raise BadConfig(f"{path}: {_BASE}: expected names of config files, found {base!r}")
    passed = {each.resolve() for each in (*below, path)}
    beside, shipped = path.parent / base, shipped_configs() / base
    # A file may be called like the shipped one that it builds on.
    is_shipped = config_text(shipped) is not None
    if config_text(beside) is not None and not (
            beside.resolve() == path.resolve() and is_shipped
            and shipped.resolve() != path.resolve()):
        found = beside
    elif is_shipped:
        found = shipped
    else:
        raise BadConfig(f"{path}: {_BASE}: there is no {base!r} beside this file or among the "
                        f"shipped configs; {_nearest_shipped(base)}")
    if found.resolve() in passed:
        raise BadConfig(f"{path}: {_BASE}: {base!r} is built on this file itself; "
                        "take it out of one of the two")
    return found


def _nearest_shipped(base: str) -> str:
    root = shipped_configs()
    folders = {path.parent for path in root.rglob("*.py")}
    known = sorted((folder / f"{name}.py").relative_to(root).as_posix()
                   for folder in folders for name in config_names(folder))
    name = PurePosixPath(base.replace("\\", "/")).name
    same = [each for each in known if PurePosixPath(each).stem == name.removesuffix(".py")]
    close = sorted(same, key=len) or difflib.get_close_matches(base, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "those are " + ", ".join(sorted({str(PurePosixPath(each).parent / "*.py")
                                            for each in known}))


def _explained(error: Exception, path: Path, below: tuple[Path, ...]) -> Exception:
    refused = refusal(error, tempfile.gettempdir())  # mmengine copies configs to there
    if refused is not None and isinstance(error, OSError):
        return refused
    text = " ".join(str(error.args[0] if error.args else error).split())
    if isinstance(error, OSError) and error.filename is not None:
        return BadConfig(f"{path}: cannot be read: {error.strerror}")
    if isinstance(error, UnicodeDecodeError):
        return BadConfig(f"{path}: is no text in UTF-8 ({error.reason} at byte {error.start})")
    reserved = re.match(r"(\w+) is reserved for config file", text)
    if reserved:
        return BadConfig(f"{path}: {reserved[1]} is reserved by mmengine; give the variable "
                         f"another name, such as _{reserved[1]}")
    bases = _contents_of_bases(path, below)
    for (one, first), (other, second) in combinations(bases.items(), 2):
        twice = sorted(first.keys() & second.keys())
        if twice:
            return BadConfig(f"{path}: {_BASE}: {twice[0]!r} is in both {one} and {other}; leave "
                             f"one of them out and set what you want of it below {_BASE}")
    if "in child config cannot inherit from base" in text:
        return BadConfig(f"{path}: {_clash(error, bases)}")
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
             if Path(frame.filename).name == path.name and frame.name == "<module>"]
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    return BadConfig(f"{where}: {type(error).__name__}: {text}")


def _contents_of_bases(path: Path, below: tuple[Path, ...]) -> dict[str, dict[str, Any]]:
    """What each base says; a base that is wrong by itself is told of instead.

    Raises:
        BadConfig: A base cannot be read.
    """
    named = _base_expression(path)
    bases = [] if named is None else _bases(named, path)
    return {base: _read(_find_base(base, path, below), (*below, path)) for base in bases
            if "::" not in base}


def _clash(error: Exception, bases: Mapping[str, Mapping[str, Any]]) -> str:
    """What to do about a key that is a dict in the file and something else in a base."""
    # mmengine's message names the last part of the key only; its frames hold all of them.
    keys = [str(frame.f_locals.get("k")) for frame, _ in traceback.walk_tb(error.__traceback__)
            if frame.f_code.co_name == "_merge_a_into_b"]
    for base, content in bases.items():
        value: Any = content
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, (list, tuple)):
            return f"{'.'.join(keys)} is a dict here and a list in its base {base}; give a list"
        if value is not None:
            return (f"{'.'.join(keys)} is a dict here and {value!r} in its base {base}; write "
                    f"{keys[-1]}=dict({_DELETE}=True, ...) to put yours in its place")
    return f"{'.'.join(keys)} is a dict here and none in a base; add {_DELETE}=True to it"


def _without_delete(content: Any) -> Any:
    """Without the ``_delete_`` of dicts that had nothing to delete, which mmengine leaves."""
    if isinstance(content, dict):
        return {key: _without_delete(value) for key, value in content.items() if key != _DELETE}
    if isinstance(content, (list, tuple)):
        return type(content)(_without_delete(item) for item in content)
    return content


def experiment_source(comments: Sequence[str], content: Mapping[str, Any]) -> str:
    """The text of a config file that needs no other.

    Args:
        comments: Lines that stand first.
        content: Section -> its values.

    >>> print(experiment_source(["Mine."], {"name": "a", "fit": {"seeds": 3}}), end="")
    # Mine.
    name = 'a'
    fit = {'seeds': 3}
    """
    lines = [f"# {comment}" for comment in comments]
    lines += [f"{key} = {pprint.pformat(value, width=96, sort_dicts=False, compact=True)}"
              for key, value in content.items()]
    return "\n".join(lines) + "\n"


def override(content: dict[str, Any], options: Sequence[str]) -> None:
    """Applies ``key.subkey=value`` overrides; values are Python literals, else strings.

    Raises:
        BadConfig: An option leads nowhere.

    >>> content = {"fit": {"seeds": 3}}
    >>> override(content, ["fit.seeds=5", "name=mine"])
    >>> content
    {'fit': {'seeds': 5}, 'name': 'mine'}
    """
    for option in options:
        _override(content, option)


def literal(text: str) -> Any:
    """A value as it is given on the command line: a Python literal, else a string.

    >>> literal("5"), literal("false"), literal("cpu")
    (5, False, 'cpu')
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _override(content: dict[str, Any], option: str) -> None:
    key, equals, text = option.partition("=")
    if not equals or not key:
        raise BadConfig(f"--cfg-options {option!r}: expected key=value")
    value = literal(text)
    node: Any = content
    *parents, last = key.split(".")
    for part in parents:
        node = node.setdefault(part, {}) if isinstance(node, dict) else _item(node, part, option)
    if isinstance(node, list):
        index = _index(node, last, option)
        node[index] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise BadConfig(f"--cfg-options {option!r}: {'.'.join(parents)} holds no keys")


def _item(node: Any, part: str, option: str) -> Any:
    if not isinstance(node, list):
        raise BadConfig(f"--cfg-options {option!r}: nothing below the value before {part!r}")
    return node[_index(node, part, option)]


def _index(node: list[Any], part: str, option: str) -> int:
    if not part.isdigit() or int(part) >= len(node):
        raise BadConfig(f"--cfg-options {option!r}: {part!r} is not an index in 0..{len(node) - 1}")
    return int(part)
