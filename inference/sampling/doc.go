// Package sampling draws the next token from a row of logits. It is pure.
//
// The processors run in the order of Hugging Face transformers (GenerationMixin._get_logits_processor): repetition
// penalty, temperature, top_k, top_p, min_p; the frequency and presence penalties, which transformers lacks, follow
// the repetition penalty, as in vLLM. Each keeps the tokens that transformers' keeps:
//
//   - top_k keeps every token that is not below the k-th largest logit, so more than k where logits are equal;
//   - top_p removes the least likely tokens whose probabilities sum up to at most 1 - top_p. Of equal ones it keeps
//     the lower ids, where transformers leaves the choice to its sort;
//   - min_p removes tokens whose probability is below min_p times the most likely one's.
//
// # Determinism
//
// A draw depends on the row, the parameters, the history, and one random number that is a function of the seed, the
// output's index and the token's position alone (see Uniform): not on who shares the batch, nor on what was drawn
// before elsewhere. The arithmetic is float32 with every product rounded (no fused operations), and sums run in a
// fixed order, so that all platforms draw the same.
//
// # Cost
//
// No step sorts the vocabulary or allocates. One pass takes the maximum of each block of 64 logits. From these
// maxima alone follow the greedy token and a lower bound of the k-th largest logit, so that top_k looks again only
// into the blocks that can hold a survivor. Without top_k, min_p alone needs a comparison per logit; top_p and plain
// temperature need one float32 exponential per logit, for the sum. Everything behind that works on the survivors.
package sampling
