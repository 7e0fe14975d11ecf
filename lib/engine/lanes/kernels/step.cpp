// What Python calls: a step of all groups of eight problems, directions of L-BFGS, and the threads
// that share either.
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <unistd.h>

#include "elementwise.h"
#include "lbfgs.h"
#include "sums.h"

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

static void pack(const float* from, i64 size, i64 group, i64 problems, vec* to, i64 first,
                 i64 last) {
  const float* row[LANES];
  for (int l = 0; l < LANES; l++) {
    i64 problem = group * LANES + l;
    row[l] = from + (problem < problems ? problem : problems - 1) * size;
  }
  for (i64 i = first; i < last; i++)
    for (int l = 0; l < LANES; l++) to[i][l] = row[l][i];
}

static void unpack(const vec* from, i64 size, i64 group, i64 problems, float* to, i64 first,
                   i64 last) {
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
    const vec* from = c.lanes[g.taken_space[k]] + g.taken_at[k];
    unpack(from, g.taken_size[k], group, g.problems, g.taken[k], first, last);
  }
  if (together) barrier.wait(c.threads);
}

static std::atomic<i64> next_group{0};  // the next group, or problem, that a thread takes

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
  for (i64 group = next_group++; group < groups; group = next_group++)
    run_group(g, group, c, false);
}

// --- threads that wait between steps ------------------------------------------------------------

struct Pool {
  std::mutex mutex;
  std::condition_variable begin, end;
  std::function<void(int, int)> task;  // of (thread, threads)
  int threads = 0, running = 0, hired = 0;
  i64 turn = 0;

  void labour(int number) {
    i64 seen = 0;
    for (;;) {
      std::function<void(int, int)> now;
      int all_of_them;
      {
        std::unique_lock<std::mutex> lock(mutex);
        begin.wait(lock, [&] { return turn != seen; });
        seen = turn;
        now = task;
        all_of_them = threads;
      }
      if (number < all_of_them) {
        now(number, all_of_them);
        std::lock_guard<std::mutex> lock(mutex);
        if (--running == 0) end.notify_one();
      }
    }
  }

  void run(std::function<void(int, int)> given, int count) {
    {
      std::lock_guard<std::mutex> lock(mutex);
      for (; hired < count - 1; hired++) {
        int number = hired + 1;
        std::thread([this, number] { labour(number); }).detach();
      }
      task = given;
      threads = count;
      running = count - 1;
      turn++;
    }
    begin.notify_all();
    given(0, count);
    std::unique_lock<std::mutex> lock(mutex);
    end.wait(lock, [&] { return running == 0; });
  }
};

static Pool* pool = nullptr;
static pid_t owner = 0;
static std::mutex one_step;

static void shared(std::function<void(int, int)> task, int threads) {
  std::lock_guard<std::mutex> alone(one_step);
  if (owner != getpid()) {  // a forked process has none of its parent's threads
    pool = new Pool;
    owner = getpid();
  }
  next_group = 0;
  if (threads == 1) task(0, 1);
  else pool->run(task, threads);
}

extern "C" void step(const Program* g, int threads) {
  shared([g](int thread, int count) { work(*g, thread, count); }, threads);
}

extern "C" void directions(const Directions* all, int threads) {
  shared([all](int, int) {
    for (i64 p = next_group++; p < all->problems; p = next_group++) direction(*all, p);
  }, threads);
}
