"""The YAML file: read strictly, remember lines, and never repeat a value in an error."""

import os
import queue
import re
import stat
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from exporter.limits import MIB, SETTINGS_FILE_BYTES, SETTINGS_FILE_SECONDS
from exporter.settings.growth import GrowthError, refuse_what_grows
from exporter.text import decode_text

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")


class FileError(Exception):
    """The file cannot be read as YAML; `line` counts from 1, or is None where no line is to blame."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class _StrictLoader(_Loader):  # type: ignore[misc,valid-type]
    """Refuses a key that stands twice, where plain YAML would silently drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if key.tag != "tag:yaml.org,2002:str":
                raise FileError("a key is not text: put it in quotes", line)
            if key.value in seen:
                raise FileError("a key stands twice in one group: write it once", line)
            seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A parsed file: its tree of plain values, and its nodes to find lines by."""

    path: Path
    tree: dict[str, Any]
    root: yaml.Node | None

    def line_of(self, location: tuple[str | int, ...]) -> int:
        """Find the line (from 1) of a value, or of the closest group around it that is there."""
        node, line = self.root, 1
        for step in location:
            found = _child(node, step)
            if found is None:
                break
            node, line = found
        return line


def _child(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step].start_mark.line + 1
    return None


def read_file(path: Path) -> ConfigFile:
    """Read a configuration file.

    Raises:
        FileError: it is not there, does not answer, is beyond a bound, not UTF-8 (a byte order mark may stand
            first), not YAML, or not a group of keys. PyYAML's own text can quote what stands in the file, a
            password among it, so only the unquoted part of it is passed on.

    """
    try:
        text = decode_text(_patiently(path))
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise FileError(str(error)) from None
    root, tree = _parsed(text)
    if not isinstance(tree, dict):
        raise FileError("not a group of keys: write targets: and the servers below it", 1)
    return ConfigFile(path, tree, root)


def _patiently(path: Path) -> bytes:
    """Read a file in a thread of its own: one on a dead disk or mount may never answer."""
    answers: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def read() -> None:
        try:
            answers.put(_content(path))
        except Exception as error:  # noqa: BLE001  raised again by who waits
            answers.put(error)

    try:
        threading.Thread(target=read, name="settings file", daemon=True).start()
        answer = answers.get(timeout=SETTINGS_FILE_SECONDS)
    except queue.Empty:
        raise FileError(
            f"does not answer within {SETTINGS_FILE_SECONDS} s: is the disk or the mount under it gone?"
        ) from None
    except RuntimeError:
        raise FileError("cannot be read: the system starts no more threads") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _content(path: Path) -> bytes:
    _refuse_what_is_no_file(path.stat().st_mode)  # to open a device can have effects
    with path.open("rb") as file:
        _refuse_what_is_no_file(os.fstat(file.fileno()).st_mode)
        content = file.read(SETTINGS_FILE_BYTES + 1)
    if len(content) > SETTINGS_FILE_BYTES:
        raise FileError(f"is larger than {SETTINGS_FILE_BYTES // MIB} MiB: is it the right file?")
    return content


def _refuse_what_is_no_file(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise FileError("is a directory: write the path of a file in it")
    if not stat.S_ISREG(mode):
        raise FileError("is not a regular file: a pipe or a device cannot be read again at a reload")


def _parsed(text: str) -> tuple[yaml.Node | None, Any]:
    """The nodes of a text, and the tree of plain values that is made of them."""
    try:
        refuse_what_grows(text)
        loader = _StrictLoader(text)
        try:
            root = loader.get_single_node()
            return root, loader.construct_document(root) if root is not None else {}
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = _QUOTED.sub("...", error.problem or "cannot be read")
        raise FileError(f"not YAML: {problem}", mark.line + 1 if mark else None) from None
    except yaml.YAMLError:
        raise FileError("not YAML: it holds characters that YAML does not allow") from None
    except GrowthError as error:
        raise FileError(str(error), error.line) from None
    except FileError:
        raise
    except Exception:  # noqa: BLE001  PyYAML's constructors raise whatever, with the value in the text
        raise FileError("not YAML: it holds a value that cannot be read; put text in quotes") from None
