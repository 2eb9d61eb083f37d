"""Counts on programs in HLO's text form that are small enough to count by hand."""

import pytest

from motionalign.ahead import hlo
from motionalign.ahead.hlo import Exchange, Module


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("bf16[16,128]{1,0:T(8,128)(2,1)}", 16 * 128 * 2),
        ("(f32[4]{0}, s8[3,5]{1,0}, pred[])", 16 + 15 + 1),
        ("s4[6]{0:T(64)E(4)}", 3),
        ("f8e4m3fn[7]", 7),
        ("token[]", 0),
    ],
)
def test_bytes_of_shapes(text, size):
    assert hlo.shape_bytes(text) == size


# As XLA writes programs for TPUs and GPUs: an asynchronous operation as a start and an end, or as a
# computation of its own.
ASYNCHRONOUS = """HloModule jit_step, is_scheduled=true

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add = f32[] add(%a, %b)
}

%wrapped (p: f32[4,8]) -> f32[2,8] {
  %p = f32[4,8]{1,0} parameter(0)
  ROOT %rs = f32[2,8]{1,0} reduce-scatter(%p), dimensions={0}, to_apply=%sum
}

ENTRY %main.7 (x: f32[4,8], /*index=1*/y: bf16[2]) -> (f32[16,8], bf16[2]) {
  %x = f32[4,8]{1,0} parameter(0)
  %y = bf16[2]{0} parameter(1)
  %ag-start = (f32[4,8]{1,0}, f32[16,8]{1,0}) all-gather-start(%x), dimensions={0}
  %ag-done = f32[16,8]{1,0:T(8,128)} all-gather-done(%ag-start)
  %rs-start = ((f32[4,8]{1,0}), f32[2,8]{1,0}, u32[]) async-start(%x), calls=%wrapped
  %rs-done = f32[2,8]{1,0} async-done(%rs-start)
  %copy = bf16[2]{0:T(128)S(5)} copy(%y)
  ROOT %t = (f32[16,8]{1,0}, bf16[2]{0}) tuple(%ag-done, %y)
}
"""


def test_asynchronous_operations_count_once():
    assert Module(ASYNCHRONOUS).exchanges() == [
        Exchange("all-gather", "f32[16,8]", 1, 512),
        Exchange("reduce-scatter", "f32[2,8]", 1, 64),
    ]
    assert Module(ASYNCHRONOUS).host_transfers() == ["copy bf16[2]"]
    gathered, scattered = 128 + 16 * 128 * 4, 128 + 64  # before and after; rows of 128 in tiles
    assert Module(ASYNCHRONOUS).traffic() == gathered + scattered + 4  # and what the host gets
    assert "f32[16,8]" in Module(ASYNCHRONOUS).written()
    assert "u32[]" not in Module(ASYNCHRONOUS).written()  # a part of what starts an operation


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("bf16[71,64]{1,0:T(8,128)(2,1)}", 72 * 128 * 2),
        ("bf16[71,64]{0,1:T(8,128)(2,1)}", 64 * 128 * 2),  # 71 is the minor one, and 128 in tiles
        ("f32[3,20]{1,0:T(8,128)S(1)}", 0),  # on the chip
        ("(f32[5]{0:T(256)}, f32[]{:T(128)}, s8[3,5]{1,0})", 256 * 4 + 4 + 15),
        ("f32[4]{0:T(1,128)}", 128 * 4),
        ("f32[4]{0:S(1)}", 16),  # a region of a GPU's memory
        ("f32[4]{0:S(5)}", 0),  # the host's
    ],
)
def test_bytes_in_main_memory(text, size):
    assert hlo.tiled_bytes(text) == size


