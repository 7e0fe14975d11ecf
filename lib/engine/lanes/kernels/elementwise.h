// Fused runs of elementwise operations, reductions and copies.
#pragma once
#include "vectors.h"

// --- fused runs of elementwise operations -------------------------------------------------------

enum Op : i64 {
  NEG, ABS, SIGN, EXP, LOG, SQRT, RSQRT, RECIPROCAL, SIGMOID, TANH, RELU, ERF, SIN, COS,
  ADD, SUB, MUL, DIV, MAXIMUM, MINIMUM, SIGMOID_BACKWARD, TANH_BACKWARD, POW,
  LT, LE, GT, GE, EQ, NE, AND, OR, NOT, WHERE, THRESHOLD_BACKWARD, CONSTANT
};

#define LOOP(expression) \
  for (int i = 0; i < n; i++) r[i] = (expression); \
  break;

static void micro(i64 op, int n, vec* __restrict r, const vec* a, const vec* b, const vec* c,
                  float number) {
  const vec zero = all(0.0f), one = all(1.0f);
  switch (op) {
    case NEG: LOOP(-a[i])
    case ABS: LOOP((vec)((ivec)a[i] & 0x7fffffff))
    case SIGN: LOOP(one_where(a[i] > zero) - one_where(a[i] < zero))  // 0 of NaN, as torch's
    case EXP: LOOP(exponential(a[i]))
    case LOG: LOOP(each(a[i], [](float f) { return std::log(f); }))
    case SQRT: LOOP(each(a[i], [](float f) { return std::sqrt(f); }))
    case RSQRT: LOOP(one / each(a[i], [](float f) { return std::sqrt(f); }))
    case RECIPROCAL: LOOP(one / a[i])
    case SIGMOID: LOOP(one / (one + exponential(-a[i])))
    case TANH: LOOP(each(a[i], [](float f) { return std::tanh(f); }))
    case RELU: LOOP(pick(a[i] < zero, zero, a[i]))
    case ERF: LOOP(each(a[i], [](float f) { return std::erf(f); }))
    case SIN: LOOP(each(a[i], [](float f) { return std::sin(f); }))
    case COS: LOOP(each(a[i], [](float f) { return std::cos(f); }))
    case ADD: LOOP(a[i] + b[i])
    case SUB: LOOP(a[i] - b[i])
    case MUL: LOOP(a[i] * b[i])
    case DIV: LOOP(a[i] / b[i])
    // NaN of either side is passed on, as torch does.
    case MAXIMUM: LOOP(pick((a[i] > b[i]) | (a[i] != a[i]), a[i], b[i]))
    case MINIMUM: LOOP(pick((a[i] < b[i]) | (a[i] != a[i]), a[i], b[i]))
    case SIGMOID_BACKWARD: LOOP(a[i] * b[i] * (one - b[i]))
    case TANH_BACKWARD: LOOP(a[i] * (one - b[i] * b[i]))
    case POW:
      for (int i = 0; i < n; i++)
        r[i] = each(a[i], [number](float f) { return std::pow(f, number); });
      break;
    case LT: LOOP(one_where(a[i] < b[i]))
    case LE: LOOP(one_where(a[i] <= b[i]))
    case GT: LOOP(one_where(a[i] > b[i]))
    case GE: LOOP(one_where(a[i] >= b[i]))
    case EQ: LOOP(one_where(a[i] == b[i]))
    case NE: LOOP(one_where(a[i] != b[i]))
    case AND: LOOP(one_where((a[i] != zero) & (b[i] != zero)))
    case OR: LOOP(one_where((a[i] != zero) | (b[i] != zero)))
    case NOT: LOOP(one_where(a[i] == zero))
    case WHERE: LOOP(pick(a[i] != zero, b[i], c[i]))
    case THRESHOLD_BACKWARD: LOOP(pick(b[i] <= all(number), zero, a[i]))
    case CONSTANT: LOOP(all(number))
  }
}

struct Input {
  const vec* lanes;      // nullptr: uniform
  const float* uniform;
  i64 stride[MAX_DIMS];
};

