// The five operations of the lanes backend. A value is a list of vectors: one vector holds the same
// number of eight problems ("lanes"), so that every client has its own weights at no cost and no
// operation ever looks across lanes. Programs are written by lower.py; the layout of each
// instruction is documented there, beside the function that writes it.
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <thread>
#include <unistd.h>
#include <vector>

typedef float vec __attribute__((vector_size(32)));
typedef int32_t ivec __attribute__((vector_size(32)));
typedef int64_t i64;

constexpr int LANES = 8;
constexpr int BLOCK = 32;      // vectors that a fused run works on at once: its temporaries stay in L1
constexpr int MAX_SLOTS = 64;  // inputs and results of a fused run
constexpr int MAX_DIMS = 8;

static inline vec all(float value) {
  return vec{value, value, value, value, value, value, value, value};
}
static inline vec get(const vec* p) { return *p; }
static inline vec get(const float* p) { return all(*p); }
static inline vec pick(ivec mask, vec yes, vec no) { return (vec)((mask & (ivec)yes) | (~mask & (ivec)no)); }
static inline vec one_where(ivec mask) { return (vec)(mask & (ivec)all(1.0f)); }

template <class F> static inline vec each(vec a, F f) {
  vec r;
  for (int i = 0; i < LANES; i++) r[i] = f(a[i]);
  return r;
}

// Cephes' single precision exponential: one unit in the last place.
static inline vec exponential(vec given) {
  vec x = pick(given < all(-87.3f), all(-87.3f), given);
  x = pick(x > all(88.7f), all(88.7f), x);
  vec scaled = x * all(1.44269504f);
  vec whole = each(scaled, [](float f) { return __builtin_rintf(f); });
  vec f = x - whole * all(0.693359375f) + whole * all(2.12194440e-4f);
  vec p = all(1.9875691500e-4f);
  p = p * f + all(1.3981999507e-3f);
  p = p * f + all(8.3334519073e-3f);
  p = p * f + all(4.1665795894e-2f);
  p = p * f + all(1.6666665459e-1f);
  p = p * f + all(5.0000001201e-1f);
  p = p * f * f + f + all(1.0f);
  // Two factors, as 2^128 is no float.
  ivec power = __builtin_convertvector(whole, ivec);
  ivec half = power >> 1;
  vec r = p * (vec)((half + 127) << 23) * (vec)((power - half + 127) << 23);
  r = pick(given > all(88.7228f), all(INFINITY), r);
  return pick(given < all(-87.3f), all(0.0f), r);
}

struct Context {          // what one thread sees of one group of eight problems
  vec* lanes[2];          // 0: the arena; 1: constants of this group
  const float* uniform;   // constants of all problems
  const int32_t* tables;  // offsets of convolutions
  const double* numbers;  // immediate values
  int thread, threads;    // this thread's share of each instruction
};

static inline void share(i64 count, const Context& c, i64& first, i64& last) {
  first = count * c.thread / c.threads;
  last = count * (c.thread + 1) / c.threads;
}

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

// --- convolutions and matrix products: sums of taps ---------------------------------------------

// out[channel * oc + b * os] = sum over taps t of w[channel * wc + woff[t]] * x[xoff[t] + b * xs]
template <int CB, int PB, class W>
static inline void tile(const W* __restrict w, i64 wc, const int32_t* woff, const vec* __restrict x,
                        const int32_t* xoff, i64 xs, i64 taps, vec* __restrict out, i64 oc, i64 os) {
  vec sum[CB][PB];
  for (int k = 0; k < CB; k++)
    for (int b = 0; b < PB; b++) sum[k][b] = all(0);
  for (i64 t = 0; t < taps; t++) {
    const W* wt = w + woff[t];
    const vec* xt = x + xoff[t];
    vec weight[CB];
#pragma GCC unroll 8
    for (int k = 0; k < CB; k++) weight[k] = get(wt + k * wc);
#pragma GCC unroll 8
    for (int b = 0; b < PB; b++) {
      vec v = xt[b * xs];
#pragma GCC unroll 8
      for (int k = 0; k < CB; k++) sum[k][b] += weight[k] * v;
    }
  }
  for (int k = 0; k < CB; k++)
    for (int b = 0; b < PB; b++) out[k * oc + b * os] = sum[k][b];
}