# As XLA writes a program for a TPU: a collective operation beside two kernels, of one channel;
# arrays on the chip, S(1); a slice that is fetched there, and two that lie one after the other.
TPU = """HloModule jit_step, is_scheduled=true

%started (a: bf16[4,128]) -> bf16[16,128] {
  %a = bf16[4,128]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %ag = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} all-gather(%a), channel_id=7, dimensions={0}
  ROOT %begun = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} custom-call(%ag), custom_call_target="AsyncCollectiveStart"
}

%beside (b: bf16[4,128], c: f32[256,128], d: bf16[16,128]) -> (f32[256,128], bf16[16,128]) {
  %b = bf16[4,128]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %c = f32[256,128]{1,0:T(8,128)} parameter(1)
  %d = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} parameter(2)
  %ag.1 = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} all-gather(%b), channel_id=7, dimensions={0}
  %twice = f32[256,128]{1,0:T(8,128)} add(%c, %c)
  ROOT %both = (f32[256,128]{1,0:T(8,128)}, bf16[16,128]{1,0:T(8,128)(2,1)S(1)}) tuple(%twice, %ag.1)
}

ENTRY %main (x: bf16[4,128], y: f32[256,128]) -> f32[256,128] {
  %x = bf16[4,128]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %y = f32[256,128]{1,0:T(8,128)} parameter(1)
  %begin = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} fusion(%x), kind=kCustom, calls=%started
  %part-start = ((f32[256,128]{1,0:T(8,128)}), f32[64,128]{1,0:T(8,128)S(1)}, s32[]{:S(2)}) slice-start(%y), slice={[0:64], [0:128]}
  %part = f32[64,128]{1,0:T(8,128)S(1)} slice-done(%part-start)
  %whole = f32[128,128]{1,0:T(8,128)S(1)} custom-call(%part, %part), custom_call_target="ConcatBitcast"
  %back-start = (f32[128,128]{1,0:T(8,128)}, f32[128,128]{1,0:T(8,128)S(1)}, u32[]{:S(2)}) copy-start(%whole)
  %back = f32[128,128]{1,0:T(8,128)} copy-done(%back-start)
  %go = (f32[256,128]{1,0:T(8,128)}, bf16[16,128]{1,0:T(8,128)(2,1)S(1)}) fusion(%x, %y, %begin), kind=kCustom, calls=%beside
  ROOT %out = f32[256,128]{1,0:T(8,128)} get-tuple-element(%go), index=0
}
"""  # noqa: E501


def test_on_a_tpu_main_memory_and_the_chip_are_told_apart():
    rows = 128 * 4
    fetched, back, added = 64 * rows, 128 * rows, 2 * 256 * rows
    assert Module(TPU).traffic() == fetched + back + added
    assert Module(TPU).written() == {"f32[128,128]": 1, "f32[256,128]": 1}


def test_a_collective_beside_several_kernels_counts_once():
    assert Module(TPU).exchanges() == [Exchange("all-gather", "bf16[16,128]", 1, 16 * 128 * 2)]
    apart = TPU.replace("all-gather(%b), channel_id=7", "all-gather(%b), channel_id=8")
    assert [each.count for each in Module(apart).exchanges()] == [2]


# Rows of a table, a slice, and changes in place, within kernels and as kernels.
PARTS = """HloModule jit_f, is_scheduled=true

%looked_up (table: f32[1000,8], ids: s32[5,1], more: f32[5,8]) -> f32[5,8] {
  %table = f32[1000,8]{1,0} parameter(0)
  %ids = s32[5,1]{1,0} parameter(1)
  %more = f32[5,8]{1,0} parameter(2)
  %same = f32[1000,8]{1,0} bitcast(%table)
  %rows = f32[5,8]{1,0} gather(%same, %ids), offset_dims={1}
  ROOT %sum = f32[5,8]{1,0} add(%rows, %more)
}

%put (cache: f32[100,8], new: f32[1,8], at: s32[]) -> f32[100,8] {
  %new = f32[1,8]{1,0} parameter(1)
  %cache = f32[100,8]{1,0} parameter(0)
  %at = s32[] parameter(2)
  ROOT %dus = f32[100,8]{1,0} dynamic-update-slice(%cache, %new, %at, %at)
}

%both (pool: f32[100,8], all: f32[1,8]) -> f32[100,8] {
  %pool = f32[100,8]{1,0} parameter(0)
  %first = f32[1,8]{1,0} slice(%pool), slice={[0:1], [0:8]}
  %wide = f32[100,8]{1,0} broadcast(%first), dimensions={0,1}
  ROOT %add = f32[100,8]{1,0} add(%pool, %wide)
}

ENTRY %main (t: f32[1000,8], i: s32[5,1], m: f32[5,8], c: f32[100,8], n: f32[1,8], a: s32[]) -> f32[100,8] {
  %t = f32[1000,8]{1,0} parameter(0)
  %i = s32[5,1]{1,0} parameter(1)
  %m = f32[5,8]{1,0} parameter(2)
  %c = f32[100,8]{1,0} parameter(3)
  %n = f32[1,8]{1,0} parameter(4)
  %a = s32[] parameter(5)
  %found = f32[5,8]{1,0} fusion(%t, %i, %m), kind=kLoop, calls=%looked_up
  %cached = f32[100,8]{1,0} fusion(%c, %n, %a), kind=kLoop, calls=%put
  %again = f32[100,8]{1,0} dynamic-update-slice(%cached, %n, %a, %a)
  %cut = f32[2,8]{1,0} slice(%again), slice={[0:2], [0:8]}
  ROOT %all = f32[100,8]{1,0} fusion(%again), kind=kLoop, calls=%both
}
"""  # noqa: E501


