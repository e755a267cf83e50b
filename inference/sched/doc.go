// Package sched decides what each step of a model does: which sequences decode a token, which prompt gets its next
// chunk, and which slots have to be copied so that the decode rows stay a dense prefix of the slots. It is pure: no
// goroutine, no clock, no I/O. The owner runs this loop:
//
//	for {
//		plan := s.Schedule()
//		// do plan.Save, plan.Copies, plan.Release, and the loads of plan.Starts, in this order
//		// run plan.Decode and plan.Chunks
//		s.Update(decodeResults, chunkResults, forkResults...)
//		// Cancel, Expire and Add belong here, between Update and Schedule
//	}
//
// The rules:
//
//   - Of the tenants whose sequences wait, the next is the one that got least of the steps so far; of its sequences, the one
//     with the lowest rank, and of equal ones the first that was added. So no tenant can take more than its share while
//     others want theirs, and with one tenant and equal ranks first come is first served.
//   - Only the next one starts: where there is no room for it, none behind it goes first, so that a long prompt gets its
//     turn.
//   - Every sequence that has its first token decodes one token in every step. So a step costs at most one token for
//     every slot, what is guessed behind them, and the chunks, whatever waits.
//   - Where a step takes any tokens of any sequences (Config.Uniform), all prompts that have slots run together. Half of a
//     step's tokens go to the one that started first, the rest to those that have least left: so a short prompt
//     doesn't wait for a long one, and a long one gets to its end whatever comes. A prompt whose beginning another one is
//     computing waits for it.
//   - Elsewhere one prompt at a time runs, one chunk per step; the next one starts in the step after its end. So at
//     most one sequence has a slot but no token yet, and a long prompt delays those behind it but never the
//     sequences that decode.
//   - Beside sequences that decode, chunks keep to the Pace.
//   - Unless uniform, decode rows use the slots 0 to n-1. A prompt starts in the slot behind them, and nothing else can
//     take that slot before the prompt's end, so that a sequence usually never moves. When a sequence leaves from the
//     middle, a row from the end is copied into its slot at the next step. The number of copies is the least possible: the
//     number of holes. If uniform, nothing ever moves.
//   - The whole blocks of a prompt go into the prefix store as its chunks run, and outlive it there. A prompt that
//     starts takes from the store what it shares with earlier ones and computes only the rest, at least its last token.
//     Generated tokens are stored only if uniform: elsewhere their keys and values have other bits than a prompt's would
//     (ADR 3).
//   - Sequences with the same prompt run it once: where its last chunk has run, the twins that wait take copies of the
//     slot, as many as there are free slots. Those that find none run the prompt themselves later, and may be copied then.
//   - The slots together hold no more positions than the budget. Where those that decode outgrow it, one loses its slot:
//     the newest, and of those that never lost it the one of the lowest priority. It waits in front of all that is new,
//     runs its prompt again, and is fed its own tokens again one by one: as a part of the prompt they would leave other
//     bits, unless uniform. The oldest of those that ever lost their slot keeps it to its end, so that all get there.
//   - A sequence ends where its results say so, or by Cancel. Its slot is free for the very next step.
//   - The memory of a free slot goes back after some steps, not at once: the next sequence takes the same slot, and
//     memory that is given back and taken again costs more than what is written into it.
package sched
