// Package sampling draws the next token from a row of logits. It is pure.
//
// The processors run in the order of Hugging Face transformers (GenerationMixin._get_logits_processor): bias, repetition
// penalty, no_repeat_ngram, bad words, min_tokens, allowed tokens, temperature, top_k, top_p, min_p, typical_p; the
// frequency and presence penalties, which transformers lacks, follow the repetition penalty, as in vLLM. Each keeps the
// tokens that transformers' keeps:
//
//   - the bias is added to the logits of single tokens (SequenceBiasLogitsProcessor);
//   - no_repeat_ngram excludes what would repeat a run of n tokens of prompt and output (NoRepeatNGramLogitsProcessor);
//   - a bad word of several tokens excludes its last one where the others have just come, in the prompt too; one of a
//     single token is always excluded (NoBadWordsLogitsProcessor);
//   - min_tokens excludes the tokens that would end the output while it has fewer (MinNewTokensLengthLogitsProcessor);
//   - all but the allowed tokens are excluded (PrefixConstrainedLogitsProcessor);
//   - top_k keeps every token that is not below the k-th largest logit, so more than k where logits are equal;
//   - top_p removes the least likely tokens whose probabilities sum up to at most 1 - top_p. Of equal ones it keeps
//     the lower ids, where transformers leaves the choice to its sort;
//   - min_p removes tokens whose probability is below min_p times the most likely one's;
//   - typical_p keeps the tokens whose information is nearest to the entropy, until their probabilities sum up to
//     typical_p; equally near ones stay together.
//
// If a request excludes every token, nothing can be drawn: ErrExcluded.
//
// Log-probabilities (Scratch.Logprobs) are those of the row as the model gave it, before all processors, as in vLLM.
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
// Bias, penalties and exclusions touch single logits; only the allowed tokens write the whole row, and only
// no_repeat_ngram reads the whole sequence: a comparison per token. What a request does not ask for costs a comparison.
package sampling
