// The direction of L-BFGS, problem by problem: a problem's history is read from memory once, for
// the products, and once more, by then from cache, for the direction. The formula stands in
// optimizers.py.
#pragma once
#include <cstdint>
#include <vector>

typedef float loose __attribute__((vector_size(32), aligned(4)));  // eight numbers anywhere

struct Directions {
  const float *S, *Y;          // (problems, history, n)
  const float *g, *y;          // (problems, n): the gradient, and its change in the last step
  double *SY, *YY;             // (problems, history, history): S'Y and Y'Y
  const uint8_t* accept;       // (problems): whether the last pair was taken in
  const int64_t *slot, *count; // (problems): where it lies, and how many were ever taken in
  const float* H;              // (problems)
  float* d;                    // (problems, n): the result
  int64_t problems, history, n, used;
};

static inline float of_lanes(loose v) {
  return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

// Products of two rows with two others: sums[0..3] = s.y, s.g, h.y, h.g
static inline void products(const float* s, const float* h, const float* y, const float* g,
                            int64_t n, float* sums) {
  loose sy[2] = {}, sg[2] = {}, hy[2] = {}, hg[2] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int k = 0; k < 2; k++) {
      loose a = *(const loose*)(s + i + 8 * k), b = *(const loose*)(h + i + 8 * k);
      loose u = *(const loose*)(y + i + 8 * k), v = *(const loose*)(g + i + 8 * k);
      sy[k] += a * u;
      sg[k] += a * v;
      hy[k] += b * u;
      hg[k] += b * v;
    }
  sums[0] = of_lanes(sy[0] + sy[1]);
  sums[1] = of_lanes(sg[0] + sg[1]);
  sums[2] = of_lanes(hy[0] + hy[1]);
  sums[3] = of_lanes(hg[0] + hg[1]);
  for (; i < n; i++) {
    sums[0] += s[i] * y[i];
    sums[1] += s[i] * g[i];
    sums[2] += h[i] * y[i];
    sums[3] += h[i] * g[i];
  }
}

static void direction(const Directions& all, int64_t p) {
  const int64_t n = all.n, m = all.history, used = all.used, slot = all.slot[p];
  const float *S = all.S + p * m * n, *Y = all.Y + p * m * n, *g = all.g + p * n;
  double *SY = all.SY + p * m * m, *YY = all.YY + p * m * m, H = all.H[p];
  std::vector<double> Sq(used), Yq(used), a(used), c(used);
  for (int64_t j = 0; j < used; j++) {
    float sums[4];
    products(S + j * n, Y + j * n, all.y + p * n, g, n, sums);
    Sq[j] = -sums[1];
    Yq[j] = -sums[3];
    if (all.accept[p]) {
      SY[j * m + slot] = sums[0];
      YY[j * m + slot] = YY[slot * m + j] = sums[2];
    }
  }
  // Slots from the oldest pair to the newest; unfilled ones come last, with a diagonal of 1.
  std::vector<int64_t> order(used);
  int64_t oldest = all.count[p] > m ? all.count[p] % m : 0;
  for (int64_t k = 0; k < used; k++) order[k] = (oldest + k) % used;
  auto R = [&](int64_t i, int64_t k) { return SY[order[i] * m + order[k]]; };
  auto diagonal = [&](int64_t i) { return R(i, i) == 0 ? 1.0 : R(i, i); };
  for (int64_t i = used - 1; i >= 0; i--) {
    double rest = Sq[order[i]];
    for (int64_t k = i + 1; k < used; k++) rest -= R(i, k) * a[k];
    a[i] = rest / diagonal(i);
  }
  for (int64_t i = 0; i < used; i++) {
    double product = 0;
    for (int64_t k = 0; k < used; k++) product += YY[order[i] * m + order[k]] * a[k];
    double left = R(i, i) * a[i] - H * (Yq[order[i]] - product);
    for (int64_t k = 0; k < i; k++) left -= R(k, i) * c[k];
    c[i] = left / diagonal(i);
  }
  float* d = all.d + p * n;
  for (int64_t i = 0; i < n; i++) d[i] = -(float)H * g[i];
  for (int64_t k = 0; k < used; k++) {
    const float *s = S + order[k] * n, *h = Y + order[k] * n;
    float of_s = c[k], of_h = -H * a[k];
    for (int64_t i = 0; i < n; i++) d[i] += of_s * s[i] + of_h * h[i];
  }
}