def test_parts_of_arrays_count_as_parts():
    row = 8 * 4
    looked_up = 3 * 5 * row + 5 * 4  # rows, what is added, the sums; the ids
    put = 3 * row + 4  # what is changed and its change, read; what is written
    again, cut, both = put + 4, 2 * 2 * row, 2 * 100 * row
    assert Module(PARTS).traffic() == looked_up + put + again + cut + both
    # What a kernel fills before it changes a part of it is written as a whole.
    filled = PARTS.replace("update-slice(%cache,", "update-slice(%zeros,").replace(
        "  %at = s32[] parameter(2)",
        "  %zeros = f32[100,8]{1,0} broadcast(%at)\n  %at = s32[] parameter(2)",
    )
    assert Module(filled).traffic() == Module(PARTS).traffic() + (100 - 1 - 1) * row


# As XLA writes a program for an H100: a product by cuBLAS in a loop of five, a kernel that adds,
# attention forward and backward, and a product within a kernel.
GPU = """HloModule jit_f, is_scheduled=true

%added (a: bf16[32,64], b: bf16[64]) -> bf16[32,64] {
  %a = bf16[32,64]{1,0} parameter(0)
  %b = bf16[64]{0} parameter(1)
  %wide = bf16[32,64]{1,0} broadcast(%b), dimensions={1}
  ROOT %sum = bf16[32,64]{1,0} add(%a, %wide)
}

%small (p: f32[4,8], q: f32[2,8]) -> f32[4,2] {
  %p = f32[4,8]{1,0} parameter(0)
  %q = f32[2,8]{1,0} parameter(1)
  ROOT %dot.1 = f32[4,2]{1,0} dot(%p, %q), lhs_contracting_dims={1}, rhs_contracting_dims={1}
}

%body (s: (s32[], bf16[32,64])) -> (s32[], bf16[32,64]) {
  %s = (s32[], bf16[32,64]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%s), index=0
  %x = bf16[32,64]{1,0} get-tuple-element(%s), index=1
  %w = bf16[64,64]{1,0} constant({...})
  %gemm = (bf16[32,64]{1,0}, s8[100]{0}) custom-call(%x, %w), custom_call_target="__cublas$lt$matmul", backend_config={"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"],"lhs_batch_dimensions":[],"rhs_batch_dimensions":[]}}}
  %y = bf16[32,64]{1,0} get-tuple-element(%gemm), index=0
  %v = bf16[64]{0} constant({...})
  %z = bf16[32,64]{1,0} fusion(%y, %v), kind=kLoop, calls=%added
  ROOT %t = (s32[], bf16[32,64]{1,0}) tuple(%i, %z)
}

%on (c: (s32[], bf16[32,64])) -> pred[] {
  %c = (s32[], bf16[32,64]{1,0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}

ENTRY %main (x: bf16[32,64], q: bf16[2,16,3,8], p: f32[4,8], r: f32[2,8]) -> bf16[32,64] {
  %x.1 = bf16[32,64]{1,0} parameter(0)
  %q.1 = bf16[2,16,3,8]{3,2,1,0} parameter(1)
  %p.1 = f32[4,8]{1,0} parameter(2)
  %r.1 = f32[2,8]{1,0} parameter(3)
  %zero = s32[] constant(0)
  %start = (s32[], bf16[32,64]{1,0}) tuple(%zero, %x.1)
  %loop = (s32[], bf16[32,64]{1,0}) while(%start), condition=%on, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %fmha = (bf16[2,3,16,8]{3,1,2,0}, f32[2,3,16]{2,1,0}) custom-call(%q.1, %q.1, %q.1), custom_call_target="__cudnn$fmhaSoftmax"
  %one = bf16[2,3,16,8]{3,1,2,0} get-tuple-element(%fmha), index=0
  %two = f32[2,3,16]{2,1,0} get-tuple-element(%fmha), index=1
  %back = (bf16[2,3,16,8]{3,1,2,0}) custom-call(%q.1, %q.1, %q.1, %two, %one), custom_call_target="__cudnn$fmhaSoftmaxBackward"
  %few = f32[4,2]{1,0} fusion(%p.1, %r.1), kind=kCustom, calls=%small
  ROOT %out = bf16[32,64]{1,0} get-tuple-element(%loop), index=1
}
"""  # noqa: E501


