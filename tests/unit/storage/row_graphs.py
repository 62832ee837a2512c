"""Graphs that answer each row by itself, as many kinds of models do, and graphs that mix rows."""

from typing import Final

from onnx import ModelProto, parser

_HEAD: Final = '<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1, "ai.onnx.ml" : 3, "com.acme" : 1]>\n'

X: Final = "(float[n, 4] x) => (float[n, 4] y)"
TIME: Final = "(float[seq, batch, 3] x) => (float[seq, batch, 4] y)"


def parsed(text: str) -> ModelProto:
    return parser.parse_model(_HEAD + text)


def pruned(text: str) -> ModelProto:
    """The graph without what its outputs are not made by."""
    model = parsed(text)
    needed = {value.name for value in model.graph.output}
    for node in reversed(list(model.graph.node)):
        if needed.isdisjoint(node.output):
            model.graph.node.remove(node)
        else:
            needed.update(node.input)
    return model


def _table(name: str, rows: int, width: int) -> str:
    """Weights of all kinds, which a graph makes for itself."""
    return f"""
    {name}0 = Constant<value = float {{0.0}}>()
    {name}1 = Constant<value = float {{1.0}}>()
    {name}n = Constant<value = float {{{rows * width}.0}}>()
    {name}s = Constant<value = int64[2] {{{rows}, {width}}}>()
    {name}r = Range({name}0, {name}n, {name}1)
    {name}v = Sin({name}r)
    {name} = Reshape({name}v, {name}s)
"""


_PLACES: Final = """
    shape = Shape(x)
    zero = Constant<value = int64 {0}>()
    one = Constant<value = int64 {1}>()
    behind = Constant<value = int64[1] {1}>()
    last = Constant<value = int64[1] {-1}>()
    n = Gather(shape, zero)
    places = Range(zero, n, one)
    column = Unsqueeze(places, behind)
"""
_IN_LINE: Final = """
    line = Flatten<axis = 0>(x)
    s = Gather(shape, one)
    columns = Range(zero, s, one)
"""
_TAKE_I: Final = """
    y1 = Gather<axis = 1>(line, i)
    none = Constant<value = int64[1] {0}>()
    y = Squeeze(y1, none)
"""
_ATTENTION: Final = """
    shape = Shape(h)
    n = Gather(shape, zero)
    s = Gather(shape, one)
    sizes = Concat<axis = 0>(n, s, two, eight)
    q0 = MatMul(h, wq)
    q1 = Reshape(q0, sizes)
    q = Transpose<perm = [0, 2, 1, 3]>(q1)
    k0 = MatMul(h, wk)
    k1 = Reshape(k0, sizes)
    k = Transpose<perm = [0, 2, 3, 1]>(k1)
    v0 = MatMul(h, wq)
    v1 = Reshape(v0, sizes)
    v = Transpose<perm = [0, 2, 1, 3]>(v1)
    scores = MatMul(q, k)
    masked = Add(scores, bias)
    weights = Softmax(masked)
    seen = MatMul(weights, v)
    back = Transpose<perm = [0, 2, 1, 3]>(seen)
    whole = Concat<axis = 0>(n, s, minus)
    merged = Reshape(back, whole)
    summed = Add(merged, h)
    normed = LayerNormalization<axis = -1>(summed, scale)
"""
_ATTENTION_WEIGHTS: Final = """
    wshape = Constant<value = int64[2] {16, 16}>()
    wq = ConstantOfShape<value = float[1] {0.1}>(wshape)
    wk = ConstantOfShape<value = float[1] {0.2}>(wshape)
    sshape = Constant<value = int64[1] {16}>()
    scale = ConstantOfShape<value = float[1] {1.5}>(sshape)
    zero = Constant<value = int64[1] {0}>()
    one = Constant<value = int64[1] {1}>()
    two = Constant<value = int64[1] {2}>()
    eight = Constant<value = int64[1] {8}>()
    minus = Constant<value = int64[1] {-1}>()
"""
_RECURRENT_WEIGHTS: Final = """
    wshape = Constant<value = int64[3] {1, 16, 3}>()
    rshape = Constant<value = int64[3] {1, 16, 4}>()
    w = ConstantOfShape<value = float[1] {0.3}>(wshape)
    r = ConstantOfShape<value = float[1] {0.2}>(rshape)
    one = Constant<value = int64[1] {1}>()
"""

