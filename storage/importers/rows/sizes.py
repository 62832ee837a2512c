"""How large a node's outputs are: by ONNX's own inference, or by rules for the operators that it does not know."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, Final

import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.defs import get_schema
from onnx.shape_inference import InferenceError, infer_node_outputs

from storage.importers.rows.value import ROWS, Call, Misfit, NotFollowed, Shape

Output = tuple[int, Shape]
# Parameters larger than that are no shapes, axes or sizes, which are what the inference wants to see.
_LARGEST_PARAMETER: Final = 4096
MICROSOFT: Final = "com.microsoft"
ML: Final = "ai.onnx.ml"
# Texts become as many tokens as the longest of them has: any number will do here.
_TOKENS: Final = 29


def sizes(call: Call) -> list[tuple[int, tuple[Shape, ...]]]:
    """The element type and the shape, for each number of rows, of each output.

    Raises NotFollowed where a size depends on what is computed, Misfit where the inputs do not fit together.
    """
    by_rows: list[list[Output]] = []
    for sample in range(len(ROWS)):
        if by_rows and _same_inputs(call, sample):
            by_rows.append(by_rows[0])
        else:
            by_rows.append(_outputs(call, sample))
    return [(those[0][0], tuple(shape for _, shape in those)) for those in zip(*by_rows, strict=True)]


def _same_inputs(call: Call, sample: int) -> bool:
    return all(value is None or (value.axis is None and not value.varies) for value in call.inputs)


def _outputs(call: Call, sample: int) -> list[Output]:
    own = _OWN.get((call.domain, call.node.op_type))
    if own is not None:
        shapes = [value.shapes[sample] if value is not None else () for value in call.inputs]
        try:
            return own(call, shapes)[: len(call.node.output)]
        except (IndexError, KeyError, ValueError) as error:
            raise Misfit(str(error)) from error
    return _infer(call, sample)


def _infer(call: Call, sample: int) -> list[Output]:
    types, data = {}, {}
    for name, value in zip(call.node.input, call.inputs, strict=False):
        if value is None:
            continue
        types[name] = helper.make_tensor_type_proto(value.element, value.shapes[sample])
        if value.known is not None and value.known[sample].size <= _LARGEST_PARAMETER:
            data[name] = numpy_helper.from_array(value.known[sample], name)
    try:
        schema = get_schema(call.node.op_type, call.version, call.domain)
        imports = [helper.make_opsetid(call.domain, call.version)]
        found = infer_node_outputs(schema, call.node, types, data, opset_imports=imports)
    except (InferenceError, onnx.defs.SchemaError, RuntimeError, ValueError) as error:
        raise Misfit(str(error).strip().splitlines()[0][:200]) from error
    return [_size(found.get(name)) for name in call.node.output]


def _size(found: Any) -> Output:
    if found is None or found.WhichOneof("value") != "tensor_type" or not found.tensor_type.HasField("shape"):
        raise NotFollowed("gives what is no tensor of a size that can be told")
    dims = found.tensor_type.shape.dim
    if any(dim.WhichOneof("value") != "dim_value" for dim in dims):
        raise NotFollowed("gives as much as it finds in the rows")
    if any(dim.dim_value < 0 for dim in dims):
        raise Misfit("a size is negative")
    return found.tensor_type.elem_type, tuple(dim.dim_value for dim in dims)


# Operators without an inference of their own

Rule = Callable[[Call, list[Shape]], list[Output]]


def _as_first(call: Call, shapes: list[Shape]) -> list[Output]:
    return [(call.at(0).element, shapes[0])] * len(call.node.output)


def _broadcast(call: Call, shapes: list[Shape]) -> list[Output]:
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return [(call.at(0).element, tuple(max(sizes) for sizes in zip(*padded, strict=True)))]


def _widen(width: Callable[[Call, list[Shape]], int], element: int | None = None, *, labels: bool = False) -> Rule:
    """`[n, c]` to `[n, width]`, after the labels `[n]` of a classifier."""

    def rule(call: Call, shapes: list[Shape]) -> list[Output]:
        rows = shapes[0][:-1]
        wide = (element or call.at(0).element, (*rows, width(call, shapes)))
        named = any(key.endswith("strings") and call.attributes[key] for key in call.attributes)
        return [(TensorProto.STRING if named else TensorProto.INT64, rows), wide] if labels else [wide]

    return rule


def _classes(call: Call, shapes: list[Shape]) -> int:
    told = [len(call.attributes.get(f"classlabels_{kind}", ())) for kind in ("int64s", "strings", "ints")]
    return max(2, *told)


def _targets(call: Call, shapes: list[Shape]) -> int:
    return int(call.attributes.get("n_targets", call.attributes.get("targets", 1)))


def _choose(call: Call, shapes: list[Shape]) -> list[Output]:
    return [(call.at(0).element, (*(shapes[0][:-1] or (1,)), prod(shapes[1])))]


def _categories(call: Call, shapes: list[Shape]) -> list[Output]:
    count = max(len(call.attributes.get(key, ())) for key in ("cats_int64s", "cats_strings"))
    return [(TensorProto.FLOAT, (*shapes[0], count))]


def _concatenate(call: Call, shapes: list[Shape]) -> list[Output]:
    return [(call.at(0).element, (*shapes[0][:-1], sum(shape[-1] for shape in shapes)))]


def _as_values(call: Call, shapes: list[Shape]) -> list[Output]:
    kinds = {"strings": TensorProto.STRING, "int64s": TensorProto.INT64, "floats": TensorProto.FLOAT}
    kind = next((kind for key, kind in kinds.items() if f"values_{key}" in call.attributes), None)
    if kind is None and "values_tensor" in call.attributes:
        kind = call.attributes["values_tensor"].data_type
    return [(TensorProto.STRING if kind is None else kind, shapes[0])]


def _product(call: Call, shapes: list[Shape]) -> list[Output]:
    a, b = ([*shape] for shape in shapes[:2])
    for shape, name in ((a, "transA"), (b, "transB")):
        if call.attributes.get(name):
            shape[-2:] = shape[:-3:-1]
    if a[-1] != b[-2]:
        raise ValueError(f"a product of {a} and {b}")
    rank = max(len(a), len(b))
    outer = [[1] * (rank - len(shape)) + shape[:-2] for shape in (a, b)]
    element = TensorProto.FLOAT if call.at(0).element in (TensorProto.INT8, TensorProto.UINT8) else call.at(0).element
    return [(element, (*(max(those) for those in zip(*outer, strict=True)), a[-2], b[-1]))]


def _packed_product(call: Call, shapes: list[Shape]) -> list[Output]:
    return [(call.at(0).element, (*shapes[0][:-1], int(call.attributes["N"])))]


def _attention(call: Call, shapes: list[Shape]) -> list[Output]:
    """`Attention` of one input of all three projections, whose weights are `[hidden, 3 * hidden]`."""
    batch, length, _ = shapes[0]
    told = call.attributes.get("qkv_hidden_sizes")
    hidden = int(told[2]) if told else shapes[1][1] // 3
    heads = int(call.attributes["num_heads"])
    element = TensorProto.FLOAT if call.at(0).element in (TensorProto.INT8, TensorProto.UINT8) else call.at(0).element
    return [(element, (batch, length, hidden)), (element, (2, batch, heads, length, hidden // heads))]


def _heads(call: Call, shapes: list[Shape]) -> list[Output]:
    """`MultiHeadAttention`: query `[n, length, hidden]`, or all three packed; keys and values as they come."""
    batch, length = shapes[0][:2]
    if len(shapes) > 2 and shapes[2]:
        value = shapes[2]
        hidden = value[2] if len(value) == 3 else value[1] * value[3]
    elif len(shapes[0]) == 5:
        hidden = shapes[0][2] * shapes[0][4]
    else:
        raise ValueError("an attention without values")
    return [(call.at(0).element, (batch, length, hidden))]


def _grouped_heads(call: Call, shapes: list[Shape]) -> list[Output]:
    batch, length, hidden = shapes[0]
    past = shapes[3]
    heads, key_heads = int(call.attributes["num_heads"]), int(call.attributes["kv_num_heads"])
    if not shapes[1]:  # all three in the first input
        hidden = hidden * heads // (heads + 2 * key_heads)
    present = (past[0], past[1], past[2] + length, past[3]) if past else (batch, key_heads, length, hidden // heads)
    return [(call.at(0).element, (batch, length, hidden)), *[(call.at(0).element, present)] * 2]


def _embed(call: Call, shapes: list[Shape]) -> list[Output]:
    batch, length = shapes[0]
    element = call.at(2).element
    if element in (TensorProto.INT8, TensorProto.UINT8):
        element = TensorProto.FLOAT
    hidden = (element, (batch, length, shapes[2][1]))
    return [hidden, (TensorProto.INT32, (batch,)), hidden]


def _skip_normalise(call: Call, shapes: list[Shape]) -> list[Output]:
    statistics = (TensorProto.FLOAT, (*shapes[0][:-1], 1))
    whole = (call.at(0).element, shapes[0])
    return [whole, statistics, statistics, whole]


def _tokens(call: Call, shapes: list[Shape]) -> list[Output]:
    return [(TensorProto.STRING, (*shapes[0], _TOKENS))]


def _count_ngrams(call: Call, shapes: list[Shape]) -> list[Output]:
    return [(TensorProto.FLOAT, (*shapes[0][:-1], 1 + max(call.attributes["ngram_indexes"])))]


def _recurrent(states: int) -> Rule:
    def rule(call: Call, shapes: list[Shape]) -> list[Output]:
        directions = 2 if call.attributes.get("direction") == b"bidirectional" else 1
        hidden = int(call.attributes["hidden_size"])
        first, second, _ = shapes[0]
        if call.attributes.get("layout"):
            whole, state = (first, second, directions, hidden), (first, directions, hidden)
        else:
            whole, state = (first, directions, second, hidden), (directions, second, hidden)
        element = call.at(0).element
        return [(element, whole), *[(element, state)] * states]

    return rule


_FIRST: Final = ("Gelu", "FastGelu", "QuickGelu", "BiasGelu", "RotaryEmbedding", "GroupNorm", "QuantizeLinear",
                 "DequantizeLinear", "Inverse")  # fmt: skip
_OWN: Final[Mapping[tuple[str, str], Rule]] = {
    **{(MICROSOFT, name): _as_first for name in _FIRST},
    **{(MICROSOFT, name): _broadcast for name in ("BiasAdd", "BiasSoftmax", "QLinearAdd", "QLinearMul")},
    **{(MICROSOFT, name): _as_first for name in ("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax")},
    **{("", name): _as_first for name in ("GroupNormalization", "MeanVarianceNormalization")},
    **{(domain, "SimplifiedLayerNormalization"): _as_first for domain in ("", MICROSOFT)},
    **{(MICROSOFT, f"Skip{kind}LayerNormalization"): _skip_normalise for kind in ("", "Simplified")},
    (MICROSOFT, "EmbedLayerNormalization"): _embed,
    (MICROSOFT, "QEmbedLayerNormalization"): _embed,
    **{(MICROSOFT, name): _product for name in ("FusedMatMul", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")},
    **{(MICROSOFT, name): _packed_product for name in ("MatMulNBits", "MatMulBnb4")},
    (MICROSOFT, "Attention"): _attention,
    (MICROSOFT, "QAttention"): _attention,
    (MICROSOFT, "MultiHeadAttention"): _heads,
    (MICROSOFT, "GroupQueryAttention"): _grouped_heads,
    (MICROSOFT, "Tokenizer"): _tokens,
    ("", "TfIdfVectorizer"): _count_ngrams,
    ("", "LSTM"): _recurrent(2),
    (MICROSOFT, "DynamicQuantizeLSTM"): _recurrent(2),
    ("", "GRU"): _recurrent(1),
    ("", "RNN"): _recurrent(1),
    **{(ML, name): _as_first for name in ("Imputer", "Binarizer")},
    **{(ML, name): _widen(lambda call, shapes: shapes[0][-1], TensorProto.FLOAT) for name in ("Scaler", "Normalizer")},
    **{
        (ML, name): _widen(_classes, TensorProto.FLOAT, labels=True)
        for name in ("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier")
    },
    **{
        (ML, name): _widen(_targets, TensorProto.FLOAT)
        for name in ("LinearRegressor", "SVMRegressor", "TreeEnsembleRegressor")
    },
    (ML, "TreeEnsemble"): _widen(_targets),
    (ML, "ArrayFeatureExtractor"): _choose,
    (ML, "OneHotEncoder"): _categories,
    (ML, "FeatureVectorizer"): _concatenate,
    (ML, "LabelEncoder"): _as_values,
}
