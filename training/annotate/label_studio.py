"""Label Studio's formats: tasks with predictions, and the labelling interface."""

import base64
import io
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

from training.data.annotations import CHOICE, ROW
from training.data.canonical import LABEL


def task_of(
    row: str, values: Mapping[str, Any], split: str, quality: float, scores: Mapping[str, float], model: str, shown: str
) -> dict[str, Any]:
    """A row to look at: its data, the label that it was given, and what `model` says instead."""
    data = {ROW: row, **{name: _show(value) for name, value in values.items() if name != LABEL}}
    task: dict[str, Any] = {"data": {**data, "given": values[LABEL], "split": split, "quality": round(quality, 6)}}
    if scores:
        best = max(scores, key=scores.__getitem__)
        choice = {"from_name": CHOICE, "to_name": shown, "type": "choices", "value": {"choices": [best]}}
        task["predictions"] = [{"model_version": model, "score": round(scores[best], 6), "result": [choice]}]
    return task


def interface(labels: Sequence[str], shown: str, columns: Sequence[str]) -> str:
    """The XML that a project's labelling interface is set to."""
    view = ET.Element("View")
    ET.SubElement(view, "Header", value="It was labelled: $given")
    for column in columns:
        ET.SubElement(view, "Image" if column == "image" else "Text", name=column, value=f"${column}")
    choices = ET.SubElement(view, "Choices", name=CHOICE, toName=shown, choice="single", showInLine="true")
    for label in labels:
        ET.SubElement(choices, "Choice", value=label)
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def _show(value: Any) -> Any:
    """An image as what a browser shows without asking for a file."""
    if not (isinstance(value, Mapping) and "bytes" in value):
        return value
    from PIL import Image

    data: bytes = value["bytes"]
    with Image.open(io.BytesIO(data)) as image:
        return f"data:{image.get_format_mimetype()};base64,{base64.b64encode(data).decode()}"
