"""From YAML to typed models: the safe loader, dotted overrides, and errors that name the nearest known key."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from vesalius.errors import ConfigError, nearest

__all__ = ["StrictModel", "apply_overrides", "build", "dump_yaml", "load_yaml", "merge"]

ModelT = TypeVar("ModelT", bound=BaseModel)


class StrictModel(BaseModel):
    """Base of every configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def load_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping with the safe loader.

    Raises:
        ConfigError: The file is missing, is not YAML, or does not hold a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name an existing YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds {type(content).__name__}, expected a mapping of keys to values")
    return content


def dump_yaml(model: BaseModel) -> str:
    """Write a configuration whole, defaults included, in the order of its definition."""
    return yaml.safe_dump(model.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def apply_overrides(content: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Return `content` with `key.sub=value` assignments applied; values are read as YAML (`3`, `true`, `[1, 2]`).

    Raises:
        ConfigError: An assignment without `=`, or one that goes below a plain value.
    """
    result = _deep_copy(content)
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        if not sign or not key:
            raise ConfigError(f"--set {assignment}: expected key=value, for example --set training.batch_size=32")
        node = result
        *parents, last = key.split(".")
        for parent in parents:
            child = node.get(parent)
            if child is None:
                child = node[parent] = {}
            if not isinstance(child, dict):
                raise ConfigError(f"--set {assignment}: '{parent}' is {child!r}, not a section with keys of its own")
            node = child
        try:
            node[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {assignment}: the value is not YAML: {error}") from error
    return result


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` laid over it, section by section.

    A section that names another thing than the base's (another `name` of a method, another `plan` of views) takes its
    place whole, since the options of the one are not those of the other; so does anything that is no section.
    """
    result = _deep_copy(base)
    for key, value in changes.items():
        there = result.get(key)
        if isinstance(value, Mapping) and isinstance(there, dict) and not _another(there, value):
            result[key] = merge(there, value)
        else:
            result[key] = _deep_copy(value) if isinstance(value, Mapping) else value
    return result


def _another(there: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    return any(key in given and key in there and given[key] != there[key] for key in ("name", "plan"))


def build(model: type[ModelT], content: Mapping[str, Any], *, source: str) -> ModelT:
    """Validate `content` as `model`.

    Raises:
        ConfigError: Lists every unknown key (with the nearest known one) and every value out of range, and `source`.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_explain(model, dict(detail)) for detail in error.errors()]
        raise ConfigError(f"{source}:\n  " + "\n  ".join(lines)) from None


def _deep_copy(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _deep_copy(value) if isinstance(value, Mapping) else value for key, value in content.items()}


def _explain(model: type[BaseModel], detail: dict[str, Any]) -> str:
    """Turn one of pydantic's findings into a sentence with the full dotted key."""
    location = [str(part) for part in detail["loc"]]
    if detail["type"] == "extra_forbidden":
        section = _section(model, location[:-1])
        known = list(section.model_fields) if section is not None else []
        hint = nearest(location[-1], known)
        return f"unknown key '{'.'.join(location)}'{hint}" + ("" if hint else f" (known here: {', '.join(known)})")
    return f"'{'.'.join(location)}' = {detail.get('input')!r}: {detail['msg']}"


def _section(model: type[BaseModel], location: Sequence[str]) -> type[BaseModel] | None:
    """Find the model that `location` leads to; a union's tag is skipped, since it is no key of the file."""
    section: type[BaseModel] | None = model
    for part in location:
        if section is None:
            return None
        if part not in section.model_fields:
            continue
        section = next((c for c in _models_in(section.model_fields[part].annotation, location)), None)
    return section


def _models_in(annotation: Any, location: Sequence[str]) -> list[type[BaseModel]]:
    """List the models of an annotation, the one that the location names by its union tag first."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    models = [m for argument in typing.get_args(annotation) for m in _models_in(argument, location)]

    def tagged(candidate: type[BaseModel]) -> bool:
        name = candidate.model_fields.get("name")
        return name is not None and name.default in location

    return sorted(models, key=lambda candidate: not tagged(candidate))
