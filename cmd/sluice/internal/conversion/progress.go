package conversion

import (
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
)

// weightsBar shows the builder's progress, whose total is known with its first report.
type weightsBar struct {
	progress setup.Progress
	task     setup.Task
	shown    int64
}

func (b *weightsBar) update(done, total int64) {
	if b.task == nil {
		b.task = b.progress.Start("writing weights", total)
	}
	b.task.Add(done - b.shown)
	b.shown = done
}

func (b *weightsBar) done(err error) {
	if b.task != nil {
		b.task.Done(err)
	}
}
