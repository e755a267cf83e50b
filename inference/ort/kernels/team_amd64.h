// Threads that work through phases together.
#ifndef SLUICE_TEAM_H
#define SLUICE_TEAM_H

#include "kernels.h"

// What a team works on. run does one part of a phase.
typedef struct {
	const phase *phases;
	int count;
	counter *counters; // by thread
	int threads;
	void (*run)(const void *context, const phase *p, int part);
	const void *context;
} work;

// sluice_work does all phases, one after the other. by->call must return only after all of the functions that it has begun.
void sluice_work(const work *w, const parallel *by);

#endif
