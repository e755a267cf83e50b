// Package inference is the façade of the served models: a Registry of Models, each a tokenizer, a chat template and
// a pool of engines. It knows no transport; server and the adapters turn their protocols into its Request and its
// Stream into their answers.
package inference
