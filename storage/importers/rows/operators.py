"""What each operator does to rows. One that is not here may do anything."""

from collections.abc import Callable, Mapping
from typing import Final

from storage.importers.rows import compute, layout, texts
from storage.importers.rows.sizes import MICROSOFT, ML
from storage.importers.rows.value import Call

Axes = int | list[int] | list[int | None]
Rule = Callable[[Call], Axes]


def _names(text: str) -> list[str]:
    return text.split()


ELEMENTWISE: Final = _names("""
    Abs Acos Acosh Add And Asin Asinh Atan Atanh Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast
    CastLike Ceil Celu Clip Cos Cosh Div Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid
    HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow
    RandomNormalLike RandomUniformLike Reciprocal RegexFullMatch Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus
    Softsign Sqrt StringConcat Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
""")
_REDUCING: Final = _names("""
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
""")
# Of images, and of whatever else has a batch first and channels second.
_IMAGE_LAYERS: Final = _names("""
    AveragePool Col2Im Conv ConvInteger ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool GlobalMaxPool
    GroupNormalization InstanceNormalization LRN LpPool QLinearConv SpaceToDepth
""")
_OF_COLUMNS: Final = _names("""
    FeatureVectorizer Imputer LinearClassifier LinearRegressor Normalizer SVMClassifier SVMRegressor
    Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor
""")

RULES: Final[Mapping[tuple[str, str], Rule]] = {
    **{("", name): layout.elementwise for name in ELEMENTWISE},
    **{("", name): compute.reduce for name in _REDUCING},
    **{("", name): compute.image_layer for name in _IMAGE_LAYERS},
    **{("", name): compute.arg_reduced for name in ("ArgMax", "ArgMin")},
    **{("", name): compute.recurrent for name in ("GRU", "LSTM", "RNN")},
    **{("", name): compute.softmax for name in ("Hardmax", "LogSoftmax", "Softmax")},
    **{("", name): compute.layer_norm for name in ("LayerNormalization", "RMSNormalization")},
    **{("", name): compute.row_first for name in ("GridSample", "RotaryEmbedding")},
    ("", "Attention"): compute.attention,
    ("", "BatchNormalization"): compute.batch_norm,
    ("", "Concat"): layout.concatenate,
    ("", "CumSum"): compute.cumulate,
    ("", "DequantizeLinear"): compute.quantise,
    ("", "DynamicQuantizeLinear"): compute.quantise_dynamically,
    ("", "Einsum"): compute.einsum,
    ("", "Expand"): layout.expand,
    ("", "Flatten"): layout.reshape,
    ("", "Gather"): layout.gather,
    ("", "GatherElements"): layout.elements_by_row,
    ("", "GatherND"): layout.gather_nd,
    ("", "Gemm"): compute.gemm,
    ("", "LpNormalization"): compute.across_axis(-1),
    ("", "MatMul"): compute.product,
    ("", "MatMulInteger"): compute.product,
    ("", "MaxPool"): compute.max_pool,
    ("", "MeanVarianceNormalization"): compute.mean_variance,
    ("", "OneHot"): layout.one_hot,
    ("", "Pad"): layout.pad,
    ("", "QLinearMatMul"): compute.qlinear_product,
    ("", "QuantizeLinear"): compute.quantise,
    ("", "Reshape"): layout.reshape,
    ("", "Resize"): layout.resize,
    ("", "ReverseSequence"): layout.reverse_sequences,
    ("", "ScatterElements"): layout.elements_by_row,
    ("", "ScatterND"): layout.scatter_nd,
    ("", "SimplifiedLayerNormalization"): compute.layer_norm,
    ("", "Slice"): layout.slice_,
    ("", "Split"): layout.split,
    ("", "Squeeze"): layout.squeeze,
    ("", "StringNormalizer"): compute.normalise_texts,
    ("", "TfIdfVectorizer"): compute.of_columns,
    ("", "Tile"): layout.tile,
    ("", "TopK"): compute.across_axis(-1),
    ("", "Transpose"): layout.transpose,
    ("", "Trilu"): compute.triangle,
    ("", "Unsqueeze"): layout.unsqueeze,
    ("", "Upsample"): layout.resize,
    **{(ML, name): compute.of_columns for name in _OF_COLUMNS},
    **{(ML, name): layout.elementwise for name in ("Binarizer", "LabelEncoder", "OneHotEncoder")},
    (ML, "ArrayFeatureExtractor"): compute.columns_chosen,
    **{(MICROSOFT, name): layout.elementwise for name in ("BiasGelu", "FastGelu", "Gelu", "QuickGelu", "BiasAdd")},
    **{(MICROSOFT, name): compute.packed_attention for name in ("Attention", "QAttention")},
    **{(MICROSOFT, name): compute.packed_product for name in ("MatMulBnb4", "MatMulNBits")},
    **{(MICROSOFT, name): compute.product for name in ("DynamicQuantizeMatMul", "FusedMatMul", "MatMulIntegerToFloat")},
    **{(MICROSOFT, name): compute.quantise for name in ("DequantizeLinear", "QuantizeLinear")},
    **{
        (MICROSOFT, name): compute.row_first
        for name in (
            "EmbedLayerNormalization", "GroupNorm", "GroupQueryAttention", "MultiHeadAttention",
            "QEmbedLayerNormalization", "RotaryEmbedding",
        )
    },
    (MICROSOFT, "DynamicQuantizeLSTM"): compute.recurrent,
    (MICROSOFT, "SimplifiedLayerNormalization"): compute.layer_norm,
    (MICROSOFT, "Tokenizer"): texts.tokenise,
    **{
        (MICROSOFT, f"Skip{kind}LayerNormalization"): compute.skip_layer_norm for kind in ("", "Simplified")
    },
}  # fmt: skip

# Inputs that say what an operator does rather than what it does it to: they must be known.
PARAMETERS: Final[Mapping[str, tuple[int, ...]]] = {
    **dict.fromkeys(_REDUCING, (1,)),
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "Expand": (1,),
    "GatherND": (1,),
    "ScatterND": (1,),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}
# Of those, the ones that may: shapes, the last of what is taken, indices. What shifts or turns rows may not.
VARYING: Final[Mapping[str, tuple[int, ...]]] = {
    **dict.fromkeys(("Expand", "GatherND", "Reshape", "ScatterND", "Tile"), (1,)),
    "ConstantOfShape": (0,),
    "Resize": (3,),
    "Slice": (2,),
}
# Of these they are indices, which may as well be of rows.
INDEXING: Final = frozenset(("GatherND", "ScatterND"))
# The same for each row, however often it is repeated for as many of them as there are.
REPEATING: Final = frozenset(("ConstantOfShape", "Expand", "Tile", "RandomNormalLike", "RandomUniformLike"))
# These take the scale of a whole batch from what is in it.
SCALED_BY_BATCH: Final = frozenset(("DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul"))
