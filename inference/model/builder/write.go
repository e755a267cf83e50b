package builder

import (
	"context"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"
)

// chunkBytes is about how much of a job is converted at a time. With a row of a job as the least, it bounds memory to
// workers × a few times as much.
const chunkBytes = 1 << 20

// write runs the jobs that are not written yet on several goroutines. Each writes its rows at places of their own, so that
// the file's content does not depend on the order.
func write(ctx context.Context, w io.WriterAt, jobs []job, workers int, done *meter) error {
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range jobs {
		j := &jobs[i]
		if j.written {
			continue
		}
		step := max(1, chunkBytes/j.rowBytes())
		for first := 0; first < j.rows && working.Err() == nil; first += step {
			rows := min(step, j.rows-first)
			group.Go(func() error {
				if err := working.Err(); err != nil {
					return err
				}
				if err := j.write(w, first, rows); err != nil {
					return fmt.Errorf("convert %s: %w", j.name, err)
				}
				done.add(int64(rows) * int64(j.rowBytes()))
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// rowBytes is the number of bytes of one row in all outputs.
func (j *job) rowBytes() int {
	n := 0
	for _, o := range j.outputs {
		n += o.rowBytes
	}
	return n
}

// write converts some rows and writes them.
func (j *job) write(w io.WriterAt, first, rows int) error {
	dst := make([][]byte, len(j.outputs))
	for i, o := range j.outputs {
		dst[i] = make([]byte, rows*o.rowBytes)
	}
	if err := j.fill(first, rows, dst); err != nil {
		return err
	}
	for i, o := range j.outputs {
		if err := o.write(w, first, rows, dst[i]); err != nil {
			return fmt.Errorf("write weights: %w", err)
		}
	}
	return nil
}

// write puts rows at their places.
func (o *output) write(w io.WriterAt, first, rows int, data []byte) error {
	if o.columns == 0 {
		_, err := w.WriteAt(data, o.offset+int64(first)*int64(o.rowBytes))
		return err
	}
	for i := range o.rowBytes {
		if _, err := w.WriteAt(data[i*rows:(i+1)*rows], o.offset+int64(i)*int64(o.columns)+int64(first)); err != nil {
			return err
		}
	}
	return nil
}

// meter reports progress, one call at a time.
type meter struct {
	mu     sync.Mutex
	done   int64 // guarded by mu
	total  int64
	report func(done, total int64)
}

// meter counts the bytes of the weights.
func (p *plan) meter(report func(done, total int64)) *meter {
	m := &meter{report: report}
	for i := range p.jobs {
		m.total += int64(p.jobs[i].rows) * int64(p.jobs[i].rowBytes())
	}
	return m
}

func (m *meter) add(n int64) {
	if m.report == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	m.report(m.done, m.total)
}
