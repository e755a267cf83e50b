package grammar

// budget bounds what one Compile does altogether: each part of a constraint has its own limit, and there may be many
// parts. It also notices that nobody waits for the grammar any more. A nil budget bounds nothing: that is the one of the
// vocabulary's own terminals.
type budget struct {
	stop   func() error // why to stop; nil: go on
	work   int          // steps so far
	kept   int          // bytes so far that stay until the constraint is compiled, or longer
	polled int          // steps since stop was asked
	err    error        // the first one, which stays
}

// pollSteps is how many steps pass, at most some tens of milliseconds, until stop is asked again.
const pollSteps = 1 << 18

// spend counts steps of the work that is bounded altogether.
func (b *budget) spend(steps int) error {
	if b == nil {
		return nil
	}
	if b.work += steps; b.work > maxWork {
		b.fail(errorf("the constraint takes more than %d steps to compile", maxWork))
	}
	return b.poll(steps)
}

// poll counts steps that have a bound of their own, and asks from time to time whether to stop.
func (b *budget) poll(steps int) error {
	if b == nil {
		return nil
	}
	if b.polled += steps; b.polled > pollSteps && b.err == nil {
		b.polled = 0
		b.fail(b.stop())
	}
	return b.err
}

// keep counts bytes.
func (b *budget) keep(bytes int) error {
	if b == nil {
		return nil
	}
	if b.kept += bytes; b.kept > maxKept {
		b.fail(errorf("the constraint needs more than %d bytes to compile", maxKept))
	}
	return b.err
}

func (b *budget) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}