static void read_input(const i64*& p, const Context& c, int dims, Input& input) {
  i64 space = *p++, offset = *p++;
  input.lanes = space < 2 ? c.lanes[space] + offset : nullptr;
  input.uniform = c.uniform + offset;
  for (int d = 0; d < dims; d++) input.stride[d] = *p++;
}

static void elementwise(const i64* p, const Context& c) {
  int dims = *p++;
  i64 size[MAX_DIMS], rows = 1;
  for (int d = 0; d < dims; d++) size[d] = *p++;
  for (int d = 0; d + 1 < dims; d++) rows *= size[d];
  int inputs = *p++;
  Input input[MAX_SLOTS];
  for (int i = 0; i < inputs; i++) read_input(p, c, dims, input[i]);
  int count = *p++;
  const i64* code = p;  // count times (operation, a, b, c, number, offset of the result or -1)
  i64 inner = size[dims - 1], blocks = (inner + BLOCK - 1) / BLOCK, first, last;
  share(rows * blocks, c, first, last);
  vec scratch[MAX_SLOTS][BLOCK];
  const vec* slot[MAX_SLOTS];
  for (i64 unit = first; unit < last; unit++) {
    i64 row = unit / blocks, start = unit % blocks * BLOCK, rest = row;
    int n = inner - start < BLOCK ? inner - start : BLOCK;
    i64 index[MAX_DIMS];
    for (int d = dims - 2; d >= 0; d--) {
      index[d] = rest % size[d];
      rest /= size[d];
    }
    for (int i = 0; i < inputs; i++) {
      const Input& in = input[i];
      i64 step = in.stride[dims - 1], offset = start * step;
      for (int d = 0; d + 1 < dims; d++) offset += index[d] * in.stride[d];
      slot[i] = scratch[i];
      if (in.lanes && step == 1) {
        slot[i] = in.lanes + offset;
      } else if (in.lanes) {
        for (int j = 0; j < n; j++) scratch[i][j] = in.lanes[offset + j * step];
      } else {
        for (int j = 0; j < n; j++) scratch[i][j] = all(in.uniform[offset + j * step]);
      }
    }
    const i64* m = code;
    for (int k = 0; k < count; k++, m += 6) {
      vec* result = m[5] < 0 ? scratch[inputs + k] : c.lanes[0] + m[5] + row * inner + start;
      micro(m[0], n, result, slot[m[1]], slot[m[2]], slot[m[3]], (float)c.numbers[m[4]]);
      slot[inputs + k] = result;
    }
  }
}

// --- reductions ---------------------------------------------------------------------------------

enum Reduction : i64 { SUM, DOT, LARGEST };

static i64 place(i64 number, int dims, const i64* size, const i64* stride) {
  i64 offset = 0;
  for (int d = dims - 1; d >= 0; d--) {
    offset += number % size[d] * stride[d];
    number /= size[d];
  }
  return offset;
}