template <int CB, class W>
static void tiles(const W* w, i64 wc, const int32_t* woff, const vec* x, const int32_t* xoff, i64 xs,
                  i64 taps, vec* out, i64 oc, i64 os, i64 columns) {
#ifdef __AVX512VL__  // 32 registers
  constexpr int PB = CB <= 3 ? 8 : CB == 4 ? 6 : 1;
#else  // 16 registers
  constexpr int PB = CB == 1 ? 8 : CB == 2 ? 6 : CB == 3 ? 4 : CB == 4 ? 3 : 1;
#endif
  i64 i = 0;
  for (; i + PB <= columns; i += PB)
    tile<CB, PB, W>(w, wc, woff, x + i * xs, xoff, xs, taps, out + i * os, oc, os);
  if constexpr (PB > 4)
    for (; i + 4 <= columns; i += 4)
      tile<CB, 4, W>(w, wc, woff, x + i * xs, xoff, xs, taps, out + i * os, oc, os);
  if constexpr (PB > 2)
    for (; i + 2 <= columns; i += 2)
      tile<CB, 2, W>(w, wc, woff, x + i * xs, xoff, xs, taps, out + i * os, oc, os);
  for (; i < columns; i++)
    tile<CB, 1, W>(w, wc, woff, x + i * xs, xoff, xs, taps, out + i * os, oc, os);
}

template <class W>
static void tap_sums(const i64* p, const Context& c, const W* w, const vec* x) {
  vec* out = c.lanes[0] + *p++;
  i64 images = *p++, image_x = *p++, image_w = *p++, image_out = *p++;
  i64 groups = *p++, group_x = *p++, group_w = *p++, group_out = *p++;
  i64 channels = *p++, wc = *p++, oc = *p++, together = *p++;
  i64 classes = *p++;
  i64 blocks = (channels + together - 1) / together, first, last;
  for (i64 k = 0; k < classes; k++, p += 10) {
    i64 taps = p[0], rows = p[3], columns = p[4];
    const int32_t *xoff = c.tables + p[1], *woff = c.tables + p[2];
    i64 out_at = p[5], out_row = p[6], out_step = p[7], x_row = p[8], x_step = p[9];
    share(images * groups * blocks * rows, c, first, last);
    for (i64 unit = first; unit < last; unit++) {
      i64 row = unit % rows, block = unit / rows % blocks;
      i64 group = unit / (rows * blocks) % groups, image = unit / (rows * blocks * groups);
      i64 channel = block * together, left = channels - channel;
      const W* wk = w + image * image_w + group * group_w + channel * wc;
      const vec* xk = x + image * image_x + group * group_x + row * x_row;
      vec* o = out + image * image_out + group * group_out + channel * oc + out_at + row * out_row;
      if (left > together) left = together;
      while (left > 0) {
        i64 done;
        if (left >= 8 && columns == 1) {
          tiles<8>(wk, wc, woff, xk, xoff, x_step, taps, o, oc, out_step, columns);
          done = 8;
        } else if (left >= 4 && (left % 3 || columns < 4)) {
          tiles<4>(wk, wc, woff, xk, xoff, x_step, taps, o, oc, out_step, columns);
          done = 4;
        } else if (left >= 3) {
          tiles<3>(wk, wc, woff, xk, xoff, x_step, taps, o, oc, out_step, columns);
          done = 3;
        } else if (left == 2) {
          tiles<2>(wk, wc, woff, xk, xoff, x_step, taps, o, oc, out_step, columns);
          done = 2;
        } else {
          tiles<1>(wk, wc, woff, xk, xoff, x_step, taps, o, oc, out_step, columns);
          done = 1;
        }
        left -= done;
        wk += done * wc;
        o += done * oc;
      }
    }
  }
}

static void taps(const i64* p, const Context& c) {
  i64 w_space = p[0], w_at = p[1], x_space = p[2], x_at = p[3];
  const vec* x = c.lanes[x_space] + x_at;
  if (w_space < 2)
    tap_sums(p + 4, c, (const vec*)c.lanes[w_space] + w_at, x);
  else
    tap_sums(p + 4, c, c.uniform + w_at, x);
}

// --- gradients of convolutions' weights ---------------------------------------------------------

