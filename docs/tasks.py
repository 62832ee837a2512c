"""`python docs/tasks.py` prints docs/tasks.md: what the contract of each task says."""

from collections.abc import Iterator, Sequence

from wire.schemas import Schema
from wire.tasks.contract import Contract, PublicTensor
from wire.tasks.table import TASKS

HEAD = """\
# Tasks

What stands around a graph is its task, which the manifest names. This page is made by `make reference` from the
contracts in `wire/tasks/`; `make check` fails where it is out of date. What a model's own tensors are, `/docs` of a
running gateway tells."""
_OWN = "the graph's own"


def page() -> str:
    """The whole page, a section for each task."""
    return "\n".join([HEAD, *(line for task in TASKS for line in _section(task)), ""])


def _section(task: Contract) -> Iterator[str]:
    yield f"\n## {task.name}\n"
    yield f"{task.about[0].upper()}{task.about[1:]}.\n"
    yield f"- Takes {_tensors(task.inputs)}; answers {_tensors(task.outputs)}."
    if task.empty is not None:
        yield f"- A row in which nothing was found is `{task.empty.decode()}`."
    if task.untrained:
        yield f"- No recipe trains it: {task.untrained}."
    if task.parameters:
        yield "\n| parameter of a request | by default | what it may be |"
        yield "|---|---|---|"
        for parameter in task.parameters:
            default = "" if parameter.default is None else f"`{str(parameter.default).lower()}`"
            yield f"| `{parameter.name}` | {default} | {_values(parameter.schema)} |"
    if task.takes_text:
        where = "beside `inputs` or in `parameters`" if task.beside else "in `parameters`"
        yield f"\nOn `/models/{{model}}`, {where}:\n"
        yield "| parameter | what it may be |"
        yield "|---|---|"
        for name, schema in task.body_parameters.items():
            yield f"| `{name}` | {_values(schema)} |"


def _tensors(tensors: Sequence[PublicTensor]) -> str:
    return ", ".join(f"`{one.name}` {one.datatype} {list(one.shape)}" for one in tensors) or _OWN


def _values(schema: Schema) -> str:
    """What a schema lets be, in words."""
    value = schema["anyOf"][0]  # the other is null
    kind = " or ".join(f"`{word}`" for word in value.get("enum", ())) or f"{value['type']}"
    least = f" of {value['minimum']} or more" if "minimum" in value else ""
    about = value.get("description", "")
    return f"{kind}{least}{': ' if about else ''}{about}"


if __name__ == "__main__":
    print(page(), end="")
