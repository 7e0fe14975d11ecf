// What all kernels share. A value is a list of vectors: one vector holds the same number of eight
// problems ("lanes"), so that every client has its own weights at no cost, and no operation ever
// looks across lanes. Programs are written by program.py and convolutions.py, word by word in the
// order in which they are read here.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

typedef float vec __attribute__((vector_size(32)));
typedef int32_t ivec __attribute__((vector_size(32)));
typedef int64_t i64;

constexpr int LANES = 8;
constexpr int BLOCK = 32;      // vectors that a fused run works on at once: they stay in cache
constexpr int MAX_SLOTS = 64;  // inputs and results of a fused run
constexpr int MAX_DIMS = 8;

static inline vec all(float value) {
  return vec{value, value, value, value, value, value, value, value};
}
static inline vec get(const vec* p) { return *p; }
static inline vec get(const float* p) { return all(*p); }
static inline vec pick(ivec mask, vec yes, vec no) {
  return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}
static inline vec one_where(ivec mask) { return (vec)(mask & (ivec)all(1.0f)); }

template <class F> static inline vec each(vec a, F f) {
  vec r = a;
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
