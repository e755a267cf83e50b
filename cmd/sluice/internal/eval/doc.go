// Package eval evaluates models: how well it predicts a text, how far its predictions are from another
// model's, how it does at multiple choice, and how fast it is. What it says of quality depends on the model and the text
// alone; what it says of speed, on the machine and the moment.
package eval