template <class A, class B>
static vec reduced(i64 kind, const A* a, i64 step_a, const B* b, i64 step_b, i64 n) {
  vec sum[4] = {all(0), all(0), all(0), all(0)};
  if (kind == LARGEST) {
    vec largest = get(a);
    for (i64 i = 1; i < n; i++) {
      vec v = get(a + i * step_a);
      largest = pick((v > largest) | (v != v), v, largest);
    }
    return largest;
  }
  i64 i = 0;
  for (; i + 4 <= n; i += 4)
    for (int k = 0; k < 4; k++) {
      vec v = get(a + (i + k) * step_a);
      sum[k] += kind == DOT ? v * get(b + (i + k) * step_b) : v;
    }
  for (; i < n; i++) {
    vec v = get(a + i * step_a);
    sum[0] += kind == DOT ? v * get(b + i * step_b) : v;
  }
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

constexpr i64 CHUNK = 512;  // of a long sum: rounding grows with its length, not with the whole

static vec reduced_row(i64 kind, const Input& a, i64 at_a, i64 step_a, const Input& b, i64 at_b,
                       i64 step_b, i64 n) {
  vec total = all(0);
  for (i64 start = 0; start < n; start += CHUNK) {
    i64 length = n - start < CHUNK ? n - start : CHUNK;
    i64 pa = at_a + start * step_a, pb = at_b + start * step_b;
    vec part;
    if (a.lanes && b.lanes)
      part = reduced(kind, a.lanes + pa, step_a, b.lanes + pb, step_b, length);
    else if (a.lanes)
      part = reduced(kind, a.lanes + pa, step_a, b.uniform + pb, step_b, length);
    else if (b.lanes)
      part = reduced(kind, a.uniform + pa, step_a, b.lanes + pb, step_b, length);
    else
      part = reduced(kind, a.uniform + pa, step_a, b.uniform + pb, step_b, length);
    if (kind == LARGEST && start)
      total = pick((part > total) | (part != part), part, total);
    else
      total = start || kind != LARGEST ? total + part : part;
  }
  return total;
}

static void reduce(const i64* p, const Context& c) {
  i64 kind = *p++, out = *p++;
  float scale = c.numbers[*p++];
  int kept = *p++, gone = *p++, dims = kept + gone;
  i64 size[MAX_DIMS], results = 1, rows = 1;
  for (int d = 0; d < dims; d++) size[d] = *p++;
  for (int d = 0; d < kept; d++) results *= size[d];
  for (int d = kept; d + 1 < dims; d++) rows *= size[d];
  Input a, b;
  read_input(p, c, dims, a);
  read_input(p, c, dims, b);
  i64 inner = size[dims - 1], first, last;
  share(results, c, first, last);
  for (i64 r = first; r < last; r++) {
    i64 at_a = place(r, kept, size, a.stride), at_b = place(r, kept, size, b.stride);
    vec total = all(0);
    for (i64 row = 0; row < rows; row++) {
      vec part = reduced_row(
          kind, a, at_a + place(row, gone - 1, size + kept, a.stride + kept), a.stride[dims - 1],
          b, at_b + place(row, gone - 1, size + kept, b.stride + kept), b.stride[dims - 1], inner);
      if (kind == LARGEST)
        total = row == 0 ? part : pick((part > total) | (part != part), part, total);
      else
        total += part;
    }
    c.lanes[0][out + r] = total * all(scale);
  }
}

// --- copies -------------------------------------------------------------------------------------

// Without a barrier in between, each thread fills with zeros what it then copies into: a slice of
// the outermost axis of the destination.
static void copy(const i64* p, const Context& c) {
  i64 out = *p++, zeros = *p++, slice = *p++, slices = *p++;
  int dims = *p++;
  i64 size[MAX_DIMS], to[MAX_DIMS], at = 0;
  for (int d = 0; d < dims; d++) size[d] = *p++;
  for (int d = 0; d < dims; d++) to[d] = *p++;
  at = *p++;
  Input in;
  read_input(p, c, dims, in);
  i64 first, last;
  share(slices, c, first, last);
  vec* target = c.lanes[0] + out;
  if (zeros) memset(target + first * slice, 0, (last - first) * slice * sizeof(vec));
  // size[0] counts the slices that are copied into: from slice `at / slice` on
  i64 begins = at / slice, rows = 1, inner = size[dims - 1];
  for (int d = 1; d + 1 < dims; d++) rows *= size[d];
  for (i64 s = first; s < last; s++) {
    i64 number = s - begins;
    if (number < 0 || number >= size[0]) continue;
    for (i64 row = 0; row < rows; row++) {
      i64 from = number * in.stride[0] + place(row, dims - 2, size + 1, in.stride + 1);
      vec* o = target + at + number * to[0] + place(row, dims - 2, size + 1, to + 1);
      i64 step = in.stride[dims - 1], out_step = to[dims - 1];
      if (in.lanes)
        for (i64 i = 0; i < inner; i++) o[i * out_step] = in.lanes[from + i * step];
      else
        for (i64 i = 0; i < inner; i++) o[i * out_step] = all(in.uniform[from + i * step]);
    }
  }
}
