package sched

import "math"

// Tenants share the steps fairly, as by the virtual token counters of Sheng et al., "Fairness in Serving Large Language
// Models" (2024): what a tenant got is counted, and of the tenants whose sequences wait the one that got least is next.
// One that had nothing waiting does not save up for later: its count is raised to the least of those that wait.

// What a token costs: those of an answer take a row in a step of their own.
const (
	promptCost    = 1
	generatedCost = 2
)

// mostAccounts bounds the tenants that are remembered while they have no sequence here.
const mostAccounts = 1024

// account is what the scheduler knows of a tenant.
type account struct {
	served  int64 // cost of what it got
	waiting int   // sequences that have not started
	present int   // sequences that wait or run
}

// accounts are those of all tenants.
type accounts struct {
	byTenant map[string]*account
	last     int64 // what the tenant had got whose sequence started last
}

// enter counts a sequence that begins to wait.
func (a *accounts) enter(q *Sequence) {
	c := a.byTenant[q.Tenant]
	if c == nil {
		if len(a.byTenant) >= mostAccounts {
			a.forget()
		}
		c = &account{}
		a.byTenant[q.Tenant] = c
	}
	if c.waiting == 0 {
		c.served = max(c.served, a.least())
	}
	c.waiting++
	c.present++
	q.account = c
}

// least is the count below which no tenant begins to wait.
func (a *accounts) least() int64 {
	least := int64(math.MaxInt64)
	for _, c := range a.byTenant {
		if c.waiting > 0 {
			least = min(least, c.served)
		}
	}
	if least == math.MaxInt64 {
		return a.last
	}
	return least
}

// forget drops the tenants that have no sequence here.
func (a *accounts) forget() {
	for tenant, c := range a.byTenant {
		if c.present == 0 {
			delete(a.byTenant, tenant)
		}
	}
}

// start counts a sequence that starts.
func (a *accounts) start(q *Sequence) {
	q.account.waiting--
	a.last = q.account.served
}

// give counts a sequence that will never start.
func (a *accounts) give(q *Sequence) {
	q.account.waiting--
	q.account.present--
}

// leave counts a sequence that has ended.
func (a *accounts) leave(q *Sequence) { q.account.present-- }

// charge counts what a step gave a sequence. What is computed again, because the sequence had lost its slot, is not the
// tenant's to pay for.
func (q *Sequence) charge(tokens, cost int) { q.account.served += int64(tokens) * int64(cost) }

// foremost is the place in the queue of the sequence that starts next: of the tenant that got least, the one with the
// lowest rank, and of these the first that came. Those that await another are left out; -1: all do.
func (s *Scheduler) foremost() int {
	best := -1
	for i, q := range s.waiting {
		if len(s.prefill) > 0 && s.awaits(q) {
			continue
		}
		if best < 0 {
			best = i
			continue
		}
		b := s.waiting[best]
		switch {
		case q.account.served != b.account.served:
			if q.account.served < b.account.served {
				best = i
			}
		case q.account != b.account: // equal: whoever came first
		case q.Rank < b.Rank:
			best = i
		}
	}
	return best
}