INDEPENDENT: Final[dict[str, str]] = {
    "normalisations without sizes of their own": """g (float[n, 4, 3, 5] x) => (float[n, 4, 3, 5] y) {
        shape = Constant<value = int64[1] {4}>()
        scale = ConstantOfShape<value = float[1] {0.5}>(shape)
        groups = GroupNormalization<num_groups = 2>(x, scale, scale)
        y = MeanVarianceNormalization<axes = [2, 3]>(groups)
    }""",
    "perceptron": f"""g {X} {{
        shape = Constant<value = int64[2] {{4, 4}}>()
        w = ConstantOfShape<value = float[1] {{0.5}}>(shape)
        h = MatMul(x, w)
        a = Relu(h)
        g = Gemm<transB = 1>(a, w)
        y = Softmax(g)
    }}""",
    "bert": f"""g (int64[n, s] input_ids, int64[n, s] attention_mask) => (float[n, s, 16] y) {{
        {_ATTENTION_WEIGHTS}
        {_table("table", 50, 16)}
        e = Gather(table, input_ids)
        shape0 = Shape(input_ids)
        length = Gather(shape0, one)
        scalar = Squeeze(length)
        start = Constant<value = int64 {{0}}>()
        step = Constant<value = int64 {{1}}>()
        places = Range(start, scalar, step)
        {_table("positions", 600, 16)}
        p = Gather(positions, places)
        h = Add(e, p)
        axes = Constant<value = int64[2] {{1, 2}}>()
        wide = Unsqueeze(attention_mask, axes)
        float = Cast<to = 1>(wide)
        unit = Constant<value = float {{1.0}}>()
        inverse = Sub(unit, float)
        low = Constant<value = float {{-1e9}}>()
        bias = Mul(inverse, low)
        {_ATTENTION}
        y = Identity(normed)
    }}""",
    "vision transformer": f"""g (float[n, 3, 8, 8] x) => (float[n, 5] y) {{
        {_ATTENTION_WEIGHTS}
        cshape = Constant<value = int64[4] {{16, 3, 4, 4}}>()
        kernel = ConstantOfShape<value = float[1] {{0.01}}>(cshape)
        patches = Conv<kernel_shape = [4, 4], strides = [4, 4]>(x, kernel)
        pshape = Shape(patches)
        count = Gather(pshape, zero)
        sixteen = Constant<value = int64[1] {{16}}>()
        flat = Concat<axis = 0>(count, sixteen, minus)
        rows = Reshape(patches, flat)
        tokens = Transpose<perm = [0, 2, 1]>(rows)
        clsshape = Constant<value = int64[3] {{1, 1, 16}}>()
        cls = ConstantOfShape<value = float[1] {{0.7}}>(clsshape)
        each = Concat<axis = 0>(count, minus, minus)
        three = Constant<value = int64[1] {{3}}>()
        ones = ConstantOfShape<value = int64[1] {{1}}>(three)
        unset = Equal(each, minus)
        sizes0 = Where(unset, ones, each)
        first = Expand(cls, sizes0)
        h = Concat<axis = 1>(first, tokens)
        bias = Constant<value = float {{0.0}}>()
        {_ATTENTION}
        start = Constant<value = int64 {{0}}>()
        pooled = Gather<axis = 1>(normed, start)
        hshape = Constant<value = int64[2] {{16, 5}}>()
        head = ConstantOfShape<value = float[1] {{0.2}}>(hshape)
        y = MatMul(pooled, head)
    }}""",
    "whisper encoder": f"""g (float[batch, 8, frames] x) => (float[batch, halved, 16] y) {{
        {_ATTENTION_WEIGHTS}
        ashape = Constant<value = int64[3] {{16, 8, 3}}>()
        a = ConstantOfShape<value = float[1] {{0.05}}>(ashape)
        bshape = Constant<value = int64[3] {{16, 16, 3}}>()
        b = ConstantOfShape<value = float[1] {{0.02}}>(bshape)
        c1 = Conv<kernel_shape = [3], pads = [1, 1]>(x, a)
        g1 = Gelu(c1)
        c2 = Conv<kernel_shape = [3], pads = [1, 1], strides = [2]>(g1, b)
        g2 = Gelu(c2)
        h = Transpose<perm = [0, 2, 1]>(g2)
        bias = Constant<value = float {{0.0}}>()
        {_ATTENTION}
        y = Identity(normed)
    }}""",
    "convolutional network": """g (float[n, 3, height, width] x) => (float[n, 2] y) {
        kshape = Constant<value = int64[4] {4, 3, 3, 3}>()
        k = ConstantOfShape<value = float[1] {0.1}>(kshape)
        four = Constant<value = int64[1] {4}>()
        scale = ConstantOfShape<value = float[1] {0.9}>(four)
        c = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x, k)
        b = BatchNormalization(c, scale, scale, scale, scale)
        r = Relu(b)
        m = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r)
        p = GlobalAveragePool(m)
        f = Flatten(p)
        wshape = Constant<value = int64[2] {4, 2}>()
        w = ConstantOfShape<value = float[1] {0.5}>(wshape)
        y = MatMul(f, w)
    }""",
    "heads folded into the batch": """g (float[n, s, 8] x) => (float[n, s, 8] y) {
        four = Constant<value = int64[4] {0, 0, 2, 4}>()
        h = Reshape(x, four)
        t = Transpose<perm = [0, 2, 1, 3]>(h)
        shape = Shape(t)
        from = Constant<value = int64[1] {2}>()
        to = Constant<value = int64[1] {4}>()
        last = Slice(shape, from, to)
        minus = Constant<value = int64[1] {-1}>()
        folded = Concat<axis = 0>(minus, last)
        q = Reshape(t, folded)
        k = Transpose<perm = [0, 2, 1]>(q)
        scores = MatMul(q, k)
        weights = Softmax(scores)
        seen = MatMul(weights, q)
        unfolded = Reshape(seen, shape)
        back = Transpose<perm = [0, 2, 1, 3]>(unfolded)
        sizes = Shape(x)
        y = Reshape(back, sizes)
    }""",
    "LSTM behind transpositions": f"""g (float[n, s, 3] x) => (float[n, s, 4] y) {{
        {_RECURRENT_WEIGHTS}
        t = Transpose<perm = [1, 0, 2]>(x)
        a = LSTM<hidden_size = 4>(t, w, r)
        b = Squeeze(a, one)
        y = Transpose<perm = [1, 0, 2]>(b)
    }}""",
    "LSTM with states as many as rows": f"""g (float[n, s, 3] x) => (float[n, 4] y) {{
        {_RECURRENT_WEIGHTS}
        t = Transpose<perm = [1, 0, 2]>(x)
        shape = Shape(x)
        zero = Constant<value = int64[1] {{0}}>()
        n = Gather(shape, zero)
        four = Constant<value = int64[1] {{4}}>()
        sizes = Concat<axis = 0>(one, n, four)
        state = ConstantOfShape(sizes)
        a, b, c = LSTM<hidden_size = 4>(t, w, r, , , state, state)
        y = Squeeze(b, zero)
    }}""",
    "own row by index": """g (int64[n, s] mask) => (int64[n, s] y) {
        shape = Shape(mask)
        zero = Constant<value = int64 {0}>()
        one = Constant<value = int64 {1}>()
        n = Gather(shape, zero)
        s = Gather(shape, one)
        rows = Range(zero, n, one)
        columns = Range(zero, s, one)
        behind = Constant<value = int64[2] {1, 2}>()
        around = Constant<value = int64[2] {0, 2}>()
        r = Unsqueeze(rows, behind)
        c = Unsqueeze(columns, around)
        whole = Constant<value = int64[1] {1}>()
        r1 = Identity(r)
        three = Concat<axis = 0>(shape, whole)
        a = Expand(r1, three)
        b = Expand(c, three)
        indices = Concat<axis = 2>(a, b)
        y = GatherND(mask, indices)
    }""",
    "own elements by their places in one line": f"""g (float[n, s] x) => (float[n, 1, s] y) {{
        {_PLACES}
        {_IN_LINE}
        i0 = Mul(column, s)
        i1 = Unsqueeze(i0, behind)
        i = Add(i1, columns)
        {_TAKE_I}
    }}""",
    "the last of each row by its place in one line": f"""g (float[n, s, 4] x) => (float[n, 4] y) {{
        {_PLACES}
        {_IN_LINE}
        ends0 = Add(column, one)
        ends1 = Mul(ends0, s)
        ends = Sub(ends1, one)
        there = Constant<value = int64[2] {{-1, 4}}>()
        tokens = Reshape(x, there)
        y = GatherND(tokens, ends)
    }}""",
    "a token of each row by index": f"""g (float[n, s, 4] x) => (float[n, 4] y) {{
        {_PLACES}
        most = ReduceMax(x, last)
        flat = Squeeze(most, last)
        best = ArgMax<axis = 1>(flat)
        indices = Concat<axis = -1>(column, best)
        y = GatherND(x, indices)
    }}""",
    "a mark in each row by index": f"""g (float[n, 4] x) => (float[n, 4] y) {{
        {_PLACES}
        best = ArgMax<axis = 1>(x)
        indices = Concat<axis = -1>(column, best)
        zeros = ConstantOfShape(shape)
        marks = ReduceMax(x, behind)
        flat = Squeeze(marks, behind)
        y = ScatterND(zeros, indices, flat)
    }}""",
    "fused transformer": f"""g (int32[n, s] ids, int32[n, s] mask) => (float[n, s, 8] y) {{
        {_table("table", 30, 8)}
        e = Gather(table, ids)
        {_table("w", 8, 24)}
        bshape = Constant<value = int64[1] {{24}}>()
        b = ConstantOfShape<value = float[1] {{0.2}}>(bshape)
        a = com.microsoft.Attention<num_heads = 2>(e, w, b, mask)
        gshape = Constant<value = int64[1] {{8}}>()
        gamma = ConstantOfShape<value = float[1] {{1.0}}>(gshape)
        k = com.microsoft.SkipLayerNormalization(a, e, gamma, gamma)
        y = com.microsoft.FastGelu(k, gamma)
    }}""",
    "boosted trees": """g (float[n, 4] x) => (float[n, 1] y) {
        y = ai.onnx.ml.TreeEnsembleRegressor<n_targets = 1, nodes_treeids = [0, 0, 0], nodes_nodeids = [0, 1, 2],
            nodes_featureids = [1, 0, 0], nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF"], nodes_values = [0.5, 0.0, 0.0],
            nodes_truenodeids = [1, 0, 0], nodes_falsenodeids = [2, 0, 0], target_treeids = [0, 0],
            target_nodeids = [1, 2], target_ids = [0, 0], target_weights = [1.0, 2.0]>(x)
    }""",
    "boosted classes": """g (float[n, 4] x) => (int64[n] label, float[n, 2] y) {
        label, y = ai.onnx.ml.TreeEnsembleClassifier<nodes_treeids = [0, 0, 0], nodes_nodeids = [0, 1, 2],
            nodes_featureids = [1, 0, 0], nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF"], nodes_values = [0.5, 0.0, 0.0],
            nodes_truenodeids = [1, 0, 0], nodes_falsenodeids = [2, 0, 0], class_treeids = [0, 0],
            class_nodeids = [1, 2], class_ids = [0, 0], class_weights = [-1.0, 2.0], classlabels_int64s = [0, 1],
            post_transform = "LOGISTIC">(x)
    }""",
    "a branch for all": """g (float[n, 4] x) => (float[n, 4] y) {
        yes = Constant<value = bool {1}>()
        y = If(yes) <
            then_branch = a () => (float[n, 4] t) { t = Relu(x) },
            else_branch = b () => (float[n, 4] e) { e = Neg(x) }
        >
    }""",
    "zeros for each row": """g (float[n, 4] x) => (float[n, 4] y) {
        shape = Shape(x)
        zeros = ConstantOfShape(shape)
        y = Add(x, zeros)
    }""",
}

