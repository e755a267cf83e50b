package engine

import "github.com/sluiceml/sluice/inference/sched"

// pace is how many tokens of prompts ride along with sequences that decode.
func (e *Engine) pace() sched.Pace { return sched.Pace{Each: e.cfg.RidingSize} }
