// A program's phases, done by a team of threads. ONNX Runtime's pool is asked for threads once, for all phases: what lies
// between two of them is then a word that the threads read, not a task for each.
//
// Each thread has a range of a phase's parts, the same in each phase of as many parts, so that a thread finds in its cache
// what it left there. Who has done its own takes from the others. So a phase ends as soon as the threads that have come are
// through with it, be they all or one: a thread that the pool gives late, or never, holds nobody up, unless it was stopped in
// the middle of a part, or its processor was taken from it while it waited. Parts do not depend on who does them.
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "team_amd64.h"

typedef _Atomic(uint64_t) ticket;

typedef struct {
	const work *w;
	_Alignas(64) atomic_int phase;  // that may be done; work.count: all are
	_Alignas(64) atomic_int done;   // parts of it
	_Alignas(64) atomic_int joined; // threads that are in join
	pthread_t caller;               // the thread that ONNX Runtime has wait for the others
} team;

static ticket *next_of(const team *t, int thread) { return (ticket *)&t->w->counters[thread].next; }

// start_of is the first part of a thread's range.
static int start_of(const team *t, const phase *p, int thread) { return (int)((int64_t)p->parts * thread / t->w->threads); }

// ended counts a part that was done. It says whether it was the last one.
static int ended(team *t, const phase *p) { return atomic_fetch_add_explicit(&t->done, 1, memory_order_acq_rel) == p->parts; }

// begin lets the threads into a phase. Phases of one part are done at once, by who has ended the one before. What it does
// counts as a part: nobody else begins a phase meanwhile.
static void begin(team *t, int number) {
	const work *w = t->w;
	for (;; number++) {
		for (; number < w->count && w->phases[number].parts == 1; number++) w->run(w->context, &w->phases[number], 0);
		atomic_store_explicit(&t->done, 0, memory_order_relaxed);
		for (int i = 0; number < w->count && i < w->threads; i++) {
			const uint64_t first = (uint64_t)number << 32 | (uint32_t)start_of(t, &w->phases[number], i);
			atomic_store_explicit(next_of(t, i), first, memory_order_release);
		}
		atomic_store_explicit(&t->phase, number, memory_order_release);
		if (number == w->count || !ended(t, &w->phases[number])) return;
	}
}

// take takes a part of a thread's range, of the phase that is done now, and does it. It says whether there was one.
static int take(team *t, int thread) {
	const work *w = t->w;
	const uint64_t got = atomic_fetch_add_explicit(next_of(t, thread), 1, memory_order_acq_rel);
	const int number = (int)(got >> 32), part = (int)(uint32_t)got;
	const phase *p = &w->phases[number];
	if (part >= start_of(t, p, thread + 1)) return 0;
	w->run(w->context, p, part);
	if (ended(t, p)) begin(t, number + 1);
	return 1;
}

// After so many turns of waiting, some 20 microseconds, a thread lets others have the processor.
enum { patience = 512 };

// idle is a turn of waiting: the first pause, later ones let others have the processor. It returns the next turn, which is
// no more than patience however long it takes.
static int idle(int turn) {
	if (turn < patience) {
		_mm_pause();
		return turn + 1;
	}
	sched_yield();
	return turn;
}

// leave is the end of a thread's part. The caller waits for those that came: ONNX Runtime would do so too, but without ever
// letting go of the processor, which one of them may be waiting for. The others touch nothing of the team once they are not
// counted any more.
static void leave(team *t) {
	const int waits = pthread_equal(t->caller, pthread_self());
	atomic_fetch_sub_explicit(&t->joined, 1, memory_order_release);
	if (!waits) return;
	for (int turn = 0; atomic_load_explicit(&t->joined, memory_order_acquire) > 0;) turn = idle(turn);
}

static void join(void *data, size_t self) {
	team *t = data;
	const work *w = t->w;
	atomic_fetch_add_explicit(&t->joined, 1, memory_order_relaxed);
	for (int last = -1, turn = 0;;) {
		const int now = atomic_load_explicit(&t->phase, memory_order_acquire);
		if (now == w->count) {
			leave(t);
			return;
		}
		if (now == last) {
			turn = idle(turn);
			continue;
		}
		last = now;
		turn = 0;
		for (int i = 0; i < w->threads; i++) {
			while (take(t, (int)((self + i) % w->threads))) {}
		}
	}
}

// sluice_work's team lies on its stack, so by->call must return only after all of join's that it has begun: a thread that
// comes late reads the team, and is not counted among those that the caller waits for. ONNX Runtime's parallel-for does.
void sluice_work(const work *w, const parallel *by) {
	team t = {.w = w, .caller = pthread_self()};
	if (w->threads == 1) {
		for (int i = 0; i < w->count; i++) {
			for (int part = 0; part < w->phases[i].parts; part++) w->run(w->context, &w->phases[i], part);
		}
		return;
	}
	begin(&t, 0);
	if (atomic_load_explicit(&t.phase, memory_order_acquire) < w->count) by->call(by->context, join, w->threads, &t);
}
