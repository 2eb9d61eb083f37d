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
    # Twice what is gathered and copied; what is scattered, before and after.
    assert Module(ASYNCHRONOUS).traffic() == 2 * (512 + 4) + 128 + 64
    assert "f32[16,8]" in Module(ASYNCHRONOUS).written()
    assert "u32[]" not in Module(ASYNCHRONOUS).written()  # a part of what starts an operation


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
