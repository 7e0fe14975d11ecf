// Convolutions, matrix products and gradients of weights.
#pragma once
#include "vectors.h"

// --- convolutions and matrix products: sums of taps ---------------------------------------------

// out[channel * oc + b * os] = sum over taps t of w[channel * wc + woff[t]] * x[xoff[t] + b * xs]
template <int CB, int PB, class W>
static inline void tile(const W* __restrict w, i64 wc, const int32_t* woff, const vec* __restrict x,
                        const int32_t* xoff, i64 xs, i64 taps, vec* __restrict out, i64 oc,
                        i64 os) {
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
static void tiles(const W* w, i64 wc, const int32_t* woff, const vec* x, const int32_t* xoff,
                  i64 xs, i64 taps, vec* out, i64 oc, i64 os, i64 columns) {
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
  corners<CB>(d, d_channel, d_image, d_row, x, xoff, x_image, x_row, x_step, images, rows, width, \
              g, columns)
    if (left >= 4) CORNERS(4);
    else if (left == 3) CORNERS(3);
    else if (left == 2) CORNERS(2);
    else CORNERS(1);
  }
}