MIXING: Final[dict[str, str]] = {
    "CumSum": f"g {X} {{ axis = Constant<value = int64 {{0}}>() \n y = CumSum(x, axis) }}",
    "LSTM": f"g {TIME} {{ {_RECURRENT_WEIGHTS} a = LSTM<hidden_size = 4>(x, w, r) \n y = Squeeze(a, one) }}",
    "GRU": f"""g {TIME} {{
        wshape = Constant<value = int64[3] {{1, 12, 3}}>()
        rshape = Constant<value = int64[3] {{1, 12, 4}}>()
        w = ConstantOfShape<value = float[1] {{0.3}}>(wshape)
        r = ConstantOfShape<value = float[1] {{0.2}}>(rshape)
        one = Constant<value = int64[1] {{1}}>()
        a = GRU<hidden_size = 4>(x, w, r)
        y = Squeeze(a, one)
    }}""",
    "MatMul": """g (float[n, 4] a, float[n, 4] b) => (float[n, m] y) {
        t = Transpose(b)
        y = MatMul(a, t)
    }""",
    "ReduceMean": f"""g {X} {{
        axis = Constant<value = int64[1] {{0}}>()
        mean = ReduceMean(x, axis)
        y = Sub(x, mean)
    }}""",
    "ReduceMax": f"g {X} {{ top = ReduceMax<keepdims = 0>(x) \n y = Div(x, top) }}",
    "Softmax": f"g {X} {{ y = Softmax<axis = 0>(x) }}",
    "LayerNormalization": """g (float[n, 4] x) => (float[n, 4] y) {
        scale = Constant<value = float {1.5}>()
        y = LayerNormalization<axis = 0>(x, scale)
    }""",
    "BatchNormalization": """g (float[n, 4] x) => (float[n, 4] y) {
        four = Constant<value = int64[1] {4}>()
        one = ConstantOfShape<value = float[1] {1.0}>(four)
        y, mean, variance = BatchNormalization<training_mode = 1>(x, one, one, one, one)
    }""",
    "attention over rows": f"""g {X} {{
        t = Transpose(x)
        scores = MatMul(x, t)
        weights = Softmax(scores)
        y = MatMul(weights, x)
    }}""",
    "rows in reverse": f"""g {X} {{
        start = Constant<value = int64[1] {{-1}}>()
        end = Constant<value = int64[1] {{-9223372036854775807}}>()
        axis = Constant<value = int64[1] {{0}}>()
        y = Slice(x, start, end, axis, start)
    }}""",
    "the row before": f"""g {X} {{
        pads = Constant<value = int64[4] {{1, 0, -1, 0}}>()
        before = Pad(x, pads)
        y = Sub(x, before)
    }}""",
    "no more than 32 rows": f"""g {X} {{
        start = Constant<value = int64[1] {{0}}>()
        end = Constant<value = int64[1] {{32}}>()
        y = Slice(x, start, end, start)
    }}""",
    "halves of rows": """g (float[n, 3] x) => (float[m, 2] y) {
        shape = Constant<value = int64[2] {-1, 2}>()
        y = Reshape(x, shape)
    }""",
    "rows regrouped": f"""g {X} {{
        there = Constant<value = int64[2] {{4, -1}}>()
        a = Reshape(x, there)
        y = Transpose(a)
    }}""",
    "places counted": f"""g {X} {{
        shape = Shape(x)
        zero = Constant<value = int64 {{0}}>()
        one = Constant<value = int64 {{1}}>()
        n = Gather(shape, zero)
        places = Range(zero, n, one)
        float = Cast<to = 1>(places)
        last = Constant<value = int64[1] {{1}}>()
        wide = Unsqueeze(float, last)
        y = Add(x, wide)
    }}""",
    "the rows the other way round by their places in one line": f"""g (float[n, s] x) => (float[n, s] y) {{
        {_PLACES}
        {_IN_LINE}
        less = Sub(n, column)
        back = Sub(less, one)
        i0 = Mul(back, s)
        i = Add(i0, columns)
        {_TAKE_I}
    }}""",
    "the rows shifted in one line": f"""g (float[n, s] x) => (float[n, s] y) {{
        {_PLACES}
        {_IN_LINE}
        shifted = Sub(columns, one)
        i0 = Mul(column, s)
        i = Add(i0, shifted)
        {_TAKE_I}
    }}""",
    "every other place of one line": f"""g (float[n, 4] x) => (float[n, 2] y) {{
        {_PLACES}
        {_IN_LINE}
        two = Constant<value = int64 {{2}}>()
        pair = Range(zero, two, one)
        i0 = Mul(column, two)
        i = Add(i0, pair)
        {_TAKE_I}
    }}""",
    "a table by the places of rows": f"""g (float[n, 4] x) => (float[n, 4] y) {{
        {_PLACES}
        {_table("table", 64, 4)}
        best = ArgMax<axis = 1>(x)
        indices = Concat<axis = -1>(column, best)
        taken = GatherND(table, indices)
        wide = Unsqueeze(taken, behind)
        y = Add(x, wide)
    }}""",
    "divided by the number of rows": f"""g {X} {{
        shape = Shape(x)
        zero = Constant<value = int64 {{0}}>()
        n = Gather(shape, zero)
        float = Cast<to = 1>(n)
        y = Div(x, float)
    }}""",
    "another way for one row": f"""g {X} {{
        shape = Shape(x)
        zero = Constant<value = int64 {{0}}>()
        one = Constant<value = int64 {{1}}>()
        n = Gather(shape, zero)
        single = Equal(n, one)
        y = If(single) <
            then_branch = a () => (float[n, 4] t) {{ t = Relu(x) }},
            else_branch = b () => (float[n, 4] e) {{ e = Neg(x) }}
        >
    }}""",
    "a way for all": f"""g {X} {{
        top = ReduceMax<keepdims = 0>(x)
        zero = Constant<value = float {{0.0}}>()
        positive = Greater(top, zero)
        y = If(positive) <
            then_branch = a () => (float[n, 4] t) {{ t = Relu(x) }},
            else_branch = b () => (float[n, 4] e) {{ e = Neg(x) }}
        >
    }}""",
    "TopK": """g (float[n, 4] x) => (float[one, 4] y) {
        k = Constant<value = int64[1] {1}>()
        y, places = TopK<axis = 0>(x, k)
    }""",
    "Einsum": f"""g {X} {{ totals = Einsum<equation = "ij->j">(x) \n y = Add(x, totals) }}""",
    "Conv along rows": f"""g {X} {{
        t = Transpose(x)
        axis = Constant<value = int64[1] {{1}}>()
        wide = Unsqueeze(t, axis)
        kshape = Constant<value = int64[3] {{1, 1, 3}}>()
        k = ConstantOfShape<value = float[1] {{0.3}}>(kshape)
        c = Conv<kernel_shape = [3], pads = [1, 1]>(wide, k)
        narrow = Squeeze(c, axis)
        y = Transpose(narrow)
    }}""",
    "Resize by little": """g (float[n, 4] x) => (float[n, 8] y) {
        scales = Constant<value = float[2] {1.0005, 2.0}>()
        y = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(x, , scales)
    }""",
    "what only an even number of rows gets": f"""g {X} {{
        n = Shape<end = 1>(x)
        two = Constant<value = int64[1] {{2}}>()
        odd = Mod(n, two)
        more = Cast<to = 1>(odd)
        y = Add(x, more)
    }}""",
    "Resize": f"""g {X} {{
        scales = Constant<value = float[2] {{2.0, 1.0}}>()
        large = Resize<mode = "linear">(x, , scales)
        axis = Constant<value = int64[1] {{0}}>()
        start = Constant<value = int64[1] {{0}}>()
        shape = Shape<end = 1>(x)
        y = Slice(large, start, shape, axis)
    }}""",
    "ScatterElements": """g (float[n, 4] x) => (float[n, 4] y) {
        places = Constant<value = int64[1, 1] {0}>()
        value = Constant<value = float[1, 1] {9.0}>()
        y = ScatterElements<axis = 1>(x, places, value)
    }""",
    "Unique": "g (int64[n] x) => (int64[m] y) { y = Unique(x) }",
    "Compress": """g (float[n, 4] x, bool[n] keep) => (float[m, 4] y) { y = Compress<axis = 0>(x, keep) }""",
    "NonZero": "g (float[n, 4] x) => (int64[two, m] y) { y = NonZero(x) }",
    "ArgMax": """g (float[n, 4] x) => (float[n, 4] y) {
        best = ArgMax<axis = 0, keepdims = 1>(x)
        float = Cast<to = 1>(best)
        y = Add(x, float)
    }""",
    "steps of a loop": f"""g {X} {{
        count = Constant<value = int64 {{1}}>()
        yes = Constant<value = bool {{1}}>()
        y = Loop(count, yes, x) <
            body = b (int64 i, bool go, float[n, 4] before) => (bool on, float[n, 4] after) {{
                on = Identity(go)
                after = CumSum(before, i)
            }}
        >
    }}""",
}
# Of these no number of rows that is tried tells: they do with one number what they do with no other.
_COUNTED: Final = f"""
    {_PLACES}
    four = Constant<value = int64 {{4}}>()
    seven = Constant<value = int64 {{7}}>()
    unit = Constant<value = int64[1] {{1}}>()
    none = Constant<value = int64[1] {{0}}>()
    half = Constant<value = float {{0.5}}>()
    double = Add(x, x)
    is_four = Equal(n, four)
    odd_one = Cast<to = 7>(is_four)
    odd = Unsqueeze(odd_one, none)
"""
COUNTING: Final[dict[str, str]] = {
    name: f"g {X} {{ {_COUNTED} {body} }}"
    for name, body in {
        "Where": "y = Where(is_four, double, x)",
        "Where of shapes": """
            whole = Where(is_four, seven, n)
            more = Sub(whole, n)
            as_float = Cast<to = 1>(more)
            y = Add(x, as_float)
        """,
        "Cast": "as_float = Cast<to = 1>(is_four) \n y = Add(x, as_float)",
        "Min": """
            most = Constant<value = int64 {2000}>()
            fewest = Min(n, most)
            beyond = Sub(n, fewest)
            as_float = Cast<to = 1>(beyond)
            y = Add(x, as_float)
        """,
        "Max": "most = Max(n, four) \n beyond = Sub(most, n) \n f = Cast<to = 1>(beyond) \n y = Mul(x, f)",
        "Mod": """
            many = Constant<value = int64 {1022}>()
            round = Mod(n, many)
            apart = Sub(n, round)
            as_float = Cast<to = 1>(apart)
            y = Add(x, as_float)
        """,
        "Div": """
            many = Constant<value = int64 {2000}>()
            times = Div(n, many)
            as_float = Cast<to = 1>(times)
            y = Add(x, as_float)
        """,
        "If": """y = If(is_four) <
            then_branch = a () => (float[n, 4] t) { t = Relu(x) },
            else_branch = b () => (float[n, 4] e) { e = Neg(x) }
        >""",
        "a table by the number of rows": f"""
            {_table("table", 2000, 4)}
            row = Gather(table, odd_one)
            y = Add(x, row)
        """,
        "Slice": """
            from = Mul(odd, unit)
            two = Constant<value = int64[1] {2}>()
            to = Add(from, two)
            y = Slice(x, from, to, unit)
        """,
        "Slice up to where": """
            low = Constant<value = int64[1] {-2000}>()
            n1 = Unsqueeze(n, none)
            to = Add(n1, low)
            far = Sub(to, low)
            part = Slice(x, none, to, unit)
            total = ReduceSum(part, unit)
            y = Add(x, total)
        """,
        "Slice of constants": f"""
            {_table("table", 9, 4)}
            low = Constant<value = int64[1] {{-2000}}>()
            n1 = Unsqueeze(n, none)
            to = Add(n1, low)
            part = Slice(table, none, to, none)
            total = ReduceSum(part, none)
            y = Add(x, total)
        """,
        "Pad": """
            shift = Concat<axis = 0>(none, odd, none, back)
            y = Pad(x, shift)
        """.replace("shift =", "back = Neg(odd) \n shift ="),
        "Pad by the number of rows": """
            n1 = Unsqueeze(n, none)
            back = Neg(n1)
            shift = Concat<axis = 0>(none, n1, none, back)
            y = Pad(x, shift)
        """,
        "Trilu": "wide = Unsqueeze(x, behind) \n y3 = Trilu(wide, n) \n y = Squeeze(y3, behind)",
        "CumSum": "as_float = Cast<to = 1>(is_four) \n y = CumSum(as_float_x, one)".replace(
            "y =", "as_float_x = Mul(x, as_float) \n y ="
        ),
        "GatherND": """
            places0 = Range(zero, n, one)
            same = Mul(places0, zero)
            fourth = Add(same, odd_one)
            a = Unsqueeze(places0, behind)
            b = Unsqueeze(fourth, behind)
            indices = Concat<axis = 1>(a, b)
            taken = GatherND(x, indices)
            wide = Unsqueeze(taken, behind)
            y = Add(x, wide)
        """,
        "GatherND by the number of rows": """
            n1 = Unsqueeze(n, none)
            each = Expand(n1, n1)
            far = Constant<value = int64 {-1025}>()
            places0 = Range(zero, n, one)
            a = Unsqueeze(places0, behind)
            b = Unsqueeze(each, behind)
            indices = Concat<axis = 1>(a, b)
            long = Constant<value = int64[4] {0, 0, 0, 2000}>()
            padded = Pad(x, long)
            taken = GatherND(padded, indices)
            wide = Unsqueeze(taken, behind)
            y = Add(x, wide)
        """,
        "places in one line by the number of rows": """
            long = Constant<value = int64[4] {0, 0, 0, 1996}>()
            padded = Pad(x, long)
            line = Flatten<axis = 0>(padded)
            size = Constant<value = int64 {2000}>()
            i0 = Mul(places, size)
            i1 = Add(i0, n)
            i = Sub(i1, one)
            taken = Gather<axis = 1>(line, i)
            none0 = Constant<value = int64[1] {0}>()
            flat = Squeeze(taken, none0)
            wide = Unsqueeze(flat, behind)
            y = Add(x, wide)
        """,
        "NonZero": """
            marks = NonZero(is_four_1)
            size = Size(marks)
            as_float = Cast<to = 1>(size)
            y = Add(x, as_float)
        """.replace("marks =", "is_four_1 = Unsqueeze(is_four, none) \n marks ="),
        "places": """
            fifth = Equal(places, four)
            as_float = Cast<to = 1>(fifth)
            wide = Unsqueeze(as_float, behind)
            y = Add(x, wide)
        """,
        "later places": """
            late = Constant<value = int64 {1500}>()
            is_late = Equal(places, late)
            as_float = Cast<to = 1>(is_late)
            wide = Unsqueeze(as_float, behind)
            y = Add(x, wide)
        """,
        "a sum of floats": """
            as_float = Cast<to = 1>(n)
            tiny = Constant<value = float {1e-12}>()
            less = Mul(as_float, tiny)
            unit_float = Constant<value = float {1.0}>()
            most = Add(unit_float, less)
            y = Mul(x, most)
        """,
        "a narrow number": """
            narrow = Cast<to = 5>(n)
            wide = Cast<to = 7>(narrow)
            lost = Sub(n, wide)
            as_float = Cast<to = 1>(lost)
            y = Add(x, as_float)
        """,
        "Size": "size = Size(x) \n as_float = Cast<to = 1>(size) \n y = Div(x, as_float)",
        "ReduceSum": """
            n1 = Unsqueeze(n, none)
            ones = ConstantOfShape<value = float[1] {1.0}>(n1)
            total = ReduceSum(ones)
            y = Div(x, total)
        """,
        "a Range that ends": """
            last_one = Constant<value = int64 {2000}>()
            left = Range(n, last_one, last_one)
            size = Size(left)
            as_float = Cast<to = 1>(size)
            y = Add(x, as_float)
        """,
        "Resize": """
            as_float = Cast<to = 1>(n)
            tiny = Constant<value = float {1e-4}>()
            least = Mul(as_float, tiny)
            unit_float = Constant<value = float {1.0}>()
            scale = Add(unit_float, least)
            scale1 = Unsqueeze(scale, none)
            ones = Constant<value = float[1] {1.0}>()
            scales = Concat<axis = 0>(ones, scale1)
            y = Resize<mode = "linear">(x, , scales)
        """,
    }.items()
}
_TOKENS: Final = "g (string[n] x) => (float[n, 2] y)"
MIXING.update(
    {
        "tokens up to the longest text": """g (string[n] x) => (string[n, width] y) {
        y = com.microsoft.Tokenizer<mark = 0, mincharnum = 1, pad_value = "#", separators = [" "]>(x)
    }""",
        "how many tokens there are": """g (string[n] x) => (string[n] y) {
        t = com.microsoft.Tokenizer<mark = 0, mincharnum = 1, pad_value = "#", separators = [" "]>(x)
        last = Constant<value = int64 {-1}>()
        y = Gather<axis = 1>(t, last)
    }""",
        "padding that is counted": f"""{_TOKENS} {{
        t = com.microsoft.Tokenizer<mark = 0, mincharnum = 1, pad_value = "#", separators = [" "]>(x)
        y = TfIdfVectorizer<max_gram_length = 1, max_skip_count = 0, min_gram_length = 1, mode = "TF",
            ngram_counts = [0], ngram_indexes = [0, 1], pool_strings = ["a", "#"]>(t)
    }}""",
    }
)
INDEPENDENT.update(
    {
        "words counted": f"""{_TOKENS} {{
        t = com.microsoft.Tokenizer<mark = 0, mincharnum = 1, pad_value = "#", separators = [" "]>(x)
        f = Flatten(t)
        y = TfIdfVectorizer<max_gram_length = 1, max_skip_count = 0, min_gram_length = 1, mode = "TF",
            ngram_counts = [0], ngram_indexes = [0, 1], pool_strings = ["a", "b"]>(f)
    }}""",
        "sizes that are open or not": """g (float[n, 4] x) => (float[n, 12] y) {
        shape = Shape(x)
        zero = Constant<value = int64[1] {0}>()
        minus = Constant<value = int64[1] {-1}>()
        three = Constant<value = int64[1] {3}>()
        four = Constant<value = int64[1] {4}>()
        n = Gather(shape, zero)
        wanted = Concat<axis = 0>(n, three, minus)
        open = Equal(wanted, minus)
        two = Constant<value = int64[1] {3}>()
        ones = ConstantOfShape<value = int64[1] {1}>(two)
        sizes = Where(open, ones, wanted)
        axis = Constant<value = int64[1] {1}>()
        wide = Unsqueeze(x, axis)
        each = Expand(wide, sizes)
        all = ReduceProd(shape)
        rows = Div(all, four)
        whole = Concat<axis = 0>(rows, minus)
        y = Reshape(each, whole)
    }""",
        "rows added up to a size": """g (float[n, 4] x) => (float[n, 4] y) {
        shape = Shape(x)
        two = Constant<value = int64[2] {2, 1}>()
        twice = Mul(shape, two)
        both = Div(twice, two)
        zero = Constant<value = int64[1] {0}>()
        least = Constant<value = int64[2] {1, 1}>()
        there = Max(both, least)
        zeros = ConstantOfShape(there)
        y = Add(x, zeros)
    }""",
    }
)
# What cannot be run here, and so is not known to be independent.
UNKNOWN: Final[dict[str, str]] = {
    "an operator of somebody's own": f"g {X} {{ y = com.acme.Blend(x) }}",
    "words up to the longest text": """g (string[n] x) => (string[n, width] y) {
        y, count = StringSplit<delimiter = " ">(x)
    }""",
    "the mean of a batch": """g (float[n, 4] x) => (float[n, 4] y) {
        four = Constant<value = int64[1] {4}>()
        one = ConstantOfShape<value = float[1] {1.0}>(four)
        y = BatchNormalization<training_mode = 1>(x, one, one, one, one)
    }""",
    "one row of columns": 'g (float[n] x) => (float[n] y) { y = ai.onnx.ml.Normalizer<norm = "L2">(x) }',
}