// g[(channel + k) * columns + column + j] = sum over images and positions of d * x
template <int CB, int NB>
static inline void corner(const vec* __restrict d, i64 d_channel, i64 d_image, i64 d_row,
                          const vec* __restrict x, const int32_t* xoff, i64 x_image, i64 x_row,
                          i64 x_step, i64 images, i64 rows, i64 width, vec* __restrict g, i64 gc) {
  vec sum[CB][NB];
  for (int k = 0; k < CB; k++)
    for (int j = 0; j < NB; j++) sum[k][j] = all(0);
  for (i64 image = 0; image < images; image++)
    for (i64 row = 0; row < rows; row++) {
      const vec* dr = d + image * d_image + row * d_row;
      const vec* xr[NB];
      for (int j = 0; j < NB; j++) xr[j] = x + image * x_image + row * x_row + xoff[j];
      for (i64 i = 0; i < width; i++) {
        vec v[NB];
#pragma GCC unroll 8
        for (int j = 0; j < NB; j++) v[j] = xr[j][i * x_step];
#pragma GCC unroll 8
        for (int k = 0; k < CB; k++) {
          vec e = dr[k * d_channel + i];
#pragma GCC unroll 8
          for (int j = 0; j < NB; j++) sum[k][j] += e * v[j];
        }
      }
    }
  for (int k = 0; k < CB; k++)
    for (int j = 0; j < NB; j++) g[k * gc + j] = sum[k][j];
}

template <int CB>
static void corners(const vec* d, i64 d_channel, i64 d_image, i64 d_row, const vec* x,
                    const int32_t* xoff, i64 x_image, i64 x_row, i64 x_step, i64 images, i64 rows,
                    i64 width, vec* g, i64 columns) {
  i64 j = 0;
  constexpr int NB = CB == 1 ? 8 : CB == 2 ? 5 : 3;
  for (; j + NB <= columns; j += NB)
    corner<CB, NB>(d, d_channel, d_image, d_row, x, xoff + j, x_image, x_row, x_step, images, rows,
                   width, g + j, columns);
  for (; j < columns; j++)
    corner<CB, 1>(d, d_channel, d_image, d_row, x, xoff + j, x_image, x_row, x_step, images, rows,
                  width, g + j, columns);
}