def test_counts_by_hand():
    module = Module(GPU)
    assert module.products() == 5 + 1
    assert module.fusions() == 5 + 1
    assert module.attention_kernels() == 2
    attention = 2 * 2 * 3 * 16 * 16 * 8  # one product of batch 2, 3 heads, 16 tokens, width 8
    assert module.flops() == 5 * 2 * 32 * 64 * 64 + 2 * 4 * 2 * 8 + (2 + 5) * attention
    x, q, rows = 32 * 64 * 2, 2 * 16 * 3 * 8 * 2, 2 * 3 * 16 * 4
    gemm, added = x + 64 * 64 * 2 + x, x + 64 * 2 + x  # without the scratch memory
    forward, backward = 3 * q + q + rows, 3 * q + rows + q + q
    assert module.traffic() == 5 * (gemm + added) + forward + backward + (32 + 16 + 8) * 4
    written = module.written()
    assert written["bf16[32,64]"] == 10 and written["bf16[2,3,16,8]"] == 2
    assert "bf16[64,64]" not in written  # a constant
    assert not module.exchanges() and not module.host_transfers()
    assert module.calls_libraries()


# As XLA writes a loop of ten rounds, products of matrices, and a batch of products for a TPU.
LOOP = """HloModule jit_f, is_scheduled=true

%on (s.1: (s32[], bf16[16,32], bf16[32,32])) -> pred[] {
  %ten = s32[]{:T(128)} constant(10)
  %s.1 = (s32[]{:T(128)}, bf16[16,32]{1,0:T(8,128)(2,1)}, bf16[32,32]{1,0:T(8,128)(2,1)}) parameter(0)
  %i.1 = s32[]{:T(128)} get-tuple-element(%s.1), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i.1, %ten), direction=LT
}

%body (s.2: (s32[], bf16[16,32], bf16[32,32])) -> (s32[], bf16[16,32], bf16[32,32]) {
  %one = s32[]{:T(128)} constant(1)
  %s.2 = (s32[]{:T(128)}, bf16[16,32]{1,0:T(8,128)(2,1)}, bf16[32,32]{1,0:T(8,128)(2,1)}) parameter(0)
  %i.2 = s32[]{:T(128)} get-tuple-element(%s.2), index=0
  %same = s32[]{:T(128)S(6)} copy(%i.2)
  %next = s32[]{:T(128)} add(%same, %one)
  %x.2 = bf16[16,32]{1,0:T(8,128)(2,1)} get-tuple-element(%s.2), index=1
  %w.2 = bf16[32,32]{1,0:T(8,128)(2,1)} get-tuple-element(%s.2), index=2
  %y.2 = bf16[16,32]{1,0:T(8,128)(2,1)} convolution(%x.2, %w.2), dim_labels=bf_io->bf
  ROOT %t.2 = (s32[]{:T(128)}, bf16[16,32]{1,0:T(8,128)(2,1)}, bf16[32,32]{1,0:T(8,128)(2,1)}) tuple(%next, %y.2, %w.2)
}

ENTRY %main (x: bf16[16,32], w: bf16[32,32], q: bf16[6,2,5,8], k: bf16[6,2,7,8]) -> bf16[16,32] {
  %zero = s32[]{:T(128)} constant(0)
  %start = s32[]{:T(128)} copy(%zero)
  %x = bf16[16,32]{1,0:T(8,128)(2,1)} parameter(0)
  %w = bf16[32,32]{1,0:T(8,128)(2,1)} parameter(1)
  %q = bf16[6,2,5,8]{3,2,1,0:T(8,128)(2,1)} parameter(2)
  %k = bf16[6,2,7,8]{3,2,1,0:T(8,128)(2,1)} parameter(3)
  %qk = bf16[6,2,5,7]{3,2,1,0:T(8,128)(2,1)} convolution(%q, %k), window={size=6x2 stride=5x1 lhs_dilate=6x2}, dim_labels=01bf_01oi->01bf
  %t = (s32[]{:T(128)}, bf16[16,32]{1,0:T(8,128)(2,1)}, bf16[32,32]{1,0:T(8,128)(2,1)}) tuple(%start, %x, %w)
  %loop = (s32[]{:T(128)}, bf16[16,32]{1,0:T(8,128)(2,1)}, bf16[32,32]{1,0:T(8,128)(2,1)}) while(%t), condition=%on, body=%body
  ROOT %out = bf16[16,32]{1,0:T(8,128)(2,1)} get-tuple-element(%loop), index=1
}
"""  # noqa: E501


