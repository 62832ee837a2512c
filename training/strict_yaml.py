"""YAML as people mean it: `1e-4` is a number; a key that stands twice, or has nothing behind it, is an error."""

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen and key_node.value != "<<":
                raise _wrong(f"the key {key!r} stands twice", key_node)
            # YAML takes it for null: a block whose lines are commented out would be turned off without a word.
            if value_node.tag == "tag:yaml.org,2002:null" and value_node.value == "":
                raise _wrong(
                    f"the key {key!r} has nothing behind it: write {{}} for a block's defaults, null for none", key_node
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Sets in quotes what the loader would read as something else than a text."""


def _wrong(what: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, what, node.start_mark)


# YAML 1.1, which PyYAML reads, wants a dot and the exponent's sign in such a number, and takes it for a text without.
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
        list("-+.0123456789"),
    )


def load(text: str) -> Any:
    """What the text says. Raises yaml.YAMLError, with the line, where it is not YAML."""
    return yaml.load(text, _Loader)


def dump(value: Any) -> str:
    """A text that `load` reads as this value, its keys in their order."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text