static void weight_gradient(const i64* p, const Context& c) {
  i64 d_space = *p++, d_at = *p++, x_space = *p++, x_at = *p++, out = *p++;
  i64 images = *p++, d_image = *p++, x_image = *p++;
  i64 groups = *p++, group_d = *p++, group_x = *p++;
  i64 channels = *p++, d_channel = *p++, columns = *p++, table = *p++;
  i64 rows = *p++, width = *p++, d_row = *p++, x_row = *p++, x_step = *p++;
  i64 blocks = (channels + 3) / 4, first, last;
  share(groups * blocks, c, first, last);
  for (i64 unit = first; unit < last; unit++) {
    i64 group = unit / blocks, channel = unit % blocks * 4, left = channels - channel;
    const vec* d = c.lanes[d_space] + d_at + group * group_d + channel * d_channel;
    const vec* x = c.lanes[x_space] + x_at + group * group_x;
    vec* g = c.lanes[0] + out + (group * channels + channel) * columns;
    const int32_t* xoff = c.tables + table;
#define CORNERS(CB) \
  corners<CB>(d, d_channel, d_image, d_row, x, xoff, x_image, x_row, x_step, images, rows, width, g, \
              columns)
    if (left >= 4) CORNERS(4);
    else if (left == 3) CORNERS(3);
    else if (left == 2) CORNERS(2);
    else CORNERS(1);
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

// --- a step of all groups -----------------------------------------------------------------------

struct Program {
  const i64* code;
  i64 length;
  const int32_t* tables;
  const double* numbers;
  const float* uniform;
  float* constants;     // groups times `constant_size` vectors
  i64 constant_size;
  float* arenas;        // one for each thread, or one for all
  i64 arena_size;
  const float* const* given;  // dummy tensors, each (problems, numbers of one)
  const i64* given_at;        // where each goes in the arena
  const i64* given_size;
  i64 givens;
  float* const* taken;        // results, each (problems, numbers of one)
  const i64* taken_space;
  const i64* taken_at;
  const i64* taken_size;
  i64 takens;
  i64 problems;
};

struct Barrier {
  std::atomic<int> waiting{0}, round{0};
  void wait(int threads) {
    int now = round.load();
    if (waiting.fetch_add(1) + 1 == threads) {
      waiting.store(0);
      round.fetch_add(1);
      return;
    }
    for (int spins = 0; round.load() == now; spins++)
      if (spins > 2000) std::this_thread::yield();
  }
};
static Barrier barrier;

static void pack(const float* from, i64 size, i64 group, i64 problems, vec* to, i64 first, i64 last) {
  const float* row[LANES];
  for (int l = 0; l < LANES; l++) {
    i64 problem = group * LANES + l;
    row[l] = from + (problem < problems ? problem : problems - 1) * size;
  }
  for (i64 i = first; i < last; i++)
    for (int l = 0; l < LANES; l++) to[i][l] = row[l][i];
}

static void unpack(const vec* from, i64 size, i64 group, i64 problems, float* to, i64 first, i64 last) {
  for (int l = 0; l < LANES; l++) {
    i64 problem = group * LANES + l;
    if (problem >= problems) return;
    float* row = to + problem * size;
    for (i64 i = first; i < last; i++) row[i] = from[i][l];
  }
}

static void run_group(const Program& g, i64 group, Context& c, bool together) {
  i64 first, last;
  c.lanes[1] = (vec*)g.constants + group * g.constant_size;
  for (i64 k = 0; k < g.givens; k++) {
    share(g.given_size[k], c, first, last);
    pack(g.given[k], g.given_size[k], group, g.problems, c.lanes[0] + g.given_at[k], first, last);
  }
  if (together) barrier.wait(c.threads);
  for (const i64* p = g.code; p < g.code + g.length; p += p[1]) {
    switch (p[0]) {
      case 0: elementwise(p + 2, c); break;
      case 1: reduce(p + 2, c); break;
      case 2: taps(p + 2, c); break;
      case 3: weight_gradient(p + 2, c); break;
      case 4: copy(p + 2, c); break;
    }
    if (together) barrier.wait(c.threads);
  }
  for (i64 k = 0; k < g.takens; k++) {
    share(g.taken_size[k], c, first, last);
    unpack(c.lanes[g.taken_space[k]] + g.taken_at[k], g.taken_size[k], group, g.problems, g.taken[k],
           first, last);
  }
  if (together) barrier.wait(c.threads);
}

static std::atomic<i64> next_group{0};

static void work(const Program& g, int thread, int threads) {
  i64 groups = (g.problems + LANES - 1) / LANES;
  Context c{{nullptr, nullptr}, g.uniform, g.tables, g.numbers, 0, 1};
  if (groups < threads) {  // all threads on one group
    c.thread = thread;
    c.threads = threads;
    c.lanes[0] = (vec*)g.arenas;
    for (i64 group = 0; group < groups; group++) run_group(g, group, c, true);
    return;
  }
  c.lanes[0] = (vec*)g.arenas + thread * g.arena_size;
  for (i64 group = next_group++; group < groups; group = next_group++) run_group(g, group, c, false);
}

// --- threads that wait between steps ------------------------------------------------------------

struct Pool {
  std::mutex mutex;
  std::condition_variable begin, end;
  const Program* program = nullptr;
  int threads = 0, running = 0, hired = 0;
  i64 turn = 0;

  void labour(int number) {
    i64 seen = 0;
    for (;;) {
      const Program* now;
      int all_of_them;
      {
        std::unique_lock<std::mutex> lock(mutex);
        begin.wait(lock, [&] { return turn != seen; });
        seen = turn;
        now = program;
        all_of_them = threads;
      }
      if (number < all_of_them) {
        work(*now, number, all_of_them);
        std::lock_guard<std::mutex> lock(mutex);
        if (--running == 0) end.notify_one();
      }
    }
  }

  void run(const Program& g, int count) {
    {
      std::lock_guard<std::mutex> lock(mutex);
      for (; hired < count - 1; hired++) {
        int number = hired + 1;
        std::thread([this, number] { labour(number); }).detach();
      }
      program = &g;
      threads = count;
      running = count - 1;
      turn++;
    }
    begin.notify_all();
    work(g, 0, count);
    std::unique_lock<std::mutex> lock(mutex);
    end.wait(lock, [&] { return running == 0; });
  }
};

static Pool* pool = nullptr;
static pid_t owner = 0;
static std::mutex one_step;

extern "C" void step(const Program* g, int threads) {
  std::lock_guard<std::mutex> alone(one_step);
  if (owner != getpid()) {  // a forked process has none of its parent's threads
    pool = new Pool;
    owner = getpid();
  }
  next_group = 0;
  if (threads == 1) work(*g, 0, 1);
  else pool->run(*g, threads);
}