def test_iterations_of_a_loop_that_the_text_does_not_state():
    module = Module(LOOP)
    assert module.loops() == [10] and module.products() == 10 + 1
    assert module.flops() == 10 * 2 * 16 * 32 * 32 + 2 * 6 * 2 * 5 * 7 * 8
    for before, after, iterations in [
        ("constant(0)", "constant(3)", 7),
        ("constant(0)", "constant(10)", 0),
        (
            "%i.2 = s32[]{:T(128)} get-tuple-element(%s.2), index=0",
            "%i.2 = s32[]{:T(128)} get-tuple-element(%s.2), index=1",
            None,
        ),  # another counter
        ("tuple(%next, %y.2, %w.2)", "custom-call(%next, %y.2, %w.2)", None),
        ("tuple(%start, %x, %w)", "custom-call(%start, %x, %w)", None),
        ("add(%same, %one)", "add(%one, %same)", 10),
        ("constant(1)", "constant(2)", None),  # another step
        ("direction=LT", "direction=GT", None),
        ("copy(%zero)", "fusion(%zero), kind=kLoop, calls=%body", None),  # another start
        ("compare(%i.1, %ten)", "compare(%ten, %i.1)", None),
        ("body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"4"}}', 4),
    ]:
        assert before in LOOP
        assert Module(LOOP.replace(before, after)).loops() == [iterations]
    once = Module(LOOP.replace("direction=LT", "direction=GT"))
    assert once.products() == 2
    never = Module(LOOP.replace("constant(0)", "constant(10)"))
    assert never.products() == 1


def test_holes_and_padding_of_a_convolution_do_not_count():
    def flops(window, labels, image, kernel, out):
        convolution = f"convolution(%x, %y), window={{{window}}}, dim_labels={labels}"
        lines = [
            "ENTRY %main (x: f32[], y: f32[]) -> f32[] {",
            f"  %x = f32[{image}] parameter(0)",
            f"  %y = f32[{kernel}] parameter(1)",
            f"  ROOT %z = f32[{out}] {convolution}",
        ]
        return Module("\n".join([*lines, "}"])).flops()

    # A filter of 3 over a row of 5: five places, of which the first and the last see two.
    assert flops("size=3 pad=1_1", "b0f_0io->b0f", "4,5,6", "3,6,7", "4,5,7") == 2 * 4 * 6 * 7 * 13
    assert flops("size=3 stride=2", "b0f_0io->b0f", "4,5,6", "3,6,7", "4,2,7") == 2 * 4 * 6 * 7 * 6
    # Every second place, in the image or in the filter.
    assert flops("size=3 lhs_dilate=2", "b0f_0io->b0f", "1,3,1", "3,1,1", "1,3,1") == 2 * (
        2 + 1 + 2
    )
    assert flops("size=2 rhs_dilate=3", "b0f_0io->b0f", "1,5,1", "2,1,1", "1,2,1") == 2 * (2 + 2)


def test_estimated_cycles_of_kernels_are_added():
    """As a TPU's compiler writes them; those within a kernel are its own."""
    of = ', backend_config={"window_config":{"estimated_cycles":"%d","iteration_bounds":["1"]}}'
    assert Module(GPU).cycles() == 0
    text = GPU.replace("kind=kLoop, calls=%added", "kind=kLoop, calls=%added" + of % 30)
    text = text.replace("kind=kCustom, calls=%small", "kind=kCustom, calls=%small" + of % 7)
    text = text.replace("rhs_contracting_dims={1}", "rhs_contracting_dims={1}" + of % 1000)
    assert Module(text).cycles() == 5 * 30 + 7


def test_callbacks_and_infeeds_are_transfers():
    text = GPU.replace(
        'custom_call_target="__cudnn$fmhaSoftmax"',
        'custom_call_target="xla_ffi_python_gpu_callback"',
    )
    assert Module(text).host_transfers() == ["custom-call (bf16[2,3,16,8], f32[2,3,16])"]
    text = GPU.replace(
        "f32[4,2]{1,0} fusion(%p.1, %r.1), kind=kCustom, calls=%small", "f32[4,2]{1,0} infeed(%p.1)"
    )
    assert Module(text).host_transfers() == ["infeed f32[4,2]"]


def test_operands_are_those_of_the_operation():
    [fmha] = [o for o in Module(GPU).computations["main"] if o.name == "back"]
    assert fmha.operands == ["q.1", "q.1", "q.1", "two", "one"]
    assert fmha.target == "__cudnn$fmhaSoftmaxBackward"
